"""MATLAB and numpy files with a mapping file that says which array is what."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from torch_brain.data import Data

from neuroduet.data.boundary import npz_names as names_in
from neuroduet.data.boundary import read_npz as arrays_in
from neuroduet.data.readers.leave_out import LeftOut, unmatched_said
from neuroduet.data.readers.mapping import read_mapping
from neuroduet.data.readers.mat_files import Value, mat_names, read_mat
from neuroduet.data.readers.naming import ascii_text
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.data.readers.table_activity import TableArrays
from neuroduet.data.readers.table_arrays import (
    build,
    counted_from_one,
    drifting,
    left_out,
    without,
)
from neuroduet.data.readers.table_mapping import TableMapping
from neuroduet.data.schema import recording_id
from neuroduet.errors import UserError, unknown


class TableReader:
    """Reads one kind of file through a mapping.

    Attributes:
        name: Key of the reader.
        suffix: Suffix of its files.
        names: Names of the arrays of a file.
        fetch: One array of a file, or the arrays of a cell.
    """

    name: str
    suffix: str
    names: Callable[[Path], tuple[str, ...]]
    fetch: Callable[[Path, str], Value]

    def recognises(self, path: Path) -> bool:
        """Whether a path is such a file, or a folder of them."""
        return bool(self._files(path))

    def sessions(self, path: Path) -> Sequence[Path]:
        """Every such file at a path.

        Raises:
            UserError: There are none.
        """
        if path.is_file():
            return [path]
        found = self._files(path)
        if not found:
            raise UserError(f"{path} holds no {self.suffix} files, expected at least one")
        return found

    def inspect(self, path: Path, options: ReadOptions) -> Found:
        """What a file holds, and what the mapping makes of it.

        Raises:
            UserError: As :meth:`read`.
        """
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always", UserWarning)
            given, recording, left = self._made(path, options)
        mapping, needed = given.mapping, given.mapping.arrays()
        # A field of a struct uses its variable; an array of numpy may have a dot in its name.
        used = {*needed.values(), *(name.split(".")[0] for name in needed.values())}
        return Found(
            source=str(path),
            session=recording_id(recording),
            items={what: f"{needed[what]}, {_shape(one)}" for what, one in given.arrays.items()},
            missing=() if mapping.trials or mapping.spikes is None else ("trials",),
            dropped=(
                *left.notes,
                *(
                    f"array {name} (not in the mapping)"
                    for name in self.names(path)
                    if name not in used
                ),
            ),
            warnings=(
                *map(_said, doubts),
                *unmatched_said(left.unmatched),
                *counted_from_one(given),
                *drifting(given),
            ),
            unmatched=left.unmatched,
        )

    def read(self, path: Path, options: ReadOptions) -> Data:
        """One file as a recording.

        Raises:
            UserError: The file or the mapping cannot be read, or arrays do not fit each other.
        """
        return self._made(path, options)[1]

    def _made(self, path: Path, options: ReadOptions) -> tuple[TableArrays, Data, LeftOut]:
        """The arrays that the mapping names, the recording they make, and what it leaves out."""
        mapping = _mapping(path, options)
        arrays = {what: self.fetch(path, name) for what, name in mapping.arrays().items()}
        given = TableArrays(path=path, mapping=mapping, arrays=arrays)
        whole = build(given, session=_session(path, mapping, options), options=options)
        left = left_out(given, whole)
        return given, without(whole, left, str(path)), left

    def _files(self, path: Path) -> list[Path]:
        if path.is_file():
            return [path] if path.suffix == self.suffix else []
        return sorted(file for file in path.glob(f"*{self.suffix}") if file.name[0] != ".")


def npz_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays of an .npz file.

    Raises:
        UserError: It is missing or damaged.
    """
    _require_file(path)
    return names_in(path)


def read_npz(path: Path, name: str) -> Value:
    """One array of an .npz file.

    Raises:
        UserError: The file is damaged, or holds no such array of numbers or text.
    """
    _require_file(path)
    found = arrays_in(path, (name,))
    if name not in found:
        raise unknown(f"array of {path}", name, names_in(path))
    return found[name]


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path")


class MatReader(TableReader):
    """Reads MATLAB files."""

    name = "mat"
    suffix = ".mat"
    names = staticmethod(mat_names)
    fetch = staticmethod(read_mat)


class NpzReader(TableReader):
    """Reads numpy files."""

    name = "npz"
    suffix = ".npz"
    names = staticmethod(npz_names)
    fetch = staticmethod(read_npz)


def _mapping(path: Path, options: ReadOptions) -> TableMapping:
    if options.mapping is None:
        raise UserError(
            f"{path} does not say which array is what, expected a mapping file; write one and "
            "name it with --mapping"
        )
    return read_mapping(options.mapping, TableMapping)


def _session(path: Path, mapping: TableMapping, options: ReadOptions) -> str:
    return options.session_id or mapping.session or ascii_text(path.stem)


def _said(doubt: warnings.WarningMessage) -> str:
    return str(doubt.message)


def _shape(value: Value) -> str:
    if isinstance(value, list):
        return f"{len(value)} arrays"
    return f"{value.shape} of type {value.dtype}" if value.ndim else "one value"
