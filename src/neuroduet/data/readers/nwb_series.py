"""Behaviour in NWB files: every time series that is sampled like one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np
from jaxtyping import Float
from torch_brain.data import IrregularTimeSeries

from neuroduet.data.readers.assembly import require_seconds
from neuroduet.data.readers.hdf5_files import text_of
from neuroduet.data.readers.naming import field_name
from neuroduet.data.readers.nwb_tables import TRIALS, require_dataset
from neuroduet.errors import UserError

SERIES_TYPES = ("TimeSeries", "SpatialSeries")
"""Types whose samples are behaviour; raw traces, images and events have others."""

FASTEST_HZ = 2000.0
"""Series that are sampled faster are raw signals of the rig."""

MOST_CHANNELS = 16
_READ_TOPS = ("processing", "acquisition")
_POSE_TYPES = ("PoseEstimation", "Skeletons")
_TAKEN = ("spikes", "units", "trials", "pose", "keypoints", "behaviours", "labels", "features")


@dataclass(frozen=True, kw_only=True)
class NwbSeries:
    """A time series of an NWB file.

    Attributes:
        name: Name of its group in a recording.
        group: Where it lies.
        why_not: Why it is left out; empty if it is read.
    """

    name: str
    group: h5py.Group
    why_not: str = ""


def find_series(file: h5py.File) -> tuple[NwbSeries, ...]:
    """Every time series of ``processing`` and ``acquisition``, in the order of their paths."""
    found: list[NwbSeries] = []
    taken = list(_TAKEN)
    for group in _groups(file):
        name = field_name(group.name.rsplit("/", 1)[-1], taken)
        taken.append(name)
        found.append(NwbSeries(name=name, group=group, why_not=_why_not(group)))
    return tuple(found)


def find_unread(file: h5py.File) -> Iterator[str]:
    """What else the file holds beside units, trials and pose, and no reader of ours reads."""
    for top in _READ_TOPS:
        if top in file:
            yield from _unread_below(file[top], (*SERIES_TYPES, *_POSE_TYPES))
    for top in ("events", "intervals", "stimulus"):
        if top in file:
            yield from _unread_below(file[top], ())


def _unread_below(group: h5py.Group, known: tuple[str, ...]) -> Iterator[str]:
    for name in sorted(group):
        child = group.get(name)
        if not isinstance(child, h5py.Group) or child.name == f"/{TRIALS}":
            continue
        kind = text_of(child.attrs.get("neurodata_type", ""))
        if any(isinstance(child.get(one), h5py.Group) for one in child):
            if kind not in known:
                yield from _unread_below(child, known)
        elif len(child) and kind not in ("", *known):
            yield f"{child.name[1:]} (of type {kind}, which is not read)"


def read_all_series(file: h5py.File, source: str) -> dict[str, IrregularTimeSeries]:
    """Every series that can be behaviour and has a value, by the name of its group.

    Raises:
        UserError: One is damaged.
    """
    found = {one.name: read_series(one, source) for one in find_series(file) if not one.why_not}
    return {name: series for name, series in found.items() if series is not None}


def read_series(series: NwbSeries, source: str) -> IrregularTimeSeries | None:
    """Times and values; ``None`` if not a single value is known.

    Args:
        series: What to read.
        source: File, for errors.

    Returns:
        ``timestamps`` (s) and ``values`` in the unit of the file, one row per sample.

    Raises:
        UserError: Times and values do not fit each other, or times are impossible.
    """
    data = require_dataset(series.group, "data", source)
    where = f"{source} {series.group.name[1:]}"
    factor, offset = (float(data.attrs.get(name, default))
                      for name, default in (("conversion", 1.0), ("offset", 0.0)))  # fmt: skip
    if not np.isfinite(factor) or factor == 0:
        raise UserError(
            f"{where}/data has the conversion {factor}, expected a factor; correct the file"
        )
    times = sample_times(series.group, len(data), source)
    if not len(times):
        return None
    values = data[...].astype(np.float64) * factor + offset
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if not np.isfinite(values).any():
        return None
    return IrregularTimeSeries(timestamps=times, values=values.astype(np.float32))


def sample_times(group: h5py.Group, rows: int, source: str) -> Float[np.ndarray, " R"]:
    """When the samples of a series were taken (s).

    Raises:
        UserError: There are no times, another number of them, or impossible ones.
    """
    where = f"{source} {group.name[1:]}"
    if "timestamps" in group:
        times = require_dataset(group, "timestamps", source)[...]
        if times.dtype.kind != "f" or times.shape != (rows,):
            raise UserError(
                f"{where}/timestamps has shape {times.shape} of type {times.dtype}, expected "
                f"({rows},) seconds, one per row of data; export the file again"
            )
        times = times.astype(np.float64)
        require_seconds(times, f"{where}/timestamps")
        falls = np.flatnonzero(np.diff(times) < 0)
        if len(falls):
            raise UserError(
                f"{where}/timestamps is not sorted (row {falls[0] + 1}), expected ascending "
                "seconds; sort the series and export it again"
            )
        return times
    start = require_dataset(group, "starting_time", source)
    rate_hz = float(start.attrs.get("rate", 0.0))
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise UserError(
            f"{where}/starting_time has the rate {rate_hz} Hz, expected samples per second; "
            "correct the attribute rate"
        )
    times = float(start[()]) + np.arange(rows) / rate_hz
    require_seconds(times, f"{where} at {rate_hz:g} Hz")
    return times


def sampling_rate(group: h5py.Group) -> float:
    """Samples per second, from the first of them; NaN if unknown."""
    if "starting_time" in group:
        return float(group["starting_time"].attrs.get("rate", np.nan))
    times = group.get("timestamps")
    if not isinstance(times, h5py.Dataset) or times.dtype.kind != "f" or len(times) < 2:
        return float("nan")
    step = float(np.median(np.diff(times[:1000])))
    return 1 / step if step > 0 else float("nan")


def _groups(file: h5py.File) -> Iterator[h5py.Group]:
    for top in _READ_TOPS:
        if top in file:
            yield from _below(file[top])


def _below(group: h5py.Group) -> Iterator[h5py.Group]:
    for name in sorted(group):
        child = group.get(name)
        if not isinstance(child, h5py.Group):
            continue
        kind = text_of(child.attrs.get("neurodata_type", ""))
        if kind in SERIES_TYPES:
            yield child
        elif kind not in _POSE_TYPES:
            yield from _below(child)


def _why_not(group: h5py.Group) -> str:
    """Why a series cannot be behaviour; empty if it can."""
    data = group.get("data")
    if not isinstance(data, h5py.Dataset):
        return "it has no data"
    if data.dtype.kind not in "iufb":
        return f"of type {data.dtype}"
    if data.ndim not in (1, 2) or (data.ndim == 2 and data.shape[1] > MOST_CHANNELS):
        return f"of shape {data.shape}"
    rate_hz = sampling_rate(group)
    if rate_hz > FASTEST_HZ:
        return f"a raw signal at {rate_hz:.0f} Hz"
    return ""
