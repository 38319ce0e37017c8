"""Sums of squares, the part of R2 that its variants share."""

from __future__ import annotations

import numpy as np


def mean_of(scores: np.ndarray, scored: np.ndarray) -> float:
    """Mean of the scored entries: not ``nanmean``, which would hide a prediction of nan."""
    return float(scores[scored].mean()) if scored.any() else float("nan")


def r2_by_column(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R2 of each column over the rows, and which columns vary at all."""
    y = true.astype(np.float64)
    if len(y) == 0:
        return np.zeros(y.shape[1]), np.zeros(y.shape[1], dtype=bool)
    # Not "variance > 0": the mean of equal numbers may differ from them in the last bit.
    varies = y.max(axis=0) > y.min(axis=0)
    total = np.where(varies, ((y - y.mean(axis=0)) ** 2).sum(axis=0), 1.0)
    return 1 - ((y - predicted) ** 2).sum(axis=0) / total, varies
