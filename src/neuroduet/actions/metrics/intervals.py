"""Intervals over recordings: frames of one recording are alike, so recordings are resampled.

A metric here is a function of statistics that add up over recordings (such as confusion counts):
every resample recomputes the pooled metric from the sum over the recordings drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from neuroduet.errors import UserError

LEVEL = 0.95
"""Usual coverage of an interval."""

RESAMPLES = 2000
"""Usual number of resamples."""

Metric = Callable[[np.ndarray], np.ndarray]
"""From summed statistics, with any leading axes, to one value (or one per class) for each."""


class Interval(NamedTuple):
    """A value and the ends of its interval; arrays of one shape, ``()`` or one entry per class."""

    value: Float[np.ndarray, "*k"]
    low: Float[np.ndarray, "*k"]
    high: Float[np.ndarray, "*k"]


def bootstrap(
    statistics: Real[np.ndarray, "R *s"],
    metric: Metric,
    *,
    seed: int = 0,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """A pooled metric and its percentile bootstrap interval over recordings.

    Args:
        statistics: Of each recording; pooling is their sum. Leave out recordings that have
            nothing to score.
        metric: From summed statistics to the metric.
        seed: Seed of the resampling; equal seeds draw equal recordings.
        level: Coverage, between 0 and 1.
        resamples: Number of resamples; those in which the metric is not defined do not count.

    Returns:
        The metric of all recordings, and the ends of its interval; the ends are nan with fewer
        than two recordings, for one recording says nothing about others.

    Raises:
        UserError: If ``level`` does not lie between 0 and 1.
    """
    drawn = _resampled(statistics, seed, resamples)
    return _interval(metric(statistics.sum(0)), metric(drawn), len(statistics), level)


def paired_difference(
    first: Real[np.ndarray, "R *s"],
    second: Real[np.ndarray, "R *s"],
    metric: Metric,
    *,
    seed: int = 0,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """How much better one model scores than another on the same recordings.

    Args:
        first: Statistics of the first model's predictions of each recording.
        second: Statistics of the second model's, of the same recordings in the same order.
        metric: From summed statistics to the metric.
        seed: Seed of the resampling; both models are resampled alike.
        level: Coverage, between 0 and 1.
        resamples: Number of resamples.

    Returns:
        First minus second, and the ends of the interval of the difference.

    Raises:
        UserError: If ``level`` does not lie between 0 and 1.
    """
    value = np.asarray(metric(first.sum(0)) - metric(second.sum(0)))
    a, b = (metric(_resampled(one, seed, resamples)) for one in (first, second))
    return _interval(value, a - b, len(first), level)


def _resampled(statistics: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Summed statistics of each resample, ``(resamples, ...)``."""
    n = len(statistics)
    generator = np.random.default_rng(seed)
    # How often each recording is drawn says everything about a sum, and needs no gathering.
    drawn = generator.multinomial(n, np.full(n, 1 / max(n, 1)), size=resamples)
    flat = statistics.reshape(n, -1).astype(np.float64)
    return (drawn @ flat).reshape(resamples, *statistics.shape[1:])


def _interval(value: np.ndarray, resampled: np.ndarray, n: int, level: float) -> Interval:
    if not 0 < level < 1:
        raise UserError(f"the level of an interval must lie between 0 and 1, found {level}")
    columns = resampled.reshape(len(resampled), -1)
    ends = np.full((2, columns.shape[1]), np.nan)
    tails = [(1 - level) / 2, (1 + level) / 2]
    for k, column in enumerate(columns.T):
        defined = column[~np.isnan(column)]
        if n > 1 and len(defined):
            ends[:, k] = np.quantile(defined, tails)
    low, high = ends.reshape(2, *resampled.shape[1:])
    return Interval(np.asarray(value, np.float64), low, high)
