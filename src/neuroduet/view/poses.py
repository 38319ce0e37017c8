"""Poses of animals, and the lines that join their keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from neuroduet.view.segments import Clock

MOST_FRAMES = 2000
"""Frames of one answer."""

SAMPLE = 2000
"""Frames from which ranges and lines are found."""

MOST_DISTANCES = 20_000_000
"""Distances between keypoints that are measured, at most, to find lines."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """Keypoints over time.

    Attributes:
        times: When the frames are.
        xy: Coordinates, ``(T, animals, keypoints, 2)``; may lie on disk.
        likelihood: Of every point, if known.
        keypoints: Their names.
        edges: Pairs of keypoints of one animal to be joined.
        low: Lowest usual x and y.
        high: Highest usual x and y.
    """

    times: Clock
    xy: Shaped[np.ndarray, "T A P 2"]
    likelihood: Shaped[np.ndarray, "T A P"] | None
    keypoints: tuple[str, ...]
    edges: list[list[int]]
    low: list[float]
    high: list[float]


def open_pose(
    times: Clock,
    xy: Shaped[np.ndarray, "T *A 2"],
    likelihood: Shaped[np.ndarray, "T *A"] | None,
    keypoints: tuple[str, ...],
) -> Pose:
    """Prepare a pose for drawing.

    Args:
        times: When the frames are.
        xy: ``(T, keypoints, 2)`` or ``(T, animals, keypoints, 2)``.
        likelihood: Without the last axis, if known.
        keypoints: Their names; numbers if there are none.
    """
    n_frames, n_points = len(xy), xy.shape[-2]
    n_animals = xy.shape[1] if xy.ndim == 4 else 1
    xy = xy.reshape(n_frames, n_animals, n_points, 2)
    sample = np.array(xy[:: max(1, n_frames // SAMPLE)], dtype=np.float64)
    sample[~np.isfinite(sample)] = np.nan
    points = sample.reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    known = len(points) > 0
    low, high = (
        np.quantile(points, [0.001, 0.999], axis=0) if known else np.array([[0, 0], [1, 1]])
    )
    return Pose(
        times=times,
        xy=xy,
        likelihood=None if likelihood is None else likelihood.reshape(xy.shape[:-1]),
        keypoints=keypoints or tuple(str(number) for number in range(n_points)),
        edges=skeleton(sample),
        low=[float(x) for x in low],
        high=[float(x) for x in high],
    )


def skeleton(xy: Float[np.ndarray, "T A P 2"]) -> list[list[int]]:
    """Lines that join all keypoints and are as short as can be.

    Recordings do not say which keypoints belong together; those that stay close mostly do.

    Args:
        xy: Coordinates of some frames; NaN where missing.

    Returns:
        Pairs of keypoints.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    points = xy.reshape(-1, *xy.shape[-2:])
    n_points = points.shape[1]
    points = points[:: max(1, len(points) * n_points**2 // MOST_DISTANCES)]
    far = np.zeros((n_points, n_points))
    for a in range(n_points - 1):
        apart = np.linalg.norm(points[:, a + 1 :] - points[:, a : a + 1], axis=-1)
        met = np.flatnonzero(np.isfinite(apart).any(axis=0))
        # A distance of 0 would be no line at all.
        far[a, a + 1 + met] = np.maximum(np.nanmedian(apart[:, met], axis=0), 1e-9)
    tree = minimum_spanning_tree(far).tocoo()
    return sorted(
        [int(min(a, b)), int(max(a, b))] for a, b in zip(tree.row, tree.col, strict=True)
    )


def encode_pose(pose: Pose, start_s: float, end_s: float) -> bytes:
    """Poses of a window as the page reads them, at regular times; NaN where no frame is near.

    Args:
        pose: Keypoints.
        start_s: Start of the window (s).
        end_s: Its end (s).
    """
    first, last = pose.times.frames(start_s, end_s)
    n_points = int(np.prod(pose.xy.shape[1:3]))
    step_s, first_s = pose.times.step_s, 0.0
    found = np.zeros((0, n_points, 3), dtype="<f4")
    if last > first:
        first_s, last_s = pose.times.start_s[first], pose.times.start_s[last - 1]
        n_frames = round((last_s - first_s) / step_s) + 1
        step_s *= max(1, -(-n_frames // MOST_FRAMES))
        at_s = first_s + step_s * np.arange(int((last_s - first_s) / step_s + 1e-6) + 1)
        found = _sampled(pose, at_s[:MOST_FRAMES], first, last)
    head = np.array([1, len(found), n_points, 0], dtype="<u4").tobytes()
    # Half the precision would blur the frames of a clock that began days ago.
    return head + np.array([first_s, step_s], dtype="<f8").tobytes() + found.tobytes()


def _sampled(
    pose: Pose, at_s: Float[np.ndarray, " F"], first: int, last: int
) -> Float[np.ndarray, "F P 3"]:
    times = pose.times.start_s[first:last]
    right = np.clip(np.searchsorted(times, at_s), 1, max(len(times) - 1, 1)).clip(
        max=len(times) - 1
    )
    left = np.maximum(right - 1, 0)
    nearest = np.where(at_s - times[left] <= times[right] - at_s, left, right)
    far = np.abs(times[nearest] - at_s) > 0.75 * pose.times.step_s
    xy = np.array(pose.xy[first + nearest], dtype=np.float64)
    shape = (*xy.shape[:-1], 3)
    points = np.empty(shape, dtype="<f4")
    points[..., :2] = np.where(np.isfinite(xy), xy, np.nan)
    if pose.likelihood is None:
        points[..., 2] = np.isfinite(xy).all(-1)
    else:
        points[..., 2] = pose.likelihood[first + nearest]
    points[far] = np.nan
    return points.reshape(len(at_s), -1, 3)
