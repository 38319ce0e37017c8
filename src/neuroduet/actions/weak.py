"""Labels nobody gave by hand: thresholds on signals, and cleaning of what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neuroduet.actions.denoising import total_variation
from neuroduet.actions.metrics.segments import runs
from neuroduet.errors import unknown
from neuroduet.types import UNLABELLED


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A condition on one signal.

    Attributes:
        signal: Name of the signal.
        at_least: The signal must reach this.
        below: The signal must stay below this.
    """

    signal: str
    at_least: float = -np.inf
    below: float = np.inf


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Frames of a class: where all thresholds hold, for long enough.

    Attributes:
        name: Name of the class.
        thresholds: All of them must hold.
        min_frames: Shortest bout.
    """

    name: str
    thresholds: tuple[Threshold, ...]
    min_frames: int = 1


FLY_RULES = (
    Rule(name="walk", thresholds=(Threshold(signal="ball", at_least=0.5),)),
    Rule(
        name="front_groom",
        thresholds=(
            Threshold(signal="front", at_least=0.02),
            Threshold(signal="back", below=0.02),
        ),
    ),
    Rule(
        name="back_groom",
        thresholds=(
            Threshold(signal="back", at_least=0.02),
            Threshold(signal="front", below=0.02),
        ),
    ),
    Rule(name="abdomen-move", thresholds=(Threshold(signal="abdomen", at_least=0.5),)),
    Rule(name="still", thresholds=(Threshold(signal="ball", below=0.05),)),
)
"""Published rules for the head-fixed fly, on the denoised motion energy of the ball, the front and
back legs and the abdomen. A fly that stands may groom, so ``still`` comes last."""

IBL_RULES = (
    Rule(name="groom", thresholds=(Threshold(signal="paw_nose_px", below=100.0),)),
    Rule(name="wheel_turn", thresholds=(Threshold(signal="wheel_speed", at_least=0.5),)),
    Rule(name="move", thresholds=(Threshold(signal="paw", at_least=0.05),)),
    Rule(name="still", thresholds=(Threshold(signal="paw", below=0.01),)),
)
"""Published rules for the head-fixed mouse, on the distance between paw and nose (pixels), the
speed of the wheel and the denoised motion energy of the paws."""


def denoised_energy(
    values: Float[np.ndarray, "T D"], weight: float = 0.05
) -> Float[np.ndarray, " T"]:
    """Motion energy from 0 (nothing moves) to 1, without flicker.

    Squared differences between frames, summed over columns, are divided by their 99th percentile,
    cut off at 1, and denoised by total variation. The published code leaves open in which order;
    scaling first gives ``weight`` the same meaning in every recording.

    Args:
        values: Coordinates of what moves, ``(T, D)``; a frame with a missing one, and the frame
            after it, counts as not moving.
        weight: Of the total variation; larger is smoother.

    Returns:
        Energy of every frame, ``(T,)``; the first frame counts as not moving.
    """
    finite = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    steps = np.diff(finite, axis=0, prepend=finite[:1])
    energy = np.nan_to_num((steps**2).sum(1))
    top = np.quantile(energy, 0.99) if len(energy) else 0.0
    if top <= 0:
        return np.zeros(len(values))
    return np.clip(total_variation(np.minimum(energy / top, 1.0), weight), 0.0, 1.0)


def heuristic_labels(
    signals: Mapping[str, Float[np.ndarray, " T"]], rules: Sequence[Rule], names: Sequence[str]
) -> Int[np.ndarray, " T"]:
    """Label frames by thresholds on signals.

    Args:
        signals: By name, such as :func:`denoised_energy` of some keypoints; nan meets no
            threshold.
        rules: In order of precedence: a frame takes the first that holds.
        names: Names of the K classes, in the order of the labels.

    Returns:
        Classes, unlabelled where no rule holds, ``(T,)``.

    Raises:
        UserError: If a rule names an unknown class or signal.
    """
    missing = [t.signal for r in rules for t in r.thresholds if t.signal not in signals]
    if missing:
        raise unknown("signal", missing[0], signals)
    labels = np.full(len(next(iter(signals.values()), np.empty(0))), UNLABELLED)
    for rule in rules:
        if rule.name not in names:
            raise unknown("class", rule.name, names)
        holds = np.ones(len(labels), bool)
        for one in rule.thresholds:
            holds &= (signals[one.signal] >= one.at_least) & (signals[one.signal] < one.below)
        holds = _long_enough(holds, rule.min_frames)
        labels[holds & (labels == UNLABELLED)] = list(names).index(rule.name)
    return labels


def drop_short_bouts(labels: Int[np.ndarray, " T"], min_frames: int) -> Int[np.ndarray, " T"]:
    """Make bouts shorter than ``min_frames`` unlabelled; :func:`fill_gaps` may close them."""
    start, end, _ = runs(labels)
    short = np.repeat(end - start < min_frames, end - start)
    return np.where(short, UNLABELLED, labels)


def fill_gaps(
    labels: Int[np.ndarray, " T"], max_frames: int, nearest: bool = False
) -> Int[np.ndarray, " T"]:
    """Label short unlabelled gaps like the bouts beside them.

    Args:
        labels: Class of every frame, or unlabelled, ``(T,)``.
        max_frames: Longest gap that is filled.
        nearest: Also fill gaps between bouts of two classes, each half with the class nearer to
            it (the middle frame with the earlier), and gaps at either end of the recording.

    Returns:
        Labels in which gaps between two bouts of one class are filled with it, ``(T,)``.

    Example:
        >>> fill_gaps(np.array([2, -1, 2, -1, -1, 0]), 2).tolist()
        [2, 2, 2, -1, -1, 0]
    """
    filled = labels.copy()
    start, end, label = runs(labels)
    gaps = np.flatnonzero((label == UNLABELLED) & (end - start <= max_frames))
    for gap in gaps:
        before = label[gap - 1] if gap > 0 else UNLABELLED
        after = label[gap + 1] if gap + 1 < len(label) else UNLABELLED
        if not nearest and before != after:
            continue
        middle = (start[gap] + end[gap] + 1) // 2
        filled[start[gap] : middle] = before if before != UNLABELLED else after
        filled[middle : end[gap]] = after if after != UNLABELLED else before
    return filled


def _long_enough(holds: Bool[np.ndarray, " T"], min_frames: int) -> Bool[np.ndarray, " T"]:
    start, end, _ = runs(holds.astype(int))
    return holds & np.repeat(end - start >= min_frames, end - start)
