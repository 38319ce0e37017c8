"""Metrics of states found without labels, against the classes people name.

All are computed from the counts of :func:`~neuroduet.actions.metrics.frames.frame_counts` with as
many columns as states; the last column, frames without a state, counts as a state of its own and
matches no class. There may be more states than classes, or fewer.

Both matchings are chosen on the frames they are scored on, so they read above zero for states
that mean nothing: compare with the same states shuffled, or match on other recordings.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.optimize import linear_sum_assignment

from neuroduet.actions.metrics.ratios import ratio
from neuroduet.types import UNLABELLED


def match_one_to_one(counts: Real[np.ndarray, "K J"]) -> Int[np.ndarray, " states"]:
    """Class of each state when no two states may share a class (Hungarian method).

    Args:
        counts: True classes by states, ``(K, states + 1)``.

    Returns:
        The matching that gets most frames right, ``(states,)``; unlabelled for states left over.
    """
    classes, states = linear_sum_assignment(counts[:, :-1], maximize=True)
    mapping = np.full(counts.shape[1] - 1, UNLABELLED)
    mapping[states] = classes
    return mapping


def relabel(
    states: Int[np.ndarray, " T"], mapping: Int[np.ndarray, " states"]
) -> Int[np.ndarray, " T"]:
    """Classes of states; a state outside the mapping becomes unlabelled."""
    known = (states >= 0) & (states < len(mapping))
    return np.where(known, np.append(mapping, UNLABELLED)[np.where(known, states, -1)], UNLABELLED)


def matched_counts(counts: Real[np.ndarray, "*n K J"]) -> Real[np.ndarray, "*n K L"]:
    """Counts of classes by predicted classes after one-to-one matching, ``(K, K + 1)``."""
    flat = counts.reshape(-1, *counts.shape[-2:])
    n_classes = counts.shape[-2]
    matched = np.zeros((len(flat), n_classes, n_classes + 1), counts.dtype)
    for one, into in zip(flat, matched, strict=True):
        columns = np.append(match_one_to_one(one), UNLABELLED)
        np.add.at(into.T, columns, one.T)  # the unlabelled column is the last one
    return matched.reshape(*counts.shape[:-1], n_classes + 1)


def one_to_one_accuracy(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n"]:
    """Fraction of frames right after the best one-to-one matching; nan without a scored frame."""
    hits = np.trace(matched_counts(counts), axis1=-2, axis2=-1)
    return ratio(hits, counts.sum((-2, -1)))


def many_to_one_accuracy(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n"]:
    """Fraction of frames right when each state takes its most frequent class."""
    return ratio(counts[..., :-1].max(-2, initial=0).sum(-1), counts.sum((-2, -1)))


def homogeneity(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n"]:
    """How far a state tells the class: 1 - H(class | state) / H(class); 1 with one class."""
    classes, _, shared = _information(counts)
    return _scored(counts, ratio(shared, classes, 1.0))


def completeness(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n"]:
    """How far a class tells the state: 1 - H(state | class) / H(state); 1 with one state."""
    _, states, shared = _information(counts)
    return _scored(counts, ratio(shared, states, 1.0))


def v_measure(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n"]:
    """Harmonic mean of both: the mutual information over the mean of the entropies."""
    a, b = homogeneity(counts), completeness(counts)
    return _scored(counts, ratio(2 * a * b, a + b, 0.0))


def adjusted_rand(counts: Real[np.ndarray, "*n K J"]) -> Float[np.ndarray, "*n"]:
    """Pairs of frames that both partitions join or both part, corrected for chance (ARI)."""
    frames = counts.sum((-2, -1))
    joined = _pairs(counts).sum((-2, -1))
    by_class, by_state = _pairs(counts.sum(-1)).sum(-1), _pairs(counts.sum(-2)).sum(-1)
    expected = ratio(by_class * by_state, _pairs(frames), 0.0)
    most = (by_class + by_state) / 2
    return _scored(counts, ratio(joined - expected, most - expected, 1.0))


def _information(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entropy of the classes, of the states, and what they share, in nats."""
    share = counts / np.maximum(counts.sum((-2, -1), keepdims=True), 1)
    classes, states = _entropy(share.sum(-1)), _entropy(share.sum(-2))
    both = _entropy(share.reshape(*share.shape[:-2], -1))
    return classes, states, np.maximum(classes + states - both, 0.0, out=both)


def _entropy(share: np.ndarray) -> np.ndarray:
    # Rounded, for an entropy of 1e-17 must read as none.
    return np.asarray(-(share * np.log(np.where(share > 0, share, 1.0))).sum(-1).round(14))


def _pairs(n: np.ndarray | np.float64 | np.int64) -> np.ndarray:
    return np.asarray(n * (n - 1) / 2)


def _scored(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values, nan where there was no frame to score."""
    return np.asarray(np.where(counts.sum((-2, -1)) > 0, values, np.nan))
