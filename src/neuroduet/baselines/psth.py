"""Mean activity: of the session, of the time bin, and of the time bin in each condition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neuroduet.baselines.design import seen
from neuroduet.baselines.encoders import ACTIVITY_TASKS, ENCODING_TASKS, answers, log_mean
from neuroduet.baselines.selection import activity_score
from neuroduet.baselines.smoothing import smooth
from neuroduet.types import NEURAL, Batch, Behaviour, Masks, Prediction, SessionInfo

SMOOTHING_BINS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
PRIORS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 1e6)
"""Strength of the shrinkage toward the mean, from next to none to complete."""


CONSTANT_TASKS = ENCODING_TASKS | ACTIVITY_TASKS
"""A constant answers whatever may be seen."""


@dataclass(frozen=True, kw_only=True)
class MeanRate:
    """Every bin reads the unit's mean over the training windows.

    Attributes:
        session: The session it was fitted on.
        activity: Log of the mean count per bin, or mean trace, ``(N,)``.
        name: Name in score tables.
    """

    session: str
    activity: Float[Tensor, " N"]
    name: str = "mean_rate"

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Predict the mean; see :class:`~neuroduet.types.Predictor`."""
        if not answers(self.session, batch, masks, task, NEURAL, CONSTANT_TASKS):
            return Prediction(activity=None)
        return Prediction(activity=self.activity.expand(*batch.valid.shape, -1).clone())


def fit_mean_rate(train: Batch, info: SessionInfo) -> MeanRate:
    """Mean activity of the training windows.

    Args:
        train: Training windows.
        info: The session.

    Returns:
        The predictor.
    """
    activity = train.activity[train.valid].float()
    mean = log_mean(activity) if info.is_poisson else activity.mean(dim=0)
    return MeanRate(session=info.id, activity=mean)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """How the classes of some behaviours change the course of a window.

    Attributes:
        behaviours: Per-trial categorical behaviours, crossed with one another.
        change: Log of the rate ratio, or difference of traces, per combination, ``(K, T, N)``.
    """

    behaviours: tuple[Behaviour, ...]
    change: Float[Tensor, "K T N"]

    def of(self, batch: Batch, masks: Masks | None) -> Float[Tensor, "B T N"]:
        """The change of each window; none where a class is not seen."""
        codes = condition_codes(batch, self.behaviours, masks)
        members = _members(codes, len(self.change))
        return torch.einsum("bk,ktn->btn", members, self.change)


