"""What training computes and keeps for a window: operations, and bytes until the way back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from neuroduet.config import Config
from neuroduet.losses import modality_losses
from neuroduet.masking import hide, to_masks
from neuroduet.models import Model
from neuroduet.models.micro_batches import silence
from neuroduet.models.translator import Translator
from neuroduet.training.info import tokens_per_window
from neuroduet.types import NEURAL, SessionInfo

NUMBER = 4
"""Bytes of a parameter, gradient, momentum or activation: training computes in single precision,
and with bf16 it keeps the parameters so."""

PROBED_WINDOWS = 2


def operations_per_window(config: Config, model: Model, info: SessionInfo) -> int:
    """Floating point operations of training on one window, once forward and twice backward.

    The rule of :mod:`neuroduet.training.info` (six per weight of the core and token), attention
    (every token with every other), and stitchers: activity needs no gradient, so the way in costs
    four per weight and bin and the way out six; the covariance of the latents costs four per pair
    of latents and unit.
    """
    tokens, units, bins = tokens_per_window(model), len(info.units), info.max_bins
    own = sum(p.numel() for p in model.stitchers())
    core = sum(p.numel() for p in model.parameters()) - own
    sizes = config.model
    attention = 12 * tokens**2 * sizes.width * sizes.layers
    shared = 6 * core * tokens + attention
    if not isinstance(model, Translator):
        return shared + 6 * own * bins
    rank_in, rank_out = sizes.input_rank or sizes.width, sizes.output_rank or sizes.width
    stitching = units * (bins * (4 * rank_in + 6 * rank_out) + 4 * rank_in**2)
    embedding = 6 * (sizes.unit_embedding or 0) * (rank_in + rank_out) * units
    return shared + stitching + embedding // config.training.batch_size


def activation_bytes(config: Config, model: Model, info: SessionInfo) -> int:
    """What the backward pass of a step needs of its forward pass, counted on a few windows."""
    batch = silence(info, PROBED_WINDOWS)
    hidden = hide(batch, dict.fromkeys(batch.behaviours, True))
    masks = to_masks(batch, hidden | {NEURAL: torch.zeros(1, 1, len(info.units)).bool()})
    masks.scored[NEURAL] = torch.ones_like(batch.activity, dtype=torch.bool)
    seen: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return x

    with saved_tensors_hooks(note, lambda x: x):
        prediction = model.train()([batch], [masks.visible], [None])[0]
        losses = modality_losses(
            prediction, batch, masks, model.behaviours, model.scales(info.id), config.loss
        )
        kept = torch.stack(list(losses.values())).sum()
    del prediction, losses, kept
    return sum(seen.values()) * config.training.batch_size // PROBED_WINDOWS
