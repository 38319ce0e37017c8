"""Signals over time, reduced to the lowest and highest value in every column of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from neuroduet.data.columns import pieces
from neuroduet.view.segments import usual_step

BLOCK = 64
"""Samples of which the lowest and highest value are kept ready."""

BLOCKS_AT_ONCE = 1 << 14
"""Blocks that are in memory at a time, while lowest and highest values are found."""

COARSE = 4 * BLOCK
"""Samples per column from which on those are used; a column then reaches up to a block further."""

LONGEST_GAP_S = 0.1
"""Samples further apart than this, and than two usual steps, are not joined by a line (s)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Signal:
    """Samples of one or several channels.

    Attributes:
        timestamps: Time of every sample, sorted (s); may lie on disk.
        values: Samples, NaN where missing; may lie on disk.
        lowest: Lowest value of every :data:`BLOCK` samples, and a last row of NaN.
        highest: Highest value, likewise.
        longest_gap_s: Samples further apart are not joined (s).
    """

    timestamps: Float[np.ndarray, " R"]
    values: Shaped[np.ndarray, "R C"]
    lowest: Float[np.ndarray, "Q C"]
    highest: Float[np.ndarray, "Q C"]
    longest_gap_s: float


def signal(timestamps: Float[np.ndarray, " R"], values: Shaped[np.ndarray, "R *C"]) -> Signal:
    """Prepare samples for :func:`envelope`.

    Args:
        timestamps: Time of every sample, sorted (s).
        values: Numbers, one or several per sample; what is not finite is missing.
    """
    flat = values.reshape(len(values), int(np.prod(values.shape[1:], dtype=np.int64)))
    if any(np.isinf(piece).any() for piece in pieces(flat)):
        flat = np.where(np.isinf(flat), np.nan, flat)
    n_blocks = -(-len(flat) // BLOCK)
    lowest = np.full((n_blocks + 1, flat.shape[1]), np.nan, dtype=np.float32)
    highest = lowest.copy()
    for start in range(0, n_blocks, BLOCKS_AT_ONCE):
        piece = np.asarray(flat[start * BLOCK : (start + BLOCKS_AT_ONCE) * BLOCK])
        first = np.arange(0, len(piece), BLOCK)
        lowest[start : start + len(first)] = np.fmin.reduceat(piece, first, axis=0)
        highest[start : start + len(first)] = np.fmax.reduceat(piece, first, axis=0)
    return Signal(
        timestamps=np.asarray(timestamps, dtype=np.float64),
        values=flat,
        lowest=lowest,
        highest=highest,
        longest_gap_s=max(LONGEST_GAP_S, 2.01 * usual_step(timestamps[:10_000])),
    )


def envelope(
    given: Signal, edges_s: Float[np.ndarray, " E"]
) -> tuple[Float[np.ndarray, "K C"], Float[np.ndarray, "K C"]]:
    """Lowest and highest value between every two edges.

    A column in which no sample lies holds the value of the line between its neighbours, unless
    they are too far apart.

    Args:
        given: Samples.
        edges_s: Edges of the columns, ascending (s).

    Returns:
        Both; NaN where nothing is known.
    """
    index = np.searchsorted(given.timestamps, edges_s)
    filled = np.flatnonzero(np.diff(index))
    shape = (len(edges_s) - 1, given.values.shape[1])
    low, high = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    if index[-1] - index[0] >= COARSE * shape[0]:
        first = index[:-1][filled] // BLOCK
        last = -(-index[1:][filled] // BLOCK)
        pairs = np.stack([first, last], axis=1).ravel()
        low[filled] = np.fmin.reduceat(given.lowest, pairs, axis=0)[::2]
        high[filled] = np.fmax.reduceat(given.highest, pairs, axis=0)[::2]
    elif len(filled):
        part = given.values[index[0] : index[-1]]
        first = index[:-1][filled] - index[0]
        low[filled] = np.fmin.reduceat(part, first, axis=0)
        high[filled] = np.fmax.reduceat(part, first, axis=0)
    empty = np.flatnonzero(np.diff(index) == 0)
    between = _between(given, index[empty], (edges_s[empty] + edges_s[empty + 1]) / 2)
    low[empty] = high[empty] = between
    return low, high


def _between(
    given: Signal, after: Int[np.ndarray, " M"], at_s: Float[np.ndarray, " M"]
) -> Float[np.ndarray, "M C"]:
    """Values between the samples before ``after`` and those at it."""
    found = np.full((len(at_s), given.values.shape[1]), np.nan, np.float32)
    inside = np.flatnonzero((after > 0) & (after < len(given.timestamps)))
    left, right = after[inside] - 1, after[inside]
    start_s, end_s = given.timestamps[left], given.timestamps[right]
    near = end_s - start_s <= given.longest_gap_s
    inside, left, right = inside[near], left[near], right[near]
    share = (at_s[inside] - start_s[near]) / np.maximum(end_s[near] - start_s[near], 1e-12)
    low, high = (given.values[one].astype(np.float32) for one in (left, right))
    found[inside] = low + share[:, None].astype(np.float32) * (high - low)
    return found


def trial_envelope(
    start_s: Float[np.ndarray, " J"],
    end_s: Float[np.ndarray, " J"],
    values: Float[np.ndarray, "J C"],
    edges_s: Float[np.ndarray, " E"],
) -> tuple[Float[np.ndarray, "K C"], Float[np.ndarray, "K C"]]:
    """As :func:`envelope`, for values that hold during whole trials.

    Args:
        start_s: Start of every trial (s).
        end_s: End of every trial (s).
        values: Values of every trial; not finite where missing.
        edges_s: Edges of the columns, ascending (s).
    """
    n_columns = len(edges_s) - 1
    low = np.full((n_columns, values.shape[1]), np.nan, np.float32)
    high = low.copy()
    seen = np.flatnonzero((end_s > edges_s[0]) & (start_s < edges_s[-1]))
    first = np.clip(np.searchsorted(edges_s, start_s[seen], "right") - 1, 0, n_columns - 1)
    last = np.clip(np.searchsorted(edges_s, end_s[seen]), first + 1, n_columns)
    for trial, begin, stop in zip(seen, first, last, strict=True):
        value = np.where(np.isfinite(values[trial]), values[trial], np.nan)
        low[begin:stop] = np.fmin(low[begin:stop], value)
        high[begin:stop] = np.fmax(high[begin:stop], value)
    return low, high


def usual_range(values: Shaped[np.ndarray, "R *C"]) -> tuple[float, float]:
    """Values between which nearly all others lie, for the scale of an axis.

    Args:
        values: Numbers; what is not finite is missing.
    """
    part = np.asarray(values[:: max(1, len(values) // 100_000)], dtype=np.float64)
    finite = part[np.isfinite(part)]
    if not len(finite):
        return 0.0, 1.0
    low, high = (float(x) for x in np.quantile(finite, [0.001, 0.999]))
    return (low, high) if high > low else (low - 0.5, low + 0.5)
