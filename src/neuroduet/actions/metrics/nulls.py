"""Predictions that know nothing about the recording, to stand beside every number."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from neuroduet.actions.metrics.segments import runs


def shuffled_bouts(
    predicted: Int[np.ndarray, " T"], generator: np.random.Generator
) -> Int[np.ndarray, " T"]:
    """An order of the frames that permutes the predicted bouts and keeps each in one piece.

    How many bouts of which duration each class has stays what it was; when they come does not.
    Neighbours never have the same class: they would merge, and fewer bouts alone make for a
    better edit score.

    Args:
        predicted: Predicted classes, ``(T,)``.
        generator: Draws the permutation.

    Returns:
        Frame indices, ``(T,)``, to index predictions or probabilities with.
    """
    start, end, label = runs(predicted)
    order = _shuffled_without_neighbours(label, generator)
    lengths = (end - start)[order]
    within = np.arange(len(predicted)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(start[order], lengths) + within


def constant_probabilities(
    n_frames: int, share: Float[np.ndarray, " K"]
) -> Float[np.ndarray, "T K"]:
    """The frequencies of the classes, given for every frame, ``(n_frames, K)``."""
    return np.broadcast_to(share, (n_frames, len(share)))


def _shuffled_without_neighbours(
    label: Int[np.ndarray, " n"], generator: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """Random order of bouts in which no two neighbours are of one class, as none are now."""
    classes = np.unique(label)
    bouts = [generator.permutation(np.flatnonzero(label == k)).tolist() for k in classes]
    order = np.empty(len(label), int)
    last = -1
    for place, chance in enumerate(generator.random(len(label)).tolist()):
        left = len(label) - place
        # A class with more than half of what is left must come now, or two would meet later.
        due = [k for k, own in enumerate(bouts) if 2 * len(own) > left and k != last]
        last = due[0] if due else _drawn([len(own) for own in bouts], last, chance)
        order[place] = bouts[last].pop()
    return order


def _drawn(left: list[int], last: int, chance: float) -> int:
    """A class other than the last, in proportion to its bouts left; ``chance`` in [0, 1)."""
    target = chance * (sum(left) - (left[last] if last >= 0 else 0))
    chosen = last
    for k, n in enumerate(left):
        if k == last or n == 0:
            continue
        chosen = k
        target -= n
        if target < 0:
            break
    return chosen
