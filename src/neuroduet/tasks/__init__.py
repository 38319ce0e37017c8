"""Evaluation tasks: each fixes what is hidden, and one loop scores them all.

A new task is one small class (:class:`~neuroduet.tasks.task.Task`) and one entry in :data:`TASKS`.
"""

from __future__ import annotations

from collections.abc import Sequence

from neuroduet.errors import unknown
from neuroduet.tasks.activity import CoSmoothing, Forward, InterRegion, IntraRegion
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.by_region import DecodingByRegion
from neuroduet.tasks.encoding import Encoding, EncodingFrom
from neuroduet.tasks.regions import RegionReadout
from neuroduet.tasks.task import Task

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
    if wanted is None:
        return list(TASKS)
    names: list[str] = []
    for name in wanted:
        if name not in TASKS and name not in GROUPS:
            raise unknown("task", name, [*TASKS, *GROUPS])
        names += GROUPS.get(name, (name,))
    return list(dict.fromkeys(names))
