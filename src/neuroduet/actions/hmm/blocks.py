"""Forward and backward recursions over many blocks of frames side by side.

A recording is cut into blocks of at most :data:`BLOCK` frames. Python loops over the frames of a
block only; every step treats all blocks at once. What enters a block from before and from after is
found exactly, from the blocks' transfer matrices.

Shape letters: ``N`` blocks, ``L`` frames of the longest block, ``K`` states. Blocks are sorted by
length, the longest first, so that the blocks that still have a frame ``l`` come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

BLOCK = 128
"""Frames of a block: long enough that joining blocks costs nothing, short enough that many blocks
lie side by side in a recording of a few minutes."""


class Layout(NamedTuple):
    """Where the frames of blocks lie when blocks stand side by side.

    Attributes:
        order: Index of each block, the longest first; ``(N,)``.
        frames: Frame of each block at each step, counted from the first frame of the first block;
            ``(L, N)``, repeating the last frame of blocks that are shorter.
        active: Number of blocks that have a frame at each step; ``(L,)``.
    """

    order: Int[np.ndarray, " N"]
    frames: Int[np.ndarray, "L N"]
    active: list[int]


class Transfers(NamedTuple):
    """What a block does to the distribution of states that enters it.

    Entry ``(i, j)`` is the probability of the block's frames and of state j in the frame after it,
    given state i in its first frame; each row is kept with its own scale, because rows may differ
    by more than floating point can hold.

    Attributes:
        rows: Each row scaled to sum 1 (all 0 if impossible); ``(N, K, K)``.
        log_scales: Log of what each row was divided by; ``(N, K)``.
    """

    rows: Float[np.ndarray, "N K K"]
    log_scales: Float[np.ndarray, "N K"]


class Boundaries(NamedTuple):
    """What enters each block from both sides, each scaled to sum 1.

    Attributes:
        before: Distribution of the state in the block's first frame given all earlier frames.
        after: Likelihood of all frames after the block given the state in its last frame.
    """

    before: Float[np.ndarray, "N K"]
    after: Float[np.ndarray, "N K"]


class Smoothed(NamedTuple):
    """Posteriors within blocks, side by side.

    Attributes:
        filtered: ``p(state | frames so far)``; ``(L, N, K)``.
        states: ``p(state | all frames)``; ``(L, N, K)``.
        backward: ``p(this and all later frames | state) / p(the same | earlier frames)``, so that
            ``filtered[t-1]' * transition * backward[t]`` is the joint posterior of two frames.
        log_likelihood: Of all frames, given those before them.
    """

    filtered: Float[np.ndarray, "L N K"]
    states: Float[np.ndarray, "L N K"]
    backward: Float[np.ndarray, "L N K"]
    log_likelihood: float


def block_lengths(lengths: Sequence[int], longest: int = BLOCK) -> list[list[int]]:
    """Cut recordings into blocks of nearly equal length.

    >>> block_lengths([5, 2], longest=3)
    [[3, 2], [2]]
    """
    cut = []
    for frames in lengths:
        n_blocks = -(-frames // longest)
        cut.append([frames // n_blocks + (i < frames % n_blocks) for i in range(n_blocks)])
    return cut


def lay_out(lengths: Sequence[int]) -> Layout:
    """Put consecutive blocks side by side, the longest first."""
    size = np.asarray(lengths, int)
    starts = np.cumsum(size) - size
    order = np.argsort(-size, kind="stable")
    steps = np.arange(size.max())[:, None]
    frames = starts[order] + np.minimum(steps, size[order] - 1)
    return Layout(order=order, frames=frames, active=(steps < size[order]).sum(1).tolist())


def transfers(
    transition: Float[np.ndarray, "K K"],
    likelihoods: Float[np.ndarray, "L N K"],
    active: Sequence[int],
) -> Transfers:
    """The transfer matrix of every block.

    Args:
        transition: ``p(next state j | state i)``; rows sum to 1.
        likelihoods: Of each frame under each state, up to a factor per frame.
        active: Number of blocks that have a frame at each step.
    """
    n_blocks, n_states = likelihoods.shape[1:]
    rows = np.eye(n_states) * likelihoods[0][:, None, :]
    log_scales = np.zeros((n_blocks, n_states))
    for step, n in enumerate(active):
        if step:
            rows[:n] *= likelihoods[step, :n, None, :]
        _rescale(rows[:n], log_scales[:n])
        rows[:n] = (rows[:n].reshape(-1, n_states) @ transition).reshape(n, n_states, n_states)
    return Transfers(rows=rows, log_scales=log_scales)


def _rescale(rows: Float[np.ndarray, "N K K"], log_scales: Float[np.ndarray, "N K"]) -> None:
    """Scale rows to sum 1, in place, and note by how much."""
    sums = rows @ np.ones(rows.shape[2])
    sums[sums == 0] = 1.0
    rows /= sums[..., None]
    log_scales += np.log(sums)


def boundaries(
    initial: Float[np.ndarray, " K"],
    transition: Float[np.ndarray, "K K"],
    blocks: Transfers,
    opens: Bool[np.ndarray, " N"],
) -> Boundaries:
    """Join the blocks of recordings: what enters each of them from both sides.

    Args:
        initial: Distribution of the state in the first frame of a recording.
        transition: ``p(next state j | state i)``.
        blocks: Transfer matrices in the order of the frames.
        opens: Whether a block is the first of its recording.
    """
    before = np.tile(initial, (len(opens), 1))
    likelihood = np.ones_like(before)
    for n in range(1, len(opens)):
        if not opens[n]:
            scaled = before[n - 1] * _relative(blocks.log_scales[n - 1], before[n - 1] > 0)
            before[n] = _normalised(scaled @ blocks.rows[n - 1])
    for n in range(len(opens) - 2, -1, -1):
        if not opens[n + 1]:
            reached = blocks.rows[n + 1] @ likelihood[n + 1]
            scaled = reached * _relative(blocks.log_scales[n + 1], reached > 0)
            likelihood[n] = _normalised(scaled)
    return Boundaries(before=before, after=likelihood @ transition.T)


def _relative(
    log_scales: Float[np.ndarray, " K"], possible: Bool[np.ndarray, " K"]
) -> Float[np.ndarray, " K"]:
    """Scales over the largest one that matters."""
    if not possible.any():
        return np.zeros_like(log_scales)
    return np.exp(np.minimum(log_scales - log_scales[possible].max(), 0.0))


def _normalised(values: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
    total = values.sum()
    return values / total if total > 0 else values


def smooth_blocks(
    transition: Float[np.ndarray, "K K"],
    likelihoods: Float[np.ndarray, "L N K"],
    active: Sequence[int],
    edges: Boundaries,
) -> Smoothed:
    """Posteriors of all frames of all blocks, given what enters the blocks.

    Args:
        transition: ``p(next state j | state i)``.
        likelihoods: Of each frame under each state, up to a factor per frame.
        active: Number of blocks that have a frame at each step.
        edges: What enters each block from both sides.
    """
    filtered, factors = _forward(transition, likelihoods, active, edges.before)
    states, backward = _backward(transition, likelihoods, active, filtered, factors, edges.after)
    with np.errstate(divide="ignore"):
        total = sum(float(np.log(factors[step, :n]).sum()) for step, n in enumerate(active))
    return Smoothed(filtered=filtered, states=states, backward=backward, log_likelihood=total)


def _forward(
    transition: np.ndarray, likelihoods: np.ndarray, active: Sequence[int], before: np.ndarray
) -> tuple[Float[np.ndarray, "L N K"], Float[np.ndarray, "L N"]]:
    """Filtered distributions, and the probability of each frame given those before it."""
    filtered = np.zeros_like(likelihoods)
    factors = np.zeros(likelihoods.shape[:2])
    ones = np.ones(likelihoods.shape[2])
    predicted = before
    for step, n in enumerate(active):
        joint = predicted[:n] * likelihoods[step, :n]
        total = factors[step, :n] = joint @ ones
        filtered[step, :n] = joint / np.where(total > 0, total, 1.0)[:, None]
        predicted = filtered[step, :n] @ transition
    return filtered, factors


def _backward(
    transition: np.ndarray,
    likelihoods: np.ndarray,
    active: Sequence[int],
    filtered: np.ndarray,
    factors: np.ndarray,
    after: np.ndarray,
) -> tuple[Float[np.ndarray, "L N K"], Float[np.ndarray, "L N K"]]:
    """Posteriors, and the backward messages behind them."""
    states, backward = np.zeros_like(filtered), np.zeros_like(filtered)
    message = after.copy()
    following = 0
    for step in range(len(active) - 1, -1, -1):
        n = active[step]
        if following:
            message[:following] = backward[step + 1, :following] @ transition.T
        last = slice(following, n)
        agreement = (filtered[step, last] * message[last]).sum(1, keepdims=True)
        message[last] /= np.where(agreement > 0, agreement, 1.0)
        states[step, :n] = filtered[step, :n] * message[:n]
        total = factors[step, :n, None]
        backward[step, :n] = likelihoods[step, :n] * message[:n] / np.where(total > 0, total, 1.0)
        following = n
    return states, backward
