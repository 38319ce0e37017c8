"""Decoders of one session: a read-out per behaviour, however it was fitted; and their nulls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from neuroduet.baselines.encoders import answers
from neuroduet.types import Batch, Behaviour, BehaviourKind, Masks, Per, Prediction, SessionInfo

DECODING_TASKS = frozenset({"decoding"})


@runtime_checkable
class ReadOut(Protocol):
    """One behaviour from the activity of a window."""

    def values(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B ... F"]:
        """Expected values in the user's units, or logits.

        Args:
            batch: Windows.
            masks: What is visible of the activity; ``None`` shows everything.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The null of a behaviour: one answer, whatever the activity.

    Attributes:
        value: Training mean ``(C,)``, or log frequencies of the classes ``(K,)``.
        per: Whether it is given in every bin or once per window.
    """

    value: Float[Tensor, " F"]
    per: Per

    def values(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B ... F"]:
        """The answer for every bin or window."""
        shape = batch.valid.shape if self.per == "bin" else batch.windows.shape
        return self.value.expand(*shape, -1).clone()


@dataclass(frozen=True, kw_only=True)
class DecodingBaseline:
    """A predictor of behaviours from activity.

    Attributes:
        name: Name in score tables.
        session: The session it was fitted on; it predicts no other.
        read_outs: By name of the behaviour.
    """

    name: str
    session: str
    read_outs: Mapping[str, ReadOut]

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Decode from the visible activity; see :class:`~neuroduet.types.Predictor`."""
        found = {
            name: read_out.values(batch, masks)
            for name, read_out in self.read_outs.items()
            if answers(self.session, batch, masks, task, name, DECODING_TASKS)
        }
        return Prediction(activity=None, behaviours=found)


def shown_behaviours(train: Batch, info: SessionInfo, kind: BehaviourKind) -> list[Behaviour]:
    """Behaviours of one kind of which training windows show at least one value."""
    return [b for b in info.behaviours if b.kind == kind and bool(train.observed[b.name].any())]


def observed_values(train: Batch, behaviour: Behaviour) -> Tensor:
    """What training windows show of a behaviour: ``(M, C)`` values or ``(M,)`` class indices."""
    return train.behaviours[behaviour.name][train.observed[behaviour.name]]
