"""Columns as at most 255 levels each, found once and without regard to weights.

Given weights, scikit-learn searches 254 weighted quantiles of every column one by one, and does so
again whenever growing goes on: with hundreds of columns that takes longer than the trees. Columns
of few levels it takes as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt8

MOST_LEVELS = 255


def level_edges(x: Float32[np.ndarray, "N P"]) -> list[Float64[np.ndarray, " _"]]:
    """Values between the levels of each column, increasing: quantiles, or midpoints of few values.

    Args:
        x: Finite columns of at least one frame.
    """
    return [_edges(column.astype(np.float64)) for column in x.T]


def levels(
    x: Float32[np.ndarray, "N P"], edges: Sequence[Float64[np.ndarray, " _"]]
) -> UInt8[np.ndarray, "N P"]:
    """How many edges lie below each value: level ``k`` or less means up to ``edges[k]``."""
    found = np.empty(x.shape, np.uint8)
    for i, own in enumerate(edges):
        found[:, i] = np.searchsorted(own, x[:, i].astype(np.float64), side="left")
    return found


def edge_of(
    edges: Sequence[Float64[np.ndarray, " _"]],
    column: Int[np.ndarray, " M"],
    level: Float64[np.ndarray, " M"],
) -> Float64[np.ndarray, " M"]:
    """Thresholds on levels as thresholds on values.

    Args:
        edges: Of every column.
        column: Which column each threshold is on.
        level: Thresholds; levels up to them go left.
    """
    starts = np.cumsum([0, *(len(own) for own in edges)])
    return np.concatenate([*edges, np.zeros(1)])[starts[column] + np.floor(level).astype(int)]


def _edges(column: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " _"]:
    distinct = np.unique(column)
    if len(distinct) <= MOST_LEVELS:
        return (distinct[1:] + distinct[:-1]) / 2
    shares = np.linspace(0, 100, MOST_LEVELS + 1)[1:-1]
    return np.unique(np.percentile(column, shares, method="averaged_inverted_cdf"))
