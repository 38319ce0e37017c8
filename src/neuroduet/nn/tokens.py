"""The tokens of a window: their order, their sinusoidal positions, those of behaviours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neuroduet.types import Behaviour


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The order of a window's tokens: streams of one token per bin, then those of no bin.

    Attributes:
        streams: Number of streams P.
        extra: Number E of tokens behind them.
    """

    streams: int
    extra: int

    def times(self, bins: int) -> Int[Tensor, " L"]:
        """Bin of every token, -1 for those of no bin."""
        return torch.cat([torch.arange(bins).repeat(self.streams), torch.full((self.extra,), -1)])

    def known(self, valid: Bool[Tensor, "B T"]) -> Bool[Tensor, "B L"]:
        """Which tokens are not padding, given which bins are not."""
        return torch.cat(
            [valid.repeat(1, self.streams), valid.new_ones(len(valid), self.extra)], dim=1
        )

    def split(
        self, x_BLD: Float[Tensor, "B L D"], bins: int
    ) -> tuple[Float[Tensor, "B P T D"], Float[Tensor, "B E D"]]:
        """The streams, without padding beyond ``bins``, and the tokens behind them."""
        padded = (x_BLD.shape[1] - self.extra) // self.streams
        streams = x_BLD[:, : padded * self.streams].unflatten(1, (self.streams, padded))
        return streams[:, :, :bins], x_BLD[:, padded * self.streams :]


class BehaviourEmbedding(nn.Module):
    """A behaviour's value as a vector; a learned vector marks where it is hidden or missing.

    A continuous behaviour enters each bin together with its neighbours (a convolution over the
    visible values, hidden ones counting as average): neurons follow behaviour with a lag.
    """

    def __init__(self, behaviour: Behaviour, width: int, kernel: int) -> None:
        super().__init__()
        self.behaviour = behaviour
        self.categorical = behaviour.kind == "categorical"
        if self.categorical:
            self.value: nn.Module = nn.Embedding(behaviour.size, width)
        elif behaviour.per == "bin":
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
        if self.behaviour.per == "bin":
            embedded = self.value(known.transpose(1, 2)).transpose(1, 2)
        else:
            embedded = self.value(known)
        return embedded + (~visible[..., None]) * self.hidden

    def nothing(self, windows: int, bins: int) -> Float[Tensor, "B ... D"]:
        """What stands for values of which none may be used.

        Args:
            windows: Number of windows.
            bins: Bins of each; a behaviour that is given once per trial has one value only.
        """
        shape = (windows, bins) if self.behaviour.per == "bin" else (windows,)
        unseen = torch.zeros(shape, dtype=torch.bool, device=self.hidden.device)
        if self.categorical:
            return self(unseen.long(), unseen)
        return self(self.hidden.new_zeros(*shape, self.behaviour.size), unseen)


def sinusoids(bins: int, width: int) -> Float[Tensor, "T D"]:
    """Sinusoidal position embedding (Vaswani et al. 2017, section 3.5)."""
    position = torch.arange(bins, dtype=torch.float32)[:, None]
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(bins, width)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table
