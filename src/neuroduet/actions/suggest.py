"""Which bouts a person should label next.

A frame is worth a label where the models together are unsure (entropy of their mean), and more
where each is sure but of something else: that part of the entropy, the mutual information between
class and model, a label can remove (BALD). Both are fractions of the entropy of a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from neuroduet.actions.ensemble import Members, entropy, stack_members
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

COLUMNS = ["recording", "start", "end", "entropy", "disagreement", "class", "reason"]
"""Columns of a table of suggestions, in order."""

GROWTH = 0.5
"""A bout grows over neighbouring frames worth at least this fraction of its core."""

SPARE = 4
"""Candidates per recording, in multiples of the bouts asked for, to choose diverse ones from."""

SURE = 0.1
"""Below this mean entropy nothing about a bout is in doubt."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A bout that could be labelled: frames ``start`` to ``end - 1`` of a recording.

    Attributes:
        recording: Index of the recording.
        start: First frame.
        end: Frame after the last.
        entropy: Mean entropy of the mean prediction, 0 to 1.
        disagreement: Mean mutual information between class and model, 0 to ``entropy``.
        probabilities: Mean prediction over the bout, ``(K,)``.
    """

    recording: int
    start: int
    end: int
    entropy: float
    disagreement: float
    probabilities: Float[np.ndarray, " K"]


def suggest_bouts(
    members: Members,
    labels: Sequence[Int[np.ndarray, " _"]] | None = None,
    n: int = 20,
    *,
    names: Sequence[str] | None = None,
    min_frames: int = 10,
    max_frames: int = 200,
    diversity: float = 0.3,
) -> pd.DataFrame:
    """List the bouts worth labelling next, best first.

    Args:
        members: Probabilities by model and recording, ``(T, K)``; a single model is a list of one.
        labels: Labels there are already, by recording; labelled frames are not suggested.
        n: Number of bouts.
        names: Names of the K classes; their numbers if ``None``.
        min_frames: Shortest bout, and the least distance between two of one recording.
        max_frames: Longest bout.
        diversity: How much of its worth a bout loses for each one listed before it from the same
            recording, and again for each of the same class; 0 to below 1.

    Returns:
        Rows with the columns :data:`COLUMNS`: index of the recording, first frame, frame after
        the last, mean entropy and disagreement (0 to 1), predicted class, and the reason in
        words. Bouts of a recording never overlap. Fewer than ``n`` where unlabelled stretches of
        ``min_frames`` run out.

    Raises:
        UserError: If the models or labels do not fit together, or an option is out of range.
    """
    stacks = stack_members(members)
    _check(stacks, labels, names, min_frames, max_frames, diversity)
    candidates: list[Candidate] = []
    for i, stack in enumerate(stacks):
        free = np.ones(stack.shape[1], bool) if labels is None else labels[i] == UNLABELLED
        candidates += _candidates(i, stack, free, SPARE * n, min_frames, max_frames)
    listed = names or [str(k) for k in range(stacks[0].shape[2] if stacks else 0)]
    rows = [_row(one, listed) for one in _diverse(candidates, n, diversity)]
    return pd.DataFrame(rows, columns=COLUMNS)


def uncertainty(
    stack: Float[np.ndarray, "M T K"],
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Entropy of the mean prediction, and the part of it that is disagreement between models.

    Args:
        stack: Probabilities of M models, ``(M, T, K)``.

    Returns:
        Both as fractions of log K, ``(T,)``; 0 with a single class.
    """
    scale = max(float(np.log(stack.shape[2])), 1e-12)
    total = np.clip(entropy(stack.mean(0)), 0, None)
    own = entropy(stack).mean(0)
    return total / scale, np.clip(total - own, 0, total) / scale


def _candidates(
    recording: int,
    stack: np.ndarray,
    free: Bool[np.ndarray, " T"],
    n: int,
    min_frames: int,
    max_frames: int,
) -> Iterator[Candidate]:
    """The ``n`` bouts of one recording that are worth most."""
    total, disagreement = uncertainty(stack)
    mean = stack.mean(0)
    for start, end in _bouts(total + disagreement, free, n, min_frames, max_frames):
        yield Candidate(
            recording=recording,
            start=start,
            end=end,
            entropy=float(total[start:end].mean()),
            disagreement=float(disagreement[start:end].mean()),
            probabilities=mean[start:end].mean(0),
        )


