"""Metrics of decoded behaviour."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from neuroduet.metrics.sums import mean_of, r2_by_column
from neuroduet.types import UNLABELLED


def r2(true: Real[np.ndarray, "n *channels"], predicted: Real[np.ndarray, "n *channels"]) -> float:
    """Coefficient of determination over all values together.

    Args:
        true: True values, ``(n,)`` or ``(n, C)``.
        predicted: Predicted values, of the same shape.

    Returns:
        R2, averaged over the channels that vary; nan if none does or if there is no value.
    """
    if true.ndim == 1:
        true, predicted = true[:, None], predicted[:, None]
    return mean_of(*r2_by_column(true, predicted))


def r2_per_trial(
    true: Real[np.ndarray, "W T C"],
    predicted: Float[np.ndarray, "W T C"],
    observed: Bool[np.ndarray, "W T"],
) -> float:
    """Mean over trials of the coefficient of determination within the trial.

    Args:
        true: True values, ``(W, T, C)``.
        predicted: Predicted values, ``(W, T, C)``.
        observed: Which bins are scored, ``(W, T)``.

    Returns:
        R2 averaged over the channels that vary in the trial, then over trials in which any does;
        nan if none does.
    """
    seen = observed[:, :, None]
    y = np.where(seen, true, 0).astype(np.float64)
    means = y.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    centred = np.where(seen, y - means[:, None], 0)
    residual = np.where(seen, y - predicted, 0)
    highest = np.where(seen, y, -np.inf).max(axis=1, initial=-np.inf)
    varies = highest > np.where(seen, y, np.inf).min(axis=1, initial=np.inf)
    total = np.where(varies, (centred**2).sum(axis=1), 1.0)
    scores = np.where(varies, 1 - (residual**2).sum(axis=1) / total, 0.0)
    channels = varies.sum(axis=1)
    return mean_of(scores.sum(axis=1) / np.maximum(channels, 1), channels > 0)


def accuracy(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"]) -> float:
    """Fraction of labels predicted correctly.

    Args:
        labels: True classes, ``(n,)``; unlabelled entries are left out.
        predicted: Predicted classes, ``(n,)``.

    Returns:
        Accuracy; nan without a label.
    """
    known = labels != UNLABELLED
    return float((labels == predicted)[known].mean()) if known.any() else float("nan")


def balanced_accuracy(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"]) -> float:
    """Recall averaged over the classes present among the true labels.

    Args:
        labels: True classes, ``(n,)``; unlabelled entries are left out.
        predicted: Predicted classes, ``(n,)``.

    Returns:
        Balanced accuracy; nan without a label.

    Example:
        >>> round(balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])), 6)
        0.833333
    """
    hits, true, _ = _confusion(labels, predicted)
    present = true > 0
    return float((hits[present] / true[present]).mean()) if present.any() else float("nan")


def macro_f1(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"]) -> float:
    """F1 averaged over the classes present among true labels or predictions.

    Args:
        labels: True classes, ``(n,)``; unlabelled entries are left out.
        predicted: Predicted classes, ``(n,)``.

    Returns:
        Macro F1; nan without a label.
    """
    hits, true, claimed = _confusion(labels, predicted)
    return float((2 * hits / (true + claimed)).mean()) if len(hits) else float("nan")


def _confusion(
    labels: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class present among labels or predictions: correct, true and predicted numbers."""
    known = labels != UNLABELLED
    y, p = labels[known], predicted[known]
    classes, codes = np.unique(np.concatenate([y, p]), return_inverse=True)
    y, p = codes[: len(y)], codes[len(y) :]
    hits, true, claimed = (
        np.bincount(x, minlength=len(classes)).astype(np.float64) for x in (y[y == p], y, p)
    )
    return hits, true, claimed
