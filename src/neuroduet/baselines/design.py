"""Behaviour as the columns of a regression: what the linear encoders see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from neuroduet.baselines.smoothing import lagged
from neuroduet.types import Batch, Behaviour, Masks

BASIS_SIZE = 20
"""Most raised cosines that describe the course of a window: one per 5 bins of a 2 s window."""


def seen(batch: Batch, name: str, masks: Masks | None) -> Bool[Tensor, "B ..."]:
    """Where a behaviour is both observed and visible.

    Args:
        batch: The batch.
        name: Name of a behaviour of the batch.
        masks: What is visible; a behaviour it does not name is hidden. ``None`` shows everything.

    Returns:
        ``(B, T)`` or ``(B,)``.
    """
    observed = batch.observed[name]
    if masks is None:
        return observed
    visible = masks.visible.get(name)
    return torch.zeros_like(observed) if visible is None else observed & visible


def cosine_basis(bins: int, size: int) -> Float[Tensor, "T F"]:
    """Raised cosines at equal distances that add up to one in every bin.

    Args:
        bins: Number of bins T.
        size: Number of cosines F; as many as bins gives one indicator per bin.

    Returns:
        ``(T, F)``.
    """
    if size <= 1:
        return torch.ones(bins, 1)
    position = torch.linspace(0, size - 1, bins)[:, None] - torch.arange(size)[None, :]
    return 0.5 * (1 + torch.cos(torch.pi * position.clamp(-1, 1)))


@dataclass(frozen=True, kw_only=True)
class Channel:
    """How one behaviour becomes numbers around 0, where 0 stands for "not seen".

    Attributes:
        behaviour: The behaviour.
        centre: Training mean ``(C,)`` (continuous) or class frequencies ``(K,)`` (categorical).
        scale: Training standard deviation, or ones.
        gaps: Whether training windows lack values, so that lacking one may tell something.
    """

    behaviour: Behaviour
    centre: Float[Tensor, " F"]
    scale: Float[Tensor, " F"]
    gaps: bool

    def values(self, batch: Batch, masks: Masks | None) -> Float[Tensor, "B ... F"]:
        """Standardised values, ``(B, T, F)`` or ``(B, F)``; 0 where hidden or missing."""
        raw = batch.behaviours[self.behaviour.name]
        if self.behaviour.kind == "categorical":
            raw = functional.one_hot(raw.long(), self.behaviour.size)
        shown = seen(batch, self.behaviour.name, masks)
        standard = (raw.to(self.centre.dtype) - self.centre) / self.scale
        return torch.where(shown[..., None], standard, 0.0)


@dataclass(frozen=True, kw_only=True)
class Design:
    """Columns of a regression from behaviour to activity.

    Behaviours given per bin enter at every lag, those given per trial multiplied by a basis over
    the window's bins, and the basis itself describes what every window has in common. Missing
    values are imputed by the mean, and marked where training windows lack them too.

    Attributes:
        channels: The behaviours used.
        lags: Lags of behaviours given per bin (bins).
        basis: Raised cosines over the bins of a window, ``(T, F)``.
    """

    channels: tuple[Channel, ...]
    lags: tuple[int, ...]
    basis: Float[Tensor, "T F"]

    def columns(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B T P"]:
        """The columns of every bin.

        Args:
            batch: Windows.
            masks: What is visible; ``None`` shows everything.

        Returns:
            ``(B, T, P)``; values in bins that do not exist mean nothing.
        """
        windows, bins = batch.valid.shape
        basis = self._basis(bins)
        parts = [basis.expand(windows, -1, -1)]
        for channel in self.channels:
            values = channel.values(batch, masks)
            gap = (~seen(batch, channel.behaviour.name, masks))[..., None].to(values.dtype)
            if channel.behaviour.per == "bin":
                # Divided so that a ridge shrinks a behaviour alike, however many lags it has.
                copies = lagged(values, batch.valid, self.lags) / len(self.lags) ** 0.5
                parts.append(copies.flatten(2))
                parts += [gap] if channel.gaps else []
            else:
                values = torch.cat([values, gap], dim=-1) if channel.gaps else values
                product = values[:, None, :, None] * basis[None, :, None, :]
                parts.append(product.flatten(2))
        return torch.cat(parts, dim=2)

    def _basis(self, bins: int) -> Tensor:
        """The basis for windows padded to another length: the course stops where it was known."""
        known = self.basis[:bins]
        return torch.cat([known, known[-1:].expand(bins - len(known), -1)])


def fit_design(train: Batch, behaviours: tuple[Behaviour, ...], max_lag: int) -> Design:
    """Standardise behaviours on training windows and lay out the columns.

    Args:
        train: Training windows.
        behaviours: The behaviours to use.
        max_lag: Largest lag to either side (bins).

    Returns:
        The design.
    """
    bins = train.valid.shape[1]
    return Design(
        channels=tuple(_channel(train, behaviour) for behaviour in behaviours),
        lags=tuple(range(-max_lag, max_lag + 1)),
        # Short windows of wide bins: two bins per cosine, or the course of a window is not smooth.
        basis=cosine_basis(bins, min(BASIS_SIZE, max(bins // 2, 4), bins)),
    )


def _channel(train: Batch, behaviour: Behaviour) -> Channel:
    shown = train.observed[behaviour.name]
    raw = train.behaviours[behaviour.name][shown]
    exists = train.valid if behaviour.per == "bin" else torch.ones_like(shown)
    gaps = bool((exists & ~shown).any() and shown.any())
    if behaviour.kind == "categorical":
        values = functional.one_hot(raw.long(), behaviour.size).float()
        scale = torch.ones(behaviour.size)
    else:
        values = raw.float()
        scale = values.std(dim=0, correction=0) if len(values) else torch.ones(behaviour.size)
        scale = torch.where(scale > 0, scale, 1.0)
    centre = values.mean(dim=0) if len(values) else torch.zeros(behaviour.size)
    return Channel(behaviour=behaviour, centre=centre, scale=scale, gaps=gaps)
