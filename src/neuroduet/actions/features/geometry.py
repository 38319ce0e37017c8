"""Geometry of bodies: centre, heading, length, egocentric coordinates, distances and angles.

Shape letters: ``T`` frames, ``A`` animals, ``P`` keypoints. Missing keypoints are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class Bodies:
    """Where every animal is and which way it looks.

    Attributes:
        points: Keypoints in body lengths, ``(T, A, P, 2)``.
        centre: Mean of the keypoints of the axis that are seen, ``(T, A, 2)``.
        heading: Unit vector from the back to the front, ``(T, A, 2)``.
        front: Frontmost keypoint of the axis, ``(T, A, 2)``.
    """

    points: Float[np.ndarray, "T A P 2"]
    centre: Float[np.ndarray, "T A 2"]
    heading: Float[np.ndarray, "T A 2"]
    front: Float[np.ndarray, "T A 2"]


def mean_of_seen(values: Float[np.ndarray, "*S P C"]) -> Float[np.ndarray, "*S C"]:
    """Mean over the last axis but one of what is not NaN; NaN where everything is."""
    seen = np.isfinite(values)
    count = seen.sum(-2)
    mean = np.where(seen, values, 0.0).sum(-2) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan)


def median_of_seen(values: np.ndarray, otherwise: float) -> float:
    """Median of what is finite, or another value if nothing is."""
    seen = values[np.isfinite(values)]
    return float(np.median(seen)) if len(seen) else otherwise


def compute_heading(axis_points: Float[np.ndarray, "*S P 2"]) -> Float[np.ndarray, "*S 2"]:
    """Direction in which keypoints along the body point, front first.

    The slope of the positions over the keypoints' order, so that any two keypoints will do.

    Args:
        axis_points: Keypoints from front to back.

    Returns:
        Unit vectors; NaN with fewer than two keypoints, or if they coincide.
    """
    order = np.linspace(1.0, -1.0, axis_points.shape[-2])[:, None]
    seen = np.isfinite(axis_points)
    weight = np.where(seen, order, np.nan)
    weight = weight - mean_of_seen(weight)[..., None, :]
    slope = np.where(seen, weight * axis_points, 0.0).sum(-2)
    length = np.linalg.norm(slope, axis=-1, keepdims=True)
    return np.divide(slope, length, out=np.full_like(slope, np.nan), where=length > 0)


def compute_body_length(axis_points: Float[np.ndarray, "T A P 2"]) -> float:
    """Median distance from the front to the back of the axis, over frames and animals.

    Where the two are never seen together, the largest median distance between two keypoints; 1 if
    no two keypoints are ever seen together.
    """
    ends = np.linalg.norm(axis_points[:, :, 0] - axis_points[:, :, -1], axis=-1)
    length = median_of_seen(ends, 0.0)
    if length == 0.0:
        pairs = zip(*np.triu_indices(axis_points.shape[2], 1), strict=True)
        gaps = (axis_points[:, :, i] - axis_points[:, :, j] for i, j in pairs)
        medians = (median_of_seen(np.linalg.norm(gap, axis=-1), 0.0) for gap in gaps)
        length = max(medians, default=0.0)
    return length or 1.0


def rotate_into(
    vectors: Float[np.ndarray, "*S 2"], heading: Float[np.ndarray, "*#S 2"]
) -> Float[np.ndarray, "*S 2"]:
    """Components of vectors along a heading and to the left of it."""
    ahead = (vectors * heading).sum(-1)
    left = heading[..., 0] * vectors[..., 1] - heading[..., 1] * vectors[..., 0]
    return np.stack([ahead, left], axis=-1)


def align_egocentric(
    points: Float[np.ndarray, "T A P 2"],
    centre: Float[np.ndarray, "T A 2"],
    heading: Float[np.ndarray, "T A 2"],
) -> Float[np.ndarray, "T A P 2"]:
    """Points as seen from a place and a direction: (ahead, to the left)."""
    return rotate_into(points - centre[:, :, None], heading[:, :, None])


def compute_distances(points: Float[np.ndarray, "*S P 2"]) -> Float[np.ndarray, "*S Q"]:
    """Distance between every keypoint and the next, Q = P - 1."""
    return np.linalg.norm(np.diff(points, axis=-2), axis=-1)


def compute_angles(points: Float[np.ndarray, "*S P 2"]) -> Float[np.ndarray, "*S Q"]:
    """Angle by which the body bends at every inner keypoint (radians), Q = P - 2; 0: straight."""
    steps = np.diff(points, axis=-2)
    before, after = steps[..., :-1, :], steps[..., 1:, :]
    cross = before[..., 0] * after[..., 1] - before[..., 1] * after[..., 0]
    return np.arctan2(cross, (before * after).sum(-1))


def find_bodies(points: Float[np.ndarray, "T A P 2"], axis: tuple[int, ...]) -> Bodies:
    """Centre, heading and front of every animal, in body lengths of the recording.

    Args:
        points: Keypoints.
        axis: Keypoints along the body, front first.
    """
    scaled = points / compute_body_length(points[:, :, list(axis)])
    along = scaled[:, :, list(axis)]
    return Bodies(
        points=scaled,
        centre=mean_of_seen(along),
        heading=compute_heading(along),
        front=along[:, :, 0],
    )
