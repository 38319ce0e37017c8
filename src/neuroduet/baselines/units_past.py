"""What the bins before a cut say about the bins after it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neuroduet.baselines.selection import ActivityScore
from neuroduet.baselines.units_latents import Components, Scaling, infer
from neuroduet.masking.activity import last_bins, usual_horizon
from neuroduet.types import NEURAL, Batch, Masks

CUTS = 10
"""Points of a window, from a third of it to the last bins, whose past and future are learnt."""


@dataclass(frozen=True, kw_only=True)
class LastBins:
    """The question of forward prediction, put to validation windows.

    Attributes:
        seen: Bins before the last ones, ``(B, T)``.
        asked: The last bins, ``(B, T)``.
        score: Of the activity in those.
    """

    seen: Bool[Tensor, "B T"]
    asked: Bool[Tensor, "B T"]
    score: ActivityScore


def last_bins_of(valid: Batch, horizon: int, is_poisson: bool) -> LastBins:
    """Hide the last bins of every window.

    Args:
        valid: Validation windows.
        horizon: How many bins are hidden.
        is_poisson: Whether the activity is counts.

    Returns:
        The question.
    """
    late = last_bins(valid, torch.full((len(valid.valid), 1), horizon))[..., 0]
    asked = valid.valid & late
    activity = valid.activity[asked].float()
    score = ActivityScore(activity=activity, null=activity.mean(dim=0), is_poisson=is_poisson)
    return LastBins(seen=valid.valid & ~late, asked=asked, score=score)


def seen_bins(batch: Batch, masks: Masks) -> Bool[Tensor, "B T"]:
    """Bins that exist and in which every unit is visible.

    Args:
        batch: Windows.
        masks: What is visible.

    Returns:
        ``(B, T)``.
    """
    visible = masks.visible.get(NEURAL)
    if visible is None:
        return torch.zeros_like(batch.valid)
    return visible.expand(batch.activity.shape).all(dim=2) & batch.valid


def ahead(seen: Bool[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """How many bins each bin lies after the last that is seen, ``(B, T)``.

    Args:
        seen: Bins that are visible; without any, the first bin is one ahead.

    Returns:
        1 for the first bin after it; 0 or less up to it.
    """
    place = torch.arange(1, seen.shape[1] + 1)
    return place - (seen * place).amax(dim=1, keepdim=True)


def trailing_mean(
    values: Float[Tensor, "B T N"], seen: Bool[Tensor, "B T"], memory_bins: float
) -> Float[Tensor, "B N"]:
    """Mean of the seen bins, weighted by an exponential that decays from the last one back.

    Args:
        values: Any signal, ``(B, T, N)``; what is not seen does not matter, but must be finite.
        seen: Bins that are visible, ``(B, T)``.
        memory_bins: Time constant (bins).

    Returns:
        ``(B, N)``; 0 where no bin is seen.
    """
    weights = torch.exp(ahead(seen).clamp_max(0) / memory_bins) * seen
    weights = weights / weights.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return torch.einsum("bt,btn->bn", weights, values)


def past_features(
    path: Float[Tensor, "B T R"], seen: Bool[Tensor, "B T"], memories: tuple[float, ...]
) -> Float[Tensor, "B P"]:
    """Averages of the seen bins at several time constants, side by side.

    Args:
        path: Latents of each bin, ``(B, T, R)``.
        seen: Bins that are visible, ``(B, T)``.
        memories: Time constants (bins).

    Returns:
        ``(B, P)``, P the number of time constants times R.
    """
    return torch.cat([trailing_mean(path, seen, memory) for memory in memories], dim=1)


def latent_path(components: Components, signal: Float[Tensor, "B T N"]) -> Float[Tensor, "B T R"]:
    """Mean of the latents of each bin given all units in that bin."""
    everyone = torch.ones(len(components.loadings), dtype=torch.bool)
    return infer(components, everyone).latents(signal.flatten(0, 1)).unflatten(0, signal.shape[:2])


def deviations(
    batch: Batch, scaling: Scaling, course: Float[Tensor, "S N"]
) -> Float[Tensor, "B T N"]:
    """Scaled activity less its mean course; 0 where a bin does not exist.

    Args:
        batch: Windows.
        scaling: Of the activity.
        course: Scaled activity expected in each bin of a window.

    Returns:
        ``(B, T, N)``.
    """
    scaled = scaling.of(batch.activity, batch.valid, 0.0)
    return (scaled - padded(course, scaled.shape[1])) * batch.valid[:, :, None]


def padded(course: Float[Tensor, "S N"], bins: int) -> Float[Tensor, "T N"]:
    """The course of windows of another length: its last value is repeated."""
    return course[torch.arange(bins).clamp_max(len(course) - 1)]


def cut_points(bins: int) -> list[int]:
    """Points to learn at, each after so many bins, from a third of a window to the usual one."""
    first, last = max(1, bins // 3), max(1, bins - usual_horizon(bins))
    return sorted({round(point) for point in torch.linspace(first, last, CUTS).tolist()})


def before(valid: Bool[Tensor, "B T"], cut: int) -> Bool[Tensor, "B T"]:
    """Bins that exist before a cut; none of windows that end there."""
    goes_on = valid[:, cut:].any(dim=1, keepdim=True)
    return valid & (torch.arange(valid.shape[1]) < cut) & goes_on
