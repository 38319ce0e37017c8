"""How many rounds of boosting are enough."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64
from scipy.special import log_softmax

from neuroduet.actions.model import Report
from neuroduet.actions.tree_examples import Examples
from neuroduet.actions.tree_growers import Boosted, Grow

BLOCK_ROUNDS = 50
"""Rounds grown at a time: how often progress is told and the held-out loss looked at."""


def best_rounds(grow: Grow, judge: Examples, most: int, patience: int, report: Report) -> int:
    """Rounds with the least loss on held-out examples.

    Args:
        grow: Grows trees from the other examples.
        judge: The held-out examples.
        most: Most rounds.
        patience: Rounds without a better loss after which growing stops.
        report: Told the rounds grown and the loss.
    """
    losses: list[float] = []
    scores: np.ndarray | None = None
    for done in steps(most, BLOCK_ROUNDS):
        boosted = grow(done)
        scores = np.tile(boosted.baseline, (len(judge.y), 1)) if scores is None else scores
        scores = _follow(boosted, judge, scores, losses)
        report(done, most, losses[-1])
        if done - 1 - int(np.argmin(losses)) >= patience:
            break
    return int(np.argmin(losses)) + 1


def logits(scores: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N P"]:
    """One score per class; a single one is the log-odds of the second of two classes."""
    return scores if scores.shape[1] > 1 else np.column_stack([np.zeros(len(scores)), scores])


def steps(total: int, size: int) -> list[int]:
    """How far each block of ``size`` goes.

    >>> steps(60, 25)
    [25, 50, 60]
    """
    return [*range(size, total, size), total]


def _follow(
    boosted: Boosted, judge: Examples, scores: Float64[np.ndarray, "N C"], losses: list[float]
) -> Float64[np.ndarray, "N C"]:
    """Add the loss after each round not yet judged to ``losses``; returns the new scores."""
    n_scores = len(boosted.baseline)
    for done in range(len(losses), len(boosted.trees.roots) // n_scores):
        trees = range(done * n_scores, (done + 1) * n_scores)
        said = [boosted.trees.leaf_values(tree, judge.x)[:, 0] for tree in trees]
        scores = scores + np.column_stack(said)
        logs = log_softmax(logits(scores), axis=1)[np.arange(len(judge.y)), judge.y]
        losses.append(float(-np.average(logs, weights=judge.weight)))
    return scores
