"""Evaluation tasks: each fixes what is hidden, and one loop scores them all.

A new task is one small class (:class:`~neuroduet.tasks.task.Task`) and one entry in :data:`TASKS`.
"""

from __future__ import annotations

from collections.abc import Sequence

from neuroduet.errors import UserError, unknown
from neuroduet.tasks.activity import CoSmoothing, Forward, InterRegion, IntraRegion
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.by_region import DecodingByRegion
from neuroduet.tasks.encoding import Encoding, EncodingFrom
from neuroduet.tasks.regions import RegionReadout
from neuroduet.tasks.task import USUAL, ActivityOptions, Task
from neuroduet.types import SessionInfo

TASKS: dict[str, Task | RegionReadout] = {
    "encoding": Encoding(),
    "encoding_from": EncodingFrom(),
    "decoding": Decoding(),
    "decoding_by_region": DecodingByRegion(),
    "co_smoothing": CoSmoothing(),
    "forward": Forward(),
    "intra_region": IntraRegion(),
    "inter_region": InterRegion(),
    "regions": RegionReadout(),
}
"""Every task by name; all of them are scored unless some are named."""

GROUPS: dict[str, tuple[str, ...]] = {
    "activity": ("co_smoothing", "forward", "intra_region", "inter_region"),
}
"""Names that stand for several tasks."""


def task_names(wanted: Sequence[str] | None) -> list[str]:
    """Resolve what a user asked for.

    Args:
        wanted: Names of tasks and groups; ``None`` for all tasks.

    Returns:
        Names of :data:`TASKS`, each once.

    Raises:
        UserError: A name is unknown.
    """
    names: list[str] = []
    for name in TASKS if wanted is None else wanted:
        if name not in TASKS and name not in GROUPS:
            raise unknown("task", name, [*TASKS, *GROUPS])
        names += GROUPS.get(name, (name,))
    for name in names:
        _require_task(name, TASKS[name])
    return list(dict.fromkeys(names))


def _require_task(name: str, found: object) -> None:
    """Refuse what somebody has put among the tasks that is none."""
    if not isinstance(found, Task | RegionReadout) or isinstance(found, type):
        parts = ("name", "oracle", "variants", "masks")
        missing = ", ".join(part for part in parts if not hasattr(found, part))
        said = "a class, expected an object of it" if isinstance(found, type) else "no task"
        raise UserError(
            f"TASKS['{name}'] is {said}{missing and f' because it lacks {missing}'}; correct what "
            "adds it (neuroduet.tasks.task.Task)"
        )


def answerable(
    names: Sequence[str], info: SessionInfo, options: ActivityOptions = USUAL
) -> list[str]:
    """Those of some tasks that have a question for a session.

    Args:
        names: Names of :data:`TASKS`; that of the regions, which is asked of models, is left out.
        info: The session.
        options: How the activity tasks are asked.
    """
    tasks = [(name, TASKS[name]) for name in names]
    return [n for n, task in tasks if isinstance(task, Task) and task.variants(info, options)]
