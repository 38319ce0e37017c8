"""Min-max scaling of continuous behaviours, as NEDS published it.

Ranges come from the training windows only; the published code also looks at the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neuroduet.types import Batch


@dataclass(frozen=True, kw_only=True)
class BehaviourRanges:
    """Smallest and largest value of each channel of the continuous behaviours, by name."""

    low: dict[str, Float[Tensor, " C"]]
    high: dict[str, Float[Tensor, " C"]]


def behaviour_ranges(batches: Iterable[Batch]) -> BehaviourRanges:
    """Ranges of the observed values of the continuous behaviours.

    Args:
        batches: Training windows of one session.

    Returns:
        Ranges of every behaviour that was observed at least once.
    """
    low: dict[str, Tensor] = {}
    high: dict[str, Tensor] = {}
    for batch in batches:
        for name, values in batch.behaviours.items():
            seen = values[batch.observed[name]]
            if not values.is_floating_point() or len(seen) == 0:
                continue
            low[name] = torch.minimum(low.get(name, seen[0]), seen.amin(0))
            high[name] = torch.maximum(high.get(name, seen[0]), seen.amax(0))
    return BehaviourRanges(low=low, high=high)


class Range(nn.Module):
    """Range of a continuous behaviour on a session's training windows; 0 to 1 until it is set."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.behaviour_low: Tensor
        self.behaviour_high: Tensor
        self.register_buffer("behaviour_low", torch.zeros(size))
        self.register_buffer("behaviour_high", torch.ones(size))

    @property
    def span(self) -> Float[Tensor, " C"]:
        """High minus low; 1 for a channel that never changes."""
        span = self.behaviour_high - self.behaviour_low
        return torch.where(span > 0, span, 1.0)

    def to_unit(self, values: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """The user's units to [0, 1]."""
        return (values - self.behaviour_low) / self.span

    def to_user(self, values: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """[0, 1] to the user's units."""
        return values * self.span + self.behaviour_low
