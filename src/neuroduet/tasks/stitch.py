"""Whole recordings: overlapping windows are predicted and faded into each other.

A model sees one window at a time, but a recording has no windows. Windows are laid over every
recorded interval with an overlap, the last one flush with its end, so that every bin lies in one
at least; where several windows predict a bin, each weighs in by how far the bin is from its edges.
A prediction thus passes from one window to the next without a step, and where windows agree it is
what each of them says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from neuroduet.data.binning import EDGE
from neuroduet.errors import UserError
from neuroduet.tasks.collect import Collected, collect
from neuroduet.tasks.task import SessionData, Task, Variant
from neuroduet.types import Batch, Behaviour, Predictor

CHUNK = 64
"""Windows predicted at a time."""

OVERLAP = 0.5
"""Share of a window that it has in common with the next one."""


@runtime_checkable
class Continuous(SessionData, Protocol):
    """A session that can be read anywhere (:class:`neuroduet.data.session.Session`)."""

    @property
    def recorded_s(self) -> np.ndarray:
        """Start and end of every recorded interval (s), ``(I, 2)``."""
        ...

    def stretches(self, starts_s: np.ndarray, bins: np.ndarray) -> Batch:
        """Any stretches of the recording, binned."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Cover:
    """The bins of a recording in the order of time, and windows that cover all of them.

    Attributes:
        bin_start_s: Start of each bin (s).
        interval: Recorded interval of each bin.
        first: Bin that each window starts with.
        bins: Number of bins of each window.
    """

    bin_start_s: Float[np.ndarray, " T"]
    interval: Int[np.ndarray, " T"]
    first: Int[np.ndarray, " W"]
    bins: Int[np.ndarray, " W"]


def cover(
    recorded_s: Float[np.ndarray, "I 2"],
    bin_size_s: float,
    window_bins: int,
    overlap: float = OVERLAP,
) -> Cover:
    """Lay windows over the recorded intervals.

    Args:
        recorded_s: Start and end of every interval (s).
        bin_size_s: Width of a bin (s); what is left at the end of an interval is shorter.
        window_bins: Bins of a window; an interval that is shorter has one window of its length.
        overlap: Share of a window that the next one covers too.

    Returns:
        Bins and windows.

    Raises:
        UserError: The overlap is not in ``[0, 1)``.

    Example:
        >>> found = cover(np.array([[0.0, 1.0]]), 0.1, 4, overlap=0.5)
        >>> found.first, found.bins
        (array([0, 2, 4, 6]), array([4, 4, 4, 4]))
    """
    if not 0 <= overlap < 1:
        raise UserError(f"overlap is {overlap}, expected a share of a window from 0 to below 1")
    hop = max(1, round(window_bins * (1 - overlap)))
    number = np.floor((recorded_s[:, 1] - recorded_s[:, 0]) / bin_size_s + EDGE).astype(np.int64)
    offset = np.cumsum(number) - number
    first, bins = [], []
    for before, n_bins in zip(offset.tolist(), number.tolist(), strict=True):
        last = max(n_bins - window_bins, 0)
        starts = [*range(0, last, hop), last] if n_bins else []
        first += [before + start for start in starts]
        bins += [min(window_bins, n_bins)] * len(starts)
    interval = np.repeat(np.arange(len(number)), number)
    within = np.arange(number.sum()) - offset[interval]
    return Cover(
        bin_start_s=recorded_s[interval, 0] + within * bin_size_s,
        interval=interval,
        first=np.array(first, dtype=np.int64),
        bins=np.array(bins, dtype=np.int64),
    )


def fade(bins: int) -> Float[np.ndarray, " T"]:
    """How much each bin of a window counts: it falls linearly from the centre to the edges.

    Args:
        bins: Length of the window.

    Returns:
        Weights above 0. Two windows that overlap by half fade linearly into each other.
    """
    place = np.arange(bins) + 0.5
    return np.minimum(place, bins - place)


