"""Small things that models of several modalities share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from neuroduet.masking import CAUSAL, PROMPTS
from neuroduet.types import Batch, Behaviour, SessionInfo

Visible = Mapping[str, Tensor]
"""What may be seen of each modality (:attr:`neuroduet.types.Masks.visible`)."""

Prompt = Int[Tensor, "_"] | None
"""Which question is asked in every window (:attr:`neuroduet.types.Masks.prompt`)."""


def union_of_behaviours(sessions: Sequence[SessionInfo]) -> tuple[Behaviour, ...]:
    """All behaviours of some sessions, by name, in the order they are first met."""
    found: dict[str, Behaviour] = {}
    for info in sessions:
        for behaviour in info.behaviours:
            found.setdefault(behaviour.name, behaviour)
    return tuple(found.values())


def causal_windows(batch: Batch, prompt: Prompt) -> Bool[Tensor, " B"]:
    """Windows whose prompt allows no look ahead.

    Args:
        batch: Windows.
        prompt: Which question is asked in every window.
    """
    if prompt is None:
        return batch.valid.new_zeros(len(batch.windows))
    codes = torch.tensor([PROMPTS.index(name) for name in sorted(CAUSAL)])
    return torch.isin(prompt, codes.to(prompt.device)).to(batch.valid.device)


def prompt_rows(batch: Batch, prompt: Prompt) -> Int[Tensor, " B"]:
    """Row of a table of prompts for every window; the last is "no question in particular"."""
    nothing = len(PROMPTS)
    if prompt is None:
        return torch.full_like(batch.windows, nothing, device=batch.valid.device)
    return torch.where(prompt < 0, nothing, prompt).to(batch.valid.device)


def pad_bins(x: Tensor, bins: int) -> Tensor:
    """Zeros (false) appended to the time axis (1) up to ``bins``."""
    missing = bins - x.shape[1]
    return torch.cat([x, x.new_zeros(len(x), missing, *x.shape[2:])], dim=1) if missing else x
