"""What a model without memory sees of the frames around: neighbours and window statistics.

Nothing reaches across the border of a recording: neighbours that do not exist are the nearest
frame that does, and windows are cut off. The published code rolled the stacked recordings, so that
the first frames of one looked back on the last of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float, Float32
from pydantic import AfterValidator
from scipy.ndimage import maximum_filter1d, minimum_filter1d

BLOCK_FRAMES = 4096
"""Frames widened at a time: a day of video would not fit in memory with all its neighbours."""


def _odd(windows: tuple[int, ...]) -> tuple[int, ...]:
    if any(size < 3 or size % 2 == 0 for size in windows):
        raise ValueError("windows are odd numbers of frames from 3 on")
    return windows


Windows = Annotated[tuple[int, ...], AfterValidator(_odd)]
"""Lengths of centred windows, in frames."""

POSE_WINDOWS = (11, 51, 151)
"""Windows (pooled frames) that served best out of fold on 24 videos of two rats: at 5 Hz they
reach from two seconds to half a minute."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Which other frames a frame is described by.

    Attributes:
        n_lags: Neighbours to either side, besides the frame itself.
        stride: Frames from one neighbour to the next.
        windows: Lengths of centred windows (frames, odd) whose mean, standard deviation, minimum
            and maximum are added.
    """

    n_lags: int
    stride: int = 1
    windows: tuple[int, ...] = ()

    @property
    def reach(self) -> int:
        """Frames to either side that can matter."""
        return max([self.n_lags * self.stride, *(size // 2 for size in self.windows)])

    def columns(self, features: Float[np.ndarray, "T D"]) -> Float32[np.ndarray, "T P"]:
        """Every frame with its neighbours, earliest first, then the statistics of each window."""
        parts = [lagged(features, self.n_lags, self.stride)]
        parts += [window_statistics(features, size) for size in self.windows]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def blocks(
        self, features: Float[np.ndarray, "T D"]
    ) -> Iterator[tuple[slice, Float32[np.ndarray, "_ P"]]]:
        """The same columns, some thousand frames at a time.

        Args:
            features: One recording.

        Yields:
            Which frames, and their columns.
        """
        for start in range(0, len(features), BLOCK_FRAMES):
            stop = min(start + BLOCK_FRAMES, len(features))
            first = max(start - self.reach, 0)
            columns = self.columns(features[first : stop + self.reach])
            yield slice(start, stop), columns[start - first : stop - first]


def lagged(
    features: Float[np.ndarray, "T D"], n_lags: int, stride: int = 1
) -> Float[np.ndarray, "T P"]:
    """Frames at lags ``-n_lags`` to ``n_lags`` side by side; edge frames repeat.

    Args:
        features: One recording.
        n_lags: Neighbours to either side.
        stride: Frames from one neighbour to the next.

    Returns:
        ``(T, (2 n_lags + 1) D)``, the earliest lag first.

    Example:
        >>> lagged(np.array([[1.0], [2.0], [3.0]]), 1)
        array([[1., 1., 2.],
               [1., 2., 3.],
               [2., 3., 3.]])
    """
    n_frames, n_features = features.shape
    shifts = np.arange(-n_lags, n_lags + 1) * stride
    frames = np.clip(np.arange(n_frames)[:, None] + shifts, 0, max(n_frames - 1, 0))
    return features[frames].reshape(n_frames, len(shifts) * n_features)


def window_statistics(features: Float[np.ndarray, "T D"], size: int) -> Float[np.ndarray, "T P"]:
    """Mean, standard deviation, minimum and maximum of a centred window, cut off at the ends.

    Args:
        features: One recording.
        size: Length of the window (frames, odd).

    Returns:
        ``(T, 4 D)``: all means, then all standard deviations (population), minima and maxima.
    """
    low, high = (
        find(features, 2 * (size // 2) + 1, axis=0, mode="nearest")
        for find in (minimum_filter1d, maximum_filter1d)
    )
    return np.concatenate([window_moments(features, size), low, high], axis=1)


def window_moments(features: Float[np.ndarray, "T D"], size: int) -> Float[np.ndarray, "T P"]:
    """Mean and standard deviation of a centred window, cut off at the ends.

    Args:
        features: One recording.
        size: Length of the window (frames, odd).

    Returns:
        ``(T, 2 D)``: all means, then all standard deviations (population).
    """
    half = size // 2
    frames = np.arange(len(features))
    first = np.maximum(frames - half, 0)
    last = np.minimum(frames + half + 1, len(features))
    # Sums of squares around zero would lose the spread of a feature that is far from it.
    centre = features.mean(axis=0, dtype=np.float64, keepdims=True)
    mean, square = (
        _window_mean(power, first, last) for power in (features - centre, (features - centre) ** 2)
    )
    return np.concatenate([mean + centre, np.sqrt(np.maximum(square - mean**2, 0.0))], axis=1)


def _window_mean(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    sums = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(axis=0)])
    return (sums[last] - sums[first]) / (last - first)[:, None]
