"""Spikes and units of an IBL session: every probe, one spike sorting of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neuroduet.data.readers.alf_files import (
    AlfFile,
    find_file,
    open_array,
    read_times,
    read_vector,
)
from neuroduet.data.readers.alf_units import Sorting, count_units, unit_table
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.errors import UserError, unknown

SORTERS = ("iblsorter", "pykilosort", "")
"""Spike sortings in the order of preference; the last one lies in the probe's own folder."""


@dataclass(frozen=True, kw_only=True)
class Activity:
    """The spikes of all probes, merged.

    Attributes:
        times_s: Sorted spike times (s).
        unit_index: Row in the unit table of each spike.
        units: Columns of the unit table.
        notes: What was dropped or could not be named, each with its reason.
    """

    times_s: Float[np.ndarray, " spikes"]
    unit_index: Int[np.ndarray, " spikes"]
    units: dict[str, np.ndarray]
    notes: tuple[str, ...]


def find_sortings(
    files: Sequence[AlfFile], options: ReadOptions
) -> tuple[tuple[Sorting, ...], tuple[str, ...]]:
    """The spike sorting to read of every probe, and those that are left aside.

    Raises:
        UserError: Spike times have no clusters, or the probe or sorter asked for is not there.
    """
    found: dict[str, dict[str, Sorting]] = {}
    for file in files:
        if (file.object, file.attribute) == ("spikes", "times"):
            one = _sorting(file, files)
            found.setdefault(one.probe, {})[one.sorter] = one
    for probe in options.probes or ():
        if probe not in found:
            raise unknown("probe", probe, found)
    wanted = [probe for probe in found if options.probes is None or probe in options.probes]
    chosen = tuple(_preferred(probe, found[probe], options.sorter) for probe in sorted(wanted))
    aside = [
        f"spike sorting {one.sorter or 'of the probe folder'} of {probe} (another is preferred)"
        for probe in wanted
        for one in found[probe].values()
        if one not in chosen
    ]
    aside += [
        f"{probe} (not among the probes asked for)" for probe in found if probe not in wanted
    ]
    return chosen, tuple(aside)


def _sorting(file: AlfFile, files: Sequence[AlfFile]) -> Sorting:
    folders = file.collection.split("/")
    clusters = find_file(files, "spikes", "clusters", file.collection)
    if clusters is None:
        raise UserError(
            f"{file.path} has no spikes.clusters.npy beside it, expected the cluster of every "
            "spike; download it as well"
        )
    return Sorting(
        probe=folders[1] if len(folders) > 1 else folders[0],
        sorter="/".join(folders[2:]),
        collection=file.collection,
        times=file.path,
        clusters=clusters,
    )


def _preferred(probe: str, sortings: dict[str, Sorting], wanted: str | None) -> Sorting:
    if wanted is not None and wanted not in sortings:
        raise unknown(f"sorter of {probe}", wanted, sorted(filter(None, sortings)))
    if wanted is not None:
        return sortings[wanted]
    order = [name for name in SORTERS if name in sortings]
    return sortings[order[0] if order else min(sortings)]


