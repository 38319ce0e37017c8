"""The order in which training sees the windows of many sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain

import numpy as np

from neuroduet.data.session import Session
from neuroduet.errors import UserError

Step = list[tuple[int, np.ndarray]]
"""What one optimiser step sees: (index of the session, indices of its windows)."""


def plan_epoch(
    sessions: Sequence[Session],
    split: str,
    batch_size: int,
    sessions_per_batch: int,
    seed: int,
    epoch: int,
) -> list[Step]:
    """Plan one pass through the windows of a split, each exactly once.

    Every session's windows are shuffled and cut into pieces of nearly equal size, the pieces of
    every session are spread evenly over the epoch, and neighbouring pieces share a step.

    Args:
        sessions: Sessions.
        split: ``train``, ``valid`` or ``test``.
        batch_size: Largest number of windows per step.
        sessions_per_batch: Pieces per step; those of one session are joined.
        seed: Seed of the order.
        epoch: Number of the pass; each has its own order.

    Returns:
        Steps.

    Raises:
        UserError: A step has room for fewer windows than sessions.
    """
    if not 1 <= sessions_per_batch <= batch_size:
        raise UserError(
            f"training.sessions_per_batch is {sessions_per_batch}, expected 1 to "
            f"training.batch_size ({batch_size})"
        )
    size = batch_size // sessions_per_batch
    pieces: list[tuple[float, int, np.ndarray]] = []
    for place, session in enumerate(sessions):
        generator = np.random.default_rng([seed, epoch, _number(session.info.id)])
        windows = generator.permutation(session.indices(split))
        cut = np.array_split(windows, -(-len(windows) // size)) if len(windows) else []
        moments = (np.arange(len(cut)) + generator.random()) / max(len(cut), 1)
        pieces += [(moment, place, piece) for moment, piece in zip(moments, cut, strict=True)]
    # Moments are distinct in practice; the place settles a tie without comparing arrays.
    pieces.sort(key=lambda piece: piece[:2])
    starts = range(0, len(pieces), sessions_per_batch)
    return [_join(pieces[start : start + sessions_per_batch]) for start in starts]


def _join(pieces: Sequence[tuple[float, int, np.ndarray]]) -> Step:
    """One entry per session."""
    places = sorted({place for _, place, _ in pieces})
    return [
        (place, np.fromiter(chain.from_iterable(p for _, own, p in pieces if own == place), int))
        for place in places
    ]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
