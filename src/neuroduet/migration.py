"""Descriptions that an older version wrote, brought up to what this one reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from neuroduet.errors import UserError

Description = dict[str, Any]
Migration = Callable[[Description], Description]
"""From one layout version to the next; it returns a new mapping and leaves ``schema`` alone."""


def upgraded(
    found: object, schema: int, migrations: Mapping[int, Migration], where: object
) -> Description:
    """Bring a description up to the layout version that this program reads.

    Args:
        found: What the file holds; its key ``schema`` is the version that wrote it.
        schema: The version to arrive at.
        migrations: By version, the step to the next one.
        where: The file, for the message.

    Returns:
        The description in version ``schema``; ``found`` itself is left as it is.

    Raises:
        UserError: The version is unknown, newer than ``schema``, or no longer read.

    Example:
        >>> steps = {0: lambda old: {"width": old["size"]}}
        >>> upgraded({"schema": 0, "size": 3}, 1, steps, "config.json")
        {'width': 3, 'schema': 1}
    """
    version = found.get("schema") if isinstance(found, dict) else None
    known = type(version) is int and (version == schema or version in migrations)
    if not isinstance(found, dict) or not isinstance(version, int) or not known:
        raise UserError(
            f"{where} has layout version {version}, this program reads {schema}; install the "
            "version that wrote it"
        )
    description = dict(found)
    for step in range(version, schema):
        description = migrations[step](description) | {"schema": step + 1}
    return description
