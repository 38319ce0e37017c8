"""Smoothed spikes: what a unit's own past, or the population, says without regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neuroduet.baselines.encoders import answers, log_mean
from neuroduet.baselines.selection import activity_score
from neuroduet.baselines.signals import shown_activity
from neuroduet.baselines.smoothing import smooth
from neuroduet.baselines.units_groups import (
    Group,
    Rule,
    by_group,
    by_window,
    joined,
    shown_units,
    task_groups,
)
from neuroduet.baselines.units_latents import Scaling, fit_scaling
from neuroduet.baselines.units_past import ahead, last_bins_of, seen_bins, trailing_mean
from neuroduet.masking.activity import usual_horizon
from neuroduet.types import NEURAL, Batch, Masks, Prediction, SessionInfo, UnitQuestions

FORWARD = "forward"
WIDTHS_BINS = (1.0, 2.0, 4.0, 8.0, 16.0)
MEMORIES_BINS = (3.0, 6.0, 12.0, 25.0, 50.0, 200.0)
PRIORS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 1e6)
"""Strength of the mean rate against what was seen, from next to none to complete."""


@dataclass(frozen=True, kw_only=True)
class Smoother:
    """One way to smooth.

    Attributes:
        width_bins: Standard deviation of the Gaussian, or time constant of the past (bins).
        prior: Strength of the mean.
    """

    width_bins: float
    prior: float


@dataclass(frozen=True, kw_only=True)
class Smoothed:
    """Each unit's own past (forward), or the gain of the visible population (unit tasks).

    Attributes:
        session: The session it was fitted on; it predicts no other.
        scaling: Of the activity.
        null: Log of the mean count per bin, or mean trace, ``(N,)``.
        is_poisson: Whether the activity is counts.
        smoothers: By task.
        name: Name in score tables.
    """

    session: str
    scaling: Scaling
    null: Float[Tensor, " N"]
    is_poisson: bool
    smoothers: Mapping[str, Smoother]
    name: str = "smoothed"

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Predict from what is visible; see :class:`~neuroduet.types.Predictor`."""
        if not answers(self.session, batch, masks, task, NEURAL, frozenset(self.smoothers)):
            return Prediction(activity=None)
        smoother = self.smoothers[task]
        shown = shown_activity(batch, masks, self.scaling.mean)
        if task == FORWARD:
            past = self.from_past(shown, seen_bins(batch, masks), smoother)
            return Prediction(activity=past[:, None].repeat(1, shown.shape[1], 1))
        signal = smooth(shown, batch.valid, smoother.width_bins)
        rule = self.population_rule(smoother)
        return Prediction(activity=by_window(rule, signal, shown_units(batch, masks)))

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> Float[Tensor, "B T N"] | None:
        """Answer many questions at once; as :meth:`UnitRegression.predict_units`."""
        asked = frozenset(self.smoothers) - {FORWARD}
        if not answers(self.session, batch, masks, task, NEURAL, asked):
            return None
        smoother = self.smoothers[task]
        shown = shown_activity(batch, masks, self.scaling.mean)
        signal = smooth(shown, batch.valid, smoother.width_bins).flatten(0, 1)
        groups = joined(questions, shown_units(batch, masks).all(dim=0))
        found = by_group(self.population_rule(smoother), signal, groups, self.null)
        return found.unflatten(0, batch.valid.shape)

    def from_past(
        self, activity: Float[Tensor, "B T N"], seen: Bool[Tensor, "B T"], smoother: Smoother
    ) -> Float[Tensor, "B N"]:
        """Log-rates or traces from the weighted sum of each unit's own seen bins.

        Args:
            activity: Activity, ``(B, T, N)``.
            seen: Visible bins, ``(B, T)``.
            smoother: Time constant, and number of pseudo-spikes (traces: bins) at the mean.

        Returns:
            ``(B, N)``.
        """
        mean, prior = self.scaling.mean, smoother.prior
        level = trailing_mean(activity, seen, smoother.width_bins)
        total = trailing_sum(seen, smoother.width_bins)[:, None]
        if self.is_poisson:
            return self.null + ((total * level + prior) / (total * mean + prior)).log()
        return mean + (level - mean) * total / (total + prior)

    def population_rule(self, smoother: Smoother) -> Rule:
        """How the smoothed activity of the visible units moves every other unit.

        Counts: all rates rise with the sum of the visible units' counts, each over the root of its
        mean, relative to what is usual. Traces: with the mean deviation, in standard deviations.
        Both shrink by ``1 / (1 + prior)``.

        Args:
            smoother: Width and prior.

        Returns:
            The rule, for activity that is smoothed already.
        """
        mean, scale = self.scaling.mean, self.scaling.scale
        share, usual = 1 / (1 + smoother.prior), 1.0 if self.is_poisson else 0.0

        def rule(signal: Tensor, group: Group) -> Tensor:
            values = signal / scale if self.is_poisson else (signal - mean) / scale
            size = mean / scale if self.is_poisson else torch.ones_like(mean)
            shown, asked = group.shown, group.asked
            found = (values * shown).sum(dim=1, keepdim=True) - (values * shown)[:, asked]
            expected = (size * shown).sum() - (size * shown)[asked]
            relative = torch.where(
                # With nothing visible, the mean.
                expected > 1e-6 * size[asked],
                found / expected.clamp_min(1e-12),
                usual,
            )
            if not self.is_poisson:
                return mean[asked] + scale[asked] * share * relative
            return self.null[asked] + torch.log1p(share * (relative - 1))

        return rule


