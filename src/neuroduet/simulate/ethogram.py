"""Recordings of animals whose actions are known: bouts, movement, and what a tracker makes of it.

Bouts of actions (:mod:`neuroduet.simulate.bouts`) move one or two bodies
(:mod:`neuroduet.simulate.bodies`); a tracker loses keypoints for a few frames and may confuse the
animals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neuroduet.errors import UserError
from neuroduet.simulate.bodies import ACTIONS, KEYPOINTS, move
from neuroduet.simulate.bouts import STAGES, bout_chain, draw_chain
from neuroduet.simulate.streams import stream

LOST_FRAMES = 6.0
"""Mean length of a time in which a keypoint is lost (frames)."""

MOST_MISSING = 0.8
"""Share of lost keypoints above which times of that length leave no room for others."""


@dataclass(frozen=True, kw_only=True)
class Ethogram:
    """Simulated recordings.

    Attributes:
        pose: One array per recording, ``(T, keypoints, 3)`` or ``(T, animals, keypoints, 3)``:
            x, y (px, NaN where lost) and likelihood.
        states: Action of every frame of every recording, ``(T,)``.
        speed: Speed of the first animal (body lengths/s), ``(T,)``.
        names: Names of the actions.
        keypoints: Names of the keypoints.
        fps: Frames per second.
        transition: From each stage to each, per frame, ``(K STAGES, K STAGES)``; the stages of
            action k are ``k STAGES`` and those that follow.
    """

    pose: tuple[Float[np.ndarray, "T *A 3"], ...]
    states: tuple[Int[np.ndarray, " T"], ...]
    speed: tuple[Float[np.ndarray, " T"], ...]
    names: tuple[str, ...]
    keypoints: tuple[str, ...]
    fps: float
    transition: Float[np.ndarray, "KS KS"]


def simulate_pose(
    n_recordings: int,
    n_frames: int,
    *,
    n_animals: int = 1,
    n_classes: int = 4,
    seed: int = 0,
    missing: float = 0.1,
    swaps_per_minute: float = 0.0,
    bout_s: float = 2.0,
    fps: float = 25.0,
) -> Ethogram:
    """Simulate recordings of one animal or of two.

    Every recording has random streams of its own: more recordings leave the others as they are,
    and what is lost or swapped changes nothing else.

    Args:
        n_recordings: How many recordings, at least 1.
        n_frames: Frames T of each, at least 1.
        n_animals: 1 or 2; with two, the state is what the pair does.
        n_classes: Actions K, from 2 to the length of :data:`ACTIONS`.
        seed: Seed of everything, at least 0.
        missing: Share of keypoints that are lost, from 0 to :data:`MOST_MISSING`.
        swaps_per_minute: How often the two animals exchange their identities.
        bout_s: Mean length of a bout (s).
        fps: Frames per second.

    Returns:
        Pose and states.

    Raises:
        UserError: An argument is out of range.
    """
    _check(n_recordings, n_frames, n_animals, n_classes, seed)
    _check_losses(missing, swaps_per_minute)
    transition = bout_chain(n_classes, bout_s * fps, stream(seed, 0))
    poses, states, speeds = [], [], []
    for index in range(n_recordings):
        acting, moving, losing, swapping = (stream(seed, 1, index, part) for part in range(4))
        state = draw_chain(transition, n_frames, acting) // STAGES
        movement = move(ACTIONS, state, n_animals, fps, moving)
        lost = lost_points(movement.points.shape[:3], missing, losing)
        seen = _observed(movement.points, lost, losing)
        told = swap_animals(seen, swaps_per_minute / 60 / fps, swapping)
        poses.append(told[:, 0] if n_animals == 1 else told)
        states.append(state)
        speeds.append(movement.speed)
    return Ethogram(
        pose=tuple(poses),
        states=tuple(states),
        speed=tuple(speeds),
        names=tuple(action.name for action in ACTIONS[:n_classes]),
        keypoints=KEYPOINTS,
        fps=fps,
        transition=transition,
    )


def lost_points(
    shape: Sequence[int], missing: float, generator: np.random.Generator
) -> Bool[np.ndarray, "T A P"]:
    """Draw when keypoints are lost: in runs of about :data:`LOST_FRAMES` frames.

    Args:
        shape: Frames, animals and keypoints.
        missing: Long-run share of lost keypoints, from 0 to :data:`MOST_MISSING`.
        generator: Source of randomness.

    Returns:
        True where lost.
    """
    uniform = generator.random(tuple(shape))
    back = 1 / LOST_FRAMES
    lose = back * missing / (1 - missing)
    lost = np.empty(tuple(shape), dtype=bool)
    lost[0] = uniform[0] < missing
    for t in range(1, len(lost)):
        lost[t] = uniform[t] < np.where(lost[t - 1], 1 - back, lose)
    return lost


def swap_animals(
    pose: Float[np.ndarray, "T A P 3"], probability: float, generator: np.random.Generator
) -> Float[np.ndarray, "T A P 3"]:
    """Exchange the animals at random times, until the next such time.

    Args:
        pose: Pose.
        probability: Chance of an exchange in every frame.
        generator: Source of randomness.

    Returns:
        Pose in which some frames have the order of the animals reversed.
    """
    swapped = np.cumsum(generator.random(len(pose)) < probability) % 2 == 1
    return np.where(swapped[:, None, None, None], pose[:, ::-1], pose)


def _observed(
    points: Float[np.ndarray, "T A P 2"],
    lost: Bool[np.ndarray, "T A P"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "T A P 3"]:
    """Keypoints with their likelihood, NaN where lost."""
    doubt = generator.random(lost.shape)
    likelihood = np.where(lost, 0.4 * doubt, 1 - 0.3 * doubt**2)
    found = np.where(lost[..., None], np.nan, points)
    return np.concatenate([found, likelihood[..., None]], axis=-1)


def _check(n_recordings: int, n_frames: int, n_animals: int, n_classes: int, seed: int) -> None:
    if min(n_recordings, n_frames) < 1 or seed < 0:
        raise UserError(
            f"cannot simulate {n_recordings} recordings of {n_frames} frames with seed {seed}; "
            "ask for at least one of each and a seed from 0 on"
        )
    if n_animals not in (1, 2) or not 2 <= n_classes <= len(ACTIONS):
        raise UserError(
            f"cannot simulate {n_animals} animals with {n_classes} classes; ask for 1 or 2 "
            f"animals and 2 to {len(ACTIONS)} classes"
        )


def _check_losses(missing: float, swaps_per_minute: float) -> None:
    if not 0 <= missing <= MOST_MISSING or swaps_per_minute < 0:
        raise UserError(
            f"missing is {missing} and swaps_per_minute {swaps_per_minute}; give a share from 0 "
            f"to {MOST_MISSING} and a rate from 0 on"
        )
