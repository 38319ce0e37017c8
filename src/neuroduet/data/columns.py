"""Columns of a recording, read without loading the whole file.

``torch_brain`` turns a lazily loaded column into an array in memory the moment it is touched.
The functions here look at the HDF5 dataset behind it instead, so that a check can go through it
in pieces and events can stay on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from torch_brain.data import ArrayDict, Data

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


def mapped(values: np.ndarray | h5py.Dataset) -> np.ndarray:
    """A column as an array whose pages are read from disk when they are used.

    Args:
        values: What :func:`column` returned.

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
    return np.memmap(
        values.file.filename, mode="r", dtype=values.dtype, shape=values.shape, offset=offset
    ).view(np.ndarray)


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
