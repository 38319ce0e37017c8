"""Masks of NEDS as published: one draw shared by a whole batch (reference 4.2, defect D5).

A behaviour given once per trial is made of one token per bin, and single tokens of it are hidden;
its masks are therefore ``(B, T)`` here, which the published model and losses accept, and not
``(B,)`` as everywhere else.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from neuroduet.types import NEURAL, Batch, Masks

PUBLISHED_SCHEMES = ("encoding", "decoding", "self_spike", "self_behaviour", "random_token")

Inputs = Literal["all", "activity", "behaviours"]


def published_masks(
    batch: Batch, ratio: float, generator: torch.Generator, inputs: Inputs = "all"
) -> Masks:
    """Draw a scheme for every sample uniformly, and one random mask per scheme for all samples.

    Args:
        batch: The batch the masks are for.
        ratio: Probability that a bin is hidden in the random schemes (published: 0.3).
        generator: Source of all randomness.
        inputs: What the model reads; a model of one modality always predicts the other.

    Returns:
        Masks; per modality the expected hidden fraction is (1 + 2 ratio) / 5.
    """
    n, bins, _ = batch.activity.shape
    names = [NEURAL, *batch.behaviours]
    by_scheme = _hidden_bins(names, bins, ratio, generator)
    chosen = torch.randint(len(PUBLISHED_SCHEMES), (n,), generator=generator)
    if inputs != "all":
        only = "decoding" if inputs == "activity" else "encoding"
        chosen = torch.full((n,), PUBLISHED_SCHEMES.index(only))
    visible, scored = {}, {}
    for name in names:
        hidden = by_scheme[name][chosen]
        observed = batch.valid
        if name != NEURAL:
            seen = batch.observed[name]
            observed = (seen if seen.ndim > 1 else seen[:, None]) & batch.valid
        visible[name], scored[name] = observed & ~hidden, observed & hidden
    visible[NEURAL], scored[NEURAL] = visible[NEURAL][..., None], scored[NEURAL][..., None]
    return Masks(visible=visible, scored=scored)


def _hidden_bins(
    names: list[str], bins: int, ratio: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Per modality, the hidden bins of each scheme: ``(5, T)`` in the order of the schemes."""
    everything, nothing = torch.ones(bins, dtype=torch.bool), torch.zeros(bins, dtype=torch.bool)
    shared = torch.rand(bins, generator=generator) < ratio
    hidden = {}
    for name in names:
        own = torch.rand(bins, generator=generator) < ratio
        rows = (
            [everything, nothing, own, nothing, shared]
            if name == NEURAL
            else [nothing, everything, nothing, own, shared]
        )
        hidden[name] = torch.stack(rows)
    return hidden
