"""What becomes of micro-batches that pass a model together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from neuroduet.types import Batch, SessionInfo


def repeat(batch: Batch, times: int) -> Batch:
    """The windows of a batch over and over; the activity, which nobody reads then, is left out."""

    def over(x: Tensor) -> Tensor:
        return x.repeat(times, *[1] * (x.ndim - 1))

    return replace(
        batch,
        activity=batch.activity.new_zeros(times * len(batch.windows), batch.activity.shape[1], 0),
        valid=over(batch.valid),
        behaviours={name: over(values) for name, values in batch.behaviours.items()},
        observed={name: over(seen) for name, seen in batch.observed.items()},
        windows=over(batch.windows),
    )


def join_flags(
    causal: Sequence[Bool[Tensor, "_"] | None], batches: Sequence[Batch]
) -> Bool[Tensor, " B"] | None:
    """Flags of all micro-batches, one after the other; ``None`` if none is set."""
    if all(flags is None for flags in causal):
        return None
    return torch.cat(
        [
            batch.valid.new_zeros(len(batch.windows)) if flags is None else flags
            for flags, batch in zip(causal, batches, strict=True)
        ]
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
