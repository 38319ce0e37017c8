"""Encoding: the neural activity predicted from behaviour."""

from __future__ import annotations

from neuroduet.tasks.task import USUAL, ActivityOptions, Variant, whole_masks
from neuroduet.types import NEURAL, Batch, Masks, SessionInfo


class Encoding:
    """All activity is hidden and every behaviour is visible; every valid bin and unit is scored.

    The target is ``spikes`` (counted events) or ``traces``.
    """

    name: str = "encoding"
    oracle: str | None = "rates_from_behaviour"

    def variants(self, info: SessionInfo, options: ActivityOptions = USUAL) -> tuple[Variant, ...]:
        """One variant; none for a session without behaviour, which has nothing to encode."""
        if not info.behaviours:
            return ()
        target = "spikes" if info.is_poisson else "traces"
        return (Variant(hidden=frozenset({NEURAL}), targets={NEURAL: target}),)

    def masks(self, batch: Batch, variant: Variant) -> Masks:
        """Hide all activity."""
        return whole_masks(batch, variant)


class EncodingFrom:
    """All activity and all behaviours but one are hidden; the target is the one that is visible.

    There is no oracle: the best prediction from one behaviour is not known even in simulations.
    """

    name: str = "encoding_from"
    oracle: str | None = None

    def variants(self, info: SessionInfo, options: ActivityOptions = USUAL) -> tuple[Variant, ...]:
        """One variant per behaviour of the session."""
        names = [behaviour.name for behaviour in info.behaviours]
        return tuple(
            Variant(hidden=frozenset({NEURAL, *names} - {name}), targets={NEURAL: name})
            for name in names
        )

    def masks(self, batch: Batch, variant: Variant) -> Masks:
        """Hide all activity and the other behaviours."""
        return whole_masks(batch, variant)
