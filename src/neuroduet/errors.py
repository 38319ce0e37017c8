"""The one exception a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user gave does not fit; it says what, what was expected, and the remedy.

    The command line prints it as one sentence and exits with code 2.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not in a list.

    Args:
        kind: What the name stands for, e.g. ``session``.
        name: The name that was given.
        known: The names that exist.

    Returns:
        An error naming the nearest known name, or listing all of them.
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
    hint = f"did you mean '{near[0]}'? " if near else ""
    return UserError(f"unknown {kind} '{name}'; {hint}known: {listed}")
