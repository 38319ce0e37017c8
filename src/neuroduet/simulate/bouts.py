"""Bouts of actions as a Markov chain whose stages make very short bouts rare."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from neuroduet.errors import UserError

STAGES = 3
"""Stages of a bout; the shortest bout has as many frames."""


def bout_chain(
    n_classes: int, mean_frames: float, generator: np.random.Generator
) -> Float[np.ndarray, "KS KS"]:
    """A Markov chain of stages whose bouts last as long as asked, on average.

    Args:
        n_classes: Actions K.
        mean_frames: Mean length of a bout, above :data:`STAGES`.
        generator: Draws which action follows which.

    Returns:
        Transition matrix of the stages: a stage lasts, or gives way to the next one of its action
        or, if it is the last, to the first one of another action.
    """
    if mean_frames <= STAGES:
        raise UserError(
            f"bouts of {mean_frames:.1f} frames are too short; the mean must exceed {STAGES}"
        )
    follows = generator.dirichlet(np.full(n_classes, 2.0), n_classes) * (1 - np.eye(n_classes))
    follows /= follows.sum(axis=1, keepdims=True)
    leave = STAGES / mean_frames
    chain = (1 - leave) * np.eye(n_classes * STAGES)
    for k in range(n_classes):
        first, last = k * STAGES, (k + 1) * STAGES - 1
        stage = np.arange(first, last)
        chain[stage, stage + 1] = leave
        chain[last, ::STAGES] = leave * follows[k]
    return chain


def stationary(transition: Float[np.ndarray, "S S"]) -> Float[np.ndarray, " S"]:
    """Long-run probabilities of an irreducible Markov chain."""
    size = len(transition)
    system = np.vstack([transition.T - np.eye(size), np.ones(size)])
    return np.asarray(np.linalg.lstsq(system, np.eye(size + 1)[-1], rcond=None)[0])


def draw_chain(
    transition: Float[np.ndarray, "S S"], n_frames: int, generator: np.random.Generator
) -> Int[np.ndarray, " T"]:
    """Draw a path of a Markov chain that starts from its long-run probabilities."""
    uniform = generator.random(n_frames)
    edges = np.cumsum(transition, axis=1)
    edges[:, -1] = 1.0
    path = np.empty(n_frames, dtype=np.int64)
    path[0] = np.searchsorted(np.cumsum(stationary(transition))[:-1], uniform[0], side="right")
    for t in range(1, n_frames):
        path[t] = np.searchsorted(edges[path[t - 1]], uniform[t], side="right")
    return path
