"""Reduced-rank regression from behaviour to rate-normalised activity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.baselines.design import Design, fit_design
from neuroduet.baselines.encoders import (
    EncodingBaseline,
    LinearEncoder,
    behaviour_sets,
    log_mean,
    rate_limits,
    with_best_floor,
)
from neuroduet.baselines.selection import ActivityScore, activity_score
from neuroduet.baselines.smoothing import smooth
from neuroduet.baselines.solve import ridge_path
from neuroduet.types import Batch, Behaviour, SessionInfo

MAX_LAGS = (4, 8, 16)
SMOOTHING_BINS = (0.0, 2.0)
RANKS: tuple[int | None, ...] = (1, 2, 3, 4, 6, 8, 10, 16, None)
PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
"""Ridge penalties: normalised activity has noise of about 1, so prior precisions of a weight."""


def fit_reduced_rank(
    train: Batch,
    valid: Batch,
    info: SessionInfo,
    name: str = "reduced_rank",
    ranks: tuple[int | None, ...] = RANKS,
) -> EncodingBaseline:
    """Reduced-rank regression; lags, smoothing, rank, ridge and floor by validation score.

    Counts are smoothed and divided by the root of their mean, the unit in which Poisson noise is
    alike; for traces the standard deviation takes its place, and no floor applies.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.
        name: Name in score tables (``ridge_encoding`` with full rank only).
        ranks: Ranks to choose from; ``None`` is full rank.

    Returns:
        The fitted predictor, with separate weights for all behaviours and for each alone.
    """
    encoders = {
        frozenset(b.name for b in behaviours): _fit_set(train, valid, info, behaviours, ranks)
        for behaviours in behaviour_sets(info.behaviours)
    }
    return EncodingBaseline(name=name, session=info.id, encoders=encoders)


def best_max_lag(
    train: Batch, valid: Batch, info: SessionInfo, behaviours: tuple[Behaviour, ...]
) -> int:
    """The largest lag that serves a reduced-rank regression best on validation windows.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.
        behaviours: Behaviours used.

    Returns:
        Lag (bins).
    """
    score = activity_score(valid, info.is_poisson)
    fits = _fits(train, valid, info, behaviours, (None, 4, 8), score, smoothing=(0.0,))
    return max(max(fits, key=lambda fit: fit[0])[1].design.lags)


def reduced_rank_weights(
    gram: Float[Tensor, "P P"],
    moment: Float[Tensor, "P N"],
    penalties: Float[Tensor, " A"],
    ranks: tuple[int | None, ...],
) -> Iterator[tuple[int | None, Float[Tensor, "P N"]]]:
    """Closed-form ridge-penalised reduced-rank weights for all penalties and ranks.

    The ridge solution is projected onto the leading principal directions of its fitted values (of
    the rows augmented by the ridge); full rank is the ridge solution itself.

    Args:
        gram: ``X'X``, ``(P, P)``.
        moment: ``X'Y``, ``(P, N)``.
        penalties: Ridge penalties, ``(A,)``.
        ranks: Ranks; ``None`` is full rank.

    Yields:
        Rank and weights ``(P, N)``, penalty by penalty.
    """
    for weights in ridge_path(gram, moment, penalties):
        _, directions = torch.linalg.eigh(weights.T @ moment)
        for rank in ranks:
            if rank is None or rank >= weights.shape[1]:
                yield rank, weights
            else:
                leading = directions[:, -rank:]
                yield rank, weights @ leading @ leading.T


def _fit_set(
    train: Batch,
    valid: Batch,
    info: SessionInfo,
    behaviours: tuple[Behaviour, ...],
    ranks: tuple[int | None, ...],
) -> LinearEncoder:
    score = activity_score(valid, info.is_poisson)
    fits = _fits(train, valid, info, behaviours, ranks, score, SMOOTHING_BINS)
    _, best = max(fits, key=lambda fit: fit[0])
    if not info.is_poisson:
        return best
    columns = best.design.columns(valid)[valid.valid]
    return with_best_floor(best, log_mean(train.activity[train.valid].float()), score, columns)


def _fits(
    train: Batch,
    valid: Batch,
    info: SessionInfo,
    behaviours: tuple[Behaviour, ...],
    ranks: tuple[int | None, ...],
    score: ActivityScore,
    smoothing: tuple[float, ...],
) -> Iterator[tuple[float, LinearEncoder]]:
    """Every candidate with its validation score."""
    for max_lag in lags_to_try(behaviours, train.valid.shape[1]):
        design = fit_design(train, behaviours, max_lag)
        rows = _Rows.of(train, design, info.is_poisson)
        columns = design.columns(valid)[valid.valid]
        for sigma_bins in smoothing:
            moment = rows.columns.T @ rows.target(train, sigma_bins)
            gram = rows.columns.T @ rows.columns
            penalties = torch.tensor(PENALTIES)
            for _, weights in reduced_rank_weights(gram, moment, penalties, ranks):
                encoder = rows.encoder(design, weights)
                yield score.of(encoder.from_columns(columns)), encoder


def lags_to_try(behaviours: tuple[Behaviour, ...], bins: int) -> tuple[int, ...]:
    """Largest lags to choose from: within half a window, and one only if nothing is lagged."""
    limit = max((bins - 1) // 2, 0)
    if all(behaviour.per == "trial" for behaviour in behaviours):
        return (0,)
    return tuple(sorted({min(lag, limit) for lag in MAX_LAGS}))


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Training rows: centred columns and the scales of the activity."""

    columns: Tensor
    centre: Tensor
    mean: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor
    is_poisson: bool

    @staticmethod
    def of(train: Batch, design: Design, is_poisson: bool) -> _Rows:
        columns = design.columns(train)[train.valid]
        activity = train.activity[train.valid].float()
        mean = activity.mean(dim=0)
        scale = mean.sqrt() if is_poisson else activity.std(dim=0, correction=0)
        low, high = rate_limits(activity)
        centre = columns.mean(dim=0)
        return _Rows(
            columns=columns - centre,
            centre=centre,
            mean=mean,
            scale=torch.where(scale > 0, scale, 1.0),
            low=low + math.log(10.0),
            high=high,
            is_poisson=is_poisson,
        )

    def target(self, train: Batch, sigma_bins: float) -> Tensor:
        smoothed = smooth(train.activity.float(), train.valid, sigma_bins)[train.valid]
        return (smoothed - self.mean) / self.scale

    def encoder(self, design: Design, weights: Tensor) -> LinearEncoder:
        weights = weights * self.scale
        return LinearEncoder(
            design=design,
            weights=weights,
            offset=self.mean - self.centre @ weights,
            link="rate" if self.is_poisson else "trace",
            low=self.low,
            high=self.high,
        )
