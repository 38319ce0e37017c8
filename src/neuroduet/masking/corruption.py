"""What stands in the place of hidden activity: a separate step after the masks are drawn.

By default nothing does: a hidden entry cannot be read at all. As in BERT, some hidden entries may
instead keep their value or read another one; they are scored all the same, so a model cannot tell
which of the values it sees to trust (MtM, section 4.1: ``zero_ratio`` and ``random_ratio``).
"""

from __future__ import annotations

from dataclasses import replace

import torch

from neuroduet.types import NEURAL, Batch, Masks


def corrupt(
    batch: Batch, masks: Masks, keep: float, random: float, generator: torch.Generator
) -> tuple[Batch, Masks]:
    """Let a model see some hidden activity, true or false.

    Args:
        batch: True values; never changed.
        masks: What is hidden and scored; never changed.
        keep: Fraction of the scored entries that stay visible as they are.
        random: Fraction of the scored entries that read the value of another entry of the same
            unit, drawn from the batch.
        generator: Source of randomness.

    Returns:
        The batch that the model reads, and masks with more of the activity visible; ``scored`` is
        the same. The loss is still to be taken against the true batch.
    """
    if keep == random == 0 or not bool(batch.valid.any()):
        return batch, masks
    shape = batch.activity.shape
    scored = masks.scored[NEURAL].expand(shape)
    chance = torch.rand(shape, generator=generator)
    kept, replaced = scored & (chance < keep), scored & (chance >= 1 - random)
    recorded = batch.activity[batch.valid]
    other = recorded[torch.randint(len(recorded), shape[:2], generator=generator)]
    visible = masks.visible[NEURAL].expand(shape) | kept | replaced
    return (
        replace(batch, activity=torch.where(replaced, other, batch.activity)),
        replace(masks, visible=masks.visible | {NEURAL: visible}),
    )
