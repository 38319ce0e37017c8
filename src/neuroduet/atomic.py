"""Files that appear whole or not at all, also when the process is killed or the power fails."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neuroduet.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a write reports where there is no room: no space, no quota, or a limit on file sizes."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write beside a file, then put the result in its place in one step.

    Args:
        path: The file to create or replace; its folder must exist.

    Yields:
        An empty temporary file in the same folder. When the block ends it replaces ``path``; when
        the block fails it is removed and ``path`` stays as it was.

    Raises:
        UserError: There is no room for the file.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _keep_entries(path.parent)
    except OSError as error:
        if error.errno in FULL:
            raise UserError(
                f"{path} could not be written ({os.strerror(error.errno).lower()}) and is as it "
                "was before; make room and run the same command again, --resume for a training"
            ) from None
        if str(error.filename) == str(temporary):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _keep_entries(folder: Path) -> None:
    """Make a folder's new entries outlast a power failure, where the system knows how."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def require_empty(folder: Path) -> None:
    """Refuse a folder in which anything is in the way of what will be written.

    Raises:
        UserError: It is a file, or holds files already.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} already holds files; choose a new or empty folder")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, expected a folder; choose another one")


def remove_leftovers(path: Path) -> None:
    """Remove what :func:`replacing` leaves behind when its process is killed.

    Only its caller can know that nobody is writing there now; see :func:`alone_in`.

    Args:
        path: The file that was being written; its last part may be a pattern, as in ``model/*``.
    """
    for part in path.parent.glob(f".{path.name}.*.part"):
        part.unlink(missing_ok=True)


@contextmanager
def making_folders(*wanted: Path) -> Iterator[None]:
    """Make folders to write into; what is refused inside leaves none behind.

    Args:
        wanted: The folders. When the block ends, those of them and of their parents that are new
            and still empty are removed.
    """
    new = {one for path in wanted for one in (path, *path.parents) if not one.exists()}
    for path in wanted:
        path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in sorted(new, key=lambda one: -len(one.parts)):
            with suppress(OSError):  # what was written stays
                path.rmdir()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Refuse to work in a folder in which another process is at work.

    The system ends the lock with the process, however that ends, and no file is needed for it.
    Where a file system has no locks, nobody is refused.

    Args:
        folder: An existing folder.

    Raises:
        UserError: Another process has it.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UserError(
            f"another process is training in {folder}; wait until it has ended, or choose another "
            "--out"
        ) from None
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(handle)
