"""The folder of a cross-validation: whose it is, and what is done there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from neuroduet.atomic import making_folders
from neuroduet.config import Config
from neuroduet.errors import UserError
from neuroduet.training.files import write_text

NOTE = "crossval.yaml"


def describe(
    configs: Mapping[str, Config],
    folds: int | None,
    seeds: int,
    tasks: Sequence[str],
    sessions: Sequence[str],
) -> str:
    """What is done, as text that is equal for equal work."""
    found = {
        "folds": folds,
        "seeds": seeds,
        "tasks": list(tasks),
        "sessions": list(sessions),
        "presets": {name: config.model_dump(mode="json") for name, config in configs.items()},
    }
    return yaml.safe_dump(found, sort_keys=False)


@contextmanager
def claimed(out: Path, description: str) -> Iterator[None]:
    """Note in a folder what is done there; the note is gone again if nothing was.

    Args:
        out: The folder, free or with the same note.
        description: What is done.
    """
    with making_folders(out):
        write_text(out / NOTE, description)
        try:
            yield
        finally:
            if [file.name for file in out.iterdir()] == [NOTE]:
                (out / NOTE).unlink()


def check_claim(out: Path, description: str, resume: bool) -> None:
    """Check that a folder is free; nothing is written.

    Args:
        out: The folder.
        description: What is to be done.
        resume: Whether the folder may hold the same already.

    Raises:
        UserError: The folder holds something else.
    """
    path = out / NOTE
    if path.is_file():
        if not resume:
            raise UserError(
                f"{out} already holds a cross-validation; choose another folder (--out), or "
                "resume=True (--resume)"
            )
        if path.read_text() != description:
            raise UserError(
                f"{path} differs from what is asked; resume with the presets, folds, seeds, "
                "tasks, sessions and settings it was started with, or choose another folder "
                "(--out)"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} already holds something else; choose another folder (--out)")
