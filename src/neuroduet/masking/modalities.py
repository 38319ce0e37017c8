"""Schemes over whole modalities: those of NEDS."""

from __future__ import annotations

import torch

from neuroduet.masking.drawing import (
    Draw,
    Drawn,
    all_scored,
    hide,
    per_sample,
    random_bins,
    shapes,
)
from neuroduet.types import NEURAL, Batch


def encoding(batch: Batch, draw: Draw) -> Drawn:
    """Hide all activity, show all behaviour (NEDS: neural masking)."""
    return all_scored(hide(batch, {NEURAL: True}))


def decoding(batch: Batch, draw: Draw) -> Drawn:
    """Hide all behaviour, show all activity (NEDS: behaviour masking)."""
    return all_scored(hide(batch, dict.fromkeys(batch.behaviours, True)))


def self_spike(batch: Batch, draw: Draw) -> Drawn:
    """Hide random bins of the activity, show all behaviour (NEDS: within-modality)."""
    hidden = random_bins(batch, NEURAL, draw.ratio, draw.generator)
    return all_scored(hide(batch, {}) | {NEURAL: hidden})


def self_behaviour(batch: Batch, draw: Draw) -> Drawn:
    """Hide random bins of each behaviour, show all activity (NEDS: within-modality)."""
    drawn = {
        name: random_bins(batch, name, draw.ratio, draw.generator) for name in batch.behaviours
    }
    return all_scored(hide(batch, {}) | drawn)


def random_token(batch: Batch, draw: Draw) -> Drawn:
    """Hide random bins of every modality independently (NEDS: cross-modality)."""
    return all_scored(
        {name: random_bins(batch, name, draw.ratio, draw.generator) for name, _ in shapes(batch)}
    )


def encoding_from(batch: Batch, draw: Draw) -> Drawn:
    """Hide all activity and all but one behaviour, drawn per sample (NEDS: single-variable)."""
    n = batch.activity.shape[0]
    kept = torch.randint(max(len(batch.behaviours), 1), (n,), generator=draw.generator)
    hidden = hide(batch, {NEURAL: True})
    for index, name in enumerate(batch.behaviours):
        hidden[name] = per_sample(kept != index, hidden[name])
    return all_scored(hidden)
