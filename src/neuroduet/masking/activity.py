"""Schemes over time, units and regions of the activity: those of MtM.

Behaviours, where the session has any, are shown in half of the samples and hidden in the other
half, so that a model of both answers with and without them; a model of activity alone never reads
them. Schemes that hide units but no bins ask about the hidden behaviours too: decoding from some
of the units is unit dropout that costs nothing (on validation trials wheel R2 .896 -> .909 and
co-smoothing .266 -> .271). Unlike the published code, every sample draws its own units and its own
region.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuroduet.errors import UserError
from neuroduet.masking.drawing import Draw, Drawn, hide, per_sample, random_bins
from neuroduet.types import NEURAL, Batch

SHOW_BEHAVIOUR = 0.5
CAUSAL_RATIO = 0.6
"""Bins hidden by the causal scheme (MtM, section 4.2)."""

HORIZON_BINS = 10

LONGEST_HORIZON = 0.2
"""Most of a window that the forward scheme hides."""


def temporal(batch: Batch, draw: Draw) -> Drawn:
    """Hide random bins of all units (MtM: temporal masking)."""
    return _drawn(batch, draw, random_bins(batch, NEURAL, draw.ratio, draw.generator))


def causal(batch: Batch, draw: Draw) -> Drawn:
    """Hide random bins of all units, more of them; a prompted model sees the past only."""
    return _drawn(batch, draw, random_bins(batch, NEURAL, CAUSAL_RATIO, draw.generator))


def forward(batch: Batch, draw: Draw) -> Drawn:
    """Hide the last bins of all units: from one bin to a fifth of the window."""
    n, bins, _ = batch.activity.shape
    longest = max(1, round(LONGEST_HORIZON * bins))
    horizon = torch.randint(1, longest + 1, (n, 1), generator=draw.generator)
    return _drawn(batch, draw, last_bins(batch, horizon))


def neuron(batch: Batch, draw: Draw) -> Drawn:
    """Hide random units (MtM: neuron masking)."""
    return _drawn(batch, draw, _random_units(batch, draw), decode=True)


def random(batch: Batch, draw: Draw) -> Drawn:
    """Hide random single entries, each unit and bin on its own (MtM: random masking)."""
    chance = torch.rand(batch.activity.shape, generator=draw.generator)
    return _drawn(batch, draw, chance < draw.ratio)


def co_smooth(batch: Batch, draw: Draw) -> Drawn:
    """Hide one unit per sample, as exact co-smoothing asks (MtM: co-smooth)."""
    n, _, units = batch.activity.shape
    chosen = torch.randint(units, (n, 1, 1), generator=draw.generator)
    return _drawn(batch, draw, torch.arange(units) == chosen, decode=True)


def inter_region(batch: Batch, draw: Draw) -> Drawn:
    """Hide all units of a random region (MtM: inter-region masking)."""
    return _drawn(batch, draw, _random_region(batch, draw), decode=True)


def intra_region(batch: Batch, draw: Draw) -> Drawn:
    """Show a random region alone, less some of its units, which are scored (MtM: intra-region)."""
    inside = _random_region(batch, draw)
    asked = inside & _random_units(batch, draw)
    return _drawn(batch, draw, ~inside | asked, asked, decode=True)


def patch_token(batch: Batch, draw: Draw) -> Drawn:
    """Hide random patches of neighbouring units, bin by bin (NDT2: random tokens)."""
    n, bins, units = batch.activity.shape
    patches = -(-units // draw.patch)
    tokens = torch.rand(n, bins, patches, generator=draw.generator) < draw.ratio
    return _drawn(batch, draw, tokens.repeat_interleave(draw.patch, dim=-1)[..., :units])


def last_bins(batch: Batch, horizon: Tensor) -> Tensor:
    """The last ``horizon`` valid bins of every window, ``(B, T, 1)``.

    Args:
        batch: Windows.
        horizon: Number of bins, ``(B, 1)``.
    """
    place = torch.arange(1, batch.valid.shape[1] + 1)
    length = (batch.valid * place).amax(1, keepdim=True)
    return (place > length - horizon)[..., None]


def usual_horizon(bins: int) -> int:
    """Bins that forward prediction is asked about: 10 of 100, as published, less in short windows.

    Args:
        bins: Bins of a window.
    """
    return min(HORIZON_BINS, max(1, bins // 10))


def _drawn(
    batch: Batch,
    draw: Draw,
    hidden: Tensor,
    scored: Tensor | None = None,
    decode: bool = False,
) -> Drawn:
    """Masks of the activity, with the behaviours shown in half of the samples.

    Args:
        batch: Windows.
        draw: What is drawn from.
        hidden: Activity that is hidden.
        scored: Activity that is asked about; all that is hidden if not given.
        decode: Whether hidden behaviours are asked about.
    """
    blind = torch.rand(len(batch.windows), generator=draw.generator) >= SHOW_BEHAVIOUR
    nothing = hide(batch, {})
    behaviours = {name: per_sample(blind, nothing[name]) for name in batch.behaviours}
    asked = behaviours if decode else nothing
    return Drawn(
        hidden={NEURAL: hidden, **behaviours},
        scored={**asked, NEURAL: hidden if scored is None else scored},
    )


def _random_units(batch: Batch, draw: Draw) -> Tensor:
    n, _, units = batch.activity.shape
    return torch.rand(n, 1, units, generator=draw.generator) < draw.unit_ratio


def _random_region(batch: Batch, draw: Draw) -> Tensor:
    """Units of a region drawn for every sample, all known regions alike, ``(B, 1, N)``."""
    if draw.regions is None:
        raise UserError(
            f"session '{batch.session}' has no named regions, which schemes over regions need; "
            "leave inter_region and intra_region out of masking.schemes"
        )
    count = int(draw.regions.max()) + 1
    chosen = torch.randint(count, (len(batch.windows), 1, 1), generator=draw.generator)
    return draw.regions == chosen
