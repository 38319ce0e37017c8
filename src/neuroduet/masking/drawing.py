"""What all masking schemes are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from neuroduet.types import NEURAL, Batch, Masks, is_region

Hidden = dict[str, Tensor]
"""Per modality, true where hidden. Activity broadcasts to ``(B, T, N)``: ``(B, T, 1)`` where whole
bins are hidden, ``(B, 1, N)`` where whole units are. Behaviours are ``(B, T)`` or ``(B,)``."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What a scheme draws from.

    Attributes:
        generator: Source of all randomness.
        ratio: Probability that a bin is hidden in schemes over time and modalities.
        unit_ratio: Probability that a unit is hidden in schemes over units.
        regions: Region of each unit as an index from 0, -1 where not known; ``None`` for a session
            without named regions.
        patch: Units of a patch (:func:`~neuroduet.masking.activity.patch_token`).
    """

    generator: torch.Generator
    ratio: float = 0.3
    unit_ratio: float = 0.3
    regions: Int[Tensor, " N"] | None = None
    patch: int = 128


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What a scheme hides, and what of that it asks about."""

    hidden: Hidden
    scored: Hidden


Scheme = Callable[[Batch, Draw], Drawn]


def region_index(regions: Sequence[str] | None) -> Int[Tensor, " N"] | None:
    """Regions as numbers.

    Args:
        regions: Region of each unit, or ``None``.

    Returns:
        Index of each unit's region in alphabetical order, -1 where the label means "not known"
        (:data:`~neuroduet.types.NO_REGION`); ``None`` if no unit has a known region.
    """
    if regions is None:
        return None
    known = sorted({r for r in regions if is_region(r)})
    if not known:
        return None
    place = {name: index for index, name in enumerate(known)}
    return torch.tensor([place.get(name, -1) for name in regions])


def all_scored(hidden: Hidden) -> Drawn:
    """Everything that is hidden is scored."""
    return Drawn(hidden=hidden, scored=hidden)


def hide(batch: Batch, modalities: Mapping[str, bool]) -> Hidden:
    """Hide whole modalities.

    Args:
        batch: The batch the masks are for.
        modalities: True for every modality to hide; those not named stay visible.

    Returns:
        Hidden masks of every modality of the batch.
    """
    return {name: torch.full(shape, modalities.get(name, False)) for name, shape in shapes(batch)}


def to_masks(
    batch: Batch,
    hidden: Hidden,
    scored: Hidden | None = None,
    prompt: Int[Tensor, " B"] | None = None,
) -> Masks:
    """Turn hidden masks into what is visible and what is scored.

    Args:
        batch: The batch the masks are for.
        hidden: Per modality, true where hidden.
        scored: Per modality, true where scored; all that is hidden if not given.
        prompt: Prompt of every sample.

    Returns:
        Visible is not hidden and observed; scored is scored, hidden and observed.
    """
    scored = hidden if scored is None else scored
    observed = {NEURAL: batch.valid[:, :, None]} | dict(batch.observed)
    return Masks(
        visible={name: observed[name] & ~mask for name, mask in hidden.items()},
        scored={name: observed[name] & hidden[name] & mask for name, mask in scored.items()},
        prompt=prompt,
    )


def shapes(batch: Batch) -> list[tuple[str, torch.Size]]:
    """Shape of the mask of every modality, whole bins of activity together."""
    n, bins, _ = batch.activity.shape
    behaviours = [(name, seen.shape) for name, seen in batch.observed.items()]
    return [(NEURAL, torch.Size((n, bins, 1))), *behaviours]


def random_bins(batch: Batch, name: str, ratio: float, generator: torch.Generator) -> Tensor:
    """Bins (or trials) of a modality, each hidden with probability ``ratio``."""
    shape = dict(shapes(batch))[name]
    return torch.rand(shape, generator=generator) < ratio


def per_sample(flags: Tensor, like: Tensor) -> Tensor:
    """Flags ``(B,)`` spread over the shape of a mask."""
    return flags.view(-1, *([1] * (like.ndim - 1))).expand(like.shape)
