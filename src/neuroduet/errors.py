"""The one exception a user is meant to read."""

from __future__ import annotations

import difflib
import os
import reprlib
from collections.abc import Iterable
from pathlib import Path


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


def unsuitable(what: str, given: object, expected: str, remedy: str) -> UserError:
    """The error for a value of the wrong kind.

    Args:
        what: Name of the argument.
        given: What was given.
        expected: What was expected.
        remedy: What to do.

    Example:
        >>> str(unsuitable("path", [1, 2], "a path", "give one file"))
        'path is [1, 2] (list), expected a path; give one file'
    """
    kind = type(given).__name__
    if isinstance(given, str | int | float | list | tuple | dict | None):
        return UserError(
            f"{what} is {reprlib.repr(given)} ({kind}), expected {expected}; {remedy}"
        )
    named = getattr(given, "__name__", None)
    kind = "class" if isinstance(given, type) else kind
    shown = f"the {kind} {named}" if isinstance(named, str) else f"an object of type {kind}"
    return UserError(f"{what} is {shown}, expected {expected}; {remedy}")


def as_path(
    given: object, what: str, remedy: str = "give its path as text or pathlib.Path"
) -> Path:
    """A path that a user gave, as :class:`~pathlib.Path`.

    Args:
        given: Text or a path.
        what: Name of the argument.
        remedy: What to do if it is neither.

    Raises:
        UserError: It is neither.
    """
    if isinstance(given, str | os.PathLike):
        return Path(given)
    raise unsuitable(what, given, "a path", remedy)
