"""Principal components: the few dimensions that hidden Markov models can afford."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from neuroduet.errors import UserError

ROWS_AT_ONCE = 65_536
"""Frames converted to double precision at once."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """From features to components of unit scale.

    Attributes:
        mean: Of each feature; ``(D,)``.
        loadings: What each feature adds to each component; ``(D, P)``.
    """

    mean: Float[np.ndarray, " D"]
    loadings: Float[np.ndarray, "D P"]

    def apply(self, features: Float[np.ndarray, "T D"]) -> Float[np.ndarray, "T P"]:
        """Components of every frame, single precision.

        Raises:
            UserError: The features are not those the projection was fitted to.
        """
        if features.shape[1] != len(self.mean):
            raise UserError(
                f"the recording has {features.shape[1]} features where the model was fitted to "
                f"{len(self.mean)}; compute the features as in training"
            )
        values = np.empty((len(features), self.loadings.shape[1]), np.float32)
        for begin in range(0, len(features), ROWS_AT_ONCE):
            part = slice(begin, begin + ROWS_AT_ONCE)
            values[part] = (features[part] - self.mean) @ self.loadings
        return values


def fit_projection(
    recordings: Sequence[Float[np.ndarray, "_ D"]],
    components: int | float,
    limit: int,
    whiten: bool = False,
) -> Projection:
    """Principal components of all frames of all recordings.

    Args:
        recordings: Features of each.
        components: Number of components, or the share of the variance they explain.
        limit: Most components where a share is asked for.
        whiten: Give every component unit variance; otherwise their mean variance is 1.
    """
    mean, covariance = _covariance(recordings)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    kept = _number(values, components, limit)
    values, vectors = values[:kept], vectors[:, :kept]
    # The sign of an eigenvector is arbitrary; fix it, so that equal data give equal components.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(kept)])
    variances = values if whiten else np.full(kept, values.mean())
    scales = np.sqrt(np.where(variances > 1e-12, variances, 1.0))
    return Projection(mean=mean, loadings=vectors / scales)


def _covariance(
    recordings: Sequence[Float[np.ndarray, "_ D"]],
) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, "D D"]]:
    """Mean and covariance of all frames, in double precision."""
    frames = sum(len(recording) for recording in recordings)
    mean = np.sum([recording.sum(0, dtype=float) for recording in recordings], axis=0) / frames
    covariance = np.zeros((len(mean), len(mean)))
    for recording in recordings:
        for begin in range(0, len(recording), ROWS_AT_ONCE):
            centred = recording[begin : begin + ROWS_AT_ONCE] - mean
            covariance += centred.T @ centred
    return mean, covariance / frames


def _number(values: Float[np.ndarray, " D"], components: int | float, limit: int) -> int:
    """How many components are kept; at least one, and none without variance besides."""
    varying = max(1, int((values > 1e-9 * max(values[0], 1e-12)).sum()))
    if isinstance(components, int):
        return min(components, varying)
    total = max(values.sum(), 1e-30)
    enough = int(np.searchsorted(np.cumsum(values) / total, components - 1e-9)) + 1
    return min(enough, limit, varying)
