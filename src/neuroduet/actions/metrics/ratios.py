"""Quotients of counts, where a whole may be nothing."""

from __future__ import annotations

import numpy as np


def ratio(
    part: np.ndarray | np.float64 | np.int64,
    whole: np.ndarray | np.float64 | np.int64,
    otherwise: float | np.ndarray = np.nan,
) -> np.ndarray:
    """Quotient, or another value where the whole is nothing."""
    known = np.asarray(whole > 0)
    return np.asarray(np.where(known, part / np.where(known, whole, 1), otherwise))
