"""Units of an NWB file, read in bulk: two arrays hold the spikes of all units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np
from jaxtyping import Float, Int, Shaped

from neuroduet.data.readers.assembly import (
    events_of,
    kept_units,
    region_columns,
    require_seconds,
    require_unit_ids,
)
from neuroduet.data.readers.hdf5_files import text_of
from neuroduet.data.readers.nwb_tables import plain_columns, require_dataset
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.errors import UserError

ELECTRODES = "general/extracellular_ephys/electrodes"
ID_COLUMNS = ("unit_name", "uuid", "cluster_uuid", "unit_uuid", "uuids")
"""Columns with ids that are unique beyond their file; the number of the unit otherwise."""

REGION_COLUMNS = ("allen_location", "location", "brain_area", "brain_region", "region")
"""Of the units or of their electrodes, in the order of preference."""

QUALITY_COLUMNS = ("quality", "KSLabel", "ks_label", "group")
"""Columns of words such as ``good`` and ``mua``."""


@dataclass(frozen=True, kw_only=True)
class NwbUnits:
    """Spikes and units.

    Attributes:
        events: Columns of the group ``spikes``.
        table: Columns of the unit table.
    """

    events: dict[str, np.ndarray]
    table: dict[str, np.ndarray]


def has_spikes(file: h5py.File) -> bool:
    """Whether an NWB file holds spike times."""
    return "units" in file and "spike_times" in file["units"]


def unit_table(
    file: h5py.File, source: str, options: ReadOptions
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Columns of the unit table, without any spike, and what was left aside.

    Raises:
        UserError: A column does not fit the others.
    """
    units = file["units"]
    require_dataset(units, "spike_times_index", source)
    numbers = require_dataset(units, "id", source)[...]
    columns, aside = plain_columns(units, len(numbers), source)
    ids = next((columns[name].astype(np.str_) for name in ID_COLUMNS if name in columns),
               numbers.astype(np.str_))  # fmt: skip
    require_unit_ids(ids, f"{source} units.id")
    table = {"id": ids, "cluster": numbers.astype(np.int64), **_labels(columns)}
    if "depth_um" in columns:
        table["depth_um"] = columns["depth_um"].astype(np.float64)
    places = _electrodes(file, source, len(ids))
    regions = next((columns[name] for name in REGION_COLUMNS if name in columns), None)
    if regions is None:
        regions = places.get("region")
    if regions is not None:
        table |= region_columns([str(name) for name in regions], options.regions)
    for origin in (columns, places):
        if "probe" in origin and "probe" not in table:
            table["probe"] = origin["probe"].astype(np.str_)
    return table, aside


def read_units(file: h5py.File, source: str, options: ReadOptions) -> NwbUnits:
    """All spikes at once.

    Args:
        file: NWB file.
        source: Its path, for errors.
        options: Regions, unit selection.

    Raises:
        UserError: Something is damaged, out of order, in another unit, or no unit is left.
    """
    table, _ = unit_table(file, source, options)
    times_s, counts = read_ragged_spikes(file, source)
    require_seconds(times_s, f"{source} units.spike_times")
    _require_order(times_s, counts, source)
    duration_s = float(np.ptp(times_s)) if len(times_s) else 0.0
    keep, _ = kept_units(table, counts / max(duration_s, 1e-9), options, source)
    index = np.repeat(np.arange(len(counts)), counts)
    return NwbUnits(
        events=events_of(times_s, index, keep),
        table={name: values[keep] for name, values in table.items()},
    )


def read_ragged_spikes(
    file: h5py.File, source: str
) -> tuple[Float[np.ndarray, " spikes"], Int[np.ndarray, " N"]]:
    """Spike times of all units, one unit after the other, and the number of spikes of each.

    Raises:
        UserError: The index does not fit the times.
    """
    units = file["units"]
    times = require_dataset(units, "spike_times", source)
    if times.ndim != 1 or times.dtype.kind != "f":
        raise UserError(
            f"{source} units.spike_times has shape {times.shape} of type {times.dtype}, expected "
            "one column of seconds; convert samples to seconds and export it again"
        )
    ends = require_dataset(units, "spike_times_index", source)[...]
    n_units = len(require_dataset(units, "id", source))
    counts = ragged_counts(ends, len(times), n_units, f"{source} units.spike_times_index")
    return times[...].astype(np.float64, copy=False), counts


