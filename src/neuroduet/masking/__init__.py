"""Masks: what a model may see and what it is scored on.

A scheme is a pure function of a batch and a :class:`~neuroduet.masking.drawing.Draw`. It says for
every sample and every modality what is *hidden*, and what of that is *scored*. Schemes over
modalities are those of NEDS (:mod:`~neuroduet.masking.modalities`), schemes over time, units and
regions those of MtM (:mod:`~neuroduet.masking.activity`). Masks are drawn independently per
sample. What the model reads in place of a hidden value is decided afterwards
(:mod:`~neuroduet.masking.corruption`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from neuroduet.errors import UserError, unknown
from neuroduet.masking.activity import (
    causal,
    co_smooth,
    forward,
    inter_region,
    intra_region,
    neuron,
    patch_token,
    random,
    temporal,
)
from neuroduet.masking.drawing import (
    Draw,
    Drawn,
    Hidden,
    Scheme,
    hide,
    random_bins,
    region_index,
    shapes,
    to_masks,
)
from neuroduet.masking.modalities import (
    decoding,
    encoding,
    encoding_from,
    random_token,
    self_behaviour,
    self_spike,
)
from neuroduet.plugins import find_plugin
from neuroduet.types import NEURAL, Batch, Masks

__all__ = [
    "CAUSAL",
    "PROMPTS",
    "REGION_SCHEMES",
    "SCHEMES",
    "Draw",
    "Drawn",
    "Hidden",
    "draw",
    "hide",
    "region_index",
    "scheme_of",
    "to_masks",
]

SCHEMES: dict[str, Scheme] = {
    "encoding": encoding,
    "decoding": decoding,
    "self_spike": self_spike,
    "self_behaviour": self_behaviour,
    "random_token": random_token,
    "encoding_from": encoding_from,
    "temporal": temporal,
    "neuron": neuron,
    "causal": causal,
    "inter_region": inter_region,
    "intra_region": intra_region,
    "random": random,
    "co_smooth": co_smooth,
    "forward": forward,
    "patch_token": patch_token,
}

REGION_SCHEMES = frozenset({"inter_region", "intra_region"})
"""Schemes that only sessions with named regions can answer."""

PROMPTS = (
    "neuron",
    "causal",
    "inter_region",
    "intra_region",
    "temporal",
    "random",
    "co_smooth",
    "forward",
    "patch_token",
)
"""Schemes with a prompt token; the first four stand in the published order (MtM, section 4.2)."""

CAUSAL = frozenset({"causal", "forward"})
"""Prompts under which a bin may attend to itself and earlier bins only."""


def draw(
    batch: Batch,
    schemes: Mapping[str, float],
    draw: Draw,
    hide_visible: float = 0.0,
    per: str = "sample",
) -> Masks:
    """Draw a scheme for every sample, then its masks.

    Args:
        batch: The batch the masks are for.
        schemes: Weight of each scheme; keys of :data:`SCHEMES`. Schemes over regions are not
            drawn for a session without regions.
        draw: Ratios, regions and the source of all randomness.
        hide_visible: Fraction of the visible bins hidden as well, without being scored.
        per: ``sample`` draws a scheme for every sample, ``batch`` one for all of them.

    Returns:
        Masks with the prompt of every sample.

    Raises:
        UserError: A scheme's name is unknown, or none can be drawn for this session.
    """
    names = drawable(schemes, draw.regions is not None)
    weights = torch.tensor([schemes[name] for name in names])
    n = batch.activity.shape[0]
    count = n if per == "sample" else 1
    chosen = torch.multinomial(weights, count, replacement=True, generator=draw.generator)
    chosen = chosen.expand(n)
    hidden, scored = hide(batch, {}), hide(batch, {})
    for index, name in enumerate(names):
        own = (chosen == index).nonzero()[:, 0]
        if len(own) == 0:
            continue
        drawn = _fitting(name, scheme_of(name)(batch, draw), batch)
        for whole, part in ((hidden, drawn.hidden), (scored, drawn.scored)):
            for modality, mask in part.items():
                whole[modality] = _with_rows(whole[modality], own, mask)
    prompts = torch.tensor([PROMPTS.index(name) if name in PROMPTS else -1 for name in names])
    masks = to_masks(batch, hidden, scored, prompts[chosen])
    if hide_visible == 0:
        return masks
    visible = {
        name: seen & ~random_bins(batch, name, hide_visible, draw.generator)
        if seen.ndim > 1
        else seen
        for name, seen in masks.visible.items()
    }
    return Masks(visible=visible, scored=masks.scored, prompt=masks.prompt)


def _fitting(name: str, drawn: Any, batch: Batch) -> Drawn:
    """What a scheme drew; one of another package may have drawn anything.

    Raises:
        UserError: It is not what a scheme returns.
    """
    if not isinstance(drawn, Drawn):
        raise UserError(
            f"the masking scheme '{name}' returned a {type(drawn).__name__}, expected a "
            "neuroduet.masking.Drawn with its hidden and scored masks; correct the scheme"
        )
    # Whole bins of activity, or single units of them.
    largest = dict(shapes(batch)) | {NEURAL: batch.activity.shape}
    for mask_name, mask in (*drawn.hidden.items(), *drawn.scored.items()):
        wanted = largest.get(mask_name)
        if wanted is None:
            raise unknown(f"modality of the masking scheme '{name}'", mask_name, largest)
        if not _spreads(mask, wanted):
            found = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else repr(mask)
            raise UserError(
                f"the masking scheme '{name}' hides '{mask_name}' by {found}, expected a mask of "
                f"truth values that spreads over {tuple(wanted)}; correct the scheme"
            )
    return drawn


def _spreads(mask: object, wanted: torch.Size) -> bool:
    """Whether something is a mask of every sample, each with its own bins and units or one."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.ndim != len(wanted):
        return False
    sizes = list(zip(mask.shape, wanted, strict=True))
    return sizes[0][0] == wanted[0] and all(size in (1, full) for size, full in sizes[1:])


