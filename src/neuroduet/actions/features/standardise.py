"""Columns of zero mean and unit variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from neuroduet.actions.features.options import Standardise


@dataclass(frozen=True, kw_only=True)
class Standardiser:
    """Centres and scales columns; what is missing becomes 0, the mean.

    Attributes:
        mean: Mean of every column, ``(D,)``.
        scale: Population standard deviation; 1 for a constant column, which is only centred, and
            infinite for one that nobody knows, which stays 0 wherever it turns up.
    """

    mean: Float[np.ndarray, " D"]
    scale: Float[np.ndarray, " D"]

    @staticmethod
    def fit(values: Sequence[Float[np.ndarray, "_ D"]]) -> Standardiser:
        """Mean and standard deviation over the frames of all recordings.

        Args:
            values: One array per recording, NaN where missing; training recordings only.
        """
        total = np.zeros(values[0].shape[1])
        count, squares = total.copy(), total.copy()
        for one in values:
            count += np.isfinite(one).sum(0)
            total += np.nansum(one, 0, dtype=np.float64)
        mean = total / np.maximum(count, 1)
        for one in values:
            squares += np.nansum((one - mean) ** 2, 0)
        scale = np.sqrt(squares / np.maximum(count, 1))
        # Rounding leaves a constant column a deviation that is tiny beside its mean, not zero.
        varies = scale > 1e-6 * np.abs(mean)
        known = np.where(varies, scale, 1.0)
        return Standardiser(mean=mean, scale=np.where(count > 0, known, np.inf))

    @staticmethod
    def identity(size: int) -> Standardiser:
        """Leaves columns as they are."""
        return Standardiser(mean=np.zeros(size), scale=np.ones(size))

    def apply(self, values: Float[np.ndarray, "T D"]) -> Float[np.ndarray, "T D"]:
        """Standardised values, float32; 0 where missing."""
        standard = (values - self.mean) / self.scale
        return np.where(np.isfinite(values), standard, 0.0).astype(np.float32)


def fit_standardiser(values: Sequence[Float[np.ndarray, "_ D"]], how: Standardise) -> Standardiser:
    """What is applied to the features of every recording.

    Args:
        values: Features of the training recordings, NaN where missing.
        how: Only ``training`` learns from them; recordings standardised by themselves, or not at
            all, are left as they are.
    """
    return (
        Standardiser.fit(values)
        if how == "training"
        else Standardiser.identity(values[0].shape[1])
    )
