"""What chance looks like: scores of predictions that are paired with the wrong truth.

Nothing is trained again. A null breaks the link between what a predictor was shown and what really
happened, keeps everything else, and scores the same predictions once more:

============  ====================================================================================
``shuffled``  Windows are paired at random. Valid if windows are exchangeable; where a behaviour
              drifts over the session (or, in continuous windows, is slower than a window),
              neighbours resemble each other and this null calls chance significant.
``shifted``   Predictions are shifted against the truth, around the end and back in at the start:
              by whole windows where these are trials (what is locked to the trial stays locked),
              by bins along the scored time where they are continuous. Both keep their
              autocorrelation, so that slow variables get honest p-values. All shifts count, the
              short ones too: leaving them out would favour small p-values.
``imposter``  Behaviour of another session takes the place of the session's own (Harris 2020,
              "Nonsense correlations in neuroscience"), one draw per other session.
============  ====================================================================================

These test whether predictions know anything about the windows they are made for. They say nothing
about windows of the training split: that splits share no time is what blocked splits with gaps
(``data.split.kind=blocked``, ``data.split.gap_s``) are for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from neuroduet.tasks.collect import Collected

TIE = 1e-9
"""Scores closer than this, relative to their size, are equal: rounding must not decide."""

IMPOSTER = "imposter"


@dataclass(frozen=True, kw_only=True)
class Null:
    """A score beside its distribution under one null.

    Attributes:
        model: See :class:`neuroduet.types.Score`, like all fields up to ``value``.
        session: Session id.
        task: Name of the task.
        target: What was predicted.
        metric: Name of the metric.
        value: The score.
        null: ``shuffled``, ``shifted`` or ``imposter``.
        draws: How many null scores there are.
        null_mean: Their mean.
        null_sd: Their standard deviation.
        p_value: ``(1 + b) / (1 + draws)``, where b of them are at least as high as the score.
        split: The split it was computed on.
    """

    model: str
    session: str
    task: str
    target: str
    metric: str
    value: float
    null: str
    draws: int
    null_mean: float
    null_sd: float
    p_value: float
    split: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairing:
    """Predictions and the truth they are scored against.

    Attributes:
        found: Both of them.
        available: Where there are predictions, also of what was not observed: ``(W, T)`` or
            ``(W,)`` for behaviour, and like ``found.scored`` for activity.
        start_s: Start of each window (s), which puts them in the order of time.
        trials: Windows are trials; else they are stretches of continuous time.
    """

    found: Collected
    available: np.ndarray
    start_s: Float[np.ndarray, " W"]
    trials: bool


def shuffled(pairing: Pairing, draws: int, generator: np.random.Generator) -> Iterator[Collected]:
    """Pair windows at random.

    Args:
        pairing: Predictions and truth.
        draws: How many times.
        generator: Draws the permutations.

    Yields:
        What is then to be scored.
    """
    for _ in range(draws):
        yield reordered(pairing, generator.permutation(len(pairing.start_s)))


def shifted(pairing: Pairing, draws: int, generator: np.random.Generator) -> Iterator[Collected]:
    """Shift predictions circularly against the truth.

    Args:
        pairing: Predictions and truth.
        draws: How many times; each shift comes once, so there are fewer if there are fewer shifts.
        generator: Draws the shifts.

    Yields:
        What is then to be scored.
    """
    in_time = np.argsort(pairing.start_s, kind="stable")
    whole = pairing.trials or pairing.found.scored.ndim == 1
    number = len(in_time) if whole else int(_scored_bins(pairing.found).sum())
    shifts = 1 + generator.permutation(max(number - 1, 0))[:draws]
    for shift in shifts.tolist():
        if whole:
            order = np.empty_like(in_time)
            order[in_time] = np.roll(in_time, shift)
            yield reordered(pairing, order)
        else:
            yield rolled(pairing.found, in_time, shift)


NULLS: dict[str, Callable[[Pairing, int, np.random.Generator], Iterator[Collected]]] = {
    "shuffled": shuffled,
    "shifted": shifted,
}
"""Nulls that only pair predictions and truth anew."""


def reordered(pairing: Pairing, order: Int[np.ndarray, " W"]) -> Collected:
    """Give every window the predictions of another.

    Args:
        pairing: Predictions and truth.
        order: Window whose predictions each window gets.

    Returns:
        Scored where there is truth in one and a prediction in the other window.
    """
    found = pairing.found
    return Collected(
        true=found.true,
        predicted=found.predicted[order],
        scored=found.scored & pairing.available[order],
    )


def rolled(found: Collected, in_time: Int[np.ndarray, " W"], shift: int) -> Collected:
    """Shift predictions along the scored bins of all windows, one after the other.

    Args:
        found: Predictions and truth of windows with bins.
        in_time: Windows in the order of time.
        shift: By how many scored bins.

    Returns:
        The same bins, scored against the predictions of other bins.
    """
    row, place = np.nonzero(_scored_bins(found)[in_time])
    window = in_time[row]
    predicted = found.predicted.copy()
    predicted[window, place] = np.roll(found.predicted[window, place], shift, axis=0)
    return replace(found, predicted=predicted)


def _scored_bins(found: Collected) -> Bool[np.ndarray, "W T"]:
    return np.asarray(found.scored.any(axis=2)) if found.scored.ndim == 3 else found.scored


def compare(value: float, drawn: Sequence[float]) -> tuple[int, float, float, float]:
    """Where a score lies among null scores.

    Args:
        value: The score; higher is better.
        drawn: Null scores; those that are not numbers are left out.

    Returns:
        How many null scores there are, their mean, their standard deviation and the p-value
        (Phipson and Smyth 2010: with the score itself among them it is never 0).

    Example:
        >>> compare(0.9, [0.1, 0.3, 0.2])
        (3, 0.2, 0.1, 0.25)
    """
    kept = np.array([x for x in drawn if not np.isnan(x)])
    if len(kept) == 0:
        return 0, float("nan"), float("nan"), float("nan")
    # Scores of a diverged model may be -inf, whose mean and deviation are not numbers.
    with np.errstate(invalid="ignore"):
        sd = float(kept.std(ddof=1).round(12)) if len(kept) > 1 else float("nan")
        mean = float(kept.mean().round(12))
    higher = int((kept >= value - TIE * max(1.0, abs(value))).sum())
    p_value = float("nan") if np.isnan(value) else (1 + higher) / (1 + len(kept))
    return len(kept), mean, sd, p_value


def null_generator(*place: str) -> np.random.Generator:
    """A generator for one null of one target, the same for all models: they can be compared."""
    digest = hashlib.blake2b("/".join(place).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
