"""Plain values for answers: numbers as short as they may be, and nothing that JSON cannot say."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

Json: TypeAlias = Any
"""What ``json.dumps`` takes."""


def number(value: float | np.floating[Any]) -> float | None:
    """A number with six digits, ``None`` where it is not finite.

    Example:
        >>> number(1 / 3), number(float("nan"))
        (0.333333, None)
    """
    plain = float(value)
    return float(f"{plain:.6g}") if math.isfinite(plain) else None