def stitch(
    predictor: Predictor, session: Continuous, task: Task, variant: Variant, laid: Cover
) -> dict[str, Collected]:
    """Predict a whole recording.

    Log-rates, traces and continuous behaviours are averaged over windows as such, classes as
    probabilities.

    Args:
        predictor: Who is asked.
        session: The session.
        task: Makes the masks.
        variant: What is hidden and scored; it has no questions about single units.
        laid: Windows that cover the recording.

    Returns:
        By modality, the recording as one long window: what :func:`~neuroduet.tasks.collect`
        returns with ``W = 1``. Behaviours with one value per trial have no course in time and
        are left out.
    """
    found: dict[str, _Track] = {}
    behaviours = {b.name: b for b in session.info.behaviours}
    for rows, batch in _chunks(session, laid):
        for name, answer in collect(predictor, [batch], task, [variant]).items():
            behaviour = behaviours.get(name)
            if behaviour is not None and behaviour.per == "trial":
                continue
            track = found.setdefault(name, _Track(len(laid.interval)))
            shares = _shares(answer.predicted, behaviour)
            for row, window in enumerate(rows.tolist()):
                inside = slice(0, int(laid.bins[window]))
                place = slice(int(laid.first[window]), int(laid.first[window] + inside.stop))
                track.add(place, shares[row, inside], answer, row, inside)
    return {name: track.whole(behaviours.get(name)) for name, track in found.items()}


def bin_validity(session: Continuous, laid: Cover) -> Bool[np.ndarray, " T"]:
    """In which bins of the recorded intervals there is activity: recorded bins may be missing."""
    valid = np.zeros(len(laid.interval), dtype=bool)
    for rows, batch in _chunks(session, laid):
        for row, window in enumerate(rows.tolist()):
            first, bins = int(laid.first[window]), int(laid.bins[window])
            valid[first : first + bins] = batch.valid[row, :bins].numpy()
    return valid


def bin_splits(session: Continuous, laid: Cover) -> np.ndarray:
    """Split of the window in whose time each bin lies, empty for bins that no window holds."""
    bin_size_s, table = session.info.bin_size_s, session.windows
    centre_s = laid.bin_start_s + bin_size_s / 2
    order = np.argsort(centre_s, kind="stable")
    splits = np.full(len(centre_s), "", dtype="<U7")
    start_s = np.asarray(table.start_s)
    edges = np.stack([start_s, start_s + np.asarray(table.bins) * bin_size_s])
    first, last = np.searchsorted(centre_s[order], edges)
    for name, begin, end in zip(table.split, first.tolist(), last.tolist(), strict=True):
        splits[order[begin:end]] = name
    return splits


@dataclass
class _Track:
    """One target along the whole recording, filled window by window."""

    n_bins: int
    weight: np.ndarray = field(init=False)
    _sum: np.ndarray | None = None
    _true: np.ndarray | None = None
    _scored: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.weight = np.zeros(self.n_bins)

    def add(
        self, place: slice, shares: np.ndarray, answer: Collected, row: int, inside: slice
    ) -> None:
        """Take in the bins ``inside`` a window, which are the bins ``place`` of the recording."""
        if self._sum is None or self._true is None or self._scored is None:
            self._sum = np.zeros((self.n_bins, *shares.shape[1:]), np.float32)
            self._true = np.zeros((self.n_bins, *answer.true.shape[2:]), answer.true.dtype)
            self._scored = np.zeros((self.n_bins, *answer.scored.shape[2:]), bool)
        weight = fade(len(shares))
        self.weight[place] += weight
        self._sum[place] += shares * weight.reshape(-1, *(1,) * (shares.ndim - 1))
        self._true[place] = answer.true[row, inside]
        self._scored[place] = answer.scored[row, inside]

    def whole(self, behaviour: Behaviour | None) -> Collected:
        """The recording as one window."""
        assert self._sum is not None
        assert self._true is not None
        assert self._scored is not None
        weight = self.weight.reshape(-1, *(1,) * (self._sum.ndim - 1))
        predicted = (self._sum / weight).astype(np.float32)
        if behaviour is not None and behaviour.kind == "categorical":
            predicted = np.log(np.maximum(predicted, np.finfo(np.float32).tiny))
        return Collected(
            true=self._true[None], predicted=predicted[None], scored=self._scored[None]
        )


def _shares(predicted: np.ndarray, behaviour: Behaviour | None) -> np.ndarray:
    """What is averaged: probabilities of classes, all else as it is."""
    if behaviour is None or behaviour.kind == "continuous":
        return predicted
    return torch.as_tensor(predicted).softmax(dim=-1).numpy()


def _chunks(session: Continuous, laid: Cover) -> Iterator[tuple[np.ndarray, Batch]]:
    """Windows, a few at a time: their indices and what they read."""
    for start in range(0, len(laid.first), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(laid.first)))
        yield rows, session.stretches(laid.bin_start_s[laid.first[rows]], laid.bins[rows])
