"""What other packages add to our registries, through entry points in their metadata.

A package that declares, in its ``pyproject.toml``,

.. code-block:: toml

    [project.entry-points."neuroduet.models"]
    my_model = "my_package.model:MyModel"

makes ``model.name=my_model`` mean that class. Nothing of it is imported before its name is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

log = logging.getLogger(__name__)

Group = Literal["neuroduet.models", "neuroduet.readers", "neuroduet.schemes"]


def plugin_names(group: Group, own: Iterable[str]) -> list[str]:
    """Names that other packages add, in alphabetical order; nothing is imported.

    Args:
        group: Name of the entry points.
        own: Names of our own registry; ours win, with a warning.
    """
    return sorted(_declared(group, frozenset(own)))


def find_plugin(group: Group, name: str, own: Iterable[str]) -> Any:
    """Import what another package adds under a name.

    Args:
        group: Name of the entry points.
        name: The name that was asked.
        own: Names of our own registry.

    Returns:
        What the entry point stands for; ``None`` if there is none, or if it cannot be imported,
        which is a warning.
    """
    entry = _declared(group, frozenset(own)).get(name)
    return None if entry is None else _loaded(entry)


@cache
def _declared(group: Group, own: frozenset[str]) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        if entry.name in own or entry.name in found:
            log.warning(
                "%s of group %s is left aside: '%s' is already a name of %s",
                entry.value,
                group,
                entry.name,
                "neuroduet itself" if entry.name in own else found[entry.name].value,
            )
        else:
            found[entry.name] = entry
    return found


@cache
def _loaded(entry: EntryPoint) -> Any:
    """What an entry point stands for; whatever its package raises must not end the program."""
    try:
        return entry.load()
    except Exception as error:  # noqa: BLE001
        reason = " ".join(str(error).split())
        log.warning(
            "the plugin '%s' (%s) cannot be imported and is left aside: %s: %s",
            entry.name,
            entry.value,
            type(error).__name__,
            reason,
        )
        return None
