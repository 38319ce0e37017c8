"""What goes over the wire: parameters of a request, checked, and plain values of an answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from neuroduet.errors import UserError

MOST_COLUMNS = 4000
FARTHEST_S = 1e9
"""Times beyond it (30 years) are mistakes."""

Json: TypeAlias = Any
"""What ``json.dumps`` takes."""


class Later(UserError):
    """An answer that is still being worked out; asking again will help."""


class Query:
    """The parameters of one request."""

    def __init__(self, given: Mapping[str, str]) -> None:
        """Keep them.

        Args:
            given: Texts by name.
        """
        self._given = given

    def text(self, name: str, default: str | None = None) -> str:
        """A text.

        Raises:
            UserError: It is missing, and there is no default.
        """
        found = self._given.get(name, default)
        if found is None:
            raise UserError(f"the request has no '{name}'; add it")
        return found

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number between two others, both allowed.

        Raises:
            UserError: It is missing, none, or out of range.
        """
        text = self.text(name)
        # Longer texts would take Python long to read, and none is in range.
        fits = len(text) <= 18 and text.isascii() and text.removeprefix("-").isdecimal()
        if not fits or not low <= int(text) <= high:
            raise UserError(
                f"{name} is '{text[:40]}', expected a whole number from {low} to {high}; "
                "correct it"
            )
        return int(text)

    def window(self) -> tuple[float, float]:
        """``start`` and ``end`` (s).

        Raises:
            UserError: They are missing, no numbers, or end before they start.
        """
        start_s, end_s = self.seconds("start"), self.seconds("end")
        if not end_s - start_s >= 1e-6:
            raise UserError(f"the window ends at {end_s:g} s, expected after {start_s:g} s")
        return start_s, end_s

    def edges(self) -> Float[np.ndarray, " E"]:
        """Edges of ``columns`` equal columns from ``start`` to ``end`` (s).

        Raises:
            UserError: See :meth:`window`; or there are too many columns.
        """
        start_s, end_s = self.window()
        return np.linspace(start_s, end_s, self.whole("columns", 1, MOST_COLUMNS) + 1)

    def seconds(self, name: str) -> float:
        """A time (s).

        Raises:
            UserError: It is missing, or no number.
        """
        text = self.text(name)
        try:
            value = float(text) if len(text) <= 40 else math.nan
        except ValueError:
            value = math.nan
        if not abs(value) <= FARTHEST_S:
            raise UserError(f"{name} is '{text[:40]}', expected a number of seconds; correct it")
        return value


def number(value: float | np.floating[Any]) -> float | None:
    """A number with nine digits, as many as single precision holds; ``None`` if not finite.

    Example:
        >>> number(1 / 3), number(float("nan"))
        (0.333333333, None)
    """
    plain = float(value)
    return float(f"{plain:.9g}") if math.isfinite(plain) else None
