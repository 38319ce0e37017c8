"""Stitchers: between a session's own units and a space that all sessions share.

A stitcher belongs to a session by its id, never by its number of units, and has exactly as many
rows as the session has units: nothing is padded.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from neuroduet.nn.dropout import Dropout


def module_key(session: str) -> str:
    """A session id as a module name: letters, digits and '-' stay, the rest is escaped.

    >>> module_key("lab/mouse.1")
    's_lab_2f_mouse_2e_1'
    """
    return "s_" + "".join(c if c.isalnum() or c == "-" else f"_{ord(c):x}_" for c in session)


class InputStitch(nn.Module):
    """Units to a shared low-rank space: centred square-root counts times a matrix.

    The square root makes Poisson noise roughly independent of the rate; dividing by the standard
    deviation gives quiet and busy units the same say at the start.
    """

    def __init__(self, units: int, rank: int, is_poisson: bool, unit_dropout: float) -> None:
        super().__init__()
        self.is_poisson = is_poisson
        self.weight = nn.Parameter(torch.randn(units, rank) / math.sqrt(units))
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(units))
        self.register_buffer("scale", torch.ones(units))
        self.unit_dropout = Dropout(unit_dropout)

    def forward(
        self, activity: Float[Tensor, "B T N"], visible: Bool[Tensor, "B #T #N"]
    ) -> Float[Tensor, "B T R"]:
        """Project the visible activity; hidden entries count as exactly average.

        Args:
            activity: Counts or traces.
            visible: What may be seen.

        Returns:
            Shared low-rank input.
        """
        values = activity.sqrt() if self.is_poisson else activity
        values = (values - self.centre) / self.scale
        if visible.shape[-1] == 1:
            weight = self._dropped(values.shape[0])
            return (values @ weight).masked_fill(~visible, 0.0)
        return values.masked_fill(~visible, 0.0) @ self._dropped(values.shape[0])

    def _dropped(self, n: int) -> Tensor:
        """The matrix, with whole units silenced per sample in training."""
        if not self.training or self.unit_dropout.p == 0:
            return self.weight
        kept = self.unit_dropout(torch.ones(n, self.weight.shape[0], 1, device=self.weight.device))
        return self.weight * kept


class OutputStitch(nn.Module):
    """The shared space to each unit's log-rate (counts) or value (traces)."""

    def __init__(self, units: int, rank: int, is_poisson: bool) -> None:
        super().__init__()
        self.is_poisson = is_poisson
        self.loadings = nn.Parameter(torch.randn(units, rank) * 0.1 / math.sqrt(rank))
        self.bias = nn.Parameter(torch.zeros(units))
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(units))
        self.register_buffer("scale", torch.ones(units))

    def forward(self, latents: Float[Tensor, "B T R"]) -> Float[Tensor, "B T N"]:
        """Log of the expected count per bin, or the expected trace."""
        values = functional.linear(latents, self.loadings, self.bias)
        return values if self.is_poisson else values * self.scale + self.centre


class SmoothingConv(nn.Module):
    """Depthwise convolution over time that starts as a Gaussian."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        offsets = torch.arange(kernel) - kernel // 2
        bump = torch.exp(-0.5 * (offsets / (kernel / 4)) ** 2)
        self.weight = nn.Parameter((bump / bump.sum()).repeat(channels, 1, 1))

    def forward(self, x: Float[Tensor, "B T R"]) -> Float[Tensor, "B T R"]:
        """Convolve every channel; hidden bins must already be zero, or they would leak."""
        return functional.conv1d(
            x.transpose(1, 2), self.weight, padding="same", groups=self.weight.shape[0]
        ).transpose(1, 2)
