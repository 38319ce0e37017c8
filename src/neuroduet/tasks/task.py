"""What a task is: which modalities it hides, and under which names the hidden ones are scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from neuroduet.errors import UserError
from neuroduet.masking import hide, to_masks
from neuroduet.types import Batch, Masks, SessionInfo, UnitQuestions


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way in which a task masks a session.

    Variants that score the same targets are parts of one question (units hidden in turns, say):
    what they predict is merged before it is scored.

    Attributes:
        hidden: Modalities that may not be seen.
        targets: Scored modalities, and the name each has in the ``target`` column of the scores.
        questions: Questions about units that are asked one after the other, each with other units
            hidden; ``None`` for a variant that is one question.
        horizon: Bins hidden at the end of a window; ``None`` for none.
        shown: Whether each unit may be seen, in the session's order; ``None`` for all.
    """

    hidden: frozenset[str]
    targets: dict[str, str]
    questions: UnitQuestions | None = None
    horizon: int | None = None
    shown: tuple[bool, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ActivityOptions:
    """How the activity tasks are asked.

    Attributes:
        folds: Units are hidden in this many groups; ``None`` hides one at a time (exact).
        horizon: Bins at the end of a window that forward prediction hides; ``None`` for 10, or a
            tenth of windows shorter than 100 bins.
        units: Ids of the units asked about; ``None`` for all.
    """

    folds: int | None = None
    horizon: int | None = None
    units: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.folds is not None and self.folds < 2:
            raise UserError(
                f"{self.folds} folds of units leave none to predict from; give 2 or more"
            )
        if self.horizon is not None and self.horizon < 1:
            raise UserError(f"a horizon of {self.horizon} bins hides nothing; give 1 or more")


USUAL = ActivityOptions()
"""Exact co-smoothing of all units, and forward prediction of the last tenth of a window."""


@runtime_checkable
class Task(Protocol):
    """A question put to a predictor by hiding something.

    Attributes:
        name: Name of the task; its key in :data:`neuroduet.tasks.TASKS`.
        oracle: Key of ``Session.truth`` that holds the best possible answer, or ``None``.
    """

    name: str
    oracle: str | None

    def variants(self, info: SessionInfo, options: ActivityOptions = USUAL) -> tuple[Variant, ...]:
        """The ways this task masks a session; none if the session cannot answer it."""
        ...

    def masks(self, batch: Batch, variant: Variant) -> Masks:
        """The masks of one variant; ``scored`` has the keys of ``variant.targets`` only."""
        ...


@runtime_checkable
class SessionData(Protocol):
    """The part of :class:`neuroduet.data.session.Session` that scoring needs."""

    @property
    def info(self) -> SessionInfo:
        """Units and behaviours of the session."""
        ...

    @property
    def windows(self) -> Any:
        """Table of windows; ``trial`` is -1 where a window is not a trial."""
        ...

    @property
    def statistics(self) -> Any:
        """Statistics of the training windows."""
        ...

    def indices(self, split: str) -> np.ndarray:
        """Windows of a split."""
        ...

    def batch(self, indices: np.ndarray) -> Batch:
        """Windows, binned."""
        ...

    def truth(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """True expected counts per bin ``(B, T, N)`` of simulated windows, else nothing."""
        ...


def batches_of(session: SessionData, indices: np.ndarray, size: int = 64) -> Iterator[Batch]:
    """Windows of a session, binned, so many at a time."""
    for start in range(0, len(indices), size):
        yield session.batch(indices[start : start + size])


def whole_masks(batch: Batch, variant: Variant) -> Masks:
    """Masks that hide whole modalities.

    Args:
        batch: The batch the masks are for.
        variant: What to hide and what to score.

    Returns:
        Visible is not hidden and observed; scored is observed, for the variant's targets only.
    """
    masks = to_masks(batch, hide(batch, dict.fromkeys(variant.hidden, True)))
    scored = {name: masks.scored[name] for name in variant.targets if name in masks.scored}
    return Masks(visible=masks.visible, scored=scored)
