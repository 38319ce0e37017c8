"""Activity as a decoder sees it: stabilised, smoothed, centred and scaled by training windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.baselines.smoothing import smooth
from neuroduet.types import NEURAL, Batch, Masks

Transform = Literal["none", "sqrt", "unit", "sqrt_unit"]
"""Of counts: as they are or their roots, in their own scale or with unit variance per unit."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """How activity becomes the input of a decoder.

    Attributes:
        transform: A :data:`Transform`.
        sigma_bins: Gaussian smoothing (bins).
        mean: Mean activity of each unit in training bins, which stands in for hidden activity.
        centre: Training mean of the input, ``(N,)``.
        scale: What the input is divided by, ``(N,)``.
    """

    transform: Transform
    sigma_bins: float
    mean: Float[Tensor, " N"]
    centre: Float[Tensor, " N"]
    scale: Float[Tensor, " N"]

    def of(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B T N"]:
        """The input, ``(B, T, N)``; 0 where a bin does not exist."""
        raw = _smoothed(batch, masks, self.mean, self.transform, self.sigma_bins)
        return torch.where(batch.valid[:, :, None], (raw - self.centre) / self.scale, 0.0)


def fit_signal(train: Batch, transform: Transform, sigma_bins: float) -> Signal:
    """Measure the input's mean and variance on training windows.

    Args:
        train: Training windows.
        transform: A :data:`Transform`.
        sigma_bins: Gaussian smoothing (bins).

    Returns:
        The signal.
    """
    mean = train.activity[train.valid].float().mean(dim=0)
    rows = _smoothed(train, None, mean, transform, sigma_bins)[train.valid]
    scale = rows.std(dim=0, correction=0)
    if transform in ("none", "sqrt"):
        scale = torch.ones_like(scale)
    return Signal(
        transform=transform,
        sigma_bins=sigma_bins,
        mean=mean,
        centre=rows.mean(dim=0),
        scale=torch.where(scale > 0, scale, 1.0),
    )


def shown_activity(
    batch: Batch, masks: Masks | None, mean: Float[Tensor, " N"]
) -> Float[Tensor, "B T N"]:
    """Activity with the training mean in place of what is hidden.

    Args:
        batch: Windows.
        masks: What is visible; ``None`` shows everything.
        mean: Mean of each unit, ``(N,)``.

    Returns:
        ``(B, T, N)``.
    """
    activity = batch.activity.float()
    if masks is None:
        return activity
    visible = masks.visible.get(NEURAL)
    if visible is None:
        return mean.expand_as(activity)
    return torch.where(visible, activity, mean)


def _smoothed(
    batch: Batch, masks: Masks | None, mean: Tensor, transform: Transform, sigma_bins: float
) -> Tensor:
    activity = shown_activity(batch, masks, mean)
    if transform in ("sqrt", "sqrt_unit"):
        activity = activity.sign() * activity.abs().sqrt()
    return smooth(activity, batch.valid, sigma_bins)
