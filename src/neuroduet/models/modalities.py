"""Small things that models of several modalities share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from neuroduet.masking import CAUSAL, PROMPTS
from neuroduet.types import Batch, Behaviour, SessionInfo

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
        return torch.zeros_like(batch.windows, dtype=torch.bool)
    codes = torch.tensor([PROMPTS.index(name) for name in sorted(CAUSAL)])
    return torch.isin(prompt, codes.to(prompt.device)).to(batch.valid.device)


def pad_bins(x: Tensor, bins: int) -> Tensor:
    """Zeros (false) appended to the time axis (1) up to ``bins``."""
    missing = bins - x.shape[1]
    return torch.cat([x, x.new_zeros(len(x), missing, *x.shape[2:])], dim=1) if missing else x
