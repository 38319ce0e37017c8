"""Arrays of MATLAB files by name, whichever version wrote them (v5: scipy; v7.3: HDF5)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neuroduet.data.boundary import require_room
from neuroduet.data.readers.hdf5_files import opened
from neuroduet.errors import UserError, unknown

Value = np.ndarray | list[np.ndarray]
"""An array, or the arrays of a cell."""


def mat_names(path: Path) -> tuple[str, ...]:
    """Names of the variables of a file.

    Raises:
        UserError: The file is missing, damaged, or no MATLAB file.
    """
    if _is_hdf5(path):
        with opened(path) as file:
            return tuple(name for name in file if not name.startswith("#"))
    from scipy.io import whosmat

    try:
        return tuple(name for name, _, _ in whosmat(path))
    # scipy reports damage as whatever it stumbles over.
    except Exception as error:
        raise _damaged(path, error) from error


def read_mat(path: Path, name: str) -> Value:
    """One array, or the arrays of a cell.

    Args:
        path: MATLAB file.
        name: Variable, or a field of a struct: ``session.spikes.times``. A struct array gives
            the field of each element, like a cell; a word or number in each makes one array.

    Returns:
        Numbers or text with the axes that MATLAB shows, those of length 1 left out.

    Raises:
        UserError: The file is damaged, or holds nothing of that name.
    """
    top, *below = name.split(".")
    names = mat_names(path)
    if top not in names:
        raise unknown(f"variable of {path}", top, names)
    if _is_hdf5(path):
        with opened(path) as file:
            return _from_hdf5(path, file, name)
    from scipy.io import loadmat

    try:
        _require_room(path, top)
        value = loadmat(path, variable_names=[top], squeeze_me=True)[top]
    except UserError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error
    for field in below:
        value = _field(path, value, field, name)
    return _plain(path, value, name)


def _require_room(path: Path, name: str) -> None:
    from scipy.io import whosmat

    for known, shape, _ in whosmat(path):
        if known == name:
            require_room(f"{path}, {name}", 8 * math.prod(map(int, shape)), path.stat().st_size)


def _is_hdf5(path: Path) -> bool:
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path")
    return bool(h5py.is_hdf5(path))


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path} is damaged or no MATLAB file ({reason}); save it again")


def _field(path: Path, value: Any, field: str, name: str) -> Any:
    known = value.dtype.names if isinstance(value, np.ndarray | np.void) else None
    if known is None or field not in known:
        raise unknown(f"field '{field}' of {name} in {path}", field, known or ())
    found = value[field]
    return found.item() if isinstance(found, np.ndarray) and found.ndim == 0 else found


def _plain(path: Path, value: Any, name: str) -> Value:
    array = np.asarray(value)
    if array.dtype.names:
        raise UserError(
            f"{path} {name} is a struct ({', '.join(array.dtype.names)}), expected an array or a "
            f"cell of arrays; name a field, such as {name}.{array.dtype.names[0]}"
        )
    if array.dtype == object and array.ndim > 1:
        raise UserError(
            f"{path} {name} is a cell of shape {array.shape}, expected an array or a cell with "
            "one axis; save it flat"
        )
    if array.dtype != object:
        return array
    parts = [np.asarray(one) for one in array.ravel()]
    if any(part.dtype == object or part.dtype.names for part in parts):
        raise UserError(
            f"{path} {name} holds cells within cells, expected arrays in each; save it flat"
        )
    return _joined(parts)


def _joined(parts: list[np.ndarray]) -> Value:
    """A column of words or numbers, empty or NaN where there is none; else the parts."""
    single = [part for part in parts if part.ndim == 0]
    if not single or any(part.ndim and part.size for part in parts):
        return parts
    if all(part.dtype.kind == "U" for part in single):
        return np.array(["" if part.ndim else str(part) for part in parts])
    if any(part.dtype.kind == "U" for part in single):
        return parts
    return np.array([np.nan if part.ndim else part.item() for part in parts])


def _from_hdf5(path: Path, file: h5py.File, name: str) -> Value:
    node: Any = file
    for field in name.split("."):
        if not isinstance(node, h5py.Group) or field not in node:
            known = tuple(node) if isinstance(node, h5py.Group) else ()
            raise unknown(f"field '{field}' of {name} in {path}", field, known)
        node = node[field]
    if isinstance(node, h5py.Group):
        raise UserError(
            f"{path} {name} is a struct ({', '.join(node)}), expected an array; name a field, "
            f"such as {name}.{next(iter(node), 'x')}"
        )
    if h5py.check_ref_dtype(node.dtype) is None:
        return _hdf5_array(node)
    return _joined([_hdf5_array(file[reference]) for reference in node[...].T.ravel()])


def _hdf5_array(node: Any) -> np.ndarray:
    """An array with the axes that MATLAB shows: its HDF5 files hold them in reverse."""
    if not isinstance(node, h5py.Dataset):
        raise UserError(f"{node.file.filename} {node.name} is a struct in a cell; save it flat")
    if node.attrs.get("MATLAB_empty", 0):
        return np.empty(0)
    values = np.asarray(node[...]).T
    if node.attrs.get("MATLAB_class", b"") in (b"char", "char"):
        values = np.array(["".join(map(chr, row)).rstrip() for row in np.atleast_2d(values)])
    return values.squeeze()
