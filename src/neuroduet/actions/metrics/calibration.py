"""Metrics of predicted probabilities, from sums that add up over recordings.

Only labelled frames count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

from neuroduet.actions.metrics.ratios import ratio
from neuroduet.types import UNLABELLED

LOWEST_PROBABILITY = 1e-12
"""A true class given less counts as given this: one certain mistake must not cost infinitely."""

N_BINS = 15
"""Bins of confidence, equally wide from 0 to 1."""


class Reliability(NamedTuple):
    """Reliability curve, one value per bin of confidence; nan where no frame fell into it."""

    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]
    frames: Real[np.ndarray, " bins"]


def confidence_counts(
    probabilities: Float[np.ndarray, "T K"], truth: Int[np.ndarray, " T"], n_bins: int = N_BINS
) -> Float[np.ndarray, "bins 3"]:
    """Labelled frames by the probability of their most probable class.

    Args:
        probabilities: Rows sum to 1, ``(T, K)``.
        truth: True classes, or unlabelled, ``(T,)``.
        n_bins: Number of equally wide bins of confidence.

    Returns:
        Per bin: frames, sum of confidences, frames whose most probable class is the true one.
    """
    known = truth != UNLABELLED
    confidence = probabilities[known].max(-1).astype(np.float64)
    hit = probabilities[known].argmax(-1) == truth[known]
    # The upper edge belongs to the bin, so that certainty falls into the last.
    place = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    sums = [np.bincount(place, w, n_bins) for w in (np.ones(len(hit)), confidence, hit)]
    return np.stack(sums, axis=1).astype(np.float64)


def reliability(counts: Real[np.ndarray, "bins 3"]) -> Reliability:
    """Mean confidence and accuracy in each bin of confidence."""
    frames, confidence, hits = counts.T
    whole = np.where(frames > 0, frames, np.nan)
    return Reliability(confidence / whole, hits / whole, frames)


def expected_calibration_error(counts: Real[np.ndarray, "*n bins 3"]) -> Float[np.ndarray, "*n"]:
    """Mean over frames of the distance between confidence and accuracy in the frame's bin.

    Args:
        counts: Of :func:`confidence_counts`, summed over recordings.
    """
    gaps = np.abs(counts[..., 1] - counts[..., 2]).sum(-1)
    return ratio(gaps, counts[..., 0].sum(-1))


def penalties(
    probabilities: Float[np.ndarray, "T K"], truth: Int[np.ndarray, " T"]
) -> Float[np.ndarray, " 3"]:
    """Labelled frames, and the sums over them of log loss (nats) and Brier score.

    Args:
        probabilities: Rows sum to 1, ``(T, K)``.
        truth: True classes, or unlabelled, ``(T,)``.
    """
    known = truth != UNLABELLED
    given, labels = probabilities[known].astype(np.float64), truth[known]
    true = np.take_along_axis(given, labels[:, None], axis=1)[:, 0]
    loss = -np.log(np.maximum(true, LOWEST_PROBABILITY)).sum()
    squares = ((given**2).sum(-1) - 2 * true + 1).sum()
    return np.array([known.sum(), loss, squares], dtype=np.float64)


def log_loss(sums: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    """Mean of minus the log of the probability of the true class, in nats."""
    return ratio(sums[..., 1], sums[..., 0])


def brier(sums: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    """Mean over frames of the squared error summed over classes, 0 to 2."""
    return ratio(sums[..., 2], sums[..., 0])
