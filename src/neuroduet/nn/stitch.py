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

START_NOISE = 3.0
"""Variance of the noise of a unit: at the start well above what it is, which shrinks the latents
while loadings are mostly noise themselves; learned from there."""


def module_key(session: str) -> str:
    """A session id as a module name: letters, digits and '-' stay, the rest is escaped.

    >>> module_key("lab/mouse.1")
    's_lab_2f_mouse_2e_1'
    """
    return "s_" + "".join(c if c.isalnum() or c == "-" else f"_{ord(c):x}_" for c in session)


class InputStitch(nn.Module):
    """Units to a shared low-rank space: what the visible units say about its latents.

    Centred square-root counts, in units of their noise, are taken for a linear image of latents of
    unit variance plus independent noise; the stitcher returns the latents' posterior mean (factor
    analysis). Units that are hidden simply do not enter, so the latents keep their scale and
    meaning whichever units may be seen, one region or all. With ``silence`` hidden units read as
    silent instead, as published.

    Its matrix is given at every call: its own ``weight``, or without a ``rank`` one that is made
    elsewhere (:class:`~neuroduet.nn.unit_embedding.UnitEmbedding`).
    """

    def __init__(
        self,
        units: int,
        rank: int | None,
        is_poisson: bool,
        unit_dropout: float,
        silence: bool,
    ) -> None:
        super().__init__()
        self.is_poisson, self.silence = is_poisson, silence
        self.weight = (
            None if rank is None else nn.Parameter(torch.randn(units, rank) / math.sqrt(units))
        )
        self.log_noise = nn.Parameter(torch.tensor(math.log(START_NOISE)))
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(units))
        self.register_buffer("scale", torch.ones(units))
        self.unit_dropout = Dropout(unit_dropout)

    def forward(
        self,
        activity: Float[Tensor, "B T N"],
        visible: Bool[Tensor, "B #T #N"],
        weight: Float[Tensor, "N R"],
    ) -> Float[Tensor, "B T R"]:
        """Project the visible activity.

        Args:
            activity: Counts or traces.
            visible: What may be seen.
            weight: One row per unit.

        Returns:
            Shared low-rank input, zero in bins of which nothing may be seen.
        """
        values = self.standardise(activity)
        dropped = self._dropped(weight, len(values))
        if visible.shape[-1] == 1:
            return self._posterior(values @ dropped, weight, None).masked_fill(~visible, 0.0)
        projected = torch.where(visible, values, self._filler()) @ dropped
        latents = self._posterior(projected, weight, visible.any(1))
        return latents.masked_fill(~visible.any(-1, keepdim=True), 0.0)

    def without(
        self,
        activity: Float[Tensor, "B T N"],
        hidden: Bool[Tensor, "Q N"],
        weight: Float[Tensor, "N R"],
    ) -> Float[Tensor, "Q B T R"]:
        """Project with units hidden in turns: everything once, less the share of the hidden.

        Args:
            activity: Counts or traces.
            hidden: Units hidden by each question for whole windows.
            weight: One row per unit.

        Returns:
            What :meth:`forward` gives for each question, in evaluation mode, with all bins seen.
        """
        values, filler = self.standardise(activity), self._filler()
        everything, silent = values @ weight, filler @ weight
        parts = []
        for units in hidden:
            if int(units.sum()) * 2 <= len(units):
                change = filler[units] - values[:, :, units]
                parts.append(everything + change @ weight[units])
            else:
                change = values[:, :, ~units] - filler[~units]
                parts.append(change @ weight[~units] + silent)
        with torch.autocast(values.device.type, enabled=False):
            return torch.stack(parts).float() @ self._covariance(weight, ~hidden)[:, None]

    def standardise(self, activity: Float[Tensor, "B T N"]) -> Float[Tensor, "B T N"]:
        """Centred square roots of counts, or centred traces, in units of noise.

        The square root makes Poisson noise roughly independent of the rate.
        """
        values = activity.sqrt() if self.is_poisson else activity
        return (values - self.centre) / self.scale

    def _filler(self) -> Float[Tensor, " N"]:
        """What stands for each unit where it is hidden: its average, or silence."""
        return -self.centre / self.scale if self.silence else torch.zeros_like(self.centre)

    def _posterior(
        self,
        projected: Float[Tensor, "B T R"],
        weight: Float[Tensor, "N R"],
        seen: Bool[Tensor, "B N"] | None,
    ) -> Float[Tensor, "B T R"]:
        """Posterior mean of the latents, from the projection of the units seen (all if None)."""
        with torch.autocast(projected.device.type, enabled=False):
            # Inverted once, not solved for every bin.
            return projected.float() @ self._covariance(weight, seen)

    def _covariance(
        self, weight: Float[Tensor, "N R"], seen: Bool[Tensor, "Q N"] | None
    ) -> Float[Tensor, "_ R R"]:
        """Posterior covariance of the latents, up to the noise, for each set of units seen."""
        if seen is None or self.silence:
            gram = (weight.T @ weight)[None]
        else:
            pairs = (weight[:, :, None] * weight[:, None, :]).flatten(1)
            gram = (seen.to(pairs.dtype) @ pairs).unflatten(1, (weight.shape[1], -1))
        precision = gram + self.log_noise.exp() * torch.eye(len(weight.T), device=gram.device)
        return torch.linalg.inv(precision)

    def _dropped(self, weight: Float[Tensor, "N R"], n: int) -> Tensor:
        """The matrix, with whole units silenced per sample in training."""
        if not self.training or self.unit_dropout.p == 0:
            return weight
        return weight * self.unit_dropout(torch.ones(n, len(weight), 1, device=weight.device))


