"""Linear encoders: activity as a linear function of behaviour, through one of three links."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.baselines.design import Design
from neuroduet.baselines.selection import ActivityScore
from neuroduet.types import NEURAL, Batch, Behaviour, Masks, Prediction

ENCODING_TASKS = frozenset({"encoding", "encoding_from"})
ACTIVITY_TASKS = frozenset({"co_smoothing", "forward", "intra_region", "inter_region"})
FLOORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
"""Lowest predicted rate over the unit's mean: a spike where none was expected costs much."""


@dataclass(frozen=True, kw_only=True)
class LinearEncoder:
    """Weights from the columns of a design to units.

    Attributes:
        design: The columns.
        weights: ``(P, N)``.
        offset: Intercept, ``(N,)``.
        link: ``log`` (the sum is a log-rate), ``rate`` (a rate) or ``trace`` (a trace).
        low: Lowest log-rate, ``(N,)``; unused for traces.
        high: Highest log-rate, ``(N,)``: an extrapolation beyond every count of the training
            windows would cost more than it can gain.
    """

    design: Design
    weights: Float[Tensor, "P N"]
    offset: Float[Tensor, " N"]
    link: Literal["log", "rate", "trace"]
    low: Float[Tensor, " N"]
    high: Float[Tensor, " N"]

    def activity(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B T N"]:
        """Log of the expected count per bin, or the expected trace."""
        return self.from_columns(self.design.columns(batch, masks).flatten(0, 1)).unflatten(
            0, batch.valid.shape
        )

    def from_columns(self, columns: Float[Tensor, "M P"]) -> Float[Tensor, "M N"]:
        """The same from columns that were made before."""
        linear = torch.addmm(self.offset, columns, self.weights)
        if self.link == "trace":
            return linear
        if self.link == "rate":
            linear = linear.clamp_min(1e-12).log()
        return linear.clamp(self.low, self.high)


def rate_limits(activity: Float[Tensor, "M N"]) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Lowest and highest log-rates worth predicting.

    Args:
        activity: Training counts, ``(M, N)``.

    Returns:
        Log of a hundredth of the mean count (that of half a spike if the unit is silent), and log
        of half more than the largest count.
    """
    rows = max(len(activity), 1)
    mean = activity.sum(dim=0).clamp_min(0.5) / rows
    largest = activity.amax(dim=0) if len(activity) else mean
    return (0.01 * mean).log(), (1.5 * largest.clamp_min(1.0)).log()


def log_mean(activity: Float[Tensor, "M N"]) -> Float[Tensor, " N"]:
    """Log of the mean count per bin; a silent unit reads half a spike in all bins."""
    return activity.sum(dim=0).clamp_min(0.5).log() - math.log(max(len(activity), 1))


def with_best_floor(
    encoder: LinearEncoder,
    mean: Float[Tensor, " N"],
    score: ActivityScore,
    columns: Float[Tensor, "M P"],
) -> LinearEncoder:
    """The encoder with the lowest rate that serves validation windows best.

    Args:
        encoder: An encoder of counts.
        mean: Log of each unit's mean count in training bins, ``(N,)``.
        score: Score on validation windows.
        columns: Columns of their bins.

    Returns:
        The same weights, another ``low``.
    """
    floored = [replace(encoder, low=mean + math.log(floor)) for floor in FLOORS]
    return max(floored, key=lambda candidate: score.of(candidate.from_columns(columns)))


@dataclass(frozen=True, kw_only=True)
class EncodingBaseline:
    """A predictor of activity with one encoder per set of behaviours it may be given.

    Attributes:
        name: Name in score tables.
        session: The session it was fitted on; it predicts no other.
        encoders: By the names of the behaviours used; the largest set answers where no other fits.
    """

    name: str
    session: str
    encoders: Mapping[frozenset[str], LinearEncoder]

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Predict activity from the visible behaviours.

        Args:
            batch: Windows.
            masks: What may be used; a hidden behaviour is treated as missing.
            task: ``encoding`` or ``encoding_from``; any other is not answered.

        Returns:
            Log of the expected count per bin, or expected traces.
        """
        if not answers(self.session, batch, masks, task, NEURAL, ENCODING_TASKS):
            return Prediction(activity=None)
        shown = frozenset(name for name in batch.behaviours if _is_shown(masks, name))
        largest = max(self.encoders, key=len)
        encoder = self.encoders[shown if shown in self.encoders else largest]
        return Prediction(activity=encoder.activity(batch, masks))


def answers(
    session: str, batch: Batch, masks: Masks, task: str, target: str, tasks: frozenset[str]
) -> bool:
    """Whether a baseline of one session has anything to say about a target."""
    return task in tasks and batch.session == session and target in masks.scored


def behaviour_sets(behaviours: tuple[Behaviour, ...]) -> list[tuple[Behaviour, ...]]:
    """The sets that get weights of their own: all behaviours, and each alone.

    Args:
        behaviours: The session's behaviours.

    Returns:
        All of them first; only one set if there are fewer than two.
    """
    singles = [(behaviour,) for behaviour in behaviours] if len(behaviours) > 1 else []
    return [behaviours, *singles]


def _is_shown(masks: Masks, name: str) -> bool:
    return name in masks.visible and bool(masks.visible[name].any())