@dataclass(frozen=True, kw_only=True)
class Psth:
    """The smoothed mean of each time bin, changed by the classes of per-trial behaviours.

    Attributes:
        session: The session it was fitted on.
        course: Log-rate (or trace) of each time bin, ``(T, N)``.
        effects: Changes by single behaviours, which add up.
        crossed: Change by all of them crossed, which takes their place where all are seen.
        name: Name in score tables.
    """

    session: str
    course: Float[Tensor, "T N"]
    effects: tuple[Effect, ...]
    crossed: Effect | None
    name: str = "psth"

    def activity(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B T N"]:
        """Log of the expected count per bin, or expected trace."""
        bins = batch.valid.shape[1]
        change = torch.zeros(len(batch.valid), *self.course.shape)
        for effect in self.effects:
            change = change + effect.of(batch, masks)
        if self.crossed is not None:
            known = condition_codes(batch, self.crossed.behaviours, masks) >= 0
            change = torch.where(known[:, None, None], self.crossed.of(batch, masks), change)
        total = self.course + change
        # Windows longer than any in training keep the last value.
        return total[:, torch.arange(bins).clamp_max(len(self.course) - 1)]

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Predict from the visible classes; see :class:`~neuroduet.types.Predictor`."""
        if not answers(self.session, batch, masks, task, NEURAL, CONSTANT_TASKS):
            return Prediction(activity=None)
        return Prediction(activity=self.activity(batch, masks))


def fit_psth(train: Batch, valid: Batch, info: SessionInfo) -> Psth:
    """Peri-event time histogram; smoothing, shrinkage and crossing by validation score.

    Counts: the ratio of a bin's rate to the unit's mean, and of a class's rate to that of all
    trials, is a gamma-Poisson estimate shrunk toward 1 by a number of pseudo-spikes. Traces: the
    differences are shrunk toward 0 by a number of pseudo-trials.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.

    Returns:
        The predictor.
    """
    score = activity_score(valid, info.is_poisson)
    labels = tuple(b for b in info.behaviours if b.kind == "categorical" and b.per == "trial")
    mean = fit_mean_rate(train, info).activity.expand(train.valid.shape[1], -1)

    def best(candidates: Iterable[Psth]) -> Psth:
        return max(candidates, key=lambda psth: score.of(psth.activity(valid)[valid.valid]))

    everything = _Totals.of(train, (), info)
    plain = best(
        Psth(session=info.id, course=mean + change[0], effects=(), crossed=None)
        for change in everything.changes(mean)
    )
    if not labels:
        return plain
    singles = [(label,) for label in labels]
    paths = [_Totals.of(train, single, info).changes(plain.course) for single in singles]
    added = best(
        replace(
            plain,
            effects=tuple(
                Effect(behaviours=single, change=change)
                for single, change in zip(singles, changes, strict=True)
            ),
        )
        for changes in zip(*paths, strict=True)
    )
    if len(labels) == 1:
        return best([plain, added])
    crossed = best(
        replace(added, crossed=Effect(behaviours=labels, change=change))
        for change in _Totals.of(train, labels, info).changes(plain.course)
    )
    return best([plain, added, crossed])


def condition_codes(
    batch: Batch, behaviours: tuple[Behaviour, ...], masks: Masks | None
) -> Int[Tensor, " B"]:
    """Index of each window's combination of classes.

    Args:
        batch: Windows.
        behaviours: Per-trial categorical behaviours.
        masks: What is visible; ``None`` shows everything.

    Returns:
        ``(B,)``; -1 where one of the behaviours is not seen.
    """
    codes = torch.zeros(len(batch.valid), dtype=torch.long)
    known = torch.ones(len(batch.valid), dtype=torch.bool)
    for behaviour in behaviours:
        codes = codes * behaviour.size + batch.behaviours[behaviour.name].long()
        known = known & seen(batch, behaviour.name, masks)
    return torch.where(known, codes, -1)


def _members(codes: Tensor, classes: int) -> Tensor:
    """One row per window with a one at its class; zeros where it has none, ``(B, K)``."""
    return (codes[:, None] == torch.arange(classes)[None, :]).float()


@dataclass(frozen=True, kw_only=True)
class _Totals:
    """Sums of activity ``(K, T, N)`` and numbers of trials ``(K, T)`` of each condition."""

    activity: Tensor
    trials: Tensor
    is_poisson: bool

    @staticmethod
    def of(train: Batch, behaviours: tuple[Behaviour, ...], info: SessionInfo) -> _Totals:
        codes = condition_codes(train, behaviours, None)
        members = _members(codes, math.prod(b.size for b in behaviours))
        activity = torch.where(train.valid[:, :, None], train.activity.float(), 0.0)
        return _Totals(
            activity=torch.einsum("bk,btn->ktn", members, activity),
            trials=members.T @ train.valid.float(),
            is_poisson=info.is_poisson,
        )

    def changes(self, base: Tensor) -> Iterator[Tensor]:
        """Changes from a course ``(T, N)``, ``(K, T, N)``, for every smoothing and shrinkage."""
        exists = torch.ones_like(self.trials, dtype=torch.bool)
        level = base.exp() if self.is_poisson else base
        for sigma_bins in SMOOTHING_BINS:
            found = smooth(self.activity, exists, sigma_bins)
            expected = smooth(self.trials[:, :, None] * level, exists, sigma_bins)
            trials = smooth(self.trials[:, :, None], exists, sigma_bins)
            for prior in PRIORS:
                if self.is_poisson:
                    yield ((found + prior) / (expected + prior)).log()
                else:
                    yield (found - expected) / (trials + prior)
