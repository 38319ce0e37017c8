"""Reduced-rank regression from the recent past of all units to the bins after it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, product

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neuroduet.baselines.encoders import FLOORS, answers, log_mean
from neuroduet.baselines.signals import shown_activity
from neuroduet.baselines.smoothing import smooth
from neuroduet.baselines.units_latents import Components, Scaling, fit_scaling, fit_spectrum
from neuroduet.baselines.units_past import (
    LastBins,
    ahead,
    before,
    cut_points,
    deviations,
    last_bins_of,
    latent_path,
    padded,
    past_features,
    seen_bins,
    trailing_mean,
)
from neuroduet.masking.activity import LONGEST_HORIZON, usual_horizon
from neuroduet.types import NEURAL, Batch, Masks, Prediction, SessionInfo

FORWARD_TASKS = frozenset({"forward"})
SMOOTHING_BINS = 3.0
"""Smoothing of the activity whose components are used, and of the course of a window."""
RANKS = (2, 4, 8, 16, 32, 44)
MEMORIES = ((2.0, 8.0), (3.0, 10.0, 40.0))
"""Time constants of the averages of the past (bins)."""
PENALTIES = (30.0, 100.0, 300.0, 1000.0, 3000.0)
OWN_PENALTIES = (30.0, 300.0, 3000.0, math.inf)
"""Ridge penalties of a unit's own past; an infinite one leaves it out."""
SHARES = (0.4, 0.6, 0.8, 1.0, 1.2)
"""What of the predicted deviation from the course is used."""
COURSE_SHARES = (0.0, 0.5, 1.0)
"""What of the course of the training windows is used."""


