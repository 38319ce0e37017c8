"""Poisson regression of all units at once on behaviour, at full and at low rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.baselines.design import fit_design
from neuroduet.baselines.encoders import (
    EncodingBaseline,
    LinearEncoder,
    behaviour_sets,
    log_mean,
    rate_limits,
    with_best_floor,
)
from neuroduet.baselines.reduced_rank import best_max_lag
from neuroduet.baselines.selection import activity_score
from neuroduet.types import Batch, Behaviour, SessionInfo

RANKS = (4, 6, 10)
PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3)
"""Ridge penalties, strongest first: prior precisions of a weight in log-rate."""
FULL_STEPS = 12
LOW_RANK_STEPS = 20
CHUNK = 512
"""Rows whose rates are in memory at once; small enough to stay in the cache."""


@dataclass(frozen=True, kw_only=True)
class GlmWeights:
    """Log-rates ``columns @ weights + offset``.

    Attributes:
        weights: ``(P, N)``.
        offset: Intercept, ``(N,)``.
    """

    weights: Float[Tensor, "P N"]
    offset: Float[Tensor, " N"]


@dataclass(frozen=True, kw_only=True)
class PoissonRows:
    """Training rows in the principal axes of their columns, where the problem is well scaled.

    Attributes:
        columns: Rotated centred columns, ``(M, P)``.
        spread: Sum of squares of each of them, ``(P,)``.
        moment: ``columns' counts``, ``(P, N)``: all the likelihood needs of the counts.
        spikes: Spikes of each unit, ``(N,)``.
    """

    columns: Float[Tensor, "M P"]
    spread: Float[Tensor, " P"]
    moment: Float[Tensor, "P N"]
    spikes: Float[Tensor, " N"]

    def loss(self, left: Tensor | None, right: Tensor, offset: Tensor) -> tuple[Tensor, ...]:
        """Negative log-likelihood (nats, less a constant) of weights ``left @ right``.

        Args:
            left: ``(P, R)``, or ``None`` for the identity (full rank).
            right: ``(R, N)``.
            offset: ``(N,)``.

        Returns:
            The value and its slopes by ``left`` (0 if that is ``None``), ``right`` and ``offset``.
        """
        moment = self.moment if left is None else left.T @ self.moment
        value = -(moment * right).sum() - (self.spikes * offset).sum()
        by_right, by_offset = -moment, -self.spikes
        by_left = torch.zeros(()) if left is None else -self.moment @ right.T
        for rows in self.columns.split(CHUNK):
            inner = rows if left is None else rows @ left
            rates = torch.addmm(offset, inner, right).clamp_(max=20.0).exp_()
            expected = rates.sum(dim=0)
            value, by_offset = value + expected.sum(), by_offset + expected
            by_right = by_right.addmm(inner.T, rates)
            if left is not None:
                by_left = by_left.addmm(rows.T, rates @ right.T)
        return value, by_left, by_right, by_offset


def fit_poisson_glm(train: Batch, valid: Batch, info: SessionInfo) -> EncodingBaseline:
    """Poisson generalised linear model; lags, rank and ridge by validation bits per spike.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.

    Returns:
        The fitted predictor, with separate weights for all behaviours and for each alone.
    """
    encoders = {
        frozenset(b.name for b in behaviours): _fit_set(train, valid, info, behaviours)
        for behaviours in behaviour_sets(info.behaviours)
    }
    return EncodingBaseline(name="poisson_glm", session=info.id, encoders=encoders)


def glm_path(
    columns: Float[Tensor, "M P"],
    counts: Float[Tensor, "M N"],
    penalties: tuple[float, ...],
    ranks: tuple[int, ...] = (),
    steps: tuple[int, int] = (FULL_STEPS, LOW_RANK_STEPS),
) -> Iterator[tuple[float, int | None, GlmWeights]]:
    """Ridge-penalised Poisson regression for every penalty, at full and at low ranks.

    Minimises the negative log-likelihood plus half the penalty times the sum of squared weights
    by L-BFGS, all units together. Variables are scaled by the curvature at the mean rate, so that
    a dozen steps suffice; each penalty starts from the solution of the one before, and a low rank
    from the truncation of the full-rank solution in the metric of that curvature.

    Args:
        columns: Centred columns, ``(M, P)``.
        counts: Spike counts, ``(M, N)``.
        penalties: Ridge penalties, strongest first.
        ranks: Low ranks to fit beside the full one.
        steps: L-BFGS steps at full and at low rank.

    Yields:
        Penalty, rank (``None`` is full) and weights.
    """
    spread, axes = torch.linalg.eigh(columns.T @ columns)
    # Directions that the columns do not have (one-hot columns add up to a constant) stay out.
    kept = spread > spread[-1].clamp_min(1e-12) * 1e-6
    spread, axes = spread[kept], axes[:, kept]
    rotated = columns @ axes
    rows = PoissonRows(
        columns=rotated, spread=spread, moment=rotated.T @ counts, spikes=counts.sum(dim=0)
    )
    full = GlmWeights(weights=torch.zeros_like(rows.moment), offset=log_mean(counts))
    for penalty in penalties:
        full = _fit_full(rows, full, penalty, steps[0])
        yield penalty, None, _rotate(full, axes)
        for rank in ranks:
            if rank < min(full.weights.shape):
                low = _fit_low_rank(rows, full, penalty, rank, steps[1])
                yield penalty, rank, _rotate(low, axes)


def _fit_set(
    train: Batch, valid: Batch, info: SessionInfo, behaviours: tuple[Behaviour, ...]
) -> LinearEncoder:
    design = fit_design(train, behaviours, best_max_lag(train, valid, info, behaviours))
    columns, counts = design.columns(train)[train.valid], train.activity[train.valid].float()
    centre = columns.mean(dim=0)
    low, high = rate_limits(counts)
    score, valid_columns = activity_score(valid, True), design.columns(valid)[valid.valid]
    best: tuple[float, LinearEncoder] | None = None
    latest: dict[float, float] = {}
    for penalty, _, fit in glm_path(columns - centre, counts, PENALTIES, RANKS):
        if _has_peaked(latest, penalty):
            break
        encoder = LinearEncoder(
            design=design,
            weights=fit.weights,
            offset=fit.offset - centre @ fit.weights,
            link="log",
            low=low,
            high=high,
        )
        value = score.of(encoder.from_columns(valid_columns))
        latest[penalty] = max(value, latest.get(penalty, value))
        if best is None or value > best[0]:
            best = value, encoder
    assert best is not None
    return with_best_floor(best[1], log_mean(counts), score, valid_columns)


def _has_peaked(latest: dict[float, float], penalty: float) -> bool:
    """Whether the penalty before this one was worse than the one before that."""
    scores = list(latest.values())
    return penalty not in latest and len(scores) > 1 and scores[-1] < scores[-2]


def _rotate(fit: GlmWeights, axes: Tensor) -> GlmWeights:
    return GlmWeights(weights=axes @ fit.weights, offset=fit.offset)


def _fit_full(rows: PoissonRows, start: GlmWeights, penalty: float, steps: int) -> GlmWeights:
    curvature = rows.spikes.clamp_min(0.5) / len(rows.columns)
    scale = (rows.spread[:, None] * curvature + penalty).rsqrt()
    offset_scale = rows.spikes.clamp_min(0.5).rsqrt()

    def loss(variables: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        weights, offset = variables[0] * scale, variables[1] * offset_scale
        value, _, by_weights, by_offset = rows.loss(None, weights, offset)
        value = value + 0.5 * penalty * (weights**2).sum()
        return value, [(by_weights + penalty * weights) * scale, by_offset * offset_scale]

    weights, offset = _minimise(loss, [start.weights / scale, start.offset / offset_scale], steps)
    return GlmWeights(weights=weights * scale, offset=offset * offset_scale)


def _fit_low_rank(
    rows: PoissonRows, full: GlmWeights, penalty: float, rank: int, steps: int
) -> GlmWeights:
    curvature = rows.spikes.clamp_min(0.5) / len(rows.columns)
    typical = float(curvature.median())
    left = (rows.spread * typical + penalty).sqrt()[:, None]
    right = ((rows.spikes + penalty) / (rows.spikes.median() + penalty)).sqrt()
    u, s, v = torch.linalg.svd(left * full.weights * right, full_matrices=False)
    root = s[:rank].sqrt()
    offset_scale = rows.spikes.clamp_min(0.5).rsqrt()

    def loss(variables: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        a, b = variables[0] / left, variables[1] / right
        value, by_a, by_b, by_offset = rows.loss(a, b, variables[2] * offset_scale)
        inside, outside = a.T @ a, b @ b.T
        value = value + 0.5 * penalty * (inside * outside).sum()
        by_a, by_b = by_a + penalty * a @ outside, by_b + penalty * inside @ b
        return value, [by_a / left, by_b / right, by_offset * offset_scale]

    start = [u[:, :rank] * root, root[:, None] * v[:rank], full.offset / offset_scale]
    a, b, offset = _minimise(loss, start, steps)
    return GlmWeights(weights=(a / left) @ (b / right), offset=offset * offset_scale)


def _minimise(
    loss: Callable[[list[Tensor]], tuple[Tensor, list[Tensor]]], start: list[Tensor], steps: int
) -> list[Tensor]:
    """L-BFGS with a strong Wolfe line search and gradients given by hand."""
    variables = [tensor.clone().requires_grad_() for tensor in start]
    optimiser = torch.optim.LBFGS(
        variables,
        max_iter=steps,
        max_eval=2 * steps,
        history_size=steps,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        with torch.no_grad():
            value, slopes = loss([variable.detach() for variable in variables])
        for variable, slope in zip(variables, slopes, strict=True):
            variable.grad = slope
        return value

    optimiser.step(closure)
    return [variable.detach() for variable in variables]
