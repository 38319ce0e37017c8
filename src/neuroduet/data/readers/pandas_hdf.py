"""Tables that pandas wrote to HDF5, read without executing anything the file says.

``pandas.read_hdf`` unpickles attributes of the file, which runs whatever code somebody put there.
Here the columns' names are taken from plain datasets (layout ``fixed``) or from the pickled
attribute (layout ``table``), whose instructions are followed only as far as they build lists,
tuples, text and numbers.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float

from neuroduet.data.readers.hdf5_files import dataset, numbers_in, opened, text_of, words_in
from neuroduet.errors import UserError

_VALUES = {
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT",
    "BINFLOAT", "NONE",
}  # fmt: skip
_STORE, _RECALL = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
_SHORT_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


@dataclass(frozen=True, kw_only=True, eq=False)
class PandasTable:
    """A table with a header of one or several rows.

    Attributes:
        columns: The header's words above each column, from top to bottom.
        index: Number of each row.
        values: The numbers.
    """

    columns: tuple[tuple[str, ...], ...]
    index: Float[np.ndarray, " T"]
    values: Float[np.ndarray, "T C"]


def read_pandas_hdf(path: Path) -> PandasTable:
    """Read the one table of numbers that pandas wrote into a file.

    Args:
        path: HDF5 file written by ``DataFrame.to_hdf``, as ``fixed`` or as ``table``.

    Raises:
        UserError: There is no table, or several, or it cannot be read without unpickling.
    """
    with opened(path) as file:
        tables = pandas_groups(file)
        if len(tables) != 1:
            raise UserError(
                f"{path}: found {len(tables)} tables of pandas, expected one; export the file "
                "again, or as csv"
            )
        group = tables[0]
        if text_of(group.attrs["pandas_type"]) == "frame_table":
            return _read_table(path, group)
        return _read_fixed(path, group)


def pandas_groups(file: h5py.File) -> list[h5py.Group]:
    """The groups of an HDF5 file that hold a table of pandas."""
    found: list[h5py.Group] = []

    def look(_: str, node: Any) -> None:
        kind = text_of(node.attrs.get("pandas_type", ""))
        if isinstance(node, h5py.Group) and kind in ("frame", "frame_table"):
            found.append(node)

    file.visititems(look)
    return found


def _read_table(path: Path, group: h5py.Group) -> PandasTable:
    source = dataset(path, group, "table")
    blocks = [name for name in source.dtype.names or () if name.startswith("values_block_")]
    if not blocks or "index" not in source.dtype.names:
        raise UserError(
            f"{path}: {source.name} has no columns index and values_block_0; export it as csv"
        )
    rows = source[...]
    columns: list[tuple[str, ...]] = []
    for block in blocks:
        columns += _header(path, plain_data(path, source.attrs.get(f"{block}_kind", b"")))
    values = np.concatenate([rows[block].reshape(len(rows), -1) for block in blocks], axis=1)
    return _table(path, columns, rows["index"], values)


def _read_fixed(path: Path, group: h5py.Group) -> PandasTable:
    columns: list[tuple[str, ...]] = []
    parts = []
    for block in range(int(group.attrs.get("nblocks", 0))):
        columns += _fixed_header(path, group, f"block{block}_items")
        parts.append(numbers_in(path, dataset(path, group, f"block{block}_values"), 2))
    if not parts:
        raise UserError(f"{path}: {group.name} holds no numbers; export the file again")
    lengths = {len(part) for part in parts}
    if len(lengths) > 1:
        raise UserError(f"{path}: blocks of {group.name} differ in length; export the file again")
    index = numbers_in(path, dataset(path, group, "axis1"), 1)
    return _table(path, columns, index, np.concatenate(parts, axis=1))


def _fixed_header(path: Path, group: h5py.Group, key: str) -> list[tuple[str, ...]]:
    if text_of(group.attrs.get(f"{key}_variety", "")) != "multi":
        return [(word,) for word in words_in(path, dataset(path, group, key))]
    levels = []
    for level in range(int(group.attrs.get(f"{key}_nlevels", 0))):
        words = np.array(words_in(path, dataset(path, group, f"{key}_level{level}")))
        codes = numbers_in(path, dataset(path, group, f"{key}_label{level}"), 1)
        if codes.min(initial=0) < 0 or codes.max(initial=-1) >= len(words):
            raise UserError(
                f"{path}: {group.name}/{key}_label{level} points outside its "
                f"{len(words)} words; export the file again"
            )
        levels.append(words[codes.astype(np.int64)])
    if len({len(level) for level in levels}) > 1:
        raise UserError(
            f"{path}: header rows of {group.name}/{key} differ in length; export the file again"
        )
    return [tuple(map(str, column)) for column in zip(*levels, strict=True)]


def _table(
    path: Path, columns: list[tuple[str, ...]], index: np.ndarray, values: np.ndarray
) -> PandasTable:
    numbers = values.dtype.kind in "iuf" and index.dtype.kind in "iuf"
    if not numbers or len(columns) != values.shape[1] or len(index) != len(values):
        raise UserError(
            f"{path}: found {len(columns)} names of columns and {len(index)} of rows for a table "
            f"of shape {values.shape} of type {values.dtype}; export the file again"
        )
    return PandasTable(
        columns=tuple(columns),
        index=index.astype(np.float64),
        values=values.astype(np.float64),
    )


def _header(path: Path, found: Any) -> list[tuple[str, ...]]:
    rows = [(one,) if isinstance(one, str) else one for one in found]
    if not all(isinstance(row, tuple) and all(isinstance(w, str) for w in row) for row in rows):
        raise UserError(f"{path}: the names of its columns are no text; export it as csv")
    return rows


def plain_data(path: Path, pickled: Any) -> list[Any]:
    """The list that a pickled attribute describes, built without unpickling.

    Args:
        path: File, for the error.
        pickled: Value of the attribute.

    Raises:
        UserError: It is damaged, or asks for anything but lists, tuples, text and numbers.
    """
    raw = bytes(pickled) if isinstance(pickled, bytes) else str(pickled).encode("latin-1")
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(raw):
            _follow(opcode.name, argument, stack, memo)
        (result,) = stack
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: the names of its columns are damaged or cannot be read without running "
            f"code of the file ({error}); export it as csv"
        ) from None
    return list(result) if isinstance(result, list | tuple) else []


def _follow(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """Do what one instruction of a pickle says, if it only builds data."""
    if name in _VALUES:
        stack.append(argument)
    elif name in _STORE or name == "MEMOIZE":
        memo[len(memo) if argument is None else argument] = stack[-1]
    elif name in _RECALL:
        stack.append(memo[argument])
    elif name in _SHORT_TUPLES:
        size = _SHORT_TUPLES[name]
        items = [stack.pop() for _ in range(size)]
        stack.append(tuple(reversed(items)))
    elif name == "MARK":
        stack.append(_MARK)
    elif name == "EMPTY_LIST":
        stack.append([])
    elif name == "APPEND":
        item = stack.pop()
        stack[-1].append(item)
    elif name in ("LIST", "TUPLE", "APPENDS"):
        _close(name, stack)
    elif name not in ("PROTO", "FRAME", "STOP"):
        raise ValueError(f"instruction {name}")


def _close(name: str, stack: list[Any]) -> None:
    """Gather everything since the last mark."""
    items: list[Any] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    items.reverse()
    if name == "APPENDS":
        stack[-1].extend(items)
    else:
        stack.append(items if name == "LIST" else tuple(items))
