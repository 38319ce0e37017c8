"""The tasks of the IBL brain-wide benchmark: what each predicts, where, and how it is scored.

Three suites: ``ts1`` decodes behaviour, ``ts2`` predicts activity, ``ts3`` names the region of
units (arXiv 2609.22064; the numbers are those of ``ibl-bwb-eval`` 0.1.0). Scored windows last one
second in bins of 20 ms; up to 19 seconds before them may be seen as context.
"""

from __future__ import annotations

from dataclasses import dataclass

from neuroduet.errors import unknown

FORMAT_VERSION = "0.1.0"
"""Version of the submission format, written into every file of a submission."""

BIN_SIZE_S = 0.02
"""Width of a bin (s); behaviour is sampled at the same 50 Hz."""

TARGET_BINS = 50
"""Bins of a scored window."""

TARGET_S = 1.0
LONGEST_CONTEXT_S = 20.0
"""Longest window, context and target together (s): the gap between splits."""

FORECAST_BINS = 5
"""Bins at the end of a window that forecasting predicts."""

SEEDS = (43, 44, 45, 46, 47)
"""Seeds that reported numbers are averaged over; at least three."""

FEWEST_SEEDS = 3

CLIPPED = frozenset({"r2", "poisson_d2", "bps"})
"""Metrics that read at least 0 when they are averaged."""

SPLITS = {"train": "train", "valid": "val", "test": "test"}
"""Our names of the splits, and those of the benchmark."""


@dataclass(frozen=True, kw_only=True)
class BehaviourTask:
    """A behaviour to decode.

    Attributes:
        window: Interval table of ``task_aligned_intervals`` that names the scored windows.
        source: Where a recording holds the values, ``group.field``; the column of the window table
            itself for classes.
        classes: Number of classes; 0 for values in every bin.
        normalised: Whether values are z-scored by the statistics stored for the training split.
        counts: Whether values are events (stored as rates in Hz, scored as counts per bin).
        confident: Column beside the values that says which samples are scored.
        primary: Metric that a submission is ranked by.
    """

    window: str
    source: str
    classes: int = 0
    normalised: bool = False
    counts: bool = False
    confident: str | None = None
    primary: str = "r2"


BEHAVIOUR_TASKS: dict[str, BehaviourTask] = {
    "choice": BehaviourTask(window="choice", source="choice", classes=2, primary="bacc"),
    "reward": BehaviourTask(window="reward", source="reward", classes=2, primary="bacc"),
    "stimulus_contrast": BehaviourTask(
        window="stimulus_contrast", source="stimulus_contrast", classes=5, primary="bacc"
    ),
    "whisker_motion_energy": BehaviourTask(
        window="movement_window", source="whisker.whisker_motion_energy", normalised=True
    ),
    "wheel_speed": BehaviourTask(window="movement_window", source="wheel.wheel_speed"),
    "right_paw_speed": BehaviourTask(
        window="movement_window",
        source="paws.right_paw_speed",
        normalised=True,
        confident="is_right_paw_confident",
    ),
    "left_paw_speed": BehaviourTask(
        window="movement_window",
        source="paws.left_paw_speed",
        normalised=True,
        confident="is_left_paw_confident",
    ),
    "licking_rate": BehaviourTask(
        window="licking_window", source="licks.licking_rate", counts=True, primary="poisson_d2"
    ),
}
"""Suite ``ts1``."""

ACTIVITY_TASKS = ("co_smoothing", "forecasting")
"""Suite ``ts2``; scored by ``poisson_d2`` and ``bps``."""

REGION_TASK = "unit_cosmos"
"""Suite ``ts3``; scored by ``macro/f1-score`` over :data:`~neuroduet.data.brainwide.REGIONS`."""

SUITES: dict[str, tuple[str, ...]] = {
    "ts1": tuple(BEHAVIOUR_TASKS),
    "ts2": ACTIVITY_TASKS,
    "ts3": (REGION_TASK,),
}
"""Tasks of each suite."""


def check_suite(suite: str) -> None:
    """Refuse a name that is no suite.

    Raises:
        UserError: It is none of :data:`SUITES`.
    """
    if suite not in SUITES:
        raise unknown("suite", suite, SUITES)


def task_id(suite: str, task: str) -> str:
    """Name of a task in a submission.

    Example:
        >>> task_id("ts2", "forecasting")
        'ts2-forecasting'
    """
    return f"{suite}-{task}"


def primary_metric(identifier: str) -> str:
    """Metric that a task is ranked by.

    Args:
        identifier: What :func:`task_id` returns.

    Example:
        >>> primary_metric("ts1-licking_rate")
        'poisson_d2'
    """
    suite, _, task = identifier.partition("-")
    if suite == "ts1":
        return BEHAVIOUR_TASKS[task].primary
    return "poisson_d2" if suite == "ts2" else "macro/f1-score"
