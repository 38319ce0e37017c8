"""Several models as one: average their probabilities, each calibrated first.

``members`` is one entry per model, each a list with one array ``(T, K)`` per recording.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar

from neuroduet.errors import UserError, unknown
from neuroduet.types import UNLABELLED

Members = Sequence[Sequence[Float[np.ndarray, "_ K"]]]
"""Probabilities by model and recording."""

Averaging = Literal["mean", "logits", "entropy"]
"""How probabilities are averaged; see :data:`AVERAGES`."""

LOWEST_PROBABILITY = 1e-12
"""Smaller probabilities count as this where a logarithm is taken."""

LOWEST_ENTROPY = 1e-9
"""Smaller entropies count as this (nats): members that are certain share the weight equally."""

TEMPERATURES = (0.1, 10.0)
"""Range of fitted temperatures; held-out frames that are all right would ask for 0."""


def average(
    members: Members,
    how: Averaging = "mean",
    weights: Sequence[float] | None = None,
    temperatures: Sequence[float] | None = None,
) -> list[Float[np.ndarray, "_ K"]]:
    """Average the probabilities of several models, frame by frame.

    Args:
        members: Probabilities by model and recording.
        how: A name of :data:`AVERAGES`.
        weights: Weight of each model, not negative; equal if ``None``.
        temperatures: Temperature of each model (:func:`fit_temperatures`), applied first.

    Returns:
        One array per recording, ``(T, K)``; rows sum to 1.

    Raises:
        UserError: If the models disagree about recordings, frames or classes, a weight or
            temperature is missing or unusable, or ``how`` is unknown.
    """
    if how not in AVERAGES:
        raise unknown("way of averaging", how, AVERAGES)
    share = _share(weights, len(members))
    if temperatures is not None:
        if len(temperatures) != len(members):
            raise UserError(
                f"found {len(temperatures)} temperatures for {len(members)} models; give one each"
            )
        members = [
            [temper(p, temperature) for p in one]
            for one, temperature in zip(members, temperatures, strict=True)
        ]
    return [AVERAGES[how](stack, share) for stack in stack_members(members)]


def stack_members(members: Members) -> list[Float[np.ndarray, "M _ K"]]:
    """Probabilities of all models of each recording, ``(M, T, K)``.

    Raises:
        UserError: If there is no model, or models disagree about recordings, frames or classes.
    """
    if not members:
        raise UserError("found no model to average, expected at least one; give its predictions")
    shapes = [[p.shape for p in one] for one in members]
    for i, other in enumerate(shapes):
        if other != shapes[0]:
            raise UserError(
                f"model {i} predicts arrays of shapes {other}, expected {shapes[0]} as model 0 "
                "does; predict the same recordings and classes with every model"
            )
    return [np.stack(one).astype(np.float64) for one in zip(*members, strict=True)]


def mean_probabilities(
    stack: Float[np.ndarray, "M T K"], share: Float[np.ndarray, " M"]
) -> Float[np.ndarray, "T K"]:
    """Weighted mean of the probabilities."""
    return np.einsum("m,mtk->tk", share, stack)


def mean_logits(
    stack: Float[np.ndarray, "M T K"], share: Float[np.ndarray, " M"]
) -> Float[np.ndarray, "T K"]:
    """Softmax of the weighted mean of the log-probabilities."""
    return _softmax(np.einsum("m,mtk->tk", share, _log(stack)))


def mean_by_entropy(
    stack: Float[np.ndarray, "M T K"], share: Float[np.ndarray, " M"]
) -> Float[np.ndarray, "T K"]:
    """Mean of the probabilities, weighted in every frame by 1 / entropy of the model there."""
    inverse = share[:, None] / np.maximum(entropy(stack), LOWEST_ENTROPY)
    return np.einsum("mt,mtk->tk", inverse / inverse.sum(0), stack)


AVERAGES: dict[
    str, Callable[[Float[np.ndarray, "M T K"], Float[np.ndarray, " M"]], np.ndarray]
] = {"mean": mean_probabilities, "logits": mean_logits, "entropy": mean_by_entropy}
"""By name: how the probabilities of one recording and the models' shares become one array."""


def entropy(probabilities: Float[np.ndarray, "*n K"]) -> Float[np.ndarray, "*n"]:
    """Entropy over the last axis, in nats."""
    return -(probabilities * _log(probabilities)).sum(-1)


def temper(
    probabilities: Float[np.ndarray, "*n K"], temperature: float
) -> Float[np.ndarray, "*n K"]:
    """Divide the logits by a temperature: above 1 less certain, below 1 more certain.

    Args:
        probabilities: Rows sum to 1, ``(..., K)``.
        temperature: Above 0.

    Returns:
        Probabilities whose order within a row is unchanged, ``(..., K)``.

    Raises:
        UserError: If the temperature is not a number above 0.
    """
    if not 0 < temperature < np.inf:
        raise UserError(f"a temperature must be above 0, found {temperature}; 1 changes nothing")
    return _softmax(_log(probabilities.astype(np.float64)) / temperature)


def fit_temperature(
    probabilities: Sequence[Float[np.ndarray, "_ K"]], labels: Sequence[Int[np.ndarray, " _"]]
) -> float:
    """The temperature that gives held-out labelled frames the smallest log loss.

    Args:
        probabilities: What a model predicts for recordings (or frames) it was not fitted to.
        labels: Their true classes; unlabelled frames do not count.

    Returns:
        A temperature within :data:`TEMPERATURES`.

    Raises:
        UserError: If no frame is labelled.
    """
    known = [one != UNLABELLED for one in labels]
    if not any(one.any() for one in known):
        raise UserError(
            "no held-out frame is labelled, expected some to calibrate on; label or hold out more"
        )
    logits = _log(np.concatenate([p[k] for p, k in zip(probabilities, known, strict=True)]))
    true = np.concatenate([y[k] for y, k in zip(labels, known, strict=True)])[:, None]
    # Differences to the true class keep the loss a plain sum of exponentials.
    gaps = logits.astype(np.float64) - np.take_along_axis(logits, true, axis=1)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp.reduce(gaps * np.exp(-log_temperature), axis=1).mean())

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def fit_temperatures(members: Members, labels: Sequence[Int[np.ndarray, " _"]]) -> list[float]:
    """The temperature of each model, as :func:`fit_temperature` finds it.

    Args:
        members: Probabilities by model and held-out recording.
        labels: True classes of the held-out recordings.
    """
    return [fit_temperature(one, labels) for one in members]


def _share(weights: Sequence[float] | None, n: int) -> np.ndarray:
    """The weights, summing to 1."""
    if weights is None:
        return np.full(n, 1 / max(n, 1))
    given = np.asarray(weights, float)
    if len(given) != n or not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise UserError(
            f"found weights {list(weights)} for {n} models; give one finite number each, none "
            "negative and not all zero"
        )
    return given / given.sum()


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, LOWEST_PROBABILITY))


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))
