"""Missing keypoints and gaps: what was seen, and what may be filled in."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def keep_visible(pose: Float[np.ndarray, "T A P C"], min_likelihood: float) -> np.ndarray:
    """Coordinates of the keypoints that were seen.

    Args:
        pose: Coordinates and, where C is 3, likelihoods of P keypoints of A animals.
        min_likelihood: Keypoints below it are missing; so are those without a likelihood.

    Returns:
        ``(T, A, P, 2)``; both coordinates of a missing keypoint are NaN.
    """
    points = pose[..., :2]
    seen = np.isfinite(points).all(-1)
    if pose.shape[-1] == 3:
        seen &= pose[..., 2] >= min_likelihood
    return np.where(seen[..., None], points, np.nan)


def interpolate(values: Float[np.ndarray, "T ..."], limit: int) -> Float[np.ndarray, "T ..."]:
    """Fill short gaps linearly; before the first and after the last value hold it.

    A gap is filled as a whole or not at all: half of a long gap would be a guess with an edge.

    Args:
        values: One column per signal; what is not finite is missing.
        limit: Longest gap to fill (frames).

    Returns:
        The values, NaN in gaps that are too long.
    """
    flat = values.reshape(len(values), int(np.prod(values.shape[1:]))).astype(float)
    for column in flat.T:
        column[:] = _filled(column, limit)
    return flat.reshape(values.shape)


def _filled(column: Float[np.ndarray, " T"], limit: int) -> Float[np.ndarray, " T"]:
    """One signal with its short gaps filled."""
    seen = np.isfinite(column)
    if seen.all() or not seen.any():
        return np.where(seen, column, np.nan)
    frames = np.arange(len(column))
    filled = np.interp(frames, frames[seen], column[seen])
    return np.where(seen | (_gap_lengths(seen) <= limit), filled, np.nan)


def _gap_lengths(seen: Bool[np.ndarray, " T"]) -> Int[np.ndarray, " T"]:
    """Length of the run of equal entries that every frame belongs to."""
    starts = np.flatnonzero(np.r_[True, seen[1:] != seen[:-1]])
    lengths = np.diff(np.r_[starts, len(seen)])
    return np.repeat(lengths, lengths)
