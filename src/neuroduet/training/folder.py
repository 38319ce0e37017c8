"""The run folder before training: whether it is free, and what it says of the run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from neuroduet.atomic import making_folders
from neuroduet.config import Config, load_config
from neuroduet.data.session import Session
from neuroduet.errors import UserError
from neuroduet.training.files import environment, write_text
from neuroduet.training.ranks import ranks_of


def check_folder(out: Path, config: Config, resume: bool) -> None:
    """Check that a run folder is free, or holds the run to go on with; nothing is written.

    Raises:
        UserError: The folder is in use, or holds another configuration than the one to resume.
    """
    path = out / "config.yaml"
    if not ranks_of().writes:
        return
    if resume:
        names = _differing(load_config(path), config) if path.is_file() else []
        if names:
            raise UserError(
                f"{path} differs from the given settings in {', '.join(names)}; resume with the "
                "settings the run was started with, or choose another folder (--out)"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(
            f"{out} already holds files; choose another folder (--out), or resume=True (--resume)"
        )


def _differing(one: Config, other: Config) -> list[str]:
    """Dotted names of the settings in which two configurations differ."""
    first, second = one.model_dump(), other.model_dump()
    names = []
    for section, values in first.items():
        if isinstance(values, dict):
            rest = second[section]
            names += [f"{section}.{key}" for key in values if values[key] != rest[key]]
        elif values != second[section]:
            names.append(section)
    return names


def prepare_folder(
    out: Path, config: Config, resume: bool, sessions: Sequence[Session] = ()
) -> None:
    """Write ``config.yaml``, and ``env.json`` with versions, seed and numbers of training windows.

    Called once everything is known to fit: a mistyped session leaves no folder behind.
    """
    check_folder(out, config, resume)
    write_text(out / "config.yaml", config.to_yaml())
    windows = {session.info.id: len(session.indices("train")) for session in sessions}
    found = environment(config.training.seed) | {"training_windows": windows}
    write_text(out / "env.json", json.dumps(found, indent=1))


@contextmanager
def ensemble_folder(out: Path, config: Config, resume: bool) -> Iterator[None]:
    """The folder of an ensemble while its members are trained; gone again if none has begun.

    Args:
        out: Run folder.
        config: Configuration of the ensemble.
        resume: Whether it may hold the run to go on with.

    Raises:
        UserError: The folder is in use, or holds another configuration than the one to resume.
    """
    check_folder(out, config, resume)
    with making_folders(out):
        prepare_folder(out, config, resume)
        try:
            yield
        finally:
            if not any((out / "members").glob("*")):
                for name in ("config.yaml", "env.json"):
                    (out / name).unlink(missing_ok=True)