def _with_rows(whole: Tensor, rows: Tensor, mask: Tensor) -> Tensor:
    """A mask of all samples with the rows of some; of every unit only if either says so."""
    shape = torch.broadcast_shapes(whole.shape, mask.shape)
    if whole.shape != shape:
        whole = whole.expand(shape).clone()
    whole[rows] = mask[rows]
    return whole


def scheme_of(name: str) -> Scheme:
    """The masking scheme of that name: ours, or one that another package adds.

    Args:
        name: Key of :data:`SCHEMES` or name of a plugin (:mod:`neuroduet.plugins`).

    Raises:
        UserError: There is none, or it cannot be imported.
    """
    if name in SCHEMES:
        return SCHEMES[name]
    found: Scheme = find_plugin("neuroduet.schemes", "masking scheme", name, SCHEMES)
    if not callable(found):
        raise UserError(
            f"the plugin '{name}' is no masking scheme but {found!r}, expected a function of a "
            "batch and a draw; correct the package that adds it"
        )
    return found


def drawable(schemes: Mapping[str, float], has_regions: bool) -> list[str]:
    """Names of the schemes that a session can be trained with.

    Args:
        schemes: Weight of each scheme.
        has_regions: Whether the session's units have named regions.

    Returns:
        Names of positive weight.

    Raises:
        UserError: A scheme's name is unknown, or nothing is left.
    """
    for name in schemes:
        scheme_of(name)
    names = [name for name, weight in schemes.items() if weight > 0]
    left = [name for name in names if has_regions or name not in REGION_SCHEMES]
    if not left:
        raise UserError(
            f"none of the masking schemes {', '.join(names) or '(none)'} can be drawn for a "
            "session without named regions; add e.g. masking.schemes={neuron: 1}"
        )
    return left
