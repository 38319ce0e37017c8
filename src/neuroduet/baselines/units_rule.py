"""A linear rule from visible units to the others, and how it is tuned for a task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.baselines.encoders import FLOORS, log_mean
from neuroduet.baselines.selection import ActivityScore, activity_score
from neuroduet.baselines.units_groups import Group, by_group
from neuroduet.baselines.units_latents import (
    Components,
    Scaling,
    Spectrum,
    fit_scaling,
    fit_spectrum,
    infer,
)
from neuroduet.baselines.units_readout import log_readouts
from neuroduet.types import Batch, SessionInfo

SMOOTHING_BINS = (0.0, 1.0, 2.0, 3.0, 4.5, 8.0)
RANKS = (1, 2, 4, 8, 16, 24, 32, 44, 64)
PENALTIES = (800.0, 400.0, 200.0, 100.0, 50.0, 25.0)
"""Ridge penalties of log-rates, strongest first: prior precisions of a weight."""
CEILINGS = (3.0, 5.0, 8.0, 12.0, 20.0, 50.0)
"""Highest predicted rate over the unit's mean: few latents ever lie where none did in training."""
USUAL_FLOOR, USUAL_CEILING = 0.2, 20.0


@dataclass(frozen=True, kw_only=True)
class UnitRule:
    """How one task is answered.

    Attributes:
        sigma_bins: Gaussian smoothing of the visible activity (bins).
        components: What units share.
        weights: From latents to units, ``(R, N)``.
        offset: ``(N,)``; for the log link, where the latents are known exactly.
        link: ``log`` (the sum is a log-rate), ``rate`` (a rate) or ``trace`` (a trace).
        low: Lowest log-rate, ``(N,)``; unused for traces.
        high: Highest log-rate, ``(N,)``; unused for traces.
    """

    sigma_bins: float
    components: Components
    weights: Float[Tensor, "R N"]
    offset: Float[Tensor, " N"]
    link: Literal["log", "rate", "trace"]
    low: Float[Tensor, " N"]
    high: Float[Tensor, " N"]

    def predict(self, signal: Float[Tensor, "M N"], group: Group) -> Float[Tensor, "M A"]:
        """Log-rates or traces of the asked units.

        Args:
            signal: Scaled and smoothed activity, ``(M, N)``.
            group: What is asked.

        Returns:
            One column per asked unit.
        """
        whole, asked = infer(self.components, group.shown), group.asked
        weights, inference = self.weights[:, asked], whole.of_units(asked)
        linear = inference.readout(signal[:, asked], whole.latents(signal), weights)
        linear = linear + self.offset[asked]
        if self.link == "trace":
            return linear
        if self.link == "rate":
            linear = linear.clamp_min(1e-12).log()
        else:
            # The mean of exp(x) for a Gaussian x whose variance the shown units leave.
            linear = linear + 0.5 * inference.variance(weights)
        return linear.clamp(self.low[asked], self.high[asked])


@dataclass(frozen=True, kw_only=True)
class TuningData:
    """Training and validation windows, as every task needs them.

    Attributes:
        train: Training windows.
        valid: Validation windows.
        scaling: Of the activity.
        null: Log of the mean count, or mean trace, ``(N,)``.
        spectra: By smoothing.
        score: On validation windows.
        is_poisson: Whether the activity is counts.
    """

    train: Batch
    valid: Batch
    scaling: Scaling
    null: Tensor
    spectra: dict[float, Spectrum]
    score: ActivityScore
    is_poisson: bool

    def signal(self, batch: Batch, sigma_bins: float) -> Tensor:
        """Scaled activity of the bins that exist, ``(M, N)``."""
        return self.scaling.of(batch.activity, batch.valid, sigma_bins)[batch.valid]

    def answers(self, rule: UnitRule, signal: Tensor, groups: Sequence[Group]) -> Tensor:
        """What a rule says in every bin, ``(M, N)``; the mean where nothing is asked."""
        return by_group(rule.predict, signal, groups, self.null)


Scored = tuple[float, UnitRule]
"""A rule and its validation score."""