def fit_smoothed(train: Batch, valid: Batch, info: SessionInfo) -> Smoothed:
    """Smoothed spikes; width and shrinkage of each task by its validation score.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.

    Returns:
        The predictor; it answers ``co_smoothing``, ``forward`` and, for a session with named
        regions, ``intra_region`` and ``inter_region``.
    """
    scaling = fit_scaling(train, info.is_poisson)
    null = log_mean(train.activity[train.valid].float()) if info.is_poisson else scaling.mean
    blank = Smoothed(
        session=info.id, scaling=scaling, null=null, is_poisson=info.is_poisson, smoothers={}
    )
    smoothers = {FORWARD: _best_past(blank, valid, usual_horizon(info.max_bins))}
    for task, groups in task_groups(info).items():
        smoothers[task] = _best_population(blank, valid, groups)
    return replace(blank, smoothers=smoothers)


def trailing_sum(seen: Bool[Tensor, "B T"], memory_bins: float) -> Float[Tensor, " B"]:
    """Sum of the weights of :func:`~neuroduet.baselines.units_past.trailing_mean`."""
    return (torch.exp(ahead(seen).clamp_max(0) / memory_bins) * seen).sum(dim=1)


def _best_past(blank: Smoothed, valid: Batch, horizon: int) -> Smoother:
    last, activity = last_bins_of(valid, horizon, blank.is_poisson), valid.activity.float()

    def of(smoother: Smoother) -> float:
        found = blank.from_past(activity, last.seen, smoother)
        return last.score.of(found[:, None].expand(activity.shape)[last.asked])

    return max(_smoothers(MEMORIES_BINS), key=of)


def _best_population(blank: Smoothed, valid: Batch, groups: Sequence[Group]) -> Smoother:
    score = activity_score(valid, blank.is_poisson)
    scores = {}
    for width in WIDTHS_BINS:
        signal = smooth(valid.activity.float(), valid.valid, width)[valid.valid]
        for smoother in _smoothers((width,)):
            rule = blank.population_rule(smoother)
            scores[smoother] = score.of(by_group(rule, signal, groups, blank.null))
    return max(scores, key=lambda smoother: scores[smoother])


def _smoothers(widths: tuple[float, ...]) -> list[Smoother]:
    return [Smoother(width_bins=width, prior=prior) for width in widths for prior in PRIORS]
