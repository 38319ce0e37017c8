"""Micro-batches made of others, or of nothing."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from neuroduet.types import Batch, SessionInfo


def over(x: Tensor, times: int) -> Tensor:
    """Windows (the first axis) over and over."""
    return x.repeat(times, *[1] * (x.ndim - 1))


def repeat(batch: Batch, times: int) -> Batch:
    """The windows of a batch over and over; the activity, which nobody reads then, is left out."""
    return replace(
        batch,
        activity=batch.activity.new_zeros(times * len(batch.windows), batch.activity.shape[1], 0),
        valid=over(batch.valid, times),
        behaviours={name: over(values, times) for name, values in batch.behaviours.items()},
        observed={name: over(seen, times) for name, seen in batch.observed.items()},
        windows=over(batch.windows, times),
    )


def silence(info: SessionInfo, windows: int) -> Batch:
    """Windows of full length in which nothing happens, and all of it is observed."""
    values, observed = {}, {}
    for behaviour in info.behaviours:
        shape = (windows, info.max_bins) if behaviour.per == "bin" else (windows,)
        observed[behaviour.name] = torch.ones(shape, dtype=torch.bool)
        values[behaviour.name] = (
            torch.zeros(shape, dtype=torch.long)
            if behaviour.kind == "categorical"
            else torch.zeros(*shape, behaviour.size)
        )
    return Batch(
        session=info.id,
        activity=torch.zeros(windows, info.max_bins, len(info.units)),
        valid=torch.ones(windows, info.max_bins, dtype=torch.bool),
        behaviours=values,
        observed=observed,
        windows=torch.arange(windows),
    )
