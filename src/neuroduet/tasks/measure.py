"""What everything is scored on, and the metrics of one answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroduet.tasks.collect import Collected
from neuroduet.tasks.imposters import Deeds
from neuroduet.tasks.scoring import Measured, score_activity, score_behaviour
from neuroduet.tasks.task import ActivityOptions, SessionData
from neuroduet.types import NEURAL, Batch

UnitRow = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ScoredWindows:
    """The windows of one session's split; what every task and predictor is scored on.

    Attributes:
        session: The session.
        batches: Its windows, in order.
        condition: Condition of every window; ``None`` where windows are no trials.
        split: Name of the split.
        blind: Predictors are shown zeros where they may not look.
        options: How the activity tasks are asked.
        draws: Draws of each null; 0 for none.
        others: Behaviour of other sessions, for the null of imposters.
    """

    session: SessionData
    batches: list[Batch]
    condition: np.ndarray | None
    split: str
    blind: bool
    options: ActivityOptions
    draws: int = 0
    others: tuple[Deeds, ...] = ()


def measure(
    found: Collected, modality: str, windows: ScoredWindows
) -> tuple[list[Measured], list[UnitRow]]:
    """Score one answer.

    Args:
        found: The answer, beside the truth.
        modality: Behaviour that was predicted, or the activity.
        windows: What it was scored on.

    Returns:
        Metrics, and those of the activity by unit.
    """
    info = windows.session.info
    if modality == NEURAL:
        activity = score_activity(found, info, windows.condition)
        return activity.measured, activity.units
    behaviour = next(b for b in info.behaviours if b.name == modality)
    counts = None
    if behaviour.kind == "categorical":
        counts = np.asarray(windows.session.statistics.class_counts[modality]).astype(np.int64)
    return score_behaviour(found, behaviour, counts), []
