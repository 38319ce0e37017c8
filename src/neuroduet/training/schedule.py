"""The learning rate as a function of how much of the budget is used."""

from __future__ import annotations

import math

from neuroduet.config import TrainingConfig


def one_cycle(
    progress: float, *, warmup: float, div_factor: float, final_div_factor: float
) -> float:
    """Fraction of the peak learning rate: cosine up, then cosine down (one-cycle).

    With ``progress = step / (total_steps - 1)`` and ``warmup = (pct_start * total_steps - 1) /
    (total_steps - 1)`` this is torch's ``OneCycleLR``; as a function of progress it serves a time
    budget too.

    Args:
        progress: Used fraction of the budget, clipped to [0, 1].
        warmup: Fraction of the budget at which the peak is reached.
        div_factor: Peak over initial rate.
        final_div_factor: Initial over final rate.

    Returns:
        Factor in (0, 1].
    """
    progress = min(max(progress, 0.0), 1.0)
    start = 1.0 / div_factor
    if progress <= warmup:
        return _cosine(start, 1.0, progress / warmup)
    return _cosine(1.0, start / final_div_factor, (progress - warmup) / (1.0 - warmup))


def rate_at(step: int, total_steps: int, elapsed: float, config: TrainingConfig) -> float:
    """Factor of the peak rate at a step, when ``elapsed`` of the time budget (0 to 1) is used."""
    last = max(total_steps - 1, 1)
    warmup = (config.warmup * total_steps - 1) / last
    return one_cycle(
        max(step / last, elapsed),
        warmup=max(warmup, 1e-9),
        div_factor=config.div_factor,
        final_div_factor=config.final_div_factor,
    )


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * fraction)) / 2.0
