"""Which animal is which: the order of animals that lets each move least.

Trackers confuse animals that touch. Motion is meaningful only along one animal's own path, so the
animals of every frame are put in the order that continues the paths; the order given is not used.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

TIE = 1e-6
"""Share of a cost below which two orders are alike; the tracker's own identities then decide."""


def track_animals(points: Float[np.ndarray, "T A P 2"]) -> Float[np.ndarray, "T A P 2"]:
    """Reorder the animals of every frame so that they continue their paths.

    Args:
        points: Keypoints, NaN where missing.

    Returns:
        The same keypoints; exchanging animals in some frames of the input exchanges whole
        animals of the output at most.
    """
    if points.shape[1] == 1:
        return points
    order = np.stack(_orders(points)) if len(points) else np.zeros((0, points.shape[1]), int)
    return np.take_along_axis(points, order[:, :, None, None], axis=1)


def _orders(points: Float[np.ndarray, "T A P 2"]) -> list[Int[np.ndarray, " A"]]:
    """For every frame the animal that continues each path."""
    known = np.full(points.shape[1:], np.nan)
    seen = np.isfinite(points[..., 0])
    whole = seen.all((1, 2))
    order = np.arange(points.shape[1])
    orders = []
    for frame, frame_seen, is_whole in zip(points, seen, whole, strict=True):
        costs = _costs(known, frame)
        # A tie broken by the place in the array would make exchanged animals take other paths.
        costs[np.arange(len(order)), order] -= TIE * (1.0 + costs.max())
        _, order = linear_sum_assignment(costs)
        orders.append(order)
        known = frame[order] if is_whole else _moved(known, frame[order], frame_seen[order])
    return orders


def _costs(
    known: Float[np.ndarray, "A P 2"], frame: Float[np.ndarray, "A P 2"]
) -> Float[np.ndarray, "A A"]:
    """Mean distance of every animal from where each path was; 0 where nothing can be said."""
    gaps = frame[None] - known[:, None]
    return _mean_of_seen(np.sqrt((gaps * gaps).sum(-1)))


def _moved(
    known: Float[np.ndarray, "A P 2"],
    frame: Float[np.ndarray, "A P 2"],
    seen: Bool[np.ndarray, "A P"],
) -> Float[np.ndarray, "A P 2"]:
    """Last known keypoints; those not seen now move along with those that are."""
    shift = _mean_of_seen((frame - known).swapaxes(1, 2))
    return np.where(seen[..., None], frame, known + shift[:, None])


def _mean_of_seen(values: Float[np.ndarray, "*S P"]) -> Float[np.ndarray, "*S"]:
    """Mean of what is not NaN, 0 where nothing is."""
    seen = np.isfinite(values)
    return np.where(seen, values, 0.0).sum(-1) / np.maximum(seen.sum(-1), 1)
