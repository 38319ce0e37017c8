"""Metrics: pure functions of arrays, each defined once and said in words in :data:`DEFINITIONS`.

A prediction that is not a number makes its score not a number: only what cannot be scored (a
silent unit, a constant target, a bin that does not exist) is left out.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from neuroduet.errors import UserError, unknown
from neuroduet.types import UNLABELLED

DEFINITIONS: dict[str, str] = {
    "bits_per_spike": (
        "Poisson log-likelihood gained over the null, in bits per spike of the unit, averaged "
        "over units that fired; null: each unit's mean count over the scored bins, which reads 0."
    ),
    "bits_per_spike_pooled": (
        "Poisson log-likelihood gained over the null, summed over units that fired, in bits per "
        "spike of all of them together (NLB, brain-wide benchmark); null: each unit's mean count "
        "over the scored bins, which reads 0."
    ),
    "r2": (
        "1 - residual / total sum of squares over all scored bins or trials together, averaged "
        "over channels that vary; null: the mean of the scored values, which reads 0."
    ),
    "r2_per_trial": (
        "R2 within each trial, averaged over channels and then trials that vary; null: the "
        "trial's own mean, which reads 0 and which no decoder knows."
    ),
    "psth_r2": (
        "R2 between the condition averages (conditions x bins) of predicted rates and of counts, "
        "averaged over units whose averages vary; null: the mean over conditions and bins, which "
        "reads 0."
    ),
    "accuracy": (
        "Fraction of labels predicted correctly; null: the fraction of the most frequent "
        "training class."
    ),
    "balanced_accuracy": (
        "Recall averaged over the classes present among the true labels (a class that only the "
        "predictions hold is not averaged); null: 1 / number of classes present."
    ),
    "macro_f1": (
        "F1 averaged over the classes present among true labels or predictions (a class that is "
        "predicted but never true counts as 0); null: that of always predicting the most "
        "frequent training class."
    ),
}
"""What each metric means, and what a model that knows nothing reads."""

LOWEST_RATE = 1e-9
"""Expected count put in place of 0, whose logarithm does not exist (NEDS, reference section 7)."""


def bits_per_spike_by_unit(
    rates: Float[np.ndarray, "W T N"],
    counts: Real[np.ndarray, "W T N"],
    valid: Bool[np.ndarray, "W T"],
    null_rates: Float[np.ndarray, " N"] | None = None,
) -> Float[np.ndarray, " N"]:
    """Poisson log-likelihood gained over the null, in bits per spike of each unit.

    Args:
        rates: Expected counts per bin, ``(W, T, N)``; values below 1e-9 are raised to it.
        counts: Spike counts per bin, ``(W, T, N)``.
        valid: Which bins are scored, ``(W, T)``.
        null_rates: Expected count per bin of the null, ``(N,)``; defaults to each unit's mean
            count over the scored bins (MtM and NEDS; reference section 7).

    Returns:
        Bits per spike, ``(N,)``; nan for units without a spike in the scored bins.

    Example:
        >>> counts = np.array([[[1], [0], [2], [1]], [[0], [1], [0], [3]]])
        >>> rates = np.array([[[1], [0.5], [1.5], [1.5]], [[0.5], [0.5], [0.5], [2]]])
        >>> bits_per_spike_by_unit(rates, counts, np.ones((2, 4), dtype=bool)).round(6)
        array([0.469361])
    """
    gains, spikes = _gains(rates, counts, valid, null_rates)
    bits = gains / (np.log(2.0) * np.maximum(spikes, 1.0))
    return np.where(spikes > 0, bits, np.nan)


def bits_per_spike(
    rates: Float[np.ndarray, "W T N"],
    counts: Real[np.ndarray, "W T N"],
    valid: Bool[np.ndarray, "W T"],
    null_rates: Float[np.ndarray, " N"] | None = None,
    average: Literal["units", "pooled"] = "units",
) -> float:
    """Poisson log-likelihood gained over the null, in bits per spike.

    Args:
        rates: Expected counts per bin, ``(W, T, N)``.
        counts: Spike counts per bin, ``(W, T, N)``.
        valid: Which bins are scored, ``(W, T)``.
        null_rates: As in :func:`bits_per_spike_by_unit`, ``(N,)``.
        average: ``units`` is the mean over units that fired (MtM, NEDS); ``pooled`` divides the
            summed gain by all spikes (NLB; brain-wide benchmark, ``bps``).

    Returns:
        Bits per spike; nan if no unit fired.

    Raises:
        UserError: If ``average`` is neither of the two.
    """
    if average not in ("units", "pooled"):
        raise unknown("average", average, ("units", "pooled"))
    gains, spikes = _gains(rates, counts, valid, null_rates)
    fired = spikes > 0
    if not fired.any():
        return float("nan")
    if average == "pooled":
        return float(gains[fired].sum() / (np.log(2.0) * spikes.sum()))
    return float(np.mean(gains[fired] / (np.log(2.0) * spikes[fired])))


def r2(true: Real[np.ndarray, "n *channels"], predicted: Real[np.ndarray, "n *channels"]) -> float:
    """Coefficient of determination over all values together.

    Args:
        true: True values, ``(n,)`` or ``(n, C)``.
        predicted: Predicted values, of the same shape.

    Returns:
        R2, averaged over the channels that vary; nan if none does or if there is no value.
    """
    rows = len(true)
    scores, varies = _r2(_columns(true, rows), _columns(predicted, rows))
    return float(scores[varies].mean()) if varies.any() else float("nan")


def r2_by_unit(
    true: Real[np.ndarray, "W T N"],
    predicted: Float[np.ndarray, "W T N"],
    valid: Bool[np.ndarray, "W T"],
) -> Float[np.ndarray, " N"]:
    """Coefficient of determination of each unit's trace over all scored bins.

    Args:
        true: Traces, ``(W, T, N)``.
        predicted: Expected traces, ``(W, T, N)``.
        valid: Which bins are scored, ``(W, T)``.

    Returns:
        R2, ``(N,)``; nan for units whose trace is constant.
    """
    scores, varies = _r2(_columns(true[valid], int(valid.sum())), np.asarray(predicted[valid]))
    return np.where(varies, scores, np.nan)


def r2_by_trial(
    true: Real[np.ndarray, "W T C"],
    predicted: Float[np.ndarray, "W T C"],
    observed: Bool[np.ndarray, "W T"],
) -> Float[np.ndarray, " W"]:
    """Coefficient of determination within each trial.

    Args:
        true: True values, ``(W, T, C)``.
        predicted: Predicted values, ``(W, T, C)``.
        observed: Which bins are scored, ``(W, T)``.

    Returns:
        R2 averaged over the channels that vary in the trial, ``(W,)``; nan where none does.
    """
    seen = observed[:, :, None]
    y = np.asarray(true, dtype=np.float64)
    n = np.maximum(seen.sum(axis=1), 1)
    centred = np.where(seen, y - (np.where(seen, y, 0).sum(axis=1) / n)[:, None], 0)
    residual = np.where(seen, y - predicted, 0)
    highest = np.where(seen, y, -np.inf).max(axis=1, initial=-np.inf)
    varies = highest > np.where(seen, y, np.inf).min(axis=1, initial=np.inf)
    total = np.where(varies, (centred**2).sum(axis=1), 1.0)
    scores = np.where(varies, 1 - (residual**2).sum(axis=1) / total, 0.0)
    channels = varies.sum(axis=1)
    return np.where(channels > 0, scores.sum(axis=1) / np.maximum(channels, 1), np.nan)


def r2_per_trial(
    true: Real[np.ndarray, "W T C"],
    predicted: Float[np.ndarray, "W T C"],
    observed: Bool[np.ndarray, "W T"],
) -> float:
    """Mean over trials of the coefficient of determination within the trial.

    Args:
        true: True values, ``(W, T, C)``.
        predicted: Predicted values, ``(W, T, C)``.
        observed: Which bins are scored, ``(W, T)``.

    Returns:
        Mean of :func:`r2_by_trial` over trials that vary; nan if none does.
    """
    constant = _constant_trials(true, observed)
    scores = r2_by_trial(true, predicted, observed)[~constant]
    return float(scores.mean()) if len(scores) else float("nan")


def psth(
    counts: Real[np.ndarray, "W T N"],
    valid: Bool[np.ndarray, "W T"],
    conditions: Int[np.ndarray, " W"],
) -> Float[np.ndarray, "K T N"]:
    """Mean over the trials of each condition, bin by bin.

    Args:
        counts: Counts or rates, ``(W, T, N)``.
        valid: Which bins exist, ``(W, T)``.
        conditions: Condition of each trial, ``(W,)``; :data:`~neuroduet.types.UNLABELLED` trials
            are left out.

    Returns:
        Means, ``(K, T, N)``, in the order of the sorted conditions; nan where no trial has the bin.
    """
    known = np.unique(conditions[conditions != UNLABELLED])
    members = (conditions[None, :] == known[:, None]).astype(np.float64)
    trials = members @ valid
    flat = np.where(valid[:, :, None], counts, 0).reshape(len(counts), -1)
    sums = (members @ flat).reshape(len(known), *counts.shape[1:])
    means = sums / np.maximum(trials, 1)[:, :, None]
    return np.where(trials[:, :, None] > 0, means, np.nan)


def psth_r2_by_unit(
    rates: Float[np.ndarray, "W T N"],
    counts: Real[np.ndarray, "W T N"],
    valid: Bool[np.ndarray, "W T"],
    conditions: Int[np.ndarray, " W"],
) -> Float[np.ndarray, " N"]:
    """R2 of each unit between condition averages of rates and counts (NEDS, ``r2_psth``).

    Args:
        rates: Expected counts per bin, ``(W, T, N)``.
        counts: Spike counts per bin, ``(W, T, N)``.
        valid: Which bins are scored, ``(W, T)``.
        conditions: Condition of each trial, ``(W,)``.

    Returns:
        R2 over conditions x bins, ``(N,)``; nan for units whose averages are constant.
    """
    true = psth(counts, valid, conditions)
    predicted = psth(rates, valid, conditions)
    # Which bins a condition has is the same for all units, and depends on `valid` alone.
    exists = psth(valid[:, :, None].astype(np.float64), valid, conditions)[:, :, 0] > 0
    scores, varies = _r2(true[exists], predicted[exists])
    return np.where(varies, scores, np.nan)


def psth_r2(
    rates: Float[np.ndarray, "W T N"],
    counts: Real[np.ndarray, "W T N"],
    valid: Bool[np.ndarray, "W T"],
    conditions: Int[np.ndarray, " W"],
) -> float:
    """Mean over units of :func:`psth_r2_by_unit`.

    Args:
        rates: Expected counts per bin, ``(W, T, N)``.
        counts: Spike counts per bin, ``(W, T, N)``.
        valid: Which bins are scored, ``(W, T)``.
        conditions: Condition of each trial, ``(W,)``.

    Returns:
        R2; nan if every unit's averages are constant.
    """
    scores = psth_r2_by_unit(rates, counts, valid, conditions)
    true = psth(counts, valid, conditions)
    silent = np.nan_to_num(true).reshape(-1, true.shape[-1]).max(axis=0, initial=0) == 0
    kept = scores[~silent & ~_unvarying(true)]
    return float(kept.mean()) if len(kept) else float("nan")


def accuracy(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"]) -> float:
    """Fraction of labels predicted correctly.

    Args:
        labels: True classes, ``(n,)``; unlabelled entries are left out.
        predicted: Predicted classes, ``(n,)``.

    Returns:
        Accuracy; nan without a label.
    """
    known = labels != UNLABELLED
    return float((labels == predicted)[known].mean()) if known.any() else float("nan")


def balanced_accuracy(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"]) -> float:
    """Recall averaged over the classes present among the true labels.

    Args:
        labels: True classes, ``(n,)``; unlabelled entries are left out.
        predicted: Predicted classes, ``(n,)``.

    Returns:
        Balanced accuracy; nan without a label.

    Example:
        >>> round(balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])), 6)
        0.833333
    """
    hits, true, _ = _confusion(labels, predicted)
    present = true > 0
    return float((hits[present] / true[present]).mean()) if present.any() else float("nan")


def macro_f1(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"]) -> float:
    """F1 averaged over the classes present among true labels or predictions.

    Args:
        labels: True classes, ``(n,)``; unlabelled entries are left out.
        predicted: Predicted classes, ``(n,)``.

    Returns:
        Macro F1; nan without a label.
    """
    hits, true, claimed = _confusion(labels, predicted)
    return float((2 * hits / (true + claimed)).mean()) if len(hits) else float("nan")


def bootstrap_interval(
    values: Float[np.ndarray, " W"], seed: int, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over trials (or sessions, or seeds).

    Args:
        values: One statistic per trial, ``(W,)``; nan where the trial has none.
        seed: Seed of the resampling.
        level: Coverage, between 0 and 1.
        resamples: Number of resamples.

    Returns:
        Lower and upper end; both nan without a value.

    Raises:
        UserError: If ``level`` does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise UserError(f"bootstrap level must lie between 0 and 1, found {level}")
    kept = values[~np.isnan(values)].astype(np.float64)
    if len(kept) == 0:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    # How often each trial is drawn says everything about the mean, and needs no gathering.
    drawn = generator.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), size=resamples)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn @ kept / len(kept), [tail, 1 - tail])
    return float(low), float(high)