def ragged_counts(
    ends: Shaped[np.ndarray, "..."], length: int, rows: int, source: str
) -> Int[np.ndarray, " N"]:
    """Length of each row of a ragged column.

    Args:
        ends: Where each row ends.
        length: Length of the column.
        rows: Rows of the table.
        source: File and column, for errors.

    Raises:
        UserError: Rows are missing, out of order, or end outside the column.
    """
    if ends.ndim != 1 or ends.dtype.kind not in "iu" or len(ends) != rows:
        raise UserError(
            f"{source} has shape {ends.shape} of type {ends.dtype}, expected {rows} integers, one "
            "end per unit; export the file again"
        )
    counts = np.diff(ends.astype(np.int64), prepend=0)
    if (counts < 0).any():
        raise UserError(
            f"{source} is not ascending (row {int(np.flatnonzero(counts < 0)[0])}), expected the "
            "end of every unit's spikes; export the file again"
        )
    if int(counts.sum()) != length:
        raise UserError(
            f"{source} ends at {int(counts.sum()):,}, but there are {length:,} spikes; the file "
            "is cut off or mixed up, export it again"
        )
    return counts


def _require_order(
    times_s: Float[np.ndarray, " spikes"], counts: Int[np.ndarray, " N"], source: str
) -> None:
    """Spikes of one unit ascend; time restarts where sessions were glued together."""
    if len(times_s) < 2:
        return
    falls = np.flatnonzero(np.diff(times_s) < 0) + 1
    starts = np.cumsum(counts) - counts
    inside = falls[~np.isin(falls, starts)]
    if len(inside):
        unit = int(np.searchsorted(np.cumsum(counts), inside[0], side="right"))
        raise UserError(
            f"{source} units.spike_times of unit {unit} is not sorted, expected ascending seconds "
            "on one clock; sort it, or export each segment as a file of its own"
        )


def _labels(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``label``, 1 where a unit is good."""
    if "label" in columns and columns["label"].dtype.kind in "iufb":
        return {"label": columns["label"].astype(np.float64)}
    for name in QUALITY_COLUMNS:
        if name in columns and columns[name].dtype.kind == "U":
            words = columns[name]
            if "good" in words:
                return {"label": (words == "good").astype(np.float64)}
    return {}


def _electrodes(file: h5py.File, source: str, n_units: int) -> dict[str, np.ndarray]:
    """Region and probe of each unit: those of most of its electrodes."""
    units = file["units"]
    if ELECTRODES not in file or "electrodes" not in units:
        return {}
    table = file[ELECTRODES]
    rows = require_dataset(units, "electrodes", source)[...]
    n_electrodes = len(require_dataset(table, "id", source))
    if len(rows) and (rows.min() < 0 or rows.max() >= n_electrodes):
        raise UserError(
            f"{source} units.electrodes runs from {rows.min()} to {rows.max()}, but there are "
            f"{n_electrodes} electrodes; export the file again"
        )
    counts = np.ones(n_units, dtype=np.int64)
    if "electrodes_index" in units:
        ends = units["electrodes_index"][...]
        counts = ragged_counts(ends, len(rows), n_units, f"{source} units.electrodes_index")
    columns, _ = plain_columns(table, n_electrodes, source)
    found = {}
    region = next((name for name in REGION_COLUMNS if name in columns), None)
    for name, origin in (("region", region), ("probe", "group_name")):
        if origin is not None and origin in columns:
            words = columns[origin].astype(np.str_)
            found[name] = np.array([_commonest(part) for part in _split(words[rows], counts)])
    return found


def _split(values: np.ndarray, counts: Int[np.ndarray, " N"]) -> Iterator[np.ndarray]:
    yield from np.split(values, np.cumsum(counts)[:-1])


def _commonest(words: np.ndarray) -> str:
    if not len(words):
        return ""
    values, counts = np.unique(words, return_counts=True)
    return text_of(values[counts.argmax()])
