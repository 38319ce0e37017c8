"""MATLAB and numpy files with a mapping file that says which array is what."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from torch_brain.data import Data

from neuroduet.data.arrays import from_arrays
from neuroduet.data.readers.assembly import (
    ascii_text,
    kept_units,
    region_columns,
    require_seconds,
    require_unit_ids,
    require_usable,
)
from neuroduet.data.readers.mapping import read_mapping
from neuroduet.data.readers.mat_files import Value, mat_names, read_mat
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.data.readers.table_mapping import TableMapping, Times, Values
from neuroduet.errors import UserError, unknown

ORDERS = (
    ("trials", "bins", "units"),
    ("trials", "bins", "channels"),
    ("trials", "bins"),
    ("time", "units"),
    ("time", "channels"),
    ("trials",),
    ("time",),
)
"""Axes as a recording wants them."""


@dataclass(frozen=True, kw_only=True)
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
            UserError: The file or the mapping cannot be read, or an array is not there.
        """
        mapping = _mapping(path, options)
        needed = mapping.arrays()
        arrays = {what: self.fetch(path, name) for what, name in needed.items()}
        used = {name.split(".")[0] for name in needed.values()}
        return Found(
            source=str(path),
            session=_session(path, mapping, options),
            items={what: f"{needed[what]}, {_shape(value)}" for what, value in arrays.items()},
            missing=() if mapping.trials or mapping.spikes is None else ("trials",),
            dropped=tuple(
                f"array {name} (not in the mapping)"
                for name in self.names(path)
                if name not in used
            ),
        )

    def read(self, path: Path, options: ReadOptions) -> Data:
        """One file as a recording.

        Raises:
            UserError: The file or the mapping cannot be read, or arrays do not fit each other.
        """
        mapping = _mapping(path, options)
        arrays = {what: self.fetch(path, name) for what, name in mapping.arrays().items()}
        given = _Given(path=path, mapping=mapping, arrays=arrays)
        with warnings.catch_warnings():
            # What a library function warns about may be ignored; a file that is read is not.
            warnings.simplefilter("error", UserWarning)
            try:
                recording = _recording(given, options)
            except UserWarning as warning:
                raise UserError(
                    f"{path}: {warning}; state the order of the axes in {options.mapping} "
                    "(axes: [...])"
                ) from None
        require_usable(str(path), recording)
        return recording

    def _files(self, path: Path) -> list[Path]:
        if path.is_file():
            return [path] if path.suffix == self.suffix else []
        return sorted(file for file in path.glob(f"*{self.suffix}") if file.name[0] != ".")


def npz_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays of an .npz file.

    Raises:
        UserError: It is missing or damaged.
    """
    return tuple(_npz(path, None))


def read_npz(path: Path, name: str) -> Value:
    """One array of an .npz file.

    Raises:
        UserError: The file is damaged, or holds no such array of numbers or text.
    """
    return _npz(path, name)[name]


def _npz(path: Path, name: str | None) -> dict[str, np.ndarray]:
    """The array asked for; without one, an empty array under every name."""
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path")
    try:
        with np.load(path, allow_pickle=False) as file:
            names = tuple(file.files)
            if name is None:
                return {one: np.empty(0) for one in names}
            if name not in names:
                raise unknown(f"array of {path}", name, names)
            return {name: file[name]}
    except UserError:
        raise
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile) as error:
        what = f"array {name}" if name else "the file"
        raise UserError(
            f"{path}: {what} cannot be read ({error}); write plain arrays with numpy.savez"
        ) from error


def MatReader() -> TableReader:  # noqa: N802
    """Reads MATLAB files."""
    return TableReader(name="mat", suffix=".mat", names=mat_names, fetch=read_mat)


def NpzReader() -> TableReader:  # noqa: N802
    """Reads numpy files."""
    return TableReader(name="npz", suffix=".npz", names=npz_names, fetch=read_npz)


@dataclass(frozen=True, kw_only=True)
class _Given:
    """A file, its mapping, and the arrays that the mapping names."""

    path: Path
    mapping: TableMapping
    arrays: Mapping[str, Value]

    def array(self, what: str) -> np.ndarray:
        """An array that is no cell."""
        value = self.arrays[what]
        if isinstance(value, list):
            raise UserError(
                f"{self.path} {self.name(what)} is a cell of {len(value)} arrays, expected one "
                f"array for {what}; name another"
            )
        return value

    def name(self, what: str) -> str:
        return self.mapping.arrays()[what]

    def vector(self, what: str) -> np.ndarray:
        """A 1-D array."""
        value = np.atleast_1d(self.array(what))
        if value.ndim != 1:
            raise UserError(
                f"{self.path} {self.name(what)} has shape {value.shape}, expected one value each "
                f"for {what}; name another array"
            )
        return value

    def seconds(self, what: str, times: Times) -> np.ndarray:
        """A 1-D array of times (s)."""
        return self.in_seconds(what, self.vector(what), times)

    def in_seconds(self, what: str, values: np.ndarray, times: Times) -> np.ndarray:
        source = f"{self.path} {self.name(what)}"
        if values.dtype.kind not in "iuf":
            raise UserError(f"{source} is of type {values.dtype}, expected times for {what}")
        found = np.atleast_1d(values).astype(np.float64) * times.factor
        require_seconds(found, f"{source} (unit: {times.unit})")
        return found


def _mapping(path: Path, options: ReadOptions) -> TableMapping:
    if options.mapping is None:
        raise UserError(
            f"{path} does not say which array is what, expected a mapping file; write one and "
            "name it with --mapping"
        )
    return read_mapping(options.mapping, TableMapping)


def _session(path: Path, mapping: TableMapping, options: ReadOptions) -> str:
    return options.session_id or mapping.session or ascii_text(path.stem)


def _shape(value: Value) -> str:
    if isinstance(value, list):
        return f"{len(value)} arrays"
    return f"{value.shape} of type {value.dtype}" if value.ndim else "one value"


def _recording(given: _Given, options: ReadOptions) -> Data:
    mapping = given.mapping
    activity = _activity(given)
    n_units = activity.pop("n_units")
    units = _units(given, n_units, options)
    keep, _ = kept_units(units, _rates_hz(activity, mapping), options, str(given.path))
    return from_arrays(
        session_id=_session(given.path, mapping, options),
        subject_id=mapping.subject,
        bin_size_s=mapping.bin_size_s,
        units={name: values[keep] for name, values in units.items()},
        trials=_trials(given),
        behaviours={name: _behaviour(given, name) for name in mapping.behaviours},
        split=None if mapping.split is None else given.vector("split").astype(np.str_),
        **_chosen(activity, keep),
    )
