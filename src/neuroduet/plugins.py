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

from neuroduet.errors import unknown

log = logging.getLogger(__name__)

Group = Literal["neuroduet.models", "neuroduet.readers", "neuroduet.schemes"]


def all_names(group: Group, own: Iterable[str]) -> list[str]:
    """Names of our own registry, then those that other packages add; nothing is imported.

    Args:
        group: Name of the entry points.
        own: Names of our own registry; ours win, with a warning.
    """
    ours = list(own)
    return [*ours, *sorted(_declared(group, frozenset(ours)))]


def find_plugin(group: Group, kind: str, name: str, own: Iterable[str]) -> Any:
    """Import what another package adds under a name.

    Args:
        group: Name of the entry points.
        kind: What the name stands for, for the error.
        name: The name that was asked; not one of ours.
        own: Names of our own registry.

    Returns:
        What the entry point stands for.

    Raises:
        UserError: There is no such name, or it cannot be imported, which is a warning too.
    """
    ours = list(own)
    entry = _declared(group, frozenset(ours)).get(name)
    found = None if entry is None else _loaded(entry)
    if found is None:
        raise unknown(kind, name, all_names(group, ours))
    return found


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