def tuning_data(train: Batch, valid: Batch, info: SessionInfo) -> TuningData:
    """Measure what the rules of all tasks share.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.

    Returns:
        The data.
    """
    scaling = fit_scaling(train, info.is_poisson)
    spectra = {
        sigma: fit_spectrum(scaling.of(train.activity, train.valid, sigma)[train.valid])
        for sigma in SMOOTHING_BINS
    }
    null = log_mean(train.activity[train.valid].float()) if info.is_poisson else scaling.mean
    return TuningData(
        train=train,
        valid=valid,
        scaling=scaling,
        null=null,
        spectra=spectra,
        score=activity_score(valid, info.is_poisson),
        is_poisson=info.is_poisson,
    )


def fit_rule(data: TuningData, groups: Sequence[Group]) -> UnitRule:
    """The rule with the best validation score; the mean where none is better.

    Args:
        data: Training and validation windows.
        groups: What the task asks.

    Returns:
        The rule.
    """
    units = len(data.null)
    nothing = Components(loadings=torch.zeros(units, 1), noise=1.0)
    null = _rule(data, 0.0, nothing, torch.zeros(1, units), data.scaling.mean)
    silence = torch.zeros_like(data.score.activity)
    candidates = [(data.score.of(data.answers(null, silence, groups)), null)]
    candidates += _plain_rules(data, groups)
    best = max(candidates, key=_score)
    if not data.is_poisson or best[1] is null:
        return best[1]
    signal = data.signal(data.valid, best[1].sigma_bins)
    limited = _with_best_limits(data, best[1], groups, signal)
    return max(best, limited, _best_log_rule(data, best[1], groups, signal), key=_score)[1]


def _plain_rules(data: TuningData, groups: Sequence[Group]) -> Iterator[Scored]:
    """The conditional mean of the Gaussian model, for every smoothing and rank."""
    for sigma_bins, spectrum in data.spectra.items():
        signal = data.signal(data.valid, sigma_bins)
        for rank in RANKS:
            if rank < len(data.null):
                components = spectrum.components(rank)
                weights = components.loadings.T * data.scaling.scale
                rule = _rule(data, sigma_bins, components, weights, data.scaling.mean)
                yield data.score.of(data.answers(rule, signal, groups)), rule


def _best_log_rule(
    data: TuningData, plain: UnitRule, groups: Sequence[Group], valid_signal: Tensor
) -> Scored:
    """Poisson regression at the plain rule's smoothing, at its rank and at the next larger one."""
    sigma_bins, rank = plain.sigma_bins, plain.components.loadings.shape[1]
    larger = [r for r in RANKS if rank < r < len(data.null)][:1]
    signal = data.signal(data.train, sigma_bins)
    counts = data.train.activity[data.train.valid].float()
    found: list[Scored] = []
    for size in (rank, *larger):
        components = data.spectra[sigma_bins].components(size)
        best = -math.inf
        for _, weights, offset in log_readouts(signal, counts, components, groups, PENALTIES):
            rule = replace(_rule(data, sigma_bins, components, weights, offset), link="log")
            found.append(_with_best_limits(data, rule, groups, valid_signal))
            if found[-1][0] < best:
                break
            best = found[-1][0]
    return max(found, key=_score)


def _score(scored: Scored) -> float:
    return scored[0]


def _rule(
    data: TuningData, sigma_bins: float, components: Components, weights: Tensor, offset: Tensor
) -> UnitRule:
    return UnitRule(
        sigma_bins=sigma_bins,
        components=components,
        weights=weights,
        offset=offset,
        link="rate" if data.is_poisson else "trace",
        low=data.null + math.log(USUAL_FLOOR),
        high=data.null + math.log(USUAL_CEILING),
    )


def _with_best_limits(
    data: TuningData, rule: UnitRule, groups: Sequence[Group], signal: Tensor
) -> Scored:
    """The rule with the lowest and the highest rate that serve validation windows best."""
    unlimited = torch.full_like(data.null, math.inf)
    found = data.answers(replace(rule, low=-unlimited, high=unlimited), signal, groups)

    def score(floor: float, ceiling: float) -> float:
        low, high = data.null + math.log(floor), data.null + math.log(ceiling)
        return data.score.of(found.clamp(low, high))

    floor = max(FLOORS, key=lambda floor: score(floor, USUAL_CEILING))
    ceiling = max(CEILINGS, key=lambda ceiling: score(floor, ceiling))
    limited = replace(rule, low=data.null + math.log(floor), high=data.null + math.log(ceiling))
    return score(floor, ceiling), limited
