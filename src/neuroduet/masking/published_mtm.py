"""Masks of MtM as published: one scheme, and one region, for a whole batch (reference 4.1, 4.2).

Units and bins are still drawn for every sample. Everything hidden reads as silence: nothing keeps
its value, nothing reads a wrong one, and no visible bin is hidden besides.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from neuroduet.config import MaskingConfig
from neuroduet.masking import Draw, draw
from neuroduet.types import Batch, Masks


def published_mtm_masks(
    batch: Batch,
    masking: MaskingConfig,
    generator: torch.Generator,
    regions: Int[Tensor, " N"] | None,
) -> Masks:
    """Draw one scheme for all samples, then the masks of each.

    Args:
        batch: The batch the masks are for.
        masking: ``schemes``, ``ratio`` and ``unit_ratio`` are used. Published are ``neuron``,
            ``causal``, ``intra_region`` and ``inter_region``, equally often, and ratios of 0.3;
            that of ``causal`` is 0.6 whatever is configured.
        generator: Source of all randomness.
        regions: Region of each unit as an index from 0, -1 where not known; ``None`` for a session
            without named regions, for which no scheme over regions is drawn. Every region is
            drawn equally often, however small; units without one are in no region, where the
            published code takes ``root`` and the like for regions.

    Returns:
        Masks with the prompt of the scheme.

    Raises:
        UserError: A scheme's name is unknown, or none can be drawn for this session.
    """
    source = Draw(
        generator=generator,
        ratio=masking.ratio,
        unit_ratio=masking.unit_ratio,
        regions=None if regions is None else _only_one(regions, generator),
    )
    return draw(batch, masking.schemes, source, per="batch")


def _only_one(regions: Int[Tensor, " N"], generator: torch.Generator) -> Int[Tensor, " N"]:
    """The regions with all but one made unknown, so that a scheme has no other to draw."""
    chosen = torch.randint(int(regions.max()) + 1, (), generator=generator)
    return (regions == chosen).long() - 1