def _bouts(
    worth: Float[np.ndarray, " T"],
    free: Bool[np.ndarray, " T"],
    n: int,
    min_frames: int,
    max_frames: int,
) -> Iterator[tuple[int, int]]:
    """Up to ``n`` disjoint bouts of free frames, from the windows worth most outwards."""
    if len(worth) < min_frames:
        return
    free = free.copy()
    sums = np.convolve(worth, np.ones(min_frames), mode="valid")
    blocked = np.convolve(~free, np.ones(min_frames), mode="valid") > 0.5
    sums[blocked] = -np.inf
    for _ in range(n):
        start = int(sums.argmax())
        if np.isneginf(sums[start]):
            return
        least = GROWTH * sums[start] / min_frames
        start, end = _grow(worth, free, least, start, start + min_frames, max_frames)
        yield start, end
        # The margin keeps the shoulders of one event from being suggested as events.
        free[max(start - min_frames, 0) : end + min_frames] = False
        sums[max(start - 2 * min_frames + 1, 0) : end + min_frames] = -np.inf


def _grow(
    worth: np.ndarray, free: np.ndarray, least: float, start: int, end: int, longest: int
) -> tuple[int, int]:
    """Extend a bout frame by frame, to the better side, as long as that is worth it."""
    while end - start < longest:
        before = worth[start - 1] if start > 0 and free[start - 1] else -np.inf
        after = worth[end] if end < len(worth) and free[end] else -np.inf
        if max(before, after) < max(least, 1e-12):
            break
        start, end = (start - 1, end) if before > after else (start, end + 1)
    return start, end


def _diverse(candidates: Sequence[Candidate], n: int, diversity: float) -> list[Candidate]:
    """Choose greedily; what resembles earlier choices loses worth."""
    worth = np.array([one.entropy + one.disagreement for one in candidates])
    recording = np.array([one.recording for one in candidates])
    label = np.array([one.probabilities.argmax() for one in candidates])
    chosen = []
    for _ in range(min(n, len(candidates))):
        best = int(worth.argmax())
        chosen.append(candidates[best])
        worth = worth * np.where(recording == recording[best], 1 - diversity, 1)
        worth = worth * np.where(label == label[best], 1 - diversity, 1)
        worth[best] = -np.inf
    return chosen


def _row(one: Candidate, names: Sequence[str]) -> dict[str, object]:
    first, *others = np.argsort(-one.probabilities, kind="stable")
    pair = " or ".join(names[k] for k in (first, *others[:1]))
    if one.entropy < SURE:
        reason = f"little in doubt, probably {names[first]}"
    elif one.disagreement > one.entropy / 2:
        reason = f"models disagree: {pair}"
    else:
        reason = f"unsure: {pair}"
    return {
        "recording": one.recording,
        "start": one.start,
        "end": one.end,
        "entropy": one.entropy,
        "disagreement": one.disagreement,
        "class": names[first],
        "reason": reason,
    }


def _check(
    stacks: Sequence[np.ndarray],
    labels: Sequence[np.ndarray] | None,
    names: Sequence[str] | None,
    min_frames: int,
    max_frames: int,
    diversity: float,
) -> None:
    if not 1 <= min_frames <= max_frames:
        raise UserError(
            f"found bouts of {min_frames} to {max_frames} frames, expected at least 1 and the "
            "shortest first; change min_frames or max_frames"
        )
    if not 0 <= diversity < 1:
        raise UserError(f"diversity must be 0 to below 1, found {diversity}; 0 asks for none")
    frames = [stack.shape[1] for stack in stacks]
    if labels is not None and [len(one) for one in labels] != frames:
        raise UserError(
            f"labels have {[len(one) for one in labels]} frames by recording, expected {frames} "
            "as the predictions have; give the labels of the same recordings"
        )
    widths = {stack.shape[2] for stack in stacks}
    if len(widths) > 1 or (names is not None and widths - {len(names)}):
        raise UserError(
            f"predictions have {sorted(widths)} classes, found {len(names or [])} names; predict "
            "the same classes for every recording and name each of them"
        )
