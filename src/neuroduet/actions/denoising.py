"""Denoising that keeps edges: what changes at once stays sudden, what flickers becomes flat."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Point = tuple[int, float]
"""Frame border and cumulative sum up to it."""


def total_variation(values: Float[np.ndarray, " T"], weight: float) -> Float[np.ndarray, " T"]:
    """The signal that minimises squared error / 2 + weight * sum of absolute differences.

    Solved exactly in one pass: its cumulative sum is the shortest path through a tube of radius
    ``weight`` around the cumulative sum of the values (taut string).

    Args:
        values: Finite, ``(T,)``.
        weight: Not negative; 0 changes nothing, in units of the values.

    Returns:
        A piecewise constant signal with the same mean, ``(T,)``.

    Example:
        >>> total_variation(np.array([0.0, 0.0, 4.0, 4.0]), 1.0).tolist()
        [0.5, 0.5, 3.5, 3.5]
    """
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)]).tolist()
    knots = _taut_string(sums, weight)
    at, height = np.array(knots).T
    return np.repeat(np.diff(height) / np.diff(at), np.diff(at).astype(int))


def _taut_string(sums: list[float], radius: float) -> list[Point]:
    """Corners of the shortest path within ``radius`` of the sums, fixed at both ends."""
    last = len(sums) - 1
    knots: list[Point] = [(0, 0.0)]
    # The two sides of the funnel that is visible from the last knot.
    above, below = [knots[0]], [knots[0]]
    for t in range(1, last + 1):
        half = radius if t < last else 0.0
        below = _extended(below, above, knots, (t, sums[t] - half), 1.0)
        if below[0] != above[0]:
            above = above[above.index(below[0]) :]
        above = _extended(above, below, knots, (t, sums[t] + half), -1.0)
        if below[0] != above[0]:
            below = below[below.index(above[0]) :]
    if last and knots[-1][0] != last:
        knots.append((last, sums[last]))
    return knots


def _extended(
    side: list[Point], other: list[Point], knots: list[Point], point: Point, sign: float
) -> list[Point]:
    """One side of the funnel after a new point of it; corners the string bends at become knots."""
    while len(side) > 1 and sign * (_slope(side[-1], point) - _slope(side[-2], side[-1])) >= 0:
        side.pop()
    if len(side) > 1:
        side.append(point)
        return side
    corner = 0
    while (
        corner + 1 < len(other)
        and sign * (_slope(other[corner], point) - _slope(other[corner], other[corner + 1])) > 0
    ):
        corner += 1
        knots.append(other[corner])
    return [other[corner], point]


def _slope(first: Point, second: Point) -> float:
    return (second[1] - first[1]) / (second[0] - first[0])
