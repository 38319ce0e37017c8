"""Evaluation tasks: each fixes what is hidden, and one loop scores them all.

A new task is one small class (:class:`~neuroduet.tasks.task.Task`) and one entry in :data:`TASKS`.
"""

from __future__ import annotations

from neuroduet.tasks.activity import Encoding, EncodingFrom
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.regions import RegionReadout
from neuroduet.tasks.task import Task

TASKS: dict[str, Task | RegionReadout] = {
    "encoding": Encoding(),
    "encoding_from": EncodingFrom(),
    "decoding": Decoding(),
    "regions": RegionReadout(),
}
"""Every task by name; all of them are scored unless some are named."""
