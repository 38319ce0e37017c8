"""Names and values from files of others, as plain as they must be before anything uses them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable
from typing import Any

import yaml

LONGEST_NAME = 150
"""Letters of a name that becomes a part of file names."""

DEEPEST = 50
"""Levels of nesting that YAML may have; settings have three."""

RESERVED = {"CON", "PRN", "AUX", "NUL"} | {f"{d}{n}" for d in ("COM", "LPT") for n in range(10)}
"""Names that no file can have under Windows."""


def plain_name(name: str) -> str:
    """A name that can be a part of a path, and be printed.

    Raises:
        ValueError: It is empty, too long, starts with a dot, or holds a slash or a letter that is
            not printable.
    """
    plain = 0 < len(name) <= LONGEST_NAME and name[0] != "." and name.isprintable()
    if not plain or set(name) & set("/\\"):
        raise ValueError(
            f"it is a part of file names, so use 1 to {LONGEST_NAME} printable letters without "
            "slashes, and no dot in front"
        )
    return name


def file_name(session_id: str) -> str:
    """A file name (without suffix) for a session: no separators, and no two alike.

    Args:
        session_id: Any text.

    Returns:
        The id itself where it is safe; else with unsafe characters replaced and a hash appended.

    Example:
        >>> file_name("mouse_1.day-2"), file_name("../a")
        ('mouse_1.day-2', '_a-61b4c98b')
    """
    clean = re.sub(r"[^A-Za-z0-9._-]+", "_", session_id).lstrip(".")[:LONGEST_NAME].rstrip(".")
    if clean.split(".")[0].upper() in RESERVED:
        clean = f"_{clean}"
    if clean == session_id and clean:
        return clean
    return f"{clean}-{hashlib.sha256(session_id.encode()).hexdigest()[:8]}"


def printable(text: str) -> str:
    r"""Text of one line that leaves a terminal as it is: other letters become their escapes.

    Example:
        >>> printable("a\x1b[2J\n")
        'a\\x1b[2J\\n'
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


class _PlainLoader(yaml.SafeLoader):
    """YAML that stays as large as it is written: no aliases, every key once, few levels."""

    def __init__(self, text: str | bytes) -> None:
        super().__init__(text)
        self._level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"it holds the alias *{event.anchor}; write the value out")
        if self._level == DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {DEEPEST} levels deep")
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            raise yaml.YAMLError(f"it holds the key '{twice}' twice; keep one")
        return super().construct_mapping(node, deep)


def read_yaml(text: str | bytes) -> Any:
    """Plain values from YAML; nothing in it is executed, and nothing in it grows.

    Args:
        text: YAML.

    Raises:
        ValueError: It is not valid YAML, holds an alias or a tag of a program, gives a key twice
            or is nested too deep.
    """
    try:
        loader = _PlainLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    # Odd dates, numbers and tags make the parser stumble in these ways.
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(printable(" ".join(str(error).split()))) from None
