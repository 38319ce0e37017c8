"""Tables of a page: plain values that the template lays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuroduet.report.words import meaning

Block = dict[str, Any]
"""``title``, ``text``, ``key_columns``, ``columns`` and ``rows``."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """Heading of a column, what its numbers mean, and its CSS class (``text``: words)."""

    text: str
    definition: str = ""
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Name:
    """A cell that names its row, and what the name means."""

    text: str
    definition: str = ""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell with a number.

    Attributes:
        text: The number.
        kind: CSS classes.
        interval: Its 95 % interval, with what was resampled; empty if there is none.
    """

    text: str
    kind: str = ""
    interval: str = ""


def block(
    title: str,
    text: str,
    key_columns: Sequence[str],
    columns: Sequence[Column],
    rows: Sequence[dict[str, Any]],
) -> Block:
    """A table with its heading.

    Args:
        title: A few words.
        text: What the table answers; may be empty.
        key_columns: Headings of the columns that name a row.
        columns: Headings of the others.
        rows: Each with ``names`` and ``cells``.
    """
    keys = [Column(text=name, definition=meaning(name)) for name in key_columns]
    return {
        "title": title,
        "text": text,
        "key_columns": keys,
        "columns": list(columns),
        "rows": list(rows),
    }
