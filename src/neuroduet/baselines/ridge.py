"""Ridge decoding of continuous behaviours, per bin with lags and per trial, and its null."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.baselines.decoders import (
    Constant,
    DecodingBaseline,
    observed_values,
    shown_behaviours,
)
from neuroduet.baselines.selection import r2_of
from neuroduet.baselines.signals import Signal, Transform, fit_signal
from neuroduet.baselines.solve import LaggedRows, lagged_ridge_path
from neuroduet.baselines.trials import RidgeTrials, fit_ridge_trials
from neuroduet.types import Batch, Behaviour, Masks, SessionInfo

MAX_LAGS = (2, 5, 8)
SMOOTHING_BINS = (0.0, 1.0, 2.0)
COUNT_TRANSFORMS: tuple[Transform, ...] = ("sqrt_unit", "sqrt", "unit")
TRACE_TRANSFORMS: tuple[Transform, ...] = ("unit", "none")
PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Ridge penalties over the mean variance of a column times the number of rows."""
STEPS = 50


@dataclass(frozen=True, kw_only=True)
class LaggedFilter:
    """A linear filter from activity around a bin to a behaviour in that bin.

    Attributes:
        signal: Activity as the filter sees it.
        max_lag: Largest lag to either side (bins).
        weights: ``(N, L, C)``.
        offset: ``(C,)``.
    """

    signal: Signal
    max_lag: int
    weights: Float[Tensor, "N L C"]
    offset: Float[Tensor, " C"]

    def values(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B T C"]:
        """Expected behaviour in the user's units."""
        rows = LaggedRows(signal=self.signal.of(batch, masks), max_lag=self.max_lag)
        return rows.times(self.weights) + self.offset


def fit_mean_behaviour(train: Batch, info: SessionInfo) -> DecodingBaseline:
    """The null of continuous behaviours: their training means.

    Args:
        train: Training windows.
        info: The session.

    Returns:
        The predictor, named ``mean``.
    """
    means = {
        b.name: Constant(value=observed_values(train, b).float().mean(dim=0), per=b.per)
        for b in shown_behaviours(train, info, "continuous")
    }
    return DecodingBaseline(name="mean", session=info.id, read_outs=means)


def fit_ridge(train: Batch, valid: Batch, info: SessionInfo) -> DecodingBaseline:
    """Ridge decoders of all continuous behaviours.

    Behaviours per bin: transform, smoothing, lags and penalty by validation R2, separately for
    each behaviour; one after the other, because they hardly interact. Behaviours per trial: see
    :func:`~neuroduet.baselines.trials.fit_ridge_trials`.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.

    Returns:
        The predictor, named ``ridge``; behaviours never observed in training windows are left out.
    """
    known = shown_behaviours(train, info, "continuous")
    per_bin = [b for b in known if b.per == "bin"]
    filters = _fit_filters(train, valid, per_bin, info.is_poisson) if per_bin else {}
    trials = {b.name: fit_ridge_trials(train, valid, b) for b in known if b.per == "trial"}
    read_outs: dict[str, LaggedFilter | RidgeTrials] = {**filters, **trials}
    return DecodingBaseline(name="ridge", session=info.id, read_outs=read_outs)


Scored = tuple[float, LaggedFilter]


def _fit_filters(
    train: Batch, valid: Batch, behaviours: list[Behaviour], is_poisson: bool
) -> dict[str, LaggedFilter]:
    """Search one choice at a time; every fit serves all behaviours, each keeps its own best."""
    transforms = COUNT_TRANSFORMS if is_poisson else TRACE_TRANSFORMS
    limit = max(train.valid.shape[1] - 1, 0)
    lags = sorted({min(lag, limit) for lag in MAX_LAGS})
    tried: set[tuple[Transform, float, int]] = set()
    best: dict[str, Scored] = {}

    def consider(transform: Transform, sigma_bins: float, max_lag: int) -> None:
        if (transform, sigma_bins, max_lag) in tried:
            return
        tried.add((transform, sigma_bins, max_lag))
        signal = fit_signal(train, transform, sigma_bins)
        found = _fit_design(train, valid, behaviours, signal, max_lag)
        best.update({n: s for n, s in found.items() if n not in best or s[0] > best[n][0]})

    for sigma_bins in SMOOTHING_BINS:
        consider(transforms[0], sigma_bins, lags[-1])
    for sigma_bins, max_lag in [(f.signal.sigma_bins, k) for _, f in best.values() for k in lags]:
        consider(transforms[0], sigma_bins, max_lag)
    for sigma_bins, max_lag in [(f.signal.sigma_bins, f.max_lag) for _, f in best.values()]:
        for transform in transforms[1:]:
            consider(transform, sigma_bins, max_lag)
    return {name: found for name, (_, found) in best.items()}


def _fit_design(
    train: Batch, valid: Batch, behaviours: list[Behaviour], signal: Signal, max_lag: int
) -> dict[str, Scored]:
    """The best penalty of each behaviour for one design."""
    rows = LaggedRows(signal=signal.of(train), max_lag=max_lag)
    values = [train.behaviours[b.name].float() for b in behaviours]
    scored = [
        (train.observed[b.name] & train.valid)[..., None].expand_as(v)
        for b, v in zip(behaviours, values, strict=True)
    ]
    weights, offsets = lagged_ridge_path(
        rows, torch.cat(values, dim=2), torch.cat(scored, dim=2), PENALTIES, STEPS
    )
    held_out = LaggedRows(signal=signal.of(valid), max_lag=max_lag)
    predicted = torch.stack([held_out.times(w) for w in weights]) + offsets[:, None, None]
    found, first = {}, 0
    for behaviour in behaviours:
        own = slice(first, first + behaviour.size)
        first += behaviour.size
        true = valid.behaviours[behaviour.name].float().flatten(0, 1)
        where = (valid.observed[behaviour.name] & valid.valid).flatten()
        scores = r2_of(true, predicted[..., own].flatten(1, 2), where)
        best = int(scores.argmax())
        found[behaviour.name] = (
            float(scores[best]),
            LaggedFilter(
                signal=signal,
                max_lag=max_lag,
                weights=weights[best][..., own],
                offset=offsets[best, own],
            ),
        )
    return found
