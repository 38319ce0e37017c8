"""Recordings as the brain-wide benchmark stores them: splits, scored windows, true values.

A recording is a ``torch_brain`` file with ``task_aligned_intervals``, one table of scored windows
per kind of task, and the splits ``ts1_train_domain``, ``ts2_test_domain`` ... of the evaluation
recordings, or ``pretrain_train_domain`` and ``pretrain_val_domain`` of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch_brain.data import Data, Interval

from neuroduet.benchmark.suites import (
    BEHAVIOUR_TASKS,
    BIN_SIZE_S,
    SPLITS,
    TARGET_BINS,
    TARGET_S,
    BehaviourTask,
)
from neuroduet.data.brainwide import DATA_SET, HELD_OUT, RATE_HZ
from neuroduet.data.columns import groups
from neuroduet.data.schema import recording_id
from neuroduet.errors import UserError

EDGE_S = 1e-6
"""Times closer than this are the same (s)."""


@dataclass(frozen=True, kw_only=True)
class TargetWindows:
    """The scored windows of one task in one split.

    Attributes:
        start_s: Start of each window of one second (s).
        trial: Trial of each, by which predictions and truth are matched.
        sample: First row of the behaviour series in each window; -1 for classes.
        labels: True class of each window; -1 for values in every bin.
    """

    start_s: Float[np.ndarray, " W"]
    trial: Int[np.ndarray, " W"]
    sample: Int[np.ndarray, " W"]
    labels: Int[np.ndarray, " W"]


def find_benchmark(data: Path, regime: str) -> list[Path]:
    """The recordings of one part of the data.

    Args:
        data: A recording, a folder of them, or a copy of the published data with the folders
            ``eval`` and ``pretrain``.
        regime: ``eval`` or ``pretrain``; a plain folder of recordings is taken as ``eval``.

    Returns:
        Files in the order of their names; none if there is no such part.

    Raises:
        UserError: There is nothing at ``data``.
    """
    if not data.exists():
        raise UserError(f"nothing at {data}; give a folder of benchmark recordings (.h5)")
    if data.is_file():
        return [data] if regime == "eval" else []
    for folder in (data / regime, data / DATA_SET / regime):
        if folder.is_dir():
            return sorted(folder.glob("*.h5"))
    parts = any((root / "eval").is_dir() for root in (data, data / DATA_SET))
    return [] if parts or regime != "eval" else sorted(data.glob("*.h5"))


def field(recording: Data, name: str) -> Any:
    """A nested value such as ``task_aligned_intervals.choice.start``, ``None`` without one."""
    found: Any = recording
    for part in name.split("."):
        if part not in getattr(found, "__dict__", {}) and part not in ("start", "end", "domain"):
            return None
        found = getattr(found, part, None)
    return found


def has_behaviour(recording: Data, task: BehaviourTask) -> bool:
    """Whether a recording holds what a task of ``ts1`` predicts."""
    table = f"task_aligned_intervals.{task.window}"
    source = f"{table}.{task.source}" if task.classes else task.source
    return field(recording, table) is not None and field(recording, source) is not None


def split_domain(recording: Data, suite: str, split: str) -> Interval:
    """The time of a split; empty where the recording has none.

    Args:
        recording: Recording of the benchmark.
        suite: ``ts1`` or ``ts2``; ``ts3`` has no split of its own and takes that of ``ts2``.
        split: ``train``, ``valid`` or ``test``.
    """
    scope = "ts1" if suite == "ts1" else "ts2"
    for prefix in (scope, "pretrain"):
        found = field(recording, f"{prefix}_{SPLITS[split]}_domain")
        if found is not None:
            return Interval(np.asarray(found.start, float), np.asarray(found.end, float))
    return Interval(np.zeros(0), np.zeros(0))


def behaviour_windows(recording: Data, name: str, split: str) -> TargetWindows:
    """The scored windows of a task of ``ts1``.

    Args:
        recording: A recording of the benchmark that holds the behaviour.
        name: Key of :data:`~neuroduet.benchmark.suites.BEHAVIOUR_TASKS`.
        split: ``train``, ``valid`` or ``test``.

    Returns:
        Windows that lie in the split and, for values in every bin, in the series, in which at
        least one sample is to be scored.
    """
    task = BEHAVIOUR_TASKS[name]
    table = field(recording, f"task_aligned_intervals.{task.window}")
    start_s = np.asarray(table.start, dtype=np.float64)
    trial = np.asarray(table.trial_index).astype(np.int64)
    kept = inside(start_s, np.asarray(table.end, float), split_domain(recording, "ts1", split))
    sample = np.full(len(start_s), -1, dtype=np.int64)
    labels = sample.copy()
    if task.classes:
        labels = np.asarray(getattr(table, task.source)).astype(np.int64)
        kept &= (labels >= 0) & (labels < task.classes)
    else:
        group = groups(recording)[task.source.partition(".")[0]]
        sample = first_sample(start_s, float(group.domain.start[0]))
        kept &= (sample >= 0) & (sample + TARGET_BINS <= len(group))
        if task.confident is not None:
            rows = sample.clip(0, len(group) - TARGET_BINS)[:, None] + np.arange(TARGET_BINS)
            kept &= np.asarray(getattr(group, task.confident), bool)[rows].any(axis=1)
    return TargetWindows(
        start_s=start_s[kept], trial=trial[kept], sample=sample[kept], labels=labels[kept]
    )


def behaviour_values(recording: Data, name: str) -> Float[np.ndarray, " R"]:
    """A behaviour as it is scored: z-scored, in its unit, or in counts per bin.

    Args:
        recording: A recording of the benchmark that holds the behaviour.
        name: Key of :data:`~neuroduet.benchmark.suites.BEHAVIOUR_TASKS` with values in every bin.

    Returns:
        One value per sample of its series.
    """
    task = BEHAVIOUR_TASKS[name]
    group, _, column = task.source.partition(".")
    values = np.asarray(getattr(groups(recording)[group], column), dtype=np.float64)
    if task.counts:
        return np.round(values / RATE_HZ)
    if task.normalised:
        found = normalisation(recording, task)
        assert found is not None
        return (values - float(found.mean)) / float(found.std)
    return values


def normalisation(recording: Data, task: BehaviourTask) -> Any:
    """Stored ``mean`` and ``std`` of a behaviour over the training split, ``None`` without."""
    for scope in ("ts1", "pretrain"):
        found = field(recording, f"{scope}_normalize.{task.source}")
        if found is not None:
            return found
    return None


def confident_samples(recording: Data, name: str) -> Bool[np.ndarray, " R"] | None:
    """Which samples of a behaviour are scored; ``None`` for all."""
    task = BEHAVIOUR_TASKS[name]
    if task.confident is None:
        return None
    return np.asarray(
        getattr(groups(recording)[task.source.partition(".")[0]], task.confident), bool
    )


def trial_intervals(recording: Data, suite: str, split: str) -> Interval:
    """Stretches of task time inside a split, in which windows of activity lie."""
    domain = field(recording, "task_aligned_intervals.domain")
    task_time = Interval(np.asarray(domain.start, float), np.asarray(domain.end, float))
    return task_time & split_domain(recording, suite, split)


def every_window(intervals: Interval, step_s: float = BIN_SIZE_S) -> Float[np.ndarray, " W"]:
    """Starts of all windows of one second, a step apart, with a last one at each end.

    Predictions and truth are matched by these numbers, bit by bit, so that they are computed as
    the sequential sampler of ``torch_brain`` computes them.

    Args:
        intervals: Where the windows lie; intervals shorter than a window hold none.
        step_s: Seconds between windows.

    Returns:
        Starts (s).
    """
    starts: list[float] = []
    for start, end in zip(intervals.start, intervals.end, strict=True):
        if end - start < TARGET_S:
            continue
        grid = torch.arange(float(start), float(end), step_s, dtype=torch.float64)
        inner = [t for t in grid.tolist() if t + TARGET_S <= end]
        starts += inner
        if inner[-1] + TARGET_S < end:
            starts.append(float(end) - TARGET_S)
    return np.array(starts, dtype=np.float64)


def held_out_units(recording: Data, split: str) -> Bool[np.ndarray, " N"]:
    """Units that co-smoothing hides in a split.

    Raises:
        UserError: The recording does not mark them.
    """
    name = f"{HELD_OUT}{SPLITS[split]}"
    found = field(recording, f"units.{name}")
    if found is None:
        raise UserError(
            f"recording {recording_id(recording)!r} has no column units.{name}; "
            "use the build selected_units for ts2"
        )
    return np.asarray(found, dtype=bool)


def first_sample(start_s: Float[np.ndarray, " W"], origin_s: float) -> Int[np.ndarray, " W"]:
    """First sample of a 50 Hz series at or after each time.

    Args:
        start_s: Times (s).
        origin_s: Time of the series' first sample (s).
    """
    return np.ceil((start_s - origin_s) * RATE_HZ - EDGE_S).astype(np.int64)


def inside(
    start_s: Float[np.ndarray, " W"], end_s: Float[np.ndarray, " W"], domain: Interval
) -> Bool[np.ndarray, " W"]:
    """Which windows lie in one interval of a domain as a whole.

    Args:
        start_s: Starts (s).
        end_s: Ends (s).
        domain: Disjoint intervals in order.
    """
    if len(domain) == 0:
        return np.zeros(len(start_s), dtype=bool)
    starts, ends = np.asarray(domain.start), np.asarray(domain.end)
    place = np.searchsorted(starts, start_s + EDGE_S, side="right") - 1
    found: np.ndarray = (place >= 0) & (end_s <= ends[place.clip(min=0)] + EDGE_S)
    return found
