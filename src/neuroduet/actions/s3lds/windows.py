"""Training windows: all recordings in one tensor, batches gathered from it by index.

Shape letters: ``F`` frames of the tensor, ``B`` windows of a batch, ``T`` frames of a window,
``S = T + 2 * pad`` frames with context, ``D`` features, ``K`` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neuroduet.actions.frames import Frames
from neuroduet.types import UNLABELLED


@dataclass(frozen=True, kw_only=True)
class Windows:
    """A batch.

    Attributes:
        x: Features, with ``pad`` frames of context at both ends.
        labels: Classes; unlabelled also beyond the end of a recording.
        weak: Weak labels in frames without label.
        valid: Whether the recording goes on there.
        posterior: Responsibilities of the classes; uniform where nobody computed any.
    """

    x: Float[Tensor, "B S D"]
    labels: Int[Tensor, "B T"]
    weak: Int[Tensor, "B T"]
    valid: Bool[Tensor, "B T"]
    posterior: Float[Tensor, "B T K"]


@dataclass(frozen=True, kw_only=True)
class Tape:
    """Recordings one after another, with zeros between them.

    Between two recordings lie enough zeros that no window and no context of one reaches the other,
    nor does a window that is longer than its recording.

    Attributes:
        x: Features; zeros between recordings.
        labels: Classes.
        weak: Weak labels in frames without label.
        valid: Whether a frame belongs to a recording.
        posterior: Responsibilities of the classes; the one attribute that training updates.
        spans: First frame of each recording and the one after its last.
        window: Frames of a window.
        pad: Frames of context at both ends of a window.
    """

    x: Float[Tensor, "F D"]
    labels: Int[Tensor, " F"]
    weak: Int[Tensor, " F"]
    valid: Bool[Tensor, " F"]
    posterior: Float[Tensor, "F K"]
    spans: tuple[tuple[int, int], ...]
    window: int
    pad: int

    def gather(self, starts: Int[Tensor, " B"]) -> Windows:
        """The windows that start at these frames."""
        wide = starts[:, None] + torch.arange(-self.pad, self.window + self.pad)
        core = starts[:, None] + torch.arange(self.window)
        return Windows(
            x=self.x[wide],
            labels=self.labels[core],
            weak=self.weak[core],
            valid=self.valid[core],
            posterior=self.posterior[core],
        )


def lay_out(frames: Sequence[Frames], classes: int, window: int, pad: int) -> Tape:
    """Put recordings on a tape.

    Args:
        frames: The recordings.
        classes: Number of classes.
        window: Frames of a training window.
        pad: Frames of context at both ends of a window.
    """
    lengths = [len(one.features) for one in frames]
    # Without context a zero still keeps the last frame of one from the first of the next.
    room = [max(length, window) + max(pad, 1) for length in lengths]
    begins = pad + np.cumsum([0, *room[:-1]])
    total = pad + sum(room)
    spans = tuple((int(b), int(b) + n) for b, n in zip(begins, lengths, strict=True))
    x = torch.zeros(total, frames[0].features.shape[1])
    labels, weak = (torch.full((total,), UNLABELLED) for _ in range(2))
    valid = torch.zeros(total, dtype=torch.bool)
    for (begin, end), one in zip(spans, frames, strict=True):
        x[begin:end] = torch.from_numpy(np.ascontiguousarray(one.features, np.float32))
        labels[begin:end] = torch.from_numpy(np.asarray(one.labels, np.int64))
        if one.weak is not None:
            weak[begin:end] = torch.from_numpy(np.asarray(one.weak, np.int64))
        valid[begin:end] = True
    weak[labels != UNLABELLED] = UNLABELLED
    uniform = torch.full((total, classes), 1 / classes)
    return Tape(
        x=x,
        labels=labels,
        weak=weak,
        valid=valid,
        posterior=uniform,
        spans=spans,
        window=window,
        pad=pad,
    )


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Where the windows of a batch start: anywhere, or around a labelled frame.

    Attributes:
        begins: First frame of each recording.
        ends: Last frame at which a window of each recording may start.
        labelled: Labelled frames; those of each class are drawn equally often.
        weights: How often each of them is drawn, up to a factor.
        window: Frames of a window.
        centred: Share of the windows that hold a drawn labelled frame.
    """

    begins: Int[Tensor, " R"]
    ends: Int[Tensor, " R"]
    labelled: Int[Tensor, " L"]
    weights: Float[Tensor, " L"]
    window: int
    centred: float

    def draw(self, batch: int, generator: torch.Generator) -> Int[Tensor, " B"]:
        """Starts of the windows of a batch."""
        n_centred = int(self.centred * batch) if len(self.labelled) else 0
        sizes = (self.ends - self.begins + 1).double()
        recording = torch.multinomial(sizes, batch, replacement=True, generator=generator)
        share = torch.rand(batch, generator=generator, dtype=torch.float64)
        starts = self.begins[recording] + (share * sizes[recording]).long()
        if n_centred:
            drawn = torch.multinomial(self.weights, n_centred, True, generator=generator)
            frame = self.labelled[drawn]
            offset = torch.randint(self.window, (n_centred,), generator=generator)
            own = torch.searchsorted(self.begins, frame, right=True) - 1
            starts[:n_centred] = (frame - offset).clamp(self.begins[own], self.ends[own])
        return starts


def sampler(tape: Tape, centred: float) -> Sampler:
    """The sampler of a tape."""
    begins = torch.tensor([begin for begin, _ in tape.spans])
    lengths = torch.tensor([end - begin for begin, end in tape.spans])
    labelled = torch.nonzero(tape.labels != UNLABELLED)[:, 0]
    classes = tape.labels[labelled]
    counts = torch.bincount(classes) if len(classes) else torch.ones(1)
    return Sampler(
        begins=begins,
        ends=begins + (lengths - tape.window).clamp_min(0),
        labelled=labelled,
        weights=1.0 / counts[classes].double(),
        window=tape.window,
        centred=centred,
    )
