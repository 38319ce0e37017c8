"""HDF5 files of others, opened so that damage becomes one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neuroduet.data.boundary import require_own_data
from neuroduet.errors import UserError


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Args:
        path: File.

    Yields:
        The open file.

    Raises:
        UserError: The file is missing, is no HDF5, points to other files, or what is read from it
            is damaged.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path")
    if not h5py.is_hdf5(path):
        raise UserError(f"{path} is no HDF5 file, or cut off at its start; export it again")
    try:
        with h5py.File(path, "r") as file:
            require_own_data(file, path)
            yield file
    except (OSError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"{path} is damaged or incomplete ({reason}); export it again") from error


def dataset(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset that must be there.

    Raises:
        UserError: It is not, or it is a group.
    """
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        held = ", ".join(sorted(group)) or "nothing"
        raise UserError(
            f"{path}: found no dataset '{name}' in {group.name}, which holds {held}; export the "
            "file again"
        )
    return found


def numbers_in(path: Path, source: h5py.Dataset, rank: int) -> np.ndarray:
    """A dataset of numbers, in memory.

    Args:
        path: File, for the error.
        source: The dataset.
        rank: Number of dimensions it must have.

    Raises:
        UserError: It holds something else.
    """
    if source.dtype.kind not in "iufb" or source.ndim != rank:
        raise UserError(
            f"{path}: {source.name} has shape {source.shape} of type {source.dtype}, expected "
            f"numbers with {rank} dimensions; export the file again"
        )
    return np.asarray(source[...])


def words_in(path: Path, source: h5py.Dataset) -> tuple[str, ...]:
    """A dataset of text, in memory.

    Raises:
        UserError: It holds something else.
    """
    values = source[...].ravel() if source.shape != () else np.array([source[()]])
    if source.dtype.kind not in "SO" or any(not isinstance(one, bytes | str) for one in values):
        raise UserError(
            f"{path}: {source.name} is of type {source.dtype}, expected text; export the file "
            "again"
        )
    return tuple(text_of(one) for one in values)


def text_of(value: Any) -> str:
    """Text as HDF5 keeps it, be it bytes or not."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").rstrip("\0")
    return str(value)
