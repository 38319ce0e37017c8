"""Decoding: behaviour predicted from the neural activity."""

from __future__ import annotations

from neuroduet.tasks.task import USUAL, ActivityOptions, Variant, whole_masks
from neuroduet.types import Batch, Masks, SessionInfo


class Decoding:
    """All behaviours are hidden at once and the activity is visible.

    Each behaviour is a target of its own name, scored where it was observed.
    """

    name: str = "decoding"
    oracle: str | None = None

    def variants(self, info: SessionInfo, options: ActivityOptions = USUAL) -> tuple[Variant, ...]:
        """One variant with every behaviour in it; none for a session without behaviour."""
        names = [behaviour.name for behaviour in info.behaviours]
        if not names:
            return ()
        return (Variant(hidden=frozenset(names), targets={name: name for name in names}),)

    def masks(self, batch: Batch, variant: Variant) -> Masks:
        """Hide all behaviours."""
        return whole_masks(batch, variant)
