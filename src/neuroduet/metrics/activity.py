"""Metrics of predicted activity: bits per spike, R2 of traces and of condition averages."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from neuroduet.errors import unknown
from neuroduet.metrics.sums import mean_of, r2_by_column
from neuroduet.types import UNLABELLED

LOWEST_RATE = 1e-9
"""Expected count put in place of 0, whose logarithm does not exist (NEDS)."""


def bits_per_spike_by_unit(
    rates: Float[np.ndarray, "W T N"],
    counts: Real[np.ndarray, "W T N"],
    valid: Bool[np.ndarray, "W T"],
) -> Float[np.ndarray, " N"]:
    """Poisson log-likelihood gained over the null, in bits per spike of each unit.

    The null is each unit's mean count over the scored bins (MtM and NEDS).

    Args:
        rates: Expected counts per bin, ``(W, T, N)``; values below 1e-9 are raised to it.
        counts: Spike counts per bin, ``(W, T, N)``.
        valid: Which bins are scored, ``(W, T)``.

    Returns:
        Bits per spike, ``(N,)``; nan for units without a spike in the scored bins.

    Example:
        >>> counts = np.array([[[1], [0], [2], [1]], [[0], [1], [0], [3]]])
        >>> rates = np.array([[[1], [0.5], [1.5], [1.5]], [[0.5], [0.5], [0.5], [2]]])
        >>> bits_per_spike_by_unit(rates, counts, np.ones((2, 4), dtype=bool)).round(6)
        array([0.469361])
    """
    gains, spikes = _gains(rates, counts, valid)
    bits = gains / (np.log(2.0) * np.maximum(spikes, 1.0))
    return np.where(spikes > 0, bits, np.nan)


def bits_per_spike(
    rates: Float[np.ndarray, "W T N"],
    counts: Real[np.ndarray, "W T N"],
    valid: Bool[np.ndarray, "W T"],
    average: str = "units",
) -> float:
    """Poisson log-likelihood gained over the null of :func:`bits_per_spike_by_unit`.

    Args:
        rates: Expected counts per bin, ``(W, T, N)``.
        counts: Spike counts per bin, ``(W, T, N)``.
        valid: Which bins are scored, ``(W, T)``.
        average: ``units`` is the mean over units that fired (MtM, NEDS); ``pooled`` divides the
            summed gain by all spikes (NLB; brain-wide benchmark, ``bps``).

    Returns:
        Bits per spike; nan if no unit fired.

    Raises:
        UserError: If ``average`` is neither of the two.
    """
    if average not in ("units", "pooled"):
        raise unknown("average", average, ("units", "pooled"))
    gains, spikes = _gains(rates, counts, valid)
    fired = spikes > 0
    if average == "pooled" and fired.any():
        return float(gains[fired].sum() / (np.log(2.0) * spikes.sum()))
    return mean_of(gains / (np.log(2.0) * np.maximum(spikes, 1.0)), fired)


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
    scores, varies = r2_by_column(true[valid], predicted[valid])
    return np.where(varies, scores, np.nan)


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
        Means, ``(K, T, N)``, in sorted order of conditions; nan where no trial has the bin.
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
    scores, varies = _psth_scores(rates, counts, valid, conditions)
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
    return mean_of(*_psth_scores(rates, counts, valid, conditions))


def _gains(
    rates: np.ndarray, counts: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood gained over the null (nats) and number of spikes, of each unit."""
    k = counts[valid].astype(np.float64)
    spikes = k.sum(axis=0)
    null = np.maximum(spikes / max(len(k), 1), LOWEST_RATE)
    rate = np.maximum(rates[valid].astype(np.float64), LOWEST_RATE)
    # Bin by bin, so that predicting the null reads exactly 0; the lnGamma terms cancel.
    gains = null * len(k) - rate.sum(axis=0) + (k * (np.log(rate) - np.log(null))).sum(axis=0)
    return np.where((rate == null).all(axis=0), 0.0, gains), spikes


def _psth_scores(
    rates: np.ndarray, counts: np.ndarray, valid: np.ndarray, conditions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """R2 of each unit over conditions x bins, and which units' averages vary."""
    exists = psth(valid[:, :, None].astype(np.float64), valid, conditions)[:, :, 0] > 0
    return r2_by_column(
        psth(counts, valid, conditions)[exists], psth(rates, valid, conditions)[exists]
    )
