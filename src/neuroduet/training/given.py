"""What was given from Python, as it is needed, or one sentence that says what to give instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch_brain.data import Data

from neuroduet.config import Config
from neuroduet.errors import UserError, as_path, unknown, unsuitable
from neuroduet.presets import PRESETS

EXPECTED = {
    "data": "the path of a recording or of a folder of recordings",
    "run": "the path of a run folder",
    "out": "the path to write to",
}


def as_config(given: Any) -> Config:
    """A configuration, or that of a preset.

    Args:
        given: A configuration, or a name of :data:`~neuroduet.presets.PRESETS`.

    Raises:
        UserError: It is neither.
    """
    if isinstance(given, Config):
        return given
    if isinstance(given, str):
        if given not in PRESETS:
            raise unknown("preset", given, PRESETS)
        return PRESETS[given]()
    preset = next((name for name, made in PRESETS.items() if made is given), None)
    remedy = f"call it, {preset}(), or give '{preset}'" if preset else "give for example 'duet'"
    raise unsuitable("config", given, "a configuration or the name of a preset", remedy)


def path_of(given: Any, what: str) -> Path:
    """A path.

    Args:
        given: A path or a string.
        what: Name of the argument, a key of ``EXPECTED``.

    Raises:
        UserError: It is something else: a recording in memory, a list, a model.
    """
    remedy = f"give {EXPECTED[what]}"
    if isinstance(given, Config):
        remedy += "; a configuration is another argument"
    elif what == "data" and isinstance(given, Data):
        remedy = "write the recording with neuroduet.save, and give that path"
    elif what == "data" and isinstance(given, Sequence):
        remedy = "put the recordings into one folder, and choose some with sessions"
    elif getattr(given, "origin", None) is not None:
        remedy += f", which is {given.origin}"
    return as_path(given, what, remedy)


def as_names(given: Sequence[str] | str | None) -> list[str] | None:
    """Several names; a single string is one name.

    Args:
        given: Names of sessions or tasks, one name, or ``None`` for all.

    Raises:
        UserError: There is none, as where a filter found nothing.
    """
    if given is None:
        return None
    found = [given] if isinstance(given, str) else list(given)
    if not any(found):
        raise UserError(
            f"a list of sessions or tasks is {found}; give at least one name, or None for all"
        )
    return found
