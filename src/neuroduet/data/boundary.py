"""The boundary to files that others wrote: nothing in one may surprise what stands behind it.

What a spoilt file makes a library raise becomes one sentence, a file may not claim much more
memory than it holds, and an HDF5 file may not point out of itself.
"""

from __future__ import annotations

import io
import math
import shlex
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neuroduet.errors import UserError
from neuroduet.plain import printable

ROOM = 1 << 28
"""Bytes that any file may become in memory, however small it is."""

DENSEST = 500
"""Beyond :data:`ROOM`, how many times its size on disk a file may become: the sparsest counts
compress by less, and a file made to fill the memory by more."""


@contextmanager
def reading(source: Path | str) -> Iterator[None]:
    """Say in one sentence what went wrong while something is read.

    Libraries report damage as whatever they stumble over, so every error counts, but those that
    are a sentence already, or that say that the file is missing or may not be read. What a
    sentence quotes from a file is made printable.

    Args:
        source: What is read, for the message.

    Raises:
        UserError: Reading failed.
    """
    try:
        yield
    except UserError as error:
        if str(error).isprintable():
            raise
        raise UserError(printable(str(error))) from error
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{source} is damaged or does not hold what it should ({type(error).__name__}: "
            f"{printable(reason)}); write, export or download it again"
        ) from error


def require_room(source: Path | str, claimed: int, stored: int) -> None:
    """Refuse what would become far larger in memory than it is on disk.

    Args:
        source: File or part of it, for the message.
        claimed: Bytes in memory.
        stored: Bytes on disk.

    Raises:
        UserError: It claims more than :data:`ROOM` and :data:`DENSEST` allow.
    """
    if claimed > max(ROOM, DENSEST * stored):
        raise UserError(
            f"{source} claims {claimed:,} bytes of memory, but holds {stored:,}, expected at most "
            f"{DENSEST} times as many; it is damaged or made to fill the memory, get it again "
            "from where it was made"
        )


def require_no_nwb(file: h5py.File, path: Path) -> None:
    """Refuse an NWB file where a recording is expected.

    Args:
        file: The open file.
        path: Its path, for the message.

    Raises:
        UserError: It is NWB by its suffix, or says so itself.
    """
    if path.suffix == ".nwb" or "nwb_version" in file.attrs:
        raise UserError(
            f"{path} is an NWB file, expected a recording; make one of it with: "
            f"neuroduet ingest {shlex.quote(str(path))} OUT"
        )


def require_own_data(file: h5py.File, path: Path | str) -> None:
    """Refuse an HDF5 file that points to other files, or claims more data than it can hold.

    Args:
        file: The open file.
        path: Its path or address, for the message.

    Raises:
        UserError: A link, a dataset or its storage lies in another file, or one claims too much.
    """
    # What a visit finds is what its function returns: HDF5 cannot pass an error on.
    claims: dict[str, int] = {}

    def look(name: str, node: Any) -> tuple[str, str] | None:
        claims[name] = _claimed(node)
        return _beyond(name, node)

    outside = file.visititems_links(_beyond) or file.visititems(look)
    if outside is not None:
        name, other = outside
        raise UserError(
            f"{path}, {name} lies in another file ({other}), expected a file that holds all of "
            "its data; copy the data into it, with h5repack or by exporting it again"
        )
    stored = file.id.get_filesize()
    for name, claimed in claims.items():
        require_room(f"{path}, {name}", claimed, stored)


def _beyond(name: str, found: Any) -> tuple[str, str] | None:
    """Name of a link or dataset that lies in another file, and that file."""
    if isinstance(found, h5py.ExternalLink):
        return name, found.filename
    if isinstance(found, h5py.Dataset) and found.external:
        return name, found.external[0][0]
    if isinstance(found, h5py.Dataset) and found.is_virtual:
        return name, found.virtual_sources()[0].file_name
    return None


def _claimed(node: Any) -> int:
    """Bytes that a dataset says it holds; text of any length counts as a pointer."""
    known = isinstance(node, h5py.Dataset) and node.shape is not None
    return math.prod(node.shape) * node.dtype.itemsize if known else 0


def require_small_parquet(path: Path) -> None:
    """Refuse a parquet file whose columns would become far larger than the file.

    Args:
        path: The file.

    Raises:
        UserError: They would.
        ArrowException: It is no parquet file.
    """
    import pyarrow.parquet as parquet

    head = parquet.read_metadata(path)
    groups = [head.row_group(number) for number in range(head.num_row_groups)]
    values = sum(
        group.column(column).num_values for group in groups for column in range(group.num_columns)
    )
    # Few words become a word per row, and no value less than a number.
    require_room(path, 8 * values, path.stat().st_size)


def read_npz(path: Path, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """Plain arrays of an ``.npz`` file; nothing in it is unpickled.

    Args:
        path: File.
        names: Arrays to read, left out where it has none; all if not given.

    Raises:
        UserError: It is damaged, or an array holds Python objects or claims more than there is.
    """
    found = {}
    with _arrays(path) as archive:
        require_small(path, archive)
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if entry.filename != name and (names is None or name in names):
                found[name] = _array_in(name, archive.read(entry))
    return found


def npz_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays of an ``.npz`` file.

    Raises:
        UserError: It is damaged.
    """
    with _arrays(path) as archive:
        entries = [name for name in archive.namelist() if name.endswith(".npy")]
        return tuple(name.removesuffix(".npy") for name in entries)


@contextmanager
def _arrays(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive of arrays, whose damage zipfile, zlib and numpy each report in their own way."""
    try:
        with reading(path), path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            yield archive
    except UserError as error:
        cause = error.__cause__
        if cause is None:
            raise
        reason = printable(" ".join(str(cause).split()))[:200]
        raise UserError(
            f"{path} cannot be read ({reason}); write plain arrays with numpy.savez"
        ) from cause


def require_small(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that would unpack to far more than it holds.

    Args:
        path: Its path, for the message.
        archive: The open archive.

    Raises:
        UserError: It would.
    """
    unpacked = sum(entry.file_size for entry in archive.infolist())
    require_room(path, unpacked, path.stat().st_size)


def _array_in(name: str, content: bytes) -> np.ndarray:
    """An array whose head does not claim more than follows it."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read_head = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_head is None:
        raise ValueError(f"{name} is in version {version} of numpy's format, expected 1 or 2")
    shape, fortran, dtype = read_head(file)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, expected numbers or text")
    claimed, follows = max(dtype.itemsize, 1) * math.prod(shape), len(content) - file.tell()
    if min(shape, default=0) < 0 or claimed > follows:
        raise ValueError(
            f"{name} claims the shape {shape} of {dtype}, but {follows:,} bytes follow"
        )
    values = np.frombuffer(content, dtype, math.prod(shape), file.tell()).copy()
    return values.reshape(shape, order="F" if fortran else "C")
