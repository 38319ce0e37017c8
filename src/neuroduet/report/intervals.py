"""Bootstrap intervals of scores: what another draw of the same test windows would have given.

Windows (trials) are resampled whole, since the bins of one window are not independent. Every
score is a function of sums over windows, so that a resample only weighs these sums anew.

The null of bits per spike stays that of all windows. It is the likeliest constant rate, so that
moving it a little changes the score in second order only; fitted to each resample anew, it would
fit repeated windows too well and push the whole interval down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from neuroduet.metrics import LOWEST_RATE

LEVEL = 0.95
"""Coverage of the intervals."""

RESAMPLES = 1000
FEWEST = 5
"""With fewer windows or units than this there is no interval."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A score and how far it may lie from that of another draw.

    Attributes:
        value: The score of all windows or units.
        low: Lower end of the 95 % interval; ``nan`` where there is none.
        high: Upper end.
        n: Number of windows or units that were resampled.
        over: What was resampled: ``test windows`` or ``units``.
    """

    value: float
    low: float
    high: float
    n: int
    over: str


def window_weights(
    n_windows: int, seed: int, resamples: int = RESAMPLES
) -> Float[np.ndarray, "R W"]:
    """How often each window is in each resample.

    Args:
        n_windows: Number of windows W.
        seed: Seed of the resampling.
        resamples: Number of resamples R.

    Returns:
        Counts whose rows sum to W; before them one row of ones, the windows as they are.
    """
    generator = np.random.default_rng(seed)
    share = np.full(n_windows, 1 / n_windows)
    drawn = generator.multinomial(n_windows, share, size=resamples)
    return np.concatenate([np.ones((1, n_windows)), drawn]).astype(np.float64)


def bits_per_spike_draws(
    rates: Float[np.ndarray, "W T N"],
    counts: Real[np.ndarray, "W T N"],
    valid: Bool[np.ndarray, "W T"],
    weights: Float[np.ndarray, "R W"],
) -> Float[np.ndarray, " R"]:
    """Bits per spike, averaged over units that fired, of each resample.

    Args:
        rates: Expected counts per bin, ``(W, T, N)``.
        counts: Spike counts per bin, ``(W, T, N)``.
        valid: Which bins are scored, ``(W, T)``.
        weights: See :func:`window_weights`, ``(R, W)``.

    Returns:
        Scores as :func:`neuroduet.metrics.bits_per_spike` computes them, ``(R,)``.
    """
    k = np.where(valid[:, :, None], counts, 0).astype(np.float64)
    rate = np.where(valid[:, :, None], np.maximum(rates, LOWEST_RATE), 1.0)
    bins = valid.sum(axis=1)[:, None]
    null = np.maximum(k.sum(axis=(0, 1)) / max(int(bins.sum()), 1), LOWEST_RATE)
    gained = (k * (np.log(rate) - np.log(null))).sum(axis=1)
    expected = np.where(valid[:, :, None], rate, 0.0).sum(axis=1)
    gains = weights @ (gained - expected + null * bins)
    spikes = weights @ k.sum(axis=1)
    fired = spikes > 0
    bits = np.where(fired, gains / (np.log(2.0) * np.maximum(spikes, 1.0)), 0.0)
    return _ratio(bits.sum(axis=1), fired.sum(axis=1))


def r2_draws(
    true: Real[np.ndarray, "W T C"],
    predicted: Float[np.ndarray, "W T C"],
    observed: Bool[np.ndarray, "W T"],
    weights: Float[np.ndarray, "R W"],
) -> Float[np.ndarray, " R"]:
    """R2 over all scored bins, averaged over channels that vary, of each resample.

    Args:
        true: True values, ``(W, T, C)``; units of traces are channels, too.
        predicted: Predicted values, ``(W, T, C)``.
        observed: Which bins are scored, ``(W, T)``.
        weights: See :func:`window_weights`, ``(R, W)``.

    Returns:
        Scores as :func:`neuroduet.metrics.r2` computes them, ``(R,)``.
    """
    seen = observed[:, :, None]
    y = true.astype(np.float64)
    # Sums of squares around a mean near 0 lose no digits.
    centre = np.where(seen, y, 0.0).sum(axis=(0, 1)) / max(int(observed.sum()), 1)
    y = np.where(seen, y - centre, 0.0)
    error = np.where(seen, true - predicted, 0.0) ** 2
    count = np.maximum(weights @ observed.sum(axis=1), 1.0)[:, None]
    squares = weights @ (y**2).sum(axis=1)
    total = squares - (weights @ y.sum(axis=1)) ** 2 / count
    varies = total > 1e-12 * np.maximum(squares, 1e-300)
    scores = 1 - (weights @ error.sum(axis=1)) / np.where(varies, total, 1.0)
    return _ratio(np.where(varies, scores, 0.0).sum(axis=1), varies.sum(axis=1))


def recall_draws(
    labels: Int[np.ndarray, " n"],
    guesses: Int[np.ndarray, " n"],
    window: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "R W"],
) -> tuple[Float[np.ndarray, " R"], Float[np.ndarray, " R"]]:
    """Balanced accuracy and accuracy of each resample.

    Args:
        labels: True classes, from 0 on, ``(n,)``.
        guesses: Predicted classes, ``(n,)``.
        window: The window that each label belongs to, ``(n,)``.
        weights: See :func:`window_weights`, ``(R, W)``.

    Returns:
        Both scores, ``(R,)`` each; recall is averaged over the classes that a resample holds.
    """
    size = int(labels.max(initial=0)) + 1
    seen = np.zeros((weights.shape[1], size))
    hits = np.zeros_like(seen)
    np.add.at(seen, (window, labels), 1.0)
    np.add.at(hits, (window, labels), (labels == guesses).astype(np.float64))
    total, right = weights @ seen, weights @ hits
    present = total > 0
    recall = np.where(present, right / np.maximum(total, 1.0), 0.0)
    balanced = _ratio(recall.sum(axis=1), present.sum(axis=1))
    return balanced, _ratio(right.sum(axis=1), total.sum(axis=1))


def interval(draws: Float[np.ndarray, " R"], n: int, over: str) -> Interval:
    """Percentile interval of resampled scores.

    Args:
        draws: The score itself, then that of every resample, ``(R,)``.
        n: How many windows or units were resampled.
        over: What they are.

    Returns:
        The interval; without ends if there are too few, or if a score is undefined.
    """
    known = draws[np.isfinite(draws)]
    value = float(draws[0])
    if n < FEWEST or not np.isfinite(value) or len(known) < 0.9 * len(draws):
        return Interval(value=value, low=float("nan"), high=float("nan"), n=n, over=over)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(known[1:], [tail, 100 - tail])
    return Interval(value=value, low=float(low), high=float(high), n=n, over=over)


def mean_interval(values: Float[np.ndarray, " U"], seed: int) -> Interval:
    """Percentile interval of a mean over units.

    Args:
        values: Score of each unit, ``(U,)``; ``nan`` where a unit has none.
        seed: Seed of the resampling.
    """
    known = values[np.isfinite(values)].astype(np.float64)
    if len(known) == 0:
        return Interval(value=float("nan"), low=float("nan"), high=float("nan"), n=0, over="units")
    drawn = np.random.default_rng(seed).integers(0, len(known), (RESAMPLES, len(known)))
    draws = np.concatenate([[known.mean()], known[drawn].mean(axis=1)])
    return interval(draws, len(known), "units")


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotient of sums; ``nan`` where there is nothing to divide by."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