def read_spikes(
    files: Sequence[AlfFile], sortings: Sequence[Sorting], options: ReadOptions
) -> Activity:
    """Read and merge the probes of a session.

    Args:
        files: Files of the session.
        sortings: At least one.
        options: Regions, unit selection.

    Returns:
        Spikes of the units that are kept, and their table.

    Raises:
        UserError: Files are damaged or do not fit each other, or no unit is left.
    """
    parts = [_read_probe(files, sorting, options) for sorting in sortings]
    offsets = np.cumsum([0, *(len(part.units["id"]) for part in parts)])
    times_s = np.concatenate([part.times_s for part in parts])
    index = np.concatenate(
        [part.unit_index + offset for part, offset in zip(parts, offsets, strict=False)]
    )
    units = {name: np.concatenate([part.units[name] for part in parts]) for name in parts[0].units}
    if len(np.unique(units["id"])) < len(units["id"]):
        raise UserError(
            f"clusters.uuids of {', '.join(one.collection for one in sortings)} hold the same id "
            "twice, expected one id per unit; download them again or read one probe"
        )
    for name in options.units or ():
        if name not in set(units["id"]):
            raise unknown("unit", name, units["id"].tolist())
    if not len(units["id"]):
        raise UserError(
            f"no unit of {sortings[0].times.parent} passes the label and rate that were asked "
            "for; lower --min-label or --min-rate"
        )
    if len(parts) > 1:
        order = np.argsort(times_s, kind="stable")
        times_s, index = times_s[order], index[order]
    return Activity(
        times_s=times_s,
        unit_index=index,
        units=units,
        notes=tuple(note for part in parts for note in part.notes),
    )


def _read_probe(files: Sequence[AlfFile], sorting: Sorting, options: ReadOptions) -> Activity:
    times_s = read_times(sorting.times)
    clusters = read_vector(sorting.clusters)
    if len(times_s) == 0:
        raise UserError(
            f"{sorting.times} is empty, expected spike times (s); leave the probe out: --probes"
        )
    if len(clusters) != len(times_s):
        raise UserError(
            f"{sorting.clusters} has {len(clusters):,} rows but {sorting.times.name} has "
            f"{len(times_s):,}, expected one cluster per spike; download both again"
        )
    if clusters.dtype.kind not in "iu":
        raise UserError(
            f"{sorting.clusters} is of type {clusters.dtype}, expected whole numbers; export it "
            "again"
        )
    known = count_units(files, sorting)
    low, high = int(clusters.min()), int(clusters.max())
    count = high + 1 if known is None else known
    if low < 0 or high >= count:
        raise UserError(
            f"{sorting.clusters} names clusters {low} to {high}, but there are {count} of them "
            f"(0 to {count - 1}); download the clusters.* files of the same sorting"
        )
    rate_hz = np.bincount(clusters, minlength=count) / max(times_s[-1] - times_s[0], 1e-9)
    units, notes = unit_table(files, sorting, count, options)
    keep, dropped = _selection(units, rate_hz, sorting, options)
    row = np.where(keep, np.cumsum(keep) - 1, -1)
    index = row[clusters]
    used = index >= 0
    return Activity(
        times_s=times_s if used.all() else times_s[used],
        unit_index=index if used.all() else index[used],
        units={name: values[keep] for name, values in units.items()},
        notes=(*notes, *dropped),
    )


def _selection(
    units: dict[str, np.ndarray],
    rate_hz: Float[np.ndarray, " N"],
    sorting: Sorting,
    options: ReadOptions,
) -> tuple[Bool[np.ndarray, " N"], tuple[str, ...]]:
    """Which units are kept, and why the others are not."""
    reasons: dict[str, np.ndarray] = {}
    if options.min_unit_label is not None:
        if np.isnan(units["label"]).all():
            raise UserError(
                f"{sorting.times.parent} has no clusters.metrics.pqt with a column label, "
                "expected with --min-label; download it, or leave the option out"
            )
        reasons[f"label below {options.min_unit_label:g}"] = ~(
            units["label"] >= options.min_unit_label
        )
    if options.min_rate_hz is not None:
        reasons[f"rate below {options.min_rate_hz:g} Hz"] = rate_hz < options.min_rate_hz
    if options.units is not None:
        reasons["not among the units asked for"] = ~np.isin(units["id"], options.units)
    keep = np.ones(len(rate_hz), dtype=bool)
    notes = []
    for why, which in reasons.items():
        if which.any():
            notes.append(f"{int(which.sum())} units of {sorting.probe} ({why})")
        keep &= ~which
    return keep, tuple(notes)


def count_spikes(sorting: Sorting) -> int:
    """Spikes of a sorting, without reading them."""
    return len(open_array(sorting.times))
