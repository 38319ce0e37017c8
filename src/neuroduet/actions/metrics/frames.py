"""Metrics of single frames, all computed from one matrix of counts.

The counts of several recordings add up, so pooling recordings, and resampling them, is a sum.

A frame whose true label is :data:`~neuroduet.types.UNLABELLED` is not scored. A scored frame
predicted as unlabelled, or as a class that does not exist, is a miss of its true class and no
false claim of another. A class that no scored frame truly has gets ``nan`` and is left out of
averages over classes: claiming it already costs the classes the frames really had, and in a
resample without that class one wrong frame would otherwise cost 1/K.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Real

from neuroduet.actions.metrics.ratios import ratio
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED


def frame_counts(
    truth: Int[np.ndarray, " T"],
    predicted: Int[np.ndarray, " T"],
    n_classes: int,
    n_predicted: int | None = None,
) -> Int[np.ndarray, "K J"]:
    """How often a frame of each true class was given each predicted class.

    Args:
        truth: True classes, 0 to K-1 or unlabelled, ``(T,)``.
        predicted: Predicted classes or states, ``(T,)``.
        n_classes: Number of true classes K.
        n_predicted: Number of predicted classes or states; K if ``None``.

    Returns:
        True classes by predicted ones, ``(K, n_predicted + 1)``; the last column counts frames
        that were given none of them.

    Raises:
        UserError: If a true label is not among the K classes.
    """
    known = truth != UNLABELLED
    rows, columns = truth[known].astype(np.int64), predicted[known].astype(np.int64)
    if rows.size and not (rows.min() >= 0 and rows.max() < n_classes):
        raise UserError(
            f"true labels run from {rows.min()} to {rows.max()}, expected 0 to {n_classes - 1} or "
            f"{UNLABELLED} for unlabelled; name every class or renumber the labels"
        )
    width = n_classes if n_predicted is None else n_predicted
    columns = np.where((columns >= 0) & (columns < width), columns, width)
    cells = np.bincount(rows * (width + 1) + columns, minlength=n_classes * (width + 1))
    return cells.reshape(n_classes, width + 1)


def confusion(counts: Real[np.ndarray, "K J"], normalise: bool = False) -> Real[np.ndarray, "K K"]:
    """Confusion matrix: true classes in rows, predicted classes in columns.

    Args:
        counts: Of :func:`frame_counts`.
        normalise: Divide each row by the true frames of its class.

    Returns:
        Frames, or fractions of each true class, ``(K, K)``. What a normalised row lacks to 1 was
        given no class; the row of a class without a true frame is zero.
    """
    true = counts.sum(-1, keepdims=True)
    square = counts[:, : len(counts)]
    return square / np.maximum(true, 1) if normalise else square


def precision(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n K"]:
    """Fraction of the frames claimed for each class that are of it; nan if none was claimed."""
    hits, _, claimed = _totals(counts)
    return ratio(hits, claimed)


def recall(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n K"]:
    """Fraction of the frames of each class that were found; nan for a class that never occurs."""
    hits, true, _ = _totals(counts)
    return ratio(hits, true)


def f1(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n K"]:
    """Harmonic mean of precision and recall of each class; nan for a class that never occurs."""
    hits, true, claimed = _totals(counts)
    return ratio(2 * hits, np.where(true > 0, true + claimed, 0))


def iou(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n K"]:
    """Frames that are and were called a class / that are or were; nan if it never occurs."""
    hits, true, claimed = _totals(counts)
    return ratio(hits, np.where(true > 0, true + claimed - hits, 0))


def accuracy(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n"]:
    """Fraction of scored frames predicted correctly; nan without a scored frame."""
    hits, true, _ = _totals(counts)
    return ratio(hits.sum(-1), true.sum(-1))


def macro_f1(
    truth: Sequence[Int[np.ndarray, " _"]],
    predicted: Sequence[Int[np.ndarray, " _"]],
    n_classes: int,
) -> float:
    """Mean F1 of the classes that occur, over the labelled frames of all recordings together.

    Args:
        truth: True classes of each recording, or unlabelled.
        predicted: Predicted classes of each recording.
        n_classes: Number of classes K.

    Returns:
        Macro F1; nan without a labelled frame.

    Raises:
        UserError: If a true label is not among the K classes.
    """
    pairs = zip(truth, predicted, strict=True)
    counts = np.zeros((n_classes, n_classes + 1), int)
    return float(mean_f1(sum((frame_counts(t, p, n_classes) for t, p in pairs), start=counts)))


def mean_f1(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n"]:
    """Mean F1 of the classes that occur among the true labels; nan without a scored frame."""
    return mean_of_present(f1(counts))


def balanced_accuracy(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n"]:
    """Mean recall of the classes that occur among the true labels; nan without a scored frame."""
    return mean_of_present(recall(counts))


def mean_of_present(values: Float[np.ndarray, "*n K"]) -> Float[np.ndarray, "*n"]:
    """Mean over the last axis of what is a number; nan where nothing is."""
    present = ~np.isnan(values)
    return ratio(np.where(present, values, 0.0).sum(-1), present.sum(-1))


def _totals(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class: frames predicted correctly, true frames and claimed frames."""
    square = counts[..., : counts.shape[-2]]
    hits = np.diagonal(square, axis1=-2, axis2=-1)
    return hits, counts.sum(-1), square.sum(-2)
