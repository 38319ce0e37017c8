"""Poisson regression of units on shared latents, each unit left out of the latents it reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.baselines.units_groups import Group
from neuroduet.baselines.units_latents import Components, Inference, infer

STEPS = 8
CHUNK = 1024
"""Rows whose rates are in memory at once; small enough to stay in the cache."""


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """The likelihood of the units of one group.

    Attributes:
        asked: The units, ``(N,)``.
        inference: Of the latents; its units are the asked ones, A of them.
        latents: ``(M, R)``.
        signal: Of the asked units, ``(M, A)``.
        moment: Counts times the latents that their unit reads, ``(R, A)``.
        spikes: At least half a spike per unit, ``(A,)``.
        curvature: Of the likelihood at the mean rate, ``(A, R, R)``.
    """

    asked: Tensor
    inference: Inference
    latents: Tensor
    signal: Tensor
    moment: Tensor
    spikes: Tensor
    curvature: Tensor

    @staticmethod
    def of(signal: Tensor, counts: Tensor, components: Components, group: Group) -> _Problem:
        whole = infer(components, group.shown)
        latents, inference = whole.latents(signal), whole.of_units(group.asked)
        signal, counts = signal[:, group.asked], counts[:, group.asked]
        spikes = counts.sum(dim=0)
        moment = _transposed(inference, latents.T @ counts, (signal * counts).sum(dim=0))
        spikes = spikes.clamp_min(0.5)
        return _Problem(
            asked=group.asked,
            inference=inference,
            latents=latents,
            signal=signal,
            moment=moment,
            spikes=spikes,
            curvature=_grams(inference, latents, signal) * (spikes / len(counts))[:, None, None],
        )

    def loss(self, weights: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of each unit (nats, less a constant) at its best offset; slopes and offsets."""
        by_latent, by_own = torch.zeros_like(weights), torch.zeros_like(self.spikes)
        total = torch.zeros_like(self.spikes)
        own = self.inference.own_share(weights)
        shared = weights + self.inference.loadings.T * own
        for latents, signal in zip(
            self.latents.split(CHUNK), self.signal.split(CHUNK), strict=True
        ):
            rates = (latents @ shared).addcmul_(signal, own, value=-1).clamp_(max=20.0).exp_()
            total = total + rates.sum(dim=0)
            by_latent = by_latent.addmm(latents.T, rates)
            by_own = by_own + (signal * rates).sum(dim=0)
        offset = (self.spikes / total).log()
        expected = _transposed(self.inference, by_latent, by_own) * offset.exp()
        value = 0.5 * penalty @ weights**2 - (self.moment * weights).sum(dim=0)
        value = value - self.spikes * offset
        return value, expected - self.moment + penalty[:, None] * weights, offset

    def minimise(self, weights: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor]:
        """Newton steps with the curvature at the mean rate, each unit with a step of its own."""
        inverse = torch.linalg.inv(self.curvature + torch.diag(penalty))
        value, slope, offset = self.loss(weights, penalty)
        size = torch.ones_like(value)
        for _ in range(STEPS):
            step = torch.einsum("ars,sa->ra", inverse, slope)
            tried = weights - size * step
            new_value, new_slope, new_offset = self.loss(tried, penalty)
            better = new_value <= value
            weights = torch.where(better, tried, weights)
            slope = torch.where(better, new_slope, slope)
            value = torch.where(better, new_value, value)
            offset = torch.where(better, new_offset, offset)
            size = torch.where(better, 1.3 * size, 0.4 * size)
        return weights, offset


def log_readouts(
    signal: Float[Tensor, "M N"],
    counts: Float[Tensor, "M N"],
    components: Components,
    groups: Sequence[Group],
    penalties: tuple[float, ...],
) -> Iterator[tuple[float, Float[Tensor, "R N"], Float[Tensor, " N"]]]:
    """Ridge-penalised Poisson regression of every asked unit, for every penalty.

    Latents along which units differ more are penalised less, in proportion.

    Args:
        signal: Scaled activity of training bins, ``(M, N)``.
        counts: Spike counts of the same bins, ``(M, N)``.
        components: What the latents are inferred by.
        groups: Which units are asked, and what they may be predicted from.
        penalties: Ridge penalties of a typical latent, strongest first.

    Yields:
        Penalty, weights ``(R, N)`` and offsets ``(N,)`` of the log-rate at known latents: the mean
        over the latents that the visible units leave open is fitted to the counts. Where nothing
        is asked, no weights and the log of the mean count.
    """
    problems = [_Problem.of(signal, counts, components, group) for group in groups]
    power = (components.loadings**2).mean(dim=0)
    relative = power.mean() / power.clamp_min(1e-12)
    weights = torch.zeros(components.loadings.T.shape)
    offset = counts.sum(dim=0).clamp_min(0.5).log() - math.log(max(len(counts), 1))
    for penalty in penalties:
        weights, offset = weights.clone(), offset.clone()
        for problem in problems:
            asked = problem.asked
            found, mean = problem.minimise(weights[:, asked], penalty * relative)
            weights[:, asked] = found
            offset[asked] = mean - 0.5 * problem.inference.variance(found)
        yield penalty, weights, offset


def _transposed(inference: Inference, by_latent: Tensor, by_own: Tensor) -> Tensor:
    """Numbers per bin times the latents each unit reads, from those times what all share."""
    own = (inference.loadings.T * by_latent).sum(dim=0) - by_own
    return by_latent + inference.pull.T * (inference.reach * own)


def _grams(inference: Inference, latents: Tensor, signal: Tensor) -> Tensor:
    """Second moments ``(A, R, R)`` of the latents that each unit reads."""
    gram, cross = latents.T @ latents, latents.T @ signal
    loadings, pull, reach = inference.loadings, inference.pull, inference.reach
    # What leaving the unit out adds is pull times this, bin by bin.
    with_latents = (loadings @ gram - cross.T) * reach[:, None]
    squares = (loadings * (loadings @ gram - 2 * cross.T)).sum(dim=1) + (signal**2).sum(dim=0)
    mixed = pull[:, :, None] * with_latents[:, None, :]
    return (
        gram
        + mixed
        + mixed.transpose(1, 2)
        + pull[:, :, None] * pull[:, None, :] * (squares * reach**2)[:, None, None]
    )
