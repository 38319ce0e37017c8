"""``model/config.json``: what the weights of a run belong to, in its layout version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neuroduet.data.boundary import reading
from neuroduet.errors import UserError
from neuroduet.migration import Migration, upgraded
from neuroduet.types import Behaviour, SessionInfo

SCHEMA = 1
"""Version of the layout of ``model/config.json``."""

MIGRATIONS: dict[int, Migration] = {}
"""By older layout version, the step to the next one; version 1 is the first."""

ESTIMATOR_FILES = ("estimator.json", "estimator.safetensors")
"""Beside the model of an estimator: what it needs to take arrays again."""

ESTIMATOR_SCHEMA = 1
"""Version of the layout of ``estimator.json``."""

ESTIMATOR_MIGRATIONS: dict[int, Migration] = {}
"""By older version, the step to the next one."""


def read_description(run: Path) -> dict[str, Any]:
    """Read ``model/config.json`` of a run, brought up to the layout of this version.

    Args:
        run: Run folder.

    Returns:
        ``config``, ``behaviours``, ``sessions`` and ``best`` (file of every target's weights).

    Raises:
        UserError: The run is not finished, or the file is damaged or of a newer version.
    """
    path = run / "model" / "config.json"
    if not path.is_file():
        raise UserError(
            f"{run} is not a finished run: it has no model/config.json; train first, or "
            "go on with its training (--resume)"
        )
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore it or train again") from None
    description = upgraded(found, SCHEMA, MIGRATIONS, path)
    missing = [
        key for key in ("config", "behaviours", "sessions", "best") if key not in description
    ]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}; restore it or train again")
    return description


def read_estimator(run: Path) -> dict[str, Any] | None:
    """Read ``estimator.json`` of a run, brought up to the layout of this version.

    Args:
        run: Run folder.

    Returns:
        ``estimator`` (name of its class), ``params`` (what it was made with), ``single`` (whether
        behaviour was given as one array), ``flat`` (behaviours without an axis of channels),
        ``split`` (``train`` or ``valid`` of every trial) and ``readouts`` (of a model of activity
        alone); ``None`` if the run is no estimator's.

    Raises:
        UserError: The file is damaged or of a newer version.
    """
    path = run / ESTIMATOR_FILES[0]
    if not path.is_file():
        return None
    with reading(path):
        found = json.loads(path.read_text("utf-8"))
    said = upgraded(found, ESTIMATOR_SCHEMA, ESTIMATOR_MIGRATIONS, path)
    kinds = {"estimator": str, "params": dict, "single": bool}
    kinds |= dict.fromkeys(("flat", "split", "readouts"), list)
    wrong = [key for key, kind in kinds.items() if not isinstance(said.get(key), kind)]
    words = [key for key in ("flat", "split") if key not in wrong]
    wrong += [key for key in words if not all(isinstance(one, str) for one in said[key])]
    if wrong:
        raise UserError(
            f"{path} does not say what it should of {', '.join(wrong)}; restore it or fit again"
        )
    return said


def behaviour_of(values: dict[str, Any]) -> Behaviour:
    """A behaviour from its fields as JSON keeps them."""
    return Behaviour(**(values | {"classes": tuple(values["classes"])}))


def session_info_of(values: dict[str, Any]) -> SessionInfo:
    """A session from its fields as JSON keeps them."""
    behaviours = tuple(behaviour_of(b) for b in values["behaviours"])
    regions = None if values["regions"] is None else tuple(values["regions"])
    return SessionInfo(
        **(
            values
            | {"behaviours": behaviours, "regions": regions, "units": tuple(values["units"])}
        )
    )
