"""Averages over trials: which trials, and what a run predicted of all units in them.

Predictions lie in the order of time, so that one unit costs as much as all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from neuroduet.view.bins import BinnedCounts, in_background
from neuroduet.view.recordings import Trials

BINS = 50
LONGEST_TRIAL_S = 10.0
MOST_TRIALS = 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """Trials, aligned to their start.

    Attributes:
        middle_s: Middle of every bin after the start (s).
        edges_s: Edges of the bins of every trial (s).
        predicted: Mean over trials of what was predicted, for every bin and row of the display;
            ``None`` if nothing was.
        split: Which split they are; ``None`` if they are of several, or of none.
    """

    middle_s: Float[np.ndarray, " B"]
    edges_s: Float[np.ndarray, "J B1"]
    predicted: Future[Float[np.ndarray, "B N"]] | None
    split: str | None


def align(trials: Trials, splits: Sequence[str], rates: BinnedCounts | None) -> Aligned | None:
    """Choose trials: those that were predicted, if any were, so that curves stand for the same.

    Of these the test trials, if there are any: a model knows the others.

    Args:
        trials: All trials.
        splits: Split of every trial; empty where unknown.
        rates: What a run predicted, if it did.

    Returns:
        ``None`` if there are no such trials.
    """
    start_s, end_s, split = trials.start_s, trials.end_s, np.array(splits, dtype=np.str_)
    if rates is not None and not len(rates.timestamps):
        rates = None
    if rates is not None:
        known = _near(rates, (start_s + end_s) / 2)
        tested = known & (split == "test")
        known = tested if tested.any() else known
        start_s, end_s, split = start_s[known], end_s[known], split[known]
    stride = max(1, -(-len(start_s) // MOST_TRIALS))
    start_s, end_s = start_s[::stride], end_s[::stride]
    if not len(start_s):
        return None
    names = np.unique(split)
    edges_s = np.linspace(0, min(float(np.median(end_s - start_s)), LONGEST_TRIAL_S), BINS + 1)
    at_s = start_s[:, None] + edges_s
    return Aligned(
        middle_s=(edges_s[:-1] + edges_s[1:]) / 2,
        edges_s=at_s,
        predicted=None if rates is None else in_background(lambda: _means(rates, at_s)),
        split=str(names[0]) or None if len(names) == 1 else None,
    )


def _near(rates: BinnedCounts, at_s: Float[np.ndarray, " J"]) -> Bool[np.ndarray, " J"]:
    """Whether something was predicted for each of some times."""
    right = np.searchsorted(rates.timestamps, at_s).clip(max=len(rates.timestamps) - 1)
    left = np.maximum(right - 1, 0)
    gap_s = np.minimum(*(np.abs(rates.timestamps[one] - at_s) for one in (left, right)))
    return np.asarray(gap_s <= rates.bin_size_s)


def _means(rates: BinnedCounts, edges_s: Float[np.ndarray, "J B1"]) -> Float[np.ndarray, "B N"]:
    """Mean over trials of every bin; NaN where no trial says."""
    # Both go through the file: at the same time, each would take from the other what it unpacked.
    rates.blocks.result()
    total, seen = np.zeros((BINS, len(rates.order))), np.zeros((BINS, 1))
    for edges in edges_s:
        low, high = rates.rows(edges)
        total += rates.image(edges)
        seen += (high > low)[:, None]
    return np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
