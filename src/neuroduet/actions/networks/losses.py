"""Losses of the networks: means over the frames that count, 0 where none does.

Shape letters as in :mod:`neuroduet.actions.networks.backbones`; windows come without context.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neuroduet.types import UNLABELLED

LARGEST_CHANGE = 4.0
"""Of a log-probability from frame to frame that still costs more than a smaller one (MS-TCN)."""


def labelled_loss(
    log_p: Float[Tensor, "B T K"],
    labels: Int[Tensor, "B T"],
    weights: Float[Tensor, " K"],
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Weighted mean cross-entropy of the labelled frames (nats).

    Args:
        log_p: Log-probabilities.
        labels: Classes; unlabelled frames do not count.
        weights: Of the classes; a class of weight 0 is neither asked for nor smoothed towards.
        label_smoothing: Probability spread over the classes of positive weight.
    """
    labelled = labels != UNLABELLED
    frame_weights = torch.where(labelled, weights[labels.clamp(min=0)], 0.0)
    errors = -log_p.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    if label_smoothing > 0:
        spread = (weights > 0) / (weights > 0).sum().clamp(min=1)
        errors = (1 - label_smoothing) * errors - label_smoothing * (log_p @ spread)
    return (frame_weights * errors).sum() / frame_weights.sum().clamp(min=1e-6)


def roughness(log_p: Float[Tensor, "B T K"], counted: Bool[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean squared change of log-probabilities from the frame before, truncated (MS-TCN).

    The frame before is taken for given. Both frames must count.
    """
    changes = (log_p[:, 1:] - log_p[:, :-1].detach()).clamp(-LARGEST_CHANGE, LARGEST_CHANGE)
    both = (counted[:, 1:] & counted[:, :-1])[..., None]
    return (changes.square() * both).sum() / (both.sum() * log_p.shape[-1]).clamp(min=1)


def next_frame_loss(
    predicted: Float[Tensor, "B T D"],
    features: Float[Tensor, "B T D"],
    inside: Bool[Tensor, "B T"],
) -> Float[Tensor, ""]:
    """Mean squared error of every frame's features as predicted from the frame before."""
    errors = (features[:, 1:] - predicted[:, :-1]).square().mean(-1)
    both = inside[:, 1:] & inside[:, :-1]
    return (errors * both).sum() / both.sum().clamp(min=1)
