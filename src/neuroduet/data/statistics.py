"""Statistics of the training windows, gathered in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from neuroduet.types import Batch, Behaviour

CHUNK_VALUES = 1 << 23
"""Activity values held at a time (32 MB)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """What the training windows say about a session; no other window enters.

    Attributes:
        mean_activity: Mean per valid bin of each unit, ``(N,)``.
        scale_activity: Standard deviation per valid bin, ``(N,)``; 1 where constant.
        behaviour_mean: Mean of each channel of the continuous behaviours, by name, ``(C,)``.
        behaviour_scale: Standard deviation of the same; 1 where constant.
        class_counts: Observed bins or trials of each class of the categorical ones, ``(K,)``.
    """

    mean_activity: Float[np.ndarray, " N"]
    scale_activity: Float[np.ndarray, " N"]
    behaviour_mean: dict[str, Float[np.ndarray, " C"]]
    behaviour_scale: dict[str, Float[np.ndarray, " C"]]
    class_counts: dict[str, Int[np.ndarray, " K"]]


class Moments:
    """Running mean and standard deviation of rows (Chan, Golub and LeVeque 1983)."""

    def __init__(self, size: int) -> None:
        self.n = 0
        self.mean: Float[np.ndarray, " C"] = np.zeros(size)
        self._squares: Float[np.ndarray, " C"] = np.zeros(size)

    def add(self, rows: Float[np.ndarray, "R C"]) -> None:
        """Take in more rows."""
        if len(rows) == 0:
            return
        mean = rows.mean(axis=0, dtype=np.float64)
        squares = rows.var(axis=0, dtype=np.float64) * len(rows)
        total, shift = self.n + len(rows), mean - self.mean
        self._squares = self._squares + squares + shift**2 * (self.n * len(rows) / total)
        self.mean = self.mean + shift * (len(rows) / total)
        self.n = total

    def scale(self) -> Float[np.ndarray, " C"]:
        """Standard deviation; 1 where constant."""
        deviation = np.sqrt(self._squares / max(self.n, 1))
        # A constant of, say, 0.1 leaves a deviation of rounding errors.
        return np.where(deviation > 1e-7 * np.abs(self.mean), deviation, 1.0)


def chunk_windows(indices: Int[np.ndarray, " W"], values_each: int) -> list[np.ndarray]:
    """Cut window indices into pieces that hold at most ``CHUNK_VALUES`` values."""
    size = max(1, CHUNK_VALUES // max(values_each, 1))
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def gather(
    chunks: Iterable[np.ndarray],
    read: Callable[[np.ndarray], Batch],
    n_units: int,
    behaviours: tuple[Behaviour, ...],
) -> Statistics:
    """Go through the training windows once.

    Args:
        chunks: Indices of the training windows, in pieces.
        read: Makes a batch from indices.
        n_units: Number of units.
        behaviours: Behaviours of the session.

    Returns:
        The statistics.
    """
    activity = Moments(n_units)
    continuous = {b.name: Moments(b.size) for b in behaviours if b.kind == "continuous"}
    counts = {b.name: np.zeros(b.size, np.int64) for b in behaviours if b.kind == "categorical"}
    for indices in chunks:
        batch = read(indices)
        activity.add(batch.activity[batch.valid].numpy())
        for behaviour in behaviours:
            name = behaviour.name
            seen = batch.behaviours[name][batch.observed[name]].numpy()
            if name in continuous:
                continuous[name].add(seen)
            else:
                counts[name] = counts[name] + np.bincount(seen, minlength=behaviour.size)
    return Statistics(
        mean_activity=activity.mean,
        scale_activity=activity.scale(),
        behaviour_mean={name: moments.mean for name, moments in continuous.items()},
        behaviour_scale={name: moments.scale() for name, moments in continuous.items()},
        class_counts=counts,
    )
