"""Embedding of behaviours, and sinusoidal positions."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neuroduet.types import Behaviour


class BehaviourEmbedding(nn.Module):
    """A behaviour's value as a vector; a learned vector marks where it is hidden or missing.

    A continuous behaviour enters each bin together with its neighbours (a convolution over the
    visible values, hidden ones counting as average): neurons follow behaviour with a lag.
    """

    def __init__(self, behaviour: Behaviour, width: int, kernel: int) -> None:
        super().__init__()
        self.categorical = behaviour.kind == "categorical"
        self.per_bin = behaviour.per == "bin"
        if self.categorical:
            self.value: nn.Module = nn.Embedding(behaviour.size, width)
        elif self.per_bin:
            self.value = nn.Conv1d(behaviour.size, width, kernel, padding="same")
        else:
            self.value = nn.Linear(behaviour.size, width)
        self.hidden = nn.Parameter(torch.randn(width) * 0.02)
        if self.categorical:
            nn.init.normal_(self.value.weight, std=0.5)

    def forward(self, values: Tensor, visible: Bool[Tensor, "B ..."]) -> Float[Tensor, "B ... D"]:
        """Embed.

        Args:
            values: Class indices, or z-scored values with a last axis of channels.
            visible: Which values may be used.

        Returns:
            One vector per value.
        """
        if self.categorical:
            embedded = self.value(values.masked_fill(~visible, 0))
            return torch.where(visible[..., None], embedded, self.hidden.to(embedded.dtype))
        known = values.masked_fill(~visible[..., None], 0.0)
        if self.per_bin:
            embedded = self.value(known.transpose(1, 2)).transpose(1, 2)
        else:
            embedded = self.value(known)
        return embedded + (~visible[..., None]) * self.hidden


def sinusoids(bins: int, width: int) -> Float[Tensor, "T D"]:
    """Sinusoidal position embedding (Vaswani et al. 2017, section 3.5)."""
    position = torch.arange(bins, dtype=torch.float32)[:, None]
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(bins, width)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table
