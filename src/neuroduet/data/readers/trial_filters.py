"""Which trials of the IBL task the two papers keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from neuroduet.data.readers.reader import TrialFilter
from neuroduet.errors import UserError

NEEDED = (
    "stimOn_times",
    "choice",
    "feedback_times",
    "probabilityLeft",
    "firstMovement_times",
    "feedbackType",
)
"""Columns without which neither paper keeps a trial."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a trial must keep to (s).

    Attributes:
        reaction_s: Shortest and longest time from stimulus to first movement.
        length_s: Longest time from go cue to feedback.
    """

    reaction_s: tuple[float, float]
    length_s: float = 10.0


TRIAL_FILTERS: dict[TrialFilter, Limits] = {
    "neds": Limits(reaction_s=(0.0, 10.0)),
    "mtm": Limits(reaction_s=(0.08, 2.0)),
}
"""NEDS (section "Data") keeps slow and early movements; MtM follows IBL's usual mask."""


def kept_trials(
    columns: Mapping[str, np.ndarray], rule: TrialFilter, source: str
) -> tuple[Bool[np.ndarray, " W"], dict[str, int]]:
    """Which trials a paper keeps.

    A missing go cue does not drop a trial: its length is then unknown, as in the published code.

    Args:
        columns: Columns of the trial table, with the names of ALF.
        rule: ``none``, ``neds`` or ``mtm``.
        source: Where the table came from, for errors.

    Returns:
        Which to keep, and how many each reason drops (a trial may have several).

    Raises:
        UserError: A column that the rule needs is missing.
    """
    count = len(next(iter(columns.values()), np.zeros(0)))
    if rule == "none":
        return np.ones(count, dtype=bool), {}
    absent = [name for name in (*NEEDED, "goCue_times") if name not in columns]
    if absent:
        raise UserError(
            f"{source} lacks {', '.join(absent)}, expected by the trial filter {rule}; add them, "
            "or read with --trials none"
        )
    limits = TRIAL_FILTERS[rule]
    low, high = limits.reaction_s
    reaction = columns["firstMovement_times"] - columns["stimOn_times"]
    length = columns["feedback_times"] - columns["goCue_times"]
    reasons = {
        "a value is missing": np.any([np.isnan(columns[name]) for name in NEEDED], axis=0),
        f"reaction time below {low:g} s": reaction < low,
        f"reaction time above {high:g} s": reaction > high,
        f"longer than {limits.length_s:g} s": length > limits.length_s,
        "no choice": columns["choice"] == 0,
    }
    dropped = np.any(list(reasons.values()), axis=0)
    return ~dropped, {why: int(which.sum()) for why, which in reasons.items() if which.any()}
