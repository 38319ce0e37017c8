"""From samples in time to bins: pure functions, vectorised over windows.

A window has bins ``[start + k * bin, start + (k + 1) * bin)``: what lies on a bin's start belongs
to it, what lies on a window's end does not belong to the window.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Shaped

EDGE = 1e-6
"""Share of a bin within which a time counts as lying on a bin's edge. Times such as 3 x 0.1 are
not exact in binary, so that without it an event on an edge would fall to either side by chance."""


def bin_grid(
    starts_s: Float[np.ndarray, " W"],
    n_bins: int,
    bin_size_s: float,
    at: Literal["centre", "right"] = "centre",
) -> Float[np.ndarray, "W T"]:
    """One time per bin.

    Args:
        starts_s: Start of each window (s).
        n_bins: Bins per window.
        bin_size_s: Width of a bin (s).
        at: ``centre`` of each bin, or its ``right`` edge (NEDS).

    Returns:
        Times (s).

    Example:
        >>> bin_grid(np.array([-0.5]), 100, 0.02, at="right")[0, [0, -1]].round(2)
        array([-0.48,  1.5 ])
    """
    offset = 0.5 if at == "centre" else 1.0
    return starts_s[:, None] + (np.arange(n_bins) + offset) * bin_size_s


def bin_events(
    timestamps: Float[np.ndarray, " E"],
    unit_index: Integer[np.ndarray, " E"],
    starts_s: Float[np.ndarray, " W"],
    n_bins: int,
    bin_size_s: float,
    n_units: int,
) -> Float[np.ndarray, "W T N"]:
    """Count events per window, bin and unit.

    Args:
        timestamps: Times of all events of the session, sorted (s).
        unit_index: Unit of each event, in ``[0, n_units)``.
        starts_s: Start of each window (s), in any order; windows may overlap.
        n_bins: Bins per window.
        bin_size_s: Width of a bin (s).
        n_units: Number of units.

    Returns:
        Counts.
    """
    edge = EDGE * bin_size_s
    first = np.searchsorted(timestamps, starts_s - edge, side="left")
    last = np.searchsorted(timestamps, starts_s + n_bins * bin_size_s - edge, side="left")
    number = last - first
    window = np.repeat(np.arange(len(starts_s)), number)
    skipped = first - np.cumsum(number) + number
    event = np.arange(len(window)) + np.repeat(skipped, number)
    since_start = timestamps[event] - starts_s[window]
    # Truncation is a floor here: rounding aside, no event precedes its window.
    bins = ((since_start + edge) / bin_size_s).astype(np.int64).clip(0, n_bins - 1)
    # Unsigned numbers of 64 bits times signed ones would be floats.
    cell = (window * n_bins + bins) * n_units + unit_index[event].astype(np.int64)
    size = len(starts_s) * n_bins * n_units
    counts = np.bincount(cell, minlength=size).astype(np.float32)
    return counts.reshape(len(starts_s), n_bins, n_units)


def select_bins(
    timestamps: Float[np.ndarray, " R"],
    starts_s: Float[np.ndarray, " W"],
    n_bins: int,
    bin_size_s: float,
) -> Int[np.ndarray, "W T"]:
    """Find the recorded bin of every window bin.

    Args:
        timestamps: Centres of the recorded bins, sorted (s).
        starts_s: Start of each window (s).
        n_bins: Bins per window.
        bin_size_s: Width of a bin (s), of the recording and of the windows alike.

    Returns:
        Row of the recorded bin whose centre lies inside the window's bin, so that no bin serves
        twice in a window; -1 where there is none.
    """
    edge = EDGE * bin_size_s
    left = starts_s[:, None] + np.arange(n_bins) * bin_size_s - edge
    if len(timestamps) == 0:
        return np.full(left.shape, -1)
    row = np.searchsorted(timestamps, left, side="left")
    inside = timestamps[row.clip(max=len(timestamps) - 1)] < left + bin_size_s
    return np.where(inside & (row < len(timestamps)), row, -1)


def typical_step(timestamps: Float[np.ndarray, " R"], fallback: float = 0.0) -> float:
    """Median time between samples (s); ``fallback`` where there are fewer than two."""
    return float(np.median(np.diff(timestamps))) if len(timestamps) > 1 else fallback


def overlaps(
    intervals_s: Float[np.ndarray, "I 2"],
    first_s: Float[np.ndarray, "*G"],
    last_s: Float[np.ndarray, "*G"],
) -> Bool[np.ndarray, "*G"]:
    """Which spans of time have at least one moment in common with any of some intervals.

    Args:
        intervals_s: Start and end of each (s), in any order; they may overlap.
        first_s: First moment of each span (s).
        last_s: Its last moment (s).

    Example:
        >>> gap = np.array([[0.0, 1.0], [3.0, 4.0]])
        >>> overlaps(gap, np.array([0.5, 1.5, 2.0]), np.array([0.5, 2.5, 3.0]))
        array([ True, False,  True])
    """
    if len(intervals_s) == 0:
        return np.zeros(first_s.shape, dtype=bool)
    start_s, end_s = intervals_s[np.argsort(intervals_s[:, 0], kind="stable")].T
    begun = np.searchsorted(start_s, last_s, side="right")
    latest_s = np.maximum.accumulate(end_s)[(begun - 1).clip(min=0)]
    return (begun > 0) & (latest_s >= first_s)


def finite_rows(values: Float[np.ndarray, "R *C"]) -> Bool[np.ndarray, " R"]:
    """Which rows are finite in every channel."""
    return np.isfinite(values).all(axis=tuple(range(1, values.ndim)))


def finite_samples(
    timestamps: Float[np.ndarray, " R"], values: Float[np.ndarray, "R *C"]
) -> tuple[Float[np.ndarray, " F"], Float[np.ndarray, "F *C"]]:
    """Leave out samples with a missing (not finite) value in any channel.

    Args:
        timestamps: Times (s).
        values: One row per time.

    Returns:
        The remaining times and values.
    """
    finite = finite_rows(values)
    return (timestamps, values) if finite.all() else (timestamps[finite], values[finite])


def interpolate(
    timestamps: Float[np.ndarray, " R"],
    values: Float[np.ndarray, "R *C"],
    grid: Float[np.ndarray, "*G"],
    max_gap_s: float,
) -> tuple[Float[np.ndarray, "*G_C"], Bool[np.ndarray, "*G"]]:
    """Linear interpolation that does not bridge gaps.

    Args:
        timestamps: Times of the samples, sorted (s).
        values: Finite samples.
        grid: Times wanted (s), of any shape.
        max_gap_s: Both neighbouring samples must be at most this far away (s); before the first
            and after the last sample, that sample must be.

    Returns:
        Values, of the shape of ``grid`` followed by the channels, zero where missing; and which
        of them are observed.
    """
    channels = values.shape[1:]
    if len(timestamps) == 0:
        return np.zeros(grid.shape + channels, np.float32), np.zeros(grid.shape, bool)
    following = np.searchsorted(timestamps, grid, side="right")
    right, left = following.clip(max=len(timestamps) - 1), (following - 1).clip(min=0)
    before, after = grid - timestamps[left], timestamps[right] - grid
    near, far = np.minimum(abs(before), abs(after)), np.maximum(abs(before), abs(after))
    # A grid point on a sample needs no second neighbour.
    observed = (far <= max_gap_s * (1 + EDGE)) | (near <= max_gap_s * EDGE)
    span = timestamps[right] - timestamps[left]
    weight = np.divide(before, span, out=np.zeros_like(before), where=span > 0)
    weight = weight.reshape(weight.shape + (1,) * len(channels))
    mixed = values[left] * (1 - weight) + values[right] * weight
    shown = observed.reshape(weight.shape)
    return np.where(shown, mixed, 0).astype(np.float32), observed


def sample_series(
    timestamps: Float[np.ndarray, " R"],
    values: Shaped[np.ndarray, "R *C"],
    grid: Float[np.ndarray, "*G"],
    max_gap_s: float,
) -> tuple[Shaped[np.ndarray, "*G_C"], Bool[np.ndarray, "*G"]]:
    """Sample a series on a grid: floats by linear interpolation, classes by nearest neighbour.

    Args:
        timestamps: Times of the samples, sorted (s).
        values: Floats, ``nan`` where missing, or integer classes, negative where missing.
        grid: Times wanted (s), of any shape.
        max_gap_s: See :func:`interpolate`; for classes, the farthest a nearest sample may be (s).

    Returns:
        Values, zero where missing, and which of them are observed.
    """
    if values.dtype.kind == "f":
        return interpolate(*finite_samples(timestamps, values), grid, max_gap_s)
    if len(timestamps) == 0:
        return np.zeros(grid.shape, np.int64), np.zeros(grid.shape, bool)
    row = nearest(timestamps, grid)
    found = values[row].astype(np.int64)
    close = abs(timestamps[row] - grid) <= max_gap_s * (1 + EDGE)
    observed = close & (found >= 0)
    return np.where(observed, found, 0), observed


def nearest(
    timestamps: Float[np.ndarray, " R"], grid: Float[np.ndarray, "*G"]
) -> Int[np.ndarray, "*G"]:
    """Index of the sample nearest in time to each grid point; the earlier one in a tie.

    Args:
        timestamps: Times of the samples, sorted, at least one (s).
        grid: Times wanted (s), of any shape.

    Returns:
        Indices into ``timestamps``.
    """
    right = np.searchsorted(timestamps, grid, side="left").clip(max=len(timestamps) - 1)
    left = (right - 1).clip(min=0)
    return np.where(grid - timestamps[left] <= timestamps[right] - grid, left, right)
