"""Columns of a recording, read without loading the whole file.

``torch_brain`` turns a lazily loaded column into an array in memory the moment it is touched.
The functions here look at the HDF5 dataset behind it instead, so that a check can go through it
in pieces and events can stay on disk.
"""

from __future__ import annotations

import mmap
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Shaped
from torch_brain.data import ArrayDict, Data, IrregularTimeSeries, RegularTimeSeries

SERIES = (IrregularTimeSeries, RegularTimeSeries)
"""Groups that are sampled in time."""

CHUNK_ROWS = 1 << 20
"""Rows read at a time when a whole column must be looked at."""


def groups(recording: Data) -> dict[str, ArrayDict]:
    """The groups of a recording that hold columns, by name."""
    public = {key: value for key, value in recording.__dict__.items() if key[0] != "_"}
    return {key: value for key, value in public.items() if isinstance(value, ArrayDict)}


def fields(group: ArrayDict) -> tuple[str, ...]:
    """Names of the columns of a group."""
    return tuple(group.keys())


def column(group: ArrayDict, name: str) -> np.ndarray | h5py.Dataset:
    """A column, as the dataset on disk where it has not been loaded yet.

    Args:
        group: Group of a recording.
        name: Name of the column.

    Returns:
        An array, or an HDF5 dataset that can be sliced like one. Text, and groups that were
        sliced lazily, always come as arrays.
    """
    stored = group.__dict__.get(name)
    untouched = isinstance(stored, h5py.Dataset) and not group.__dict__.get("_lazy_ops")
    if untouched and name not in group.__dict__.get("_unicode_keys", []):
        return stored
    value: np.ndarray = getattr(group, name)
    return value


def intervals(series: ArrayDict | Data) -> Float[np.ndarray, "I 2"]:
    """Start and end of every interval in which a time series, or anything, was recorded (s)."""
    domain = series.domain
    return np.stack([domain.start, domain.end], axis=1).astype(np.float64)


def file_pages(path: Path) -> np.memmap:
    """A whole file as bytes, for :func:`mapped`.

    A map keeps a file descriptor, of which a process has a thousand or so: one for each recording
    lasts longer than one for each column.
    """
    return np.memmap(path, mode="r")


def release(pages: np.memmap) -> None:
    """Give back the memory of the pages read so far; the system's cache may keep them.

    Otherwise a process holds every page that it ever read until the whole machine is short of
    memory, and seems as large as its recordings.
    """
    if sys.platform != "win32" and isinstance(pages.base, mmap.mmap):
        pages.base.madvise(mmap.MADV_DONTNEED)


def mapped(values: np.ndarray | h5py.Dataset, pages: np.memmap | None = None) -> np.ndarray:
    """A column as an array whose pages are read from disk when they are used.

    Args:
        values: What :func:`column` returned.
        pages: What :func:`file_pages` returned for its file; if not given, the column gets a map
            of its own.

    Returns:
        A memory map if the dataset lies in one uncompressed piece in its file (as ``torch_brain``
        writes it); otherwise the values, in memory.
    """
    if isinstance(values, np.ndarray):
        return values
    offset = values.id.get_offset()
    plain = values.chunks is None and values.compression is None and not values.external
    if offset is None or not plain or values.size == 0:
        return np.asarray(values[...])
    file = Path(values.file.filename).resolve()
    # A column may be a link into another file.
    if pages is None or pages.filename != file:
        pages = file_pages(file)
    return np.ndarray(values.shape, values.dtype, buffer=pages, offset=offset)


def rows_between(
    timestamps: Float[np.ndarray, " R"],
    first_s: Float[np.ndarray, " W"],
    last_s: Float[np.ndarray, " W"],
) -> list[slice]:
    """Rows of a sorted column that lie in any of some spans of time, and a neighbour either side.

    NumPy's search would copy the whole column first: in a file, numbers seldom lie on multiples of
    their size.

    Args:
        timestamps: Times, sorted (s).
        first_s: Start of each span (s).
        last_s: End of each span (s).

    Returns:
        Slices that rise and do not overlap.
    """
    parts: list[slice] = []
    done = 0
    for first, last in sorted(zip(first_s.tolist(), last_s.tolist(), strict=True)):
        start = max(bisect_left(timestamps, first) - 1, done)
        done = max(bisect_right(timestamps, last) + 1, done)
        parts.append(slice(start, done))
    return parts


def joined(values: Shaped[np.ndarray, "R *C"], parts: list[slice]) -> Shaped[np.ndarray, "P *C"]:
    """Some rows of a column, in memory."""
    return np.concatenate([values[part] for part in parts])


def pieces(values: np.ndarray | h5py.Dataset, overlap: int = 0) -> Iterator[np.ndarray]:
    """A long column in pieces of bounded size.

    Args:
        values: What :func:`column` returned.
        overlap: Rows by which neighbouring pieces overlap.

    Yields:
        Consecutive rows.
    """
    width = max(1, int(np.prod(values.shape[1:], dtype=np.int64)))
    rows = max(1 + overlap, CHUNK_ROWS // width)
    for start in range(0, len(values), rows - overlap):
        yield np.asarray(values[start : start + rows])


def scalar(recording: Data, name: str) -> Any:
    """A root value such as ``bin_size_s``, or ``None`` if the recording has none."""
    return recording.__dict__.get(name)
