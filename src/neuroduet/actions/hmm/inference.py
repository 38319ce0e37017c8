"""What a hidden Markov chain says, given how likely every frame is under every state.

Functions of the initial distribution, the transition matrix and log-likelihoods; they know nothing
of where the likelihoods come from. Arithmetic is scaled frame by frame: exact whenever all
transitions are positive, however far apart the likelihoods are, and otherwise as long as those of
one frame differ by less than 700 nats. A log-likelihood of ``-inf`` forbids a state.

Shape letters: ``T`` frames (of all recordings, one after another), ``R`` recordings, ``K`` states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from neuroduet.actions.hmm.blocks import (
    BLOCK,
    Boundaries,
    Transfers,
    block_lengths,
    boundaries,
    lay_out,
    smooth_blocks,
    transfers,
)

BLOCKS_AT_ONCE = 256
"""Blocks treated side by side: their transfer matrices then fit in a processor's cache."""

Likelihoods = Callable[[int, int], Float[np.ndarray, "_ K"]]
"""Log-likelihoods of the frames from the first number up to, not including, the second one."""


class Posterior(NamedTuple):
    """Posterior of the states of some frames.

    Attributes:
        begin: Index of the first of these frames.
        states: ``p(state | all frames)``; ``(T, K)``.
        opening: Sum of ``states`` over frames that open a recording; ``(K,)``.
        pairs: Sum over frames that open no recording of ``p(state i before, state j here | all
            frames)``; ``(K, K)``.
        log_likelihood: ``log p(these frames | those before them)``.
    """

    begin: int
    states: Float[np.ndarray, "T K"]
    opening: Float[np.ndarray, " K"]
    pairs: Float[np.ndarray, "K K"]
    log_likelihood: float


class _Piece(NamedTuple):
    """Consecutive blocks that are treated side by side."""

    begin: int
    stop: int
    lengths: list[int]
    opens: list[bool]


def smooth(
    initial: Float[np.ndarray, " K"],
    transition: Float[np.ndarray, "K K"],
    log_likelihoods: Float[np.ndarray, "T K"],
    lengths: Sequence[int] | None = None,
) -> Posterior:
    """Posterior of every frame (forward-backward).

    Args:
        initial: Distribution of the state in the first frame of a recording.
        transition: ``p(next state j | state i)``; rows sum to 1.
        log_likelihoods: ``log p(frame | state)``, recordings one after another.
        lengths: Frames of each recording; ``None``: all frames are one recording.
    """
    frames = [len(log_likelihoods)] if lengths is None else lengths
    parts = list(
        smooth_pieces(initial, transition, lambda i, j: log_likelihoods[i:j], frames, BLOCK)
    )
    return Posterior(
        begin=0,
        states=np.concatenate([part.states for part in parts]),
        opening=np.sum([part.opening for part in parts], axis=0),
        pairs=np.sum([part.pairs for part in parts], axis=0),
        log_likelihood=sum(part.log_likelihood for part in parts),
    )


def smooth_pieces(
    initial: Float[np.ndarray, " K"],
    transition: Float[np.ndarray, "K K"],
    likelihoods: Likelihoods,
    lengths: Sequence[int],
    block: int = BLOCK,
) -> Iterator[Posterior]:
    """The same piece by piece, in the order of the frames, in bounded memory.

    Only ``K * K`` numbers per block are kept of all recordings; log-likelihoods are asked for
    twice, some 33,000 frames at a time.

    Args:
        initial: Distribution of the state in the first frame of a recording.
        transition: ``p(next state j | state i)``; rows sum to 1.
        likelihoods: Gives the log-likelihoods of consecutive frames.
        lengths: Frames of each recording.
        block: Frames of a block; no result depends on it.
    """
    pieces = _pieces(block_lengths(lengths, block))
    edges = _edges(initial, transition, likelihoods, pieces)
    last = initial
    done = 0
    for piece in pieces:
        own = slice(done, done + len(piece.lengths))
        posterior, last = _smooth_piece(
            transition, likelihoods, piece, Boundaries(*(e[own] for e in edges)), last
        )
        done = own.stop
        yield posterior


