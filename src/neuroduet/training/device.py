"""Batches and masks on the device that computes."""

from __future__ import annotations

from dataclasses import replace

import torch

from neuroduet.types import Batch, Masks


def batch_to(batch: Batch, device: torch.device) -> Batch:
    """The same batch on another device."""
    return replace(
        batch,
        activity=batch.activity.to(device),
        valid=batch.valid.to(device),
        behaviours={name: x.to(device) for name, x in batch.behaviours.items()},
        observed={name: x.to(device) for name, x in batch.observed.items()},
        windows=batch.windows.to(device),
    )


def masks_to(masks: Masks, device: torch.device) -> Masks:
    """The same masks on another device."""
    return Masks(
        visible={name: x.to(device) for name, x in masks.visible.items()},
        scored={name: x.to(device) for name, x in masks.scored.items()},
        prompt=None if masks.prompt is None else masks.prompt.to(device),
    )
