"""Which reader reads a source: the one that is named, or the only one that recognises it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from neuroduet.data.readers import READERS, reader_names, reader_of
from neuroduet.data.readers.reader import Reader
from neuroduet.errors import UserError, as_path

FORMATS = (
    "an IBL session folder, NWB (.nwb), rows of trials (.parquet, .arrow), torch_brain (.h5), "
    "MATLAB (.mat) or numpy (.npz)"
)
"""What is read, in words."""


def choose_reader(path: Path | str, name: str | None = None) -> Reader:
    """The reader of a source.

    Args:
        path: File or folder.
        name: Name of a reader; recognised from the source if not given.

    Raises:
        UserError: The name is unknown, or none or several readers recognise the source.
    """
    path = as_path(path, "path")
    if name is not None:
        return _named(path, name)
    if not path.exists() and ":/" in str(path):
        raise UserError(f"{path} is an address, of which only NWB files are read; add --nwb")
    if not path.exists():
        raise UserError(f"nothing at {path}, expected a file or a folder of recordings")
    if path.is_dir() and not any(path.iterdir()):
        raise UserError(f"the folder {path} is empty, expected recordings; give one that has some")
    able = [reader for reader in READERS.values() if reader.recognises(path)]
    if not able:  # only then are other packages asked, and imported
        others = reader_names()[len(READERS) :]
        able = [reader for reader in _importable(others) if reader.recognises(path)]
    if len(able) != 1:
        raise _undecided(path, able)
    return able[0]


def _named(path: Path, name: str) -> Reader:
    """The reader of that name, unless only others recognise the source."""
    reader = reader_of(name)
    if path.exists() and not reader.recognises(path):
        able = [other.name for other in READERS.values() if other.recognises(path)]
        if able:
            raise UserError(
                f"{path} looks like {' and '.join(able)}, not like {name}; write --{able[0]} "
                f"instead of --{name}, or leave it out"
            )
    return reader


def _undecided(path: Path, able: Sequence[Reader]) -> UserError:
    """The error for a source of several formats, with a file of each, or of none."""
    listed = ", ".join(f"--{known}" for known in READERS)
    if not able:
        return UserError(
            f"{path} looks like no known format, expected {FORMATS}; give such a file, or name "
            f"its format if it is one ({listed})"
        )
    found = [f"{reader.name} ({_first(reader, path)})" for reader in able]
    return UserError(
        f"{path} looks like {' and '.join(found)}, expected one format; say which "
        f"({', '.join(f'--{reader.name}' for reader in able)}), or give the file alone"
    )


def _first(reader: Reader, path: Path) -> str:
    sessions = reader.sessions(path)
    first = sessions[0]
    named = first.relative_to(path) if first.is_relative_to(path) and first != path else first
    return f"{named}" + (f" and {len(sessions) - 1} more" if len(sessions) > 1 else "")


def _importable(names: Sequence[str]) -> list[Reader]:
    """Readers of other packages; one that cannot be imported has been warned about."""
    found = []
    for name in names:
        with suppress(UserError):
            found.append(reader_of(name))
    return found