def _pieces(blocks: Sequence[Sequence[int]]) -> list[_Piece]:
    """Group consecutive blocks."""
    lengths = [length for recording in blocks for length in recording]
    opens = [i == 0 for recording in blocks for i in range(len(recording))]
    ends = [0, *accumulate(lengths)]
    return [
        _Piece(
            begin=ends[first],
            stop=ends[min(first + BLOCKS_AT_ONCE, len(lengths))],
            lengths=lengths[first : first + BLOCKS_AT_ONCE],
            opens=opens[first : first + BLOCKS_AT_ONCE],
        )
        for first in range(0, len(lengths), BLOCKS_AT_ONCE)
    ]


def _edges(
    initial: np.ndarray, transition: np.ndarray, likelihoods: Likelihoods, pieces: list[_Piece]
) -> Boundaries:
    """What enters every block of every piece."""
    opens = np.array([first for piece in pieces for first in piece.opens], bool)
    if opens.all():
        ones = np.ones((len(opens), len(initial)))
        return Boundaries(before=ones * initial, after=ones)
    parts = [_transfers(transition, likelihoods, piece) for piece in pieces]
    joined = Transfers(
        rows=np.concatenate([part.rows for part in parts]),
        log_scales=np.concatenate([part.log_scales for part in parts]),
    )
    return boundaries(initial, transition, joined, opens)


def _transfers(transition: np.ndarray, likelihoods: Likelihoods, piece: _Piece) -> Transfers:
    """Transfer matrices of a piece's blocks, in the order of the frames."""
    layout = lay_out(piece.lengths)
    scaled, _ = _scaled(likelihoods(piece.begin, piece.stop))
    found = transfers(transition, scaled[layout.frames], layout.active)
    back = np.argsort(layout.order)
    return Transfers(rows=found.rows[back], log_scales=found.log_scales[back])


def _smooth_piece(
    transition: np.ndarray,
    likelihoods: Likelihoods,
    piece: _Piece,
    edges: Boundaries,
    before: np.ndarray,
) -> tuple[Posterior, Float[np.ndarray, " K"]]:
    """Posterior of a piece, and the filtered distribution of its last frame.

    Args:
        transition: ``p(next state j | state i)``.
        likelihoods: Gives log-likelihoods.
        piece: Its blocks.
        edges: What enters them.
        before: Filtered distribution of the frame before the piece.
    """
    layout = lay_out(piece.lengths)
    scaled, log_scale = _scaled(likelihoods(piece.begin, piece.stop))
    found = smooth_blocks(
        transition,
        scaled[layout.frames],
        layout.active,
        Boundaries(*(edge[layout.order] for edge in edges)),
    )
    lying = np.arange(len(layout.frames))[:, None] < np.asarray(piece.lengths)[layout.order]
    place = np.argsort(layout.frames[lying])
    filtered, states, backward = (part[lying][place] for part in found[:3])
    opening = np.cumsum([0, *piece.lengths[:-1]])[np.asarray(piece.opens)]
    backward[opening] = 0.0
    previous = np.concatenate([before[None], filtered[:-1]])
    posterior = Posterior(
        begin=piece.begin,
        states=states,
        opening=states[opening].sum(0),
        pairs=transition * (previous.T @ backward),
        log_likelihood=found.log_likelihood + log_scale,
    )
    return posterior, filtered[-1]


def _scaled(log_likelihoods: Float[np.ndarray, "T K"]) -> tuple[Float[np.ndarray, "T K"], float]:
    """Likelihoods with the largest of each frame set to 1, and the log of what that took away."""
    largest = log_likelihoods.max(1, keepdims=True)
    return np.exp(log_likelihoods - largest), float(largest.sum())


def viterbi(
    initial: Float[np.ndarray, " K"],
    transition: Float[np.ndarray, "K K"],
    log_likelihoods: Float[np.ndarray, "T K"],
) -> tuple[Int[np.ndarray, " T"], float]:
    """The most probable path of states of one recording.

    Args:
        initial: Distribution of the state in the first frame.
        transition: ``p(next state j | state i)``.
        log_likelihoods: ``log p(frame | state)``.

    Returns:
        The path, and the log-probability of path and frames together.
    """
    with np.errstate(divide="ignore"):
        best, log_steps = np.log(initial) + log_likelihoods[0], np.log(transition).T.copy()
    came_from = np.zeros(log_likelihoods.shape, np.int32)
    states = np.arange(len(initial))
    for frame in range(1, len(log_likelihoods)):
        scores = log_steps + best
        came_from[frame] = scores.argmax(1)
        best = scores[states, came_from[frame]] + log_likelihoods[frame]
    path = np.zeros(len(log_likelihoods), int)
    path[-1] = best.argmax()
    for frame in range(len(path) - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path, float(best.max())
