"""What an animal does by itself: its posture in its own frame, and how it moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from neuroduet.actions.features.blocks import Block, numbered
from neuroduet.actions.features.geometry import (
    Bodies,
    align_egocentric,
    compute_angles,
    compute_distances,
    rotate_into,
)
from neuroduet.actions.features.motion import (
    compute_acceleration,
    compute_speed,
    compute_turning,
    compute_velocity,
    compute_wavelet_amplitudes,
)

SPEED_UNIT = 0.01
"""Speeds (body lengths per frame) well below it read linearly, those above logarithmically: errors
of the tracker are jumps, and must not outweigh everything else."""


def compress(speeds: Float[np.ndarray, "*S"]) -> Float[np.ndarray, "*S"]:
    """Logarithmic speeds, linear near 0; signed."""
    return np.sign(speeds) * np.log1p(np.abs(speeds) / SPEED_UNIT)


def egocentric_blocks(bodies: Bodies) -> list[Block]:
    """Keypoints in the animal's own frame, their velocities, and how the frame itself moves."""
    own = align_egocentric(bodies.points, bodies.centre, bodies.heading)
    flat = own.reshape(*own.shape[:2], -1)
    names = [f"ego{i}.{c}" for i in range(own.shape[2]) for c in ("ahead", "left")]
    walk = rotate_into(compute_velocity(bodies.centre), bodies.heading)
    turning = compute_turning(bodies.heading)[..., None]
    return [
        Block(names=tuple(names), values=flat),
        Block(names=tuple(f"velocity.{n}" for n in names), values=compute_velocity(flat)),
        Block(
            names=("walk.ahead", "walk.left", "turning"),
            values=np.concatenate([walk, turning], -1),
        ),
    ]


def movement_blocks(bodies: Bodies, spans: Sequence[int]) -> list[Block]:
    """Speeds of the body over several spans, its acceleration, and speeds of the keypoints."""
    speeds = np.stack([compute_speed(bodies.centre, span) for span in spans], -1)
    acceleration = np.linalg.norm(compute_acceleration(bodies.centre), axis=-1)[..., None]
    points = compute_speed(bodies.points)
    return [
        Block(names=tuple(f"speed.{span}" for span in spans), values=compress(speeds)),
        Block(names=("acceleration",), values=compress(acceleration)),
        Block(names=numbered("keypoint_speed", points.shape[2]), values=compress(points)),
    ]


def posture_blocks(bodies: Bodies) -> list[Block]:
    """Distances and angles between keypoints that follow each other."""
    distances, angles = compute_distances(bodies.points), compute_angles(bodies.points)
    return [
        Block(names=numbered("distance", distances.shape[2]), values=distances),
        Block(names=numbered("angle", angles.shape[2]), values=angles),
    ]


def wavelet_blocks(bodies: Bodies, periods: Sequence[int]) -> list[Block]:
    """Amplitudes of oscillations in the compressed speeds of all keypoints."""
    speeds = compress(compute_speed(bodies.points))
    frames, animals, keypoints = speeds.shape
    amplitudes = compute_wavelet_amplitudes(speeds.reshape(frames, -1), periods)
    by_animal = amplitudes.reshape(frames, len(periods), animals, keypoints).swapaxes(1, 2)
    names = tuple(f"wavelet{i}.{p}" for p in periods for i in range(keypoints))
    return [Block(names=names, values=by_animal.reshape(frames, animals, -1))]
