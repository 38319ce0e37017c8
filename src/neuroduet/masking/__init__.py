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

import torch
from torch import Tensor

from neuroduet.errors import UserError
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
    NO_REGION,
    Draw,
    Drawn,
    Hidden,
    Scheme,
    hide,
    random_bins,
    region_index,
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
from neuroduet.types import Batch, Masks

__all__ = [
    "CAUSAL",
    "NO_REGION",
    "PROMPTS",
    "REGION_SCHEMES",
    "SCHEMES",
    "UNIT_SCHEMES",
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

UNIT_SCHEMES = frozenset({"neuron", "inter_region", "intra_region", "random", "co_smooth"})
"""Schemes that hide some units and show others."""

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
        drawn = scheme_of(name)(batch, draw)
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