class OutputStitch(nn.Module):
    """The shared space to each unit's log-rate (counts) or value (traces).

    Its matrix is given at every call: its own ``loadings``, or without a ``rank`` one that is made
    elsewhere.
    """

    def __init__(self, units: int, rank: int | None, is_poisson: bool) -> None:
        super().__init__()
        self.is_poisson = is_poisson
        self.loadings = (
            None
            if rank is None
            else nn.Parameter(torch.randn(units, rank) * 0.1 / math.sqrt(rank))
        )
        self.bias = nn.Parameter(torch.zeros(units))
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(units))
        self.register_buffer("scale", torch.ones(units))

    @property
    def sensitivity(self) -> Float[Tensor, " N"]:
        """By how much of its noise each unit changes per unit of its read-out."""
        return self.scale.sqrt() if self.is_poisson else torch.ones_like(self.scale)

    def forward(
        self,
        latents: Float[Tensor, "B T R"],
        loadings: Float[Tensor, "N R"],
        units: Bool[Tensor, " N"] | None = None,
    ) -> Float[Tensor, "B T M"]:
        """Log of the expected count per bin, or the expected trace, of all or of some units.

        Args:
            latents: Latents of every bin.
            loadings: One row per unit.
            units: Which units; all if not given.
        """
        chosen = slice(None) if units is None else units
        values = functional.linear(latents, loadings[chosen], self.bias[chosen])
        return values if self.is_poisson else values * self.scale[chosen] + self.centre[chosen]


class SmoothingConv(nn.Module):
    """Depthwise convolution over time that starts as a Gaussian."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        offsets = torch.arange(kernel) - kernel // 2
        bump = torch.exp(-0.5 * (offsets / (kernel / 4)) ** 2)
        self.weight = nn.Parameter((bump / bump.sum()).repeat(channels, 1, 1))

    def forward(
        self, x: Float[Tensor, "B T R"], causal: Bool[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B T R"]:
        """Convolve every channel; hidden bins must already be zero, or they would leak.

        Args:
            x: Signal.
            causal: Samples in which no bin may depend on later ones.
        """
        smooth = self._convolved(x, self.weight)
        if causal is None or not bool(causal.any()):
            return smooth
        past = self.weight.clone()
        past[..., past.shape[-1] // 2 + 1 :] = 0.0
        return torch.where(causal[:, None, None], self._convolved(x, past), smooth)

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.conv1d(
            x.transpose(1, 2), weight, padding="same", groups=weight.shape[0]
        ).transpose(1, 2)
