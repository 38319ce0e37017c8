"""Read-outs of behaviours, and the units they are in."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


class PooledHead(nn.Module):
    """Read-out of one value per window: its own token beside a learned average over time."""

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * width, size)

    def forward(
        self,
        own: Float[Tensor, "B D"],
        stream: Float[Tensor, "B T D"],
        valid: Bool[Tensor, "B T"],
    ) -> Float[Tensor, "B K"]:
        """Logits or values of each window."""
        # Not minus infinity: of a window without any valid bin the softmax would be NaN.
        scores = self.query(stream)[..., 0]
        scores = scores.masked_fill(~valid, torch.finfo(scores.dtype).min)
        pooled = (functional.softmax(scores, dim=1)[..., None] * stream).sum(1)
        return self.linear(self.dropout(torch.cat([own, pooled], dim=-1)))


class Standardiser(nn.Module):
    """Mean and standard deviation of a continuous behaviour on a session's training windows."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def standardise(self, values: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """User's units to z-scores."""
        return (values - self.centre) / self.scale

    def restore(self, values: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """Z-scores to the user's units."""
        return values * self.scale + self.centre