@dataclass(frozen=True, kw_only=True)
class PastRegression:
    """The last bins of a window from the bins before them.

    Attributes:
        session: The session it was fitted on; it predicts no other.
        scaling: Of the activity.
        course: Scaled activity expected in each bin of a window, ``(T, N)``.
        components: What units share.
        memories: Time constants of the averages of the past (bins).
        steps: From the averaged latents to those of each bin ahead, ``(H, P, R)``; the last is
            used for all bins further ahead.
        own: From each unit's own average, at the longest memory, to what the latents leave of its
            activity, ``(N,)``.
        low: Lowest log-rate, ``(N,)``; ``None`` for traces.
        name: Name in score tables.
    """

    session: str
    scaling: Scaling
    course: Float[Tensor, "T N"]
    components: Components
    memories: tuple[float, ...]
    steps: Float[Tensor, "H P R"]
    own: Float[Tensor, " N"]
    low: Float[Tensor, " N"] | None
    name: str = "reduced_rank_past"

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Predict all bins after the last visible one.

        Args:
            batch: Windows.
            masks: What is visible; a bin with a hidden unit counts as hidden.
            task: ``forward``.

        Returns:
            Log of the expected count per bin, or expected traces; in bins that are visible, their
            course without regard to what was seen.
        """
        if not answers(self.session, batch, masks, task, NEURAL, FORWARD_TASKS):
            return Prediction(activity=None)
        shown = replace(batch, activity=shown_activity(batch, masks, self.scaling.mean))
        past = deviations(shown, self.scaling, self.course)
        change = self.change(past, seen_bins(batch, masks))
        return Prediction(activity=self.level(padded(self.course, past.shape[1]) + change))

    def level(self, scaled: Float[Tensor, "*bins N"]) -> Float[Tensor, "*bins N"]:
        """Traces, or log-rates not below the lowest, from scaled activity."""
        level = scaled * self.scaling.scale + self.scaling.mean
        if self.low is None:
            return level
        return torch.maximum(level.clamp_min(1e-12).log(), self.low)

    def change(
        self, past: Float[Tensor, "B T N"], seen: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T N"]:
        """Expected deviation from the course in the bins after the last that is seen, else 0.

        Args:
            past: Deviations from the course, ``(B, T, N)``.
            seen: Bins that are visible, ``(B, T)``.

        Returns:
            ``(B, T, N)``.
        """
        features = past_features(latent_path(self.components, past), seen, self.memories)
        latents = torch.einsum("bp,hpr->bhr", features, self.steps)
        distance = ahead(seen)
        step = distance.clamp(1, len(self.steps)) - 1
        shared = latents[torch.arange(len(step))[:, None], step] @ self.components.loadings.T
        own = trailing_mean(past, seen, self.memories[-1]) * self.own
        return torch.where((distance > 0)[:, :, None], shared + own[:, None], 0.0)


def fit_past_regression(train: Batch, valid: Batch, info: SessionInfo) -> PastRegression:
    """Ridge regression from averages of the past, tuned on the last bins of validation windows.

    The past enters as exponential averages of the principal components of all units, from which
    the components of each bin ahead are predicted (deviations from the mean course of a window),
    and as each unit's own average. Course, time constants, rank, penalties, the share of the
    deviation that is used and the floor are those with the best score in the bins that the task
    hides; where nothing beats it, the mean rate is predicted.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.

    Returns:
        The predictor; it answers ``forward``.
    """
    horizon = usual_horizon(info.max_bins)
    last = last_bins_of(valid, horizon, info.is_poisson)

    def best(models: Iterable[PastRegression]) -> PastRegression:
        return max(models, key=lambda model: _score(model, valid, last))

    null = _null(train, info)
    learnable = len(info.units) > 1 and train.valid.shape[1] > 1
    shared = _shared_models(train, null) if learnable else ()
    found = best(chain([null], shared))
    found = best(replace(found, steps=share * found.steps) for share in SHARES)
    found = best(_with_own(train, found, horizon, penalty) for penalty in OWN_PENALTIES)
    if not info.is_poisson:
        return found
    log_rates = log_mean(train.activity[train.valid].float())
    floored = [replace(found, low=log_rates + math.log(floor)) for floor in FLOORS]
    return best([found, *floored])


def _score(model: PastRegression, valid: Batch, last: LastBins) -> float:
    past = deviations(valid, model.scaling, model.course)
    scaled = padded(model.course, past.shape[1]) + model.change(past, last.seen)
    return last.score.of(model.level(scaled[last.asked]))


def _null(train: Batch, info: SessionInfo) -> PastRegression:
    """The mean, whatever was seen."""
    units = len(info.units)
    low = log_mean(train.activity[train.valid].float()) + math.log(FLOORS[-1])
    return PastRegression(
        session=info.id,
        scaling=fit_scaling(train, info.is_poisson),
        course=torch.zeros(train.valid.shape[1], units),
        components=Components(loadings=torch.zeros(units, 1), noise=1.0),
        memories=(1.0,),
        steps=torch.zeros(1, 1, 1),
        own=torch.zeros(units),
        low=low if info.is_poisson else None,
    )


def _shared_models(train: Batch, null: PastRegression) -> Iterator[PastRegression]:
    """Every course, rank, set of memories and penalty."""
    scaling, bins = null.scaling, train.valid.shape[1]
    signal = scaling.of(train.activity, train.valid, SMOOTHING_BINS)[train.valid]
    spectrum = fit_spectrum(signal)
    raw = scaling.of(train.activity, train.valid, 0.0)
    trials = train.valid.sum(dim=0).clamp_min(1)[:, None]
    everywhere = torch.ones(1, bins, dtype=torch.bool)
    course = smooth((raw.sum(dim=0) / trials)[None], everywhere, SMOOTHING_BINS)[0]
    ranks = [rank for rank in RANKS if rank < len(null.own)] or [1]
    longest = max(usual_horizon(bins), round(LONGEST_HORIZON * bins))
    for course_share, rank in product(COURSE_SHARES, ranks):
        model = replace(null, course=course_share * course, components=spectrum.components(rank))
        path = latent_path(model.components, deviations(train, scaling, model.course))
        for memories in MEMORIES:
            for steps in _steps(path, train.valid, memories, longest):
                yield replace(model, memories=memories, steps=steps)


def _steps(
    path: Tensor, valid: Tensor, memories: tuple[float, ...], longest: int
) -> Iterator[Tensor]:
    """Ridge regression from the past to each bin ahead, ``(H, P, R)``, for every penalty."""
    cuts = cut_points(valid.shape[1])
    features = {cut: past_features(path, before(valid, cut), memories) for cut in cuts}
    grams, moments = [], []
    for step in range(longest):
        inside = [cut for cut in cuts if cut + step < valid.shape[1]]
        rows = [valid[:, cut + step] for cut in inside]
        x = torch.cat([features[cut][row] for cut, row in zip(inside, rows, strict=True)])
        y = torch.cat([path[row, cut + step] for cut, row in zip(inside, rows, strict=True)])
        grams.append(x.T @ x)
        moments.append(x.T @ y)
    gram, moment = torch.stack(grams), torch.stack(moments)
    for penalty in PENALTIES:
        yield torch.linalg.solve(gram + penalty * torch.eye(gram.shape[1]), moment)


def _with_own(train: Batch, model: PastRegression, horizon: int, penalty: float) -> PastRegression:
    """The model with each unit's own past in addition."""
    past = deviations(train, model.scaling, model.course)
    moment, power = torch.zeros_like(model.own), torch.zeros_like(model.own)
    for cut in cut_points(past.shape[1]):
        seen = before(train.valid, cut)
        asked = train.valid[:, cut : cut + horizon, None]
        rest = (past - model.change(past, seen))[:, cut : cut + horizon] * asked
        own = trailing_mean(past, seen, model.memories[-1])
        moment = moment + (own * rest.sum(dim=1)).sum(dim=0)
        power = power + (own**2 * asked.sum(dim=1)).sum(dim=0)
    return replace(model, own=moment / (power + penalty).clamp_min(1e-12))
