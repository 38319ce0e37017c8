"""What commands check of the paths they are given, before anything slow begins."""

from __future__ import annotations

import os
from pathlib import Path

from neuroduet.atomic import require_empty
from neuroduet.errors import UserError


def require_data(path: Path) -> None:
    """Check that there is something to read.

    Args:
        path: Recording, or folder of them.

    Raises:
        UserError: There is nothing.
    """
    if not path.exists():
        raise UserError(f"there is nothing at {path}; give a recording (.h5) or a folder of them")


def require_run(run: Path) -> None:
    """Check that a folder was written by ``train`` or ``finetune``.

    Args:
        run: Run folder.

    Raises:
        UserError: It was not.
    """
    if not (run / "config.yaml").is_file():
        raise UserError(
            f"{run} is not a run folder: it has no config.yaml; give the --out of train"
        )


def require_file(out: Path) -> None:
    """Check that a file can be written, before the work whose result it is to hold.

    Args:
        out: The file; it may exist, and its folders need not.

    Raises:
        UserError: It is a folder, or stands where no file can be made.
    """
    if out.is_dir():
        raise UserError(f"{out} is a folder, expected a file to write; add its name")
    place = next(one for one in out.absolute().parents if one.exists())
    if not place.is_dir():
        raise UserError(f"{place} is a file, expected a folder for {out.name}; choose another one")
    if not os.access(place, os.W_OK):
        raise UserError(f"nothing can be written into {place}; choose another --out")


def require_unused(out: Path, resume: bool) -> None:
    """Check that nothing is in the way of what will be written.

    Args:
        out: Folder to write.
        resume: Whether it may hold a run already, to go on with.

    Raises:
        UserError: It is a file, or a folder with files in it.
    """
    if not is_first():  # the first may have made it already
        return
    if resume and out.is_dir():
        return
    if (out / "config.yaml").is_file():
        raise UserError(f"{out} already holds a run; choose another --out or add --resume")
    require_empty(out)


def is_first() -> bool:
    """Whether this process speaks for all that train one model together."""
    from neuroduet.training.ranks import ranks_of

    return ranks_of().writes
