"""Where expectation maximisation begins: clusters of positions and movements."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import uniform_filter1d

from neuroduet.actions.hmm.autoregressive import Stream
from neuroduet.actions.hmm.fitting import (
    PORTION,
    Expected,
    Parameters,
    Prior,
    maximise_all,
    total_moments,
)

SAMPLE = 20_000
"""Frames that clusters are sought in; all frames are then assigned."""

SMOOTHED = 5
"""Frames over which positions are averaged."""

ROUNDS = 50
"""Most rounds of k-means."""


def clustered(stream: Stream, n_states: int, prior: Prior, rng: np.random.Generator) -> Parameters:
    """A model whose states are clusters of positions and movements.

    Args:
        stream: The frames.
        n_states: Number of states.
        prior: What is believed before any frame.
        rng: Of the sample and of the first centres.
    """
    points = positions_and_movements(stream)
    sample = np.sort(rng.permutation(len(points))[:SAMPLE])
    centres = k_means(points[sample].astype(float), n_states, rng)
    states = [nearest(points[i : i + PORTION], centres) for i in range(0, len(points), PORTION)]
    return from_states(stream, np.concatenate(states), n_states, prior)


def positions_and_movements(stream: Stream) -> Float[np.ndarray, "T _"]:
    """Smoothed components of all frames beside their change per frame, all of unit scale.

    Smoothing keeps noise that is larger than a movement from deciding the first states: clusters
    of noise are a poor optimum that expectation maximisation does not leave.
    """
    points = np.zeros((len(stream.values), 2 * stream.components), np.float32)
    ends = np.cumsum([0, *stream.lengths])
    for begin, stop in zip(ends[:-1], ends[1:], strict=True):
        smooth = uniform_filter1d(stream.values[begin:stop], SMOOTHED, axis=0, mode="nearest")
        points[begin:stop, : stream.components] = smooth
        if stop - begin > 1:
            points[begin:stop, stream.components :] = np.gradient(smooth, axis=0)
    spread = points.std(0, dtype=float)
    points /= np.where(spread > 1e-6, spread, 1.0)
    return points


def k_means(
    points: Float[np.ndarray, "N D"], n_clusters: int, rng: np.random.Generator
) -> Float[np.ndarray, "C D"]:
    """Centres of clusters: far-apart points first (k-means++), then Lloyd's rounds.

    A centre that no point is nearest to stays where it is, so that fewer points than clusters do
    no harm.
    """
    centres = points[rng.integers(len(points), size=1)]
    for _ in range(n_clusters - 1):
        distance = _squared_distances(points, centres).min(1)
        total = distance.sum()
        chance = distance / total if total > 0 else None
        centres = np.concatenate([centres, points[rng.choice(len(points), size=1, p=chance)]])
    for _ in range(ROUNDS):
        assigned = np.eye(n_clusters)[nearest(points, centres)]
        counts = assigned.sum(0)[:, None]
        moved = np.where(counts > 0, assigned.T @ points / np.maximum(counts, 1), centres)
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres


def nearest(
    points: Float[np.ndarray, "N D"], centres: Float[np.ndarray, "C D"]
) -> Int[np.ndarray, " N"]:
    """Index of the centre nearest to each point."""
    return _squared_distances(points, centres).argmin(1)


def _squared_distances(points: np.ndarray, centres: np.ndarray) -> Float[np.ndarray, "N C"]:
    squares = (points**2).sum(1)[:, None] + (centres**2).sum(1)
    return np.maximum(squares - 2 * points @ centres.T, 0.0)


def from_states(
    stream: Stream, states: Int[np.ndarray, " T"], n_states: int, prior: Prior
) -> Parameters:
    """The model that known states suggest.

    Args:
        stream: The frames.
        states: State of every frame, -1 where not known.
        n_states: Number of states.
        prior: What is believed before any frame.
    """
    opens = np.zeros(len(states), bool)
    opens[np.cumsum([0, *stream.lengths[:-1]])] = True
    joined = ~opens[1:] & (states[1:] >= 0) & (states[:-1] >= 0)
    steps = states[:-1][joined] * n_states + states[1:][joined]
    first = states[opens]
    one_hot = np.concatenate([np.eye(n_states), np.zeros((1, n_states))])
    found = Expected(
        log_likelihood=0.0,
        opening=np.bincount(first[first >= 0], minlength=n_states).astype(float),
        pairs=np.bincount(steps, minlength=n_states**2).reshape(n_states, -1).astype(float),
        moments=total_moments(stream, lambda begin, stop: one_hot[states[begin:stop]]),
    )
    return maximise_all(found, prior, stream.components)
