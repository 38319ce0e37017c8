"""Training windows, gathered by index from one contiguous array of all recordings.

Row 0 of every array stands for frames beyond the ends of a recording, so that no window needs
padding of its own and a recording may be shorter than a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neuroduet.actions.frames import Frames
from neuroduet.types import UNLABELLED

FEWEST_HELD = 8
"""Held-out windows below which their loss says little."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """All frames of all recordings.

    Attributes:
        features: ``(1 + N, D)``; row 0 is zero.
        labels: ``(1 + N,)``; row 0 is unlabelled.
        weak: Weak labels where nobody said, in the same coding.
        first: First row of each recording.
        last: Row after the last of each recording.
    """

    features: Float[Tensor, "rows D"]
    labels: Int[Tensor, " rows"]
    weak: Int[Tensor, " rows"]
    first: Int[Tensor, " recordings"]
    last: Int[Tensor, " recordings"]

    def __len__(self) -> int:
        return len(self.features) - 1


@dataclass(frozen=True, kw_only=True)
class Windows:
    """A batch: ``T`` frames each, and ``P`` frames including context for the features."""

    features: Float[Tensor, "B P D"]
    labels: Int[Tensor, "B T"]
    weak: Int[Tensor, "B T"]
    inside: Bool[Tensor, "B T"]


@dataclass(frozen=True, kw_only=True)
class Centres:
    """Frames that windows are placed around.

    Attributes:
        rows: Labelled rows, class by class.
        counts: How many of each class.
        balance: Classes are drawn in proportion to ``counts ** (1 - balance)``.
        share: Of windows that are placed around labelled frames.
    """

    rows: Int[Tensor, " labelled"]
    counts: Int[Tensor, " K"]
    balance: float
    share: float

    def draw(self, n: int, rows: int, generator: torch.Generator) -> Int[Tensor, " n"]:
        """Rows, around labels or among all ``rows`` rows."""
        chances = torch.where(self.counts > 0, self.counts ** (1.0 - self.balance), 0.0)
        classes = torch.multinomial(chances, n, replacement=True, generator=generator)
        uniform = torch.rand(3, n, generator=generator, dtype=torch.float64)
        within = (uniform[0] * self.counts[classes]).long()
        labelled = self.rows[(self.counts.cumsum(0) - self.counts)[classes] + within]
        anywhere = 1 + (uniform[1] * rows).long()
        return torch.where(uniform[2] < self.share, labelled, anywhere)


def corpus(frames: Sequence[Frames]) -> Corpus:
    """Put recordings behind each other; empty ones are left out."""
    kept = [one for one in frames if len(one.labels)]
    ends = 1 + torch.tensor([len(one.labels) for one in kept]).cumsum(0)
    features = np.zeros((int(ends[-1]), kept[0].features.shape[1]), np.float32)
    np.concatenate([one.features for one in kept], out=features[1:])
    labels = np.concatenate([[UNLABELLED], *(one.labels for one in kept)])
    weak = np.concatenate([[UNLABELLED], *(_weak(one) for one in kept)])
    return Corpus(
        features=torch.from_numpy(features),
        labels=torch.from_numpy(labels.astype(np.int64)),
        weak=torch.from_numpy(weak.astype(np.int64)),
        first=torch.cat([torch.tensor([1]), ends[:-1]]),
        last=ends,
    )


def centres(data: Corpus, n_classes: int, *, balance: float, share: float) -> Centres:
    """Labelled frames as centres of windows."""
    rows = torch.nonzero(data.labels != UNLABELLED)[:, 0]
    classes = data.labels[rows]
    return Centres(
        rows=rows[classes.argsort(stable=True)],
        counts=classes.bincount(minlength=n_classes),
        balance=balance,
        share=share,
    )


def starts_around(
    data: Corpus, rows: Int[Tensor, " B"], size: int, generator: torch.Generator
) -> Int[Tensor, " B"]:
    """First rows of windows that hold the given rows anywhere; within the recording if it fits."""
    recording = torch.searchsorted(data.first, rows, right=True) - 1
    first, last = data.first[recording], data.last[recording]
    starts = rows - torch.randint(size, rows.shape, generator=generator)
    return torch.maximum(torch.minimum(starts, last - size), first)


def gather(data: Corpus, starts: Int[Tensor, " B"], size: int, pad: int) -> Windows:
    """Windows of ``size`` frames from the given rows on, with ``pad`` frames of context."""
    recording = torch.searchsorted(data.first, starts, right=True) - 1
    rows = starts[:, None] + torch.arange(-pad, size + pad)
    outside = (rows < data.first[recording, None]) | (rows >= data.last[recording, None])
    rows = rows.masked_fill_(outside, 0)
    core = rows[:, pad : pad + size]
    return Windows(
        features=data.features.index_select(0, rows.flatten()).unflatten(0, rows.shape),
        labels=data.labels[core],
        weak=data.weak[core],
        inside=core > 0,
    )


def hold_out(
    data: Corpus, size: int, share: float, seed: int
) -> tuple[Corpus, Int[Tensor, " held"]]:
    """Take the labels of some windows away, to see when to stop.

    Args:
        data: All frames.
        size: Frames of a window.
        share: Of the windows with labels.
        seed: Of the draw.

    Returns:
        The frames without those labels, and the first rows of those windows; no window is taken
        where there are few, or where a class would lose more than half of its labels.
    """
    starts = torch.cat(
        [torch.arange(int(a), int(b), size) for a, b in zip(data.first, data.last, strict=True)]
    )
    labels = gather(data, starts, size, 0).labels
    candidates = starts[(labels != UNLABELLED).any(1)]
    held = int(share * len(candidates))
    if held < FEWEST_HELD:
        return data, starts[:0]
    order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))
    chosen = candidates[order[:held]].sort().values
    recording = torch.searchsorted(data.first, chosen, right=True) - 1
    rows = chosen[:, None] + torch.arange(size)
    rows = rows[rows < data.last[recording, None]]
    left = data.labels.index_fill(0, rows, UNLABELLED)
    before, after = (x[x != UNLABELLED].bincount(minlength=1) for x in (data.labels, left))
    if len(after) < len(before) or bool((2 * after < before).any()):
        return data, starts[:0]
    return replace(data, labels=left), chosen


def _weak(one: Frames) -> np.ndarray:
    if one.weak is None:
        return np.full(len(one.labels), UNLABELLED)
    return np.where(one.labels == UNLABELLED, one.weak, UNLABELLED)
