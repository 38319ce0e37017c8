"""Recordings as a hidden Markov model reads them: every frame beside the frames before it.

Shape letters: ``T`` frames of all recordings, one after another; ``R`` recordings; ``P``
components of a frame; ``Z`` = order * P + 1 + P: a row of regressors (earlier frames, the latest
first, and the constant 1) and the frame itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Frames of all recordings, one recording after another.

    Attributes:
        values: Components of the frames; ``(T, P)``.
        lengths: Frames of each recording; ``(R,)``.
        codes: What is known about each frame's state, as a row of a table of evidence
            (:mod:`neuroduet.actions.hmm.labelled`); 0 is nothing.
        order: Earlier frames that predict a frame; 0 for none.
    """

    values: Float[np.ndarray, "T P"]
    lengths: tuple[int, ...]
    codes: Int[np.ndarray, " T"]
    order: int

    @property
    def components(self) -> int:
        """Number of components P."""
        return self.values.shape[1]

    def rows(self, begin: int, stop: int) -> Float[np.ndarray, "T Z"]:
        """Regressors and frame of some frames; where there is no earlier frame, 0."""
        values = np.zeros((stop - begin, (self.order + 1) * self.components + 1))
        for lag in range(1, self.order + 1):
            past = max(begin - lag, 0)
            shifted = self.values[past : stop - lag] if stop > lag else self.values[:0]
            columns = slice((lag - 1) * self.components, lag * self.components)
            values[len(values) - len(shifted) :, columns] = shifted
        values[:, self.order * self.components] = 1.0
        values[:, -self.components :] = self.values[begin:stop]
        return values

    def complete(self, begin: int, stop: int) -> Bool[np.ndarray, " T"]:
        """Whether the frames before a frame, which predict it, are of the same recording."""
        starts = np.cumsum([0, *self.lengths])
        frames = np.arange(begin, stop)
        return frames - starts[np.searchsorted(starts, frames, side="right") - 1] >= self.order


def join(
    recordings: Sequence[Float[np.ndarray, "_ P"]],
    order: int,
    codes: Sequence[Int[np.ndarray, " _"]] | None = None,
) -> Stream:
    """Lay recordings one after another.

    Args:
        recordings: Components of the frames of each.
        order: Earlier frames that predict a frame.
        codes: What is known about each frame's state; ``None``: nothing.
    """
    values = np.concatenate(recordings)
    return Stream(
        values=values,
        lengths=tuple(len(recording) for recording in recordings),
        codes=np.zeros(len(values), np.int16) if codes is None else np.concatenate(codes),
        order=order,
    )
