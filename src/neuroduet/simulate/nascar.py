r"""The NASCAR track: a recurrent switching linear system with known states and latents.

A point in the plane drives round two bends and along two straights. Its state ``z`` is drawn from
where it is, its position ``x`` follows the linear dynamics of the state, and ten observed features
``y`` are a noisy rotation of the position into a larger space:

.. math::
    p(z_t = k \mid x_{t-1}) &\propto \exp(R_k^\top x_{t-1} + r_k) \\
    x_t &= A_{z_t} x_{t-1} + b_{z_t} + 0.01\,\epsilon_t, \qquad y_t = C x_t + 0.1\,\eta_t

State 0 turns by pi/24 a frame about (2, 0), state 1 by pi/48 about (-2, 0), both clockwise; state
2 drives right along the upper straight, state 3 left along the lower one. The track widens lap by
lap: late frames lie where no early frame was. Source: the recurrent SLDS of Linderman and others
(2017), with the numbers of Blau and others (arXiv 2407.16727).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from neuroduet.errors import UserError

N_STATES = 4
N_FEATURES = 10
DYNAMICS_SD = 0.01
OBSERVATION_SD = 0.1
START = (0.0, 1.0)
START_STATE = 2

RECURRENCE = np.array([[100.0, 0.0], [-100.0, 0.0], [0.0, 10.0], [0.0, -10.0]])
"""Weights of the position in the logits of the next state, ``(K, 2)``."""

BIAS = np.array([-200.0, -200.0, 0.0, 0.0])
"""Offsets of the logits of the next state, ``(K,)``."""


@dataclass(frozen=True, kw_only=True)
class Nascar:
    """One drive round the track.

    Attributes:
        features: What is observed, ``(T, 10)``.
        states: Which dynamics produced each frame, 0 to 3, ``(T,)``.
        latents: Positions, ``(T, 2)``.
    """

    features: Float[np.ndarray, "T D"]
    states: Int[np.ndarray, " T"]
    latents: Float[np.ndarray, "T 2"]


def nascar(n_frames: int = 15_000, seed: int = 0) -> Nascar:
    """Drive round the track.

    Draws follow each other in a fixed order: the first position, then per frame its state and its
    noise, then the observation matrix, then all observation noise. A longer drive of the same
    seed therefore passes the same positions, seen from another angle.

    Args:
        n_frames: Frames T, at least 1.
        seed: Seed, at least 0.

    Returns:
        Features, states and positions.

    Raises:
        UserError: There is no frame, or the seed is negative.

    Example:
        >>> drive = nascar(n_frames=100)
        >>> drive.features.shape, drive.latents.shape
        ((100, 10), (100, 2))
    """
    if n_frames < 1 or seed < 0:
        raise UserError(
            f"cannot drive {n_frames} frames with seed {seed}; ask for at least 1 frame and a "
            "seed from 0 on"
        )
    generator = np.random.default_rng(seed)
    states, latents = _drive(n_frames, generator)
    observation, _ = np.linalg.qr(generator.standard_normal((N_FEATURES, 2)))
    noise = OBSERVATION_SD * generator.standard_normal((n_frames, N_FEATURES))
    return Nascar(features=latents @ observation.T + noise, states=states, latents=latents)


def dynamics() -> tuple[Float[np.ndarray, "K 2 2"], Float[np.ndarray, "K 2"]]:
    """Matrix ``A`` and offset ``b`` of every state."""
    straight = np.eye(2)
    first, second = _clockwise(np.pi / 24), _clockwise(np.pi / 48)
    centre = np.array([2.0, 0.0])
    offsets = [(straight - first) @ centre, (straight - second) @ -centre]
    return (
        np.stack([first, second, straight, straight]),
        np.array([*offsets, [0.1, 0.0], [-0.25, 0.0]]),
    )


def _drive(
    n_frames: int, generator: np.random.Generator
) -> tuple[Int[np.ndarray, " T"], Float[np.ndarray, "T 2"]]:
    matrices, offsets = dynamics()
    states = np.full(n_frames, START_STATE)
    latents = np.empty((n_frames, 2))
    latents[0] = np.array(START) + DYNAMICS_SD * generator.standard_normal(2)
    for t in range(1, n_frames):
        here = latents[t - 1]
        state = generator.choice(N_STATES, p=_softmax(RECURRENCE @ here + BIAS))
        noise = DYNAMICS_SD * generator.standard_normal(2)
        states[t] = state
        latents[t] = matrices[state] @ here + offsets[state] + noise
    return states, latents


def _clockwise(angle: float) -> Float[np.ndarray, "2 2"]:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _softmax(logits: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
