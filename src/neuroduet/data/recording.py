"""Recordings on disk: one ``torch_brain`` HDF5 file per session."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
from torch_brain.data import ArrayDict, Data

from neuroduet.atomic import replacing
from neuroduet.data.arrays import from_arrays
from neuroduet.data.boundary import reading, require_no_nwb, require_own_data
from neuroduet.data.schema import check
from neuroduet.data.summary import summarise
from neuroduet.errors import UserError, as_path

log = logging.getLogger(__name__)

_THEIRS = (".nwb", ".mat", ".npz", ".parquet", ".arrow")
"""Suffixes of files of others, of which recordings can be made."""

__all__ = [
    "check",
    "describe",
    "find_recordings",
    "from_arrays",
    "load",
    "replace_groups",
    "save",
]


def save(recording: Data, path: Path | str) -> None:
    """Write a recording; either completely, or not at all.

    Args:
        recording: A recording, loaded or lazy.
        path: File to write; its folder must exist.

    Raises:
        UserError: The recording does not pass :func:`check`, or cannot be written. A file that
            was there before is then left as it was.
    """
    path = as_path(path, "path", "write save(recording, path)")
    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent} to write {path.name} into; create it first")
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the name of a file, such as session.h5")
    check(recording)
    whole = _loaded(recording)
    with _writing(path) as temporary, h5py.File(temporary, "w") as file:
        whole.to_hdf5(file)


def replace_groups(path: Path | str, fresh: Mapping[str, ArrayDict]) -> None:
    """Write groups into the file of a recording; all others are copied as they are stored.

    Args:
        path: File of the recording.
        fresh: Groups by name; one that the file already has is replaced.

    Raises:
        UserError: The file cannot be written; it is then left as it was.
    """
    path = Path(path)
    with (
        _writing(path) as temporary,
        h5py.File(path) as old,
        h5py.File(temporary, "w") as new,
    ):
        for name, value in old.attrs.items():
            new.attrs[name] = value
        for name in old:
            if name not in fresh:
                old.copy(name, new)
        for name, group in fresh.items():
            group.to_hdf5(new.create_group(name))


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """As :func:`~neuroduet.atomic.replacing`, with what may go wrong in one sentence."""
    try:
        with replacing(path) as temporary:
            yield temporary
    # h5py reports a full disk as any of these, and what it cannot store as the last three.
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"could not write {path}: {error}; free some space, or remove what cannot be stored"
        ) from error


def load(path: Path | str, lazy: bool = True) -> Data:
    """Read a recording.

    Args:
        path: File written by :func:`save` or by ``torch_brain``.
        lazy: Read columns when they are first used. The file then stays open until
            ``recording.close()``.

    Returns:
        The recording, as it is; :func:`check` says whether it can be used.

    Raises:
        UserError: The file is missing, damaged, not a ``torch_brain`` recording, or points to
            another file.
    """
    path = as_path(path, "path")
    if not path.is_file():
        raise UserError(f"no recording at {path}; give the path of an .h5 file")
    if not h5py.is_hdf5(path):
        raise UserError(f"{path} is not an HDF5 file; recordings are written by neuroduet.save")
    log.debug("opening %s", path)
    with reading(path):
        return _loaded_from(path, lazy)


def _loaded_from(path: Path, lazy: bool) -> Data:
    try:
        with h5py.File(path, "r") as file:
            require_no_nwb(file, path)
            require_own_data(file, path)
        return Data.load(path, lazy=lazy)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} is damaged or incomplete ({error}); write it again") from error
    except Exception as error:
        # torch_brain and h5py report what does not fit as whatever they stumble over; what h5py
        # says of a name that is not there would tell a reader nothing.
        why = "" if isinstance(error, KeyError) else f" ({error})"
        raise UserError(
            f"{path} is HDF5 but not a torch_brain recording{why}; write it with neuroduet.save, "
            "or make recordings of what laboratories and archives keep with neuroduet ingest"
        ) from error


def find_recordings(path: Path | str) -> list[Path]:
    """The recordings at a path.

    Args:
        path: A recording, or a folder of them (``*.h5``).

    Returns:
        Files in the order of their names.

    Raises:
        UserError: There are none.
    """
    path = as_path(
        path, "path", "give one recording (.h5) or folder; save what is in memory first"
    )
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"nothing at {path}; give a recording (.h5) or a folder of recordings")
    found = sorted(file for file in path.glob("*.h5") if not file.name.startswith("."))
    if not found:
        raise UserError(f"no recordings (*.h5) in {path}; {_where_else(path)}")
    return found


def _where_else(folder: Path) -> str:
    """What to do about a folder without recordings."""
    theirs = sorted(file.name for file in folder.iterdir() if file.suffix in _THEIRS)
    if theirs:
        return f"make some of {theirs[0]} with neuroduet ingest {folder} FOLDER, and give FOLDER"
    inside = sorted(one.name for one in folder.iterdir() if one.is_dir() and any(one.glob("*.h5")))
    return f"give {folder / inside[0]}" if inside else "give a folder that holds some"


def describe(path: Path | str) -> dict[str, Any]:
    """Summarise a recording without loading it whole.

    Args:
        path: The file.

    Returns:
        ``session``, ``subject``, ``neural`` (``None`` where pose or features stand alone),
        ``units``, ``silent_units``, ``regions`` (units in each that is known),
        ``rate_quantiles_hz`` (minimum, quartiles, maximum; ``None`` for traces), ``duration_s``,
        ``bin_size_s``, ``trials``, ``behaviours`` (name, source, kind, per, the missing fraction
        and :func:`~neuroduet.data.drift.drift_of` of each), ``frames``
        (pose, features, labels and actions: shape, and names of classes) and ``problems`` (empty
        if it can be used).

    Raises:
        UserError: The file cannot be read at all.
    """
    with load(path) as recording, reading(path):
        return summarise(recording)


def _loaded(recording: Data) -> Data:
    """A copy with every lazy column in memory; the original stays as it is."""
    whole = copy.copy(recording)
    for key, value in recording.__dict__.items():
        if isinstance(value, Data):
            whole.__dict__[key] = _loaded(value)
        elif isinstance(value, ArrayDict):
            whole.__dict__[key] = _loaded_group(value)
    return whole


def _loaded_group(group: ArrayDict) -> ArrayDict:
    fresh = copy.copy(group)
    if "_lazy_ops" in fresh.__dict__:
        # Reading a sliced column edits this dictionary, which the copy would share.
        fresh.__dict__["_lazy_ops"] = dict(fresh.__dict__["_lazy_ops"])
    for key, value in list(fresh.__dict__.items()):
        if isinstance(value, ArrayDict):
            fresh.__dict__[key] = _loaded_group(value)
    return fresh.materialize()
