"""Masks: what a model may see and what it is scored on.

A scheme is a pure function of a batch, a ratio and a random generator. It says for every sample
and every modality what is *hidden*; what is hidden and observed is scored (NEDS, reference
section 4.2). Masks are drawn independently per sample and per modality.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from neuroduet.errors import unknown
from neuroduet.types import NEURAL, Batch, Masks

Hidden = dict[str, Tensor]
"""Per modality, true where hidden: ``(B, T, 1)`` for activity, else ``(B, T)`` or ``(B,)``."""

Scheme = Callable[[Batch, float, torch.Generator], Hidden]


def hide(batch: Batch, modalities: Mapping[str, bool]) -> Hidden:
    """Hide whole modalities.

    Args:
        batch: The batch the masks are for.
        modalities: True for every modality to hide; those not named stay visible.

    Returns:
        Hidden masks of every modality of the batch.
    """
    return {name: torch.full(shape, modalities.get(name, False)) for name, shape in _shapes(batch)}


def encoding(batch: Batch, ratio: float, generator: torch.Generator) -> Hidden:
    """Hide all activity, show all behaviour (NEDS: neural masking)."""
    return hide(batch, {NEURAL: True})


def decoding(batch: Batch, ratio: float, generator: torch.Generator) -> Hidden:
    """Hide all behaviour, show all activity (NEDS: behaviour masking)."""
    return hide(batch, dict.fromkeys(batch.behaviours, True))


def self_spike(batch: Batch, ratio: float, generator: torch.Generator) -> Hidden:
    """Hide random bins of the activity, show all behaviour (NEDS: within-modality)."""
    return hide(batch, {}) | {NEURAL: _random(batch, NEURAL, ratio, generator)}


def self_behaviour(batch: Batch, ratio: float, generator: torch.Generator) -> Hidden:
    """Hide random bins of each behaviour, show all activity (NEDS: within-modality)."""
    drawn = {name: _random(batch, name, ratio, generator) for name in batch.behaviours}
    return hide(batch, {}) | drawn


def random_token(batch: Batch, ratio: float, generator: torch.Generator) -> Hidden:
    """Hide random bins of every modality independently (NEDS: cross-modality)."""
    return {name: _random(batch, name, ratio, generator) for name, _ in _shapes(batch)}


def encoding_from(batch: Batch, ratio: float, generator: torch.Generator) -> Hidden:
    """Hide all activity and all but one behaviour, drawn per sample (NEDS: single-variable)."""
    n = batch.activity.shape[0]
    kept = torch.randint(max(len(batch.behaviours), 1), (n,), generator=generator)
    hidden = hide(batch, {NEURAL: True})
    for index, name in enumerate(batch.behaviours):
        hidden[name] = _per_sample(kept != index, hidden[name])
    return hidden


SCHEMES: dict[str, Scheme] = {
    "encoding": encoding,
    "decoding": decoding,
    "self_spike": self_spike,
    "self_behaviour": self_behaviour,
    "random_token": random_token,
    "encoding_from": encoding_from,
}


def draw(
    batch: Batch,
    schemes: Mapping[str, float],
    ratio: float,
    generator: torch.Generator,
    hide_visible: float = 0.0,
) -> Masks:
    """Draw a scheme for every sample, then its masks.

    Args:
        batch: The batch the masks are for.
        schemes: Weight of each scheme; keys of :data:`SCHEMES`.
        ratio: Probability that a bin is hidden in the random schemes.
        generator: Source of all randomness.
        hide_visible: Fraction of the visible bins hidden as well, without being scored.

    Returns:
        Masks; ``scored`` is hidden and observed.

    Raises:
        UserError: A scheme's name is unknown.
    """
    for name in schemes:
        if name not in SCHEMES:
            raise unknown("masking scheme", name, SCHEMES)
    names = [name for name, weight in schemes.items() if weight > 0]
    weights = torch.tensor([schemes[name] for name in names])
    n = batch.activity.shape[0]
    chosen = torch.multinomial(weights, n, replacement=True, generator=generator)
    hidden = hide(batch, {})
    for index, name in enumerate(names):
        drawn = SCHEMES[name](batch, ratio, generator)
        for modality, mask in drawn.items():
            hidden[modality] = torch.where(
                _per_sample(chosen == index, mask), mask, hidden[modality]
            )
    masks = to_masks(batch, hidden)
    if hide_visible == 0:
        return masks
    visible = {
        name: seen & ~_random(batch, name, hide_visible, generator) if seen.ndim > 1 else seen
        for name, seen in masks.visible.items()
    }
    return Masks(visible=visible, scored=masks.scored)


def to_masks(batch: Batch, hidden: Hidden) -> Masks:
    """Turn hidden masks into what is visible and what is scored.

    Args:
        batch: The batch the masks are for.
        hidden: Per modality, true where hidden.

    Returns:
        Visible is not hidden and observed; scored is hidden and observed.
    """
    observed = {NEURAL: batch.valid[:, :, None]} | dict(batch.observed)
    return Masks(
        visible={name: observed[name] & ~mask for name, mask in hidden.items()},
        scored={name: observed[name] & mask for name, mask in hidden.items()},
    )


def _shapes(batch: Batch) -> list[tuple[str, torch.Size]]:
    n, bins, _ = batch.activity.shape
    behaviours = [(name, seen.shape) for name, seen in batch.observed.items()]
    return [(NEURAL, torch.Size((n, bins, 1))), *behaviours]


def _random(batch: Batch, name: str, ratio: float, generator: torch.Generator) -> Tensor:
    shape = dict(_shapes(batch))[name]
    return torch.rand(shape, generator=generator) < ratio


def _per_sample(flags: Tensor, like: Tensor) -> Tensor:
    """Flags ``(B,)`` spread over the shape of a mask."""
    return flags.view(-1, *([1] * (like.ndim - 1))).expand(like.shape)
