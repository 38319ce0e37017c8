"""Decoding by region: behaviour predicted from the units of one brain region at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from neuroduet.masking import hide, to_masks
from neuroduet.tasks.task import USUAL, ActivityOptions, Variant
from neuroduet.types import NEURAL, Batch, Masks, SessionInfo, is_region


class DecodingByRegion:
    """All behaviours are hidden, and of the activity all units outside one region.

    Each behaviour is a target ``<behaviour>@<region>`` once per region. Units whose region is not
    known belong to none (MtM, section 7.2). A predictor whose weights do not depend on which units
    are visible is asked about a situation that it was not fitted for;
    :class:`~neuroduet.tasks.frozen.FrozenReadout` fits its weights for each region.

    Attributes:
        smallest: Regions with fewer units than this are left out.
    """

    name: str = "decoding_by_region"
    oracle: str | None = None
    smallest: int = 5

    def variants(self, info: SessionInfo, options: ActivityOptions = USUAL) -> tuple[Variant, ...]:
        """One variant per region in alphabetical order; none without regions or behaviour."""
        names = [behaviour.name for behaviour in info.behaviours]
        regions = info.regions or ()
        counts = Counter(r for r in regions if is_region(r))
        if not names:
            return ()
        return tuple(
            Variant(
                hidden=frozenset(names),
                targets={name: f"{name}@{region}" for name in names},
                shown=tuple(r == region for r in regions),
            )
            for region in sorted(counts)
            if counts[region] >= self.smallest
        )

    def masks(self, batch: Batch, variant: Variant) -> Masks:
        """Hide all behaviours and the units of other regions."""
        assert variant.shown is not None
        return unit_masks(batch, torch.tensor(variant.shown), variant.targets)


def unit_masks(
    batch: Batch,
    units: Bool[Tensor, " N"],
    scored: Iterable[str],
    prompt: Int[Tensor, " B"] | None = None,
) -> Masks:
    """Masks that show some units and no behaviour.

    Args:
        batch: The batch the masks are for.
        units: True for the visible units, or a single true value for all of them.
        scored: Names of the behaviours to score; those the batch lacks are left out.
        prompt: Prompt of every window.

    Returns:
        Visible are the valid bins of these units, ``(B, T, N)`` (or ``(B, T, 1)``).
    """
    hidden = hide(batch, dict.fromkeys(batch.observed, True))
    hidden[NEURAL] = ~units.expand(*batch.valid.shape, len(units))
    asked = {name: hidden[name] for name in scored if name in hidden}
    return to_masks(batch, hidden, asked, prompt)
