"""Whether a recording has the layout of the brain-wide benchmark; every problem in one list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch_brain.data import Data, RegularTimeSeries

from neuroduet.benchmark.layout import (
    field,
    has_behaviour,
    normalisation,
    split_domain,
)
from neuroduet.benchmark.suites import (
    BEHAVIOUR_TASKS,
    SPLITS,
    TARGET_S,
    BehaviourTask,
)
from neuroduet.data.brainwide import HELD_OUT, RATE_HZ, REGIONS, SMALLEST_GAP_S
from neuroduet.data.columns import groups
from neuroduet.data.schema import find_problems
from neuroduet.errors import UserError

NOT_SCORED = ("void", "root")
"""Regions that no unit is asked about."""

_SHORT_S = 1e-3


def check_layout(recording: Data, suite: str, path: Path) -> None:
    """Make sure that a recording can be used for a suite.

    Args:
        recording: A recording, loaded or lazy.
        suite: Key of :data:`~neuroduet.benchmark.suites.SUITES`.
        path: Its file, for the message.

    Raises:
        UserError: Something is missing or does not fit; all of it is listed.
    """
    # A trial table of the benchmark may hold what ours may not; it is replaced, never read.
    problems = [p for p in find_problems(recording) if "trials" not in p]
    problems += _window_problems(recording, suite)
    find = {"ts1": _behaviour_problems, "ts2": _unit_problems, "ts3": _region_problems}[suite]
    problems += find(recording)
    if problems:
        listed = "; ".join(dict.fromkeys(problems))
        raise UserError(f"{path.name} cannot be used for {suite}: {listed}")


def _window_problems(recording: Data, suite: str) -> Iterator[str]:
    if field(recording, "task_aligned_intervals.domain") is None:
        yield (
            "found no task_aligned_intervals; give a recording of the brain-wide benchmark, "
            "downloaded whole"
        )
        return
    domains = {split: split_domain(recording, suite, split) for split in SPLITS}
    if len(domains["train"]) == 0:
        yield "found no training split (such as ts1_train_domain); download the recording again"
        return
    marked = [
        (float(start), float(end), name)
        for name, domain in domains.items()
        for start, end in zip(domain.start, domain.end, strict=True)
    ]
    if not all(start < end for start, end, _ in marked):
        yield "a split ends before it starts; download the recording again"
        return
    marked.sort()
    for (_, end, one), (start, _, other) in zip(marked, marked[1:], strict=False):
        if one != other and start - end < SMALLEST_GAP_S - _SHORT_S:
            yield (
                f"the splits {one} and {other} are {start - end:.1f} s apart, expected at least "
                f"{SMALLEST_GAP_S:.0f} s, so that context cannot leak; build the recording again"
            )
            return


def _behaviour_problems(recording: Data) -> Iterator[str]:
    present = {n: task for n, task in BEHAVIOUR_TASKS.items() if has_behaviour(recording, task)}
    if not present:
        yield f"found none of the behaviours {', '.join(BEHAVIOUR_TASKS)}; use the build all_units"
    for name, task in present.items():
        yield from _table_problems(recording, task)
        if task.classes:
            yield from _label_problems(recording, task)
        else:
            yield from _series_problems(recording, name, task)


def _table_problems(recording: Data, task: BehaviourTask) -> Iterator[str]:
    name = f"task_aligned_intervals.{task.window}"
    table = field(recording, name)
    if field(recording, f"{name}.trial_index") is None:
        yield f"found no {name}.trial_index; download the recording again"
        return
    trial = np.asarray(table.trial_index)
    start, end = np.asarray(table.start), np.asarray(table.end)
    if not len(start) == len(end) == len(trial):
        yield (
            f"{name} has {len(start)} starts, {len(end)} ends and {len(trial)} trials; "
            "its columns must be equally long, so download the recording again"
        )
        return
    if len(np.unique(trial)) < len(trial):
        yield f"{name}.trial_index holds duplicates; predictions could not be told apart"
    length_s = end - start
    if not (np.abs(length_s - TARGET_S) < _SHORT_S).all():
        wrong = int((~(np.abs(length_s - TARGET_S) < _SHORT_S)).sum())
        yield f"{wrong} windows of {name} are not {TARGET_S:.0f} s long; leave them out"


def _label_problems(recording: Data, task: BehaviourTask) -> Iterator[str]:
    name = f"task_aligned_intervals.{task.window}.{task.source}"
    values = np.asarray(field(recording, name))
    if values.dtype.kind not in "iuf" or not np.isin(values, np.arange(task.classes)).all():
        yield (
            f"{name} holds values other than 0 to {task.classes - 1}; map classes as the "
            "benchmark does"
        )


def _series_problems(recording: Data, name: str, task: BehaviourTask) -> Iterator[str]:
    key, _, column = task.source.partition(".")
    group = groups(recording)[key]
    rate = group.sampling_rate if isinstance(group, RegularTimeSeries) else None
    if rate is None or abs(float(rate) - RATE_HZ) > 1e-9:
        found = "an irregular series" if rate is None else f"{float(rate):g} Hz"
        yield f"{key} is {found}, expected a regular series at {RATE_HZ:.0f} Hz; resample it"
        return
    values = np.asarray(getattr(group, column))
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        yield f"{task.source} is {values.ndim}-D of type {values.dtype}, expected 1-D numbers"
        return
    if not np.isfinite(values).all():
        yield f"{task.source} holds values that are not finite; interpolate them"
    if task.counts and (values < 0).any():
        yield f"{task.source} holds negative rates; expected events per second"
    if task.confident is not None and task.confident not in group:
        yield f"found no {key}.{task.confident}, which says where {name} is scored"
    if task.normalised:
        stored = normalisation(recording, task)
        if stored is None or field(stored, "std") is None or not float(stored.std) > 0:
            yield (
                f"found no usable ts1_normalize.{task.source} (mean, std); build the recording "
                "again"
            )


def _unit_problems(recording: Data) -> Iterator[str]:
    units = groups(recording).get("units")
    if units is None or split_domain(recording, "ts2", "test").start.size == 0:
        return
    for split in ("val", "test"):
        name = f"{HELD_OUT}{split}"
        if name not in units:
            yield f"found no units.{name}; use the build selected_units"
        elif np.asarray(getattr(units, name)).dtype.kind not in "b":
            yield f"units.{name} is not of type bool; build the recording again"


def _region_problems(recording: Data) -> Iterator[str]:
    units = groups(recording).get("units")
    if units is None:
        return
    if "region_cosmos" not in units:
        yield "found no units.region_cosmos; use the build selected_units"
        return
    found = set(np.asarray(units.region_cosmos).astype(str).tolist())
    strange = sorted(found - {*REGIONS, *NOT_SCORED})
    if strange:
        yield (
            f"units.region_cosmos holds {', '.join(map(repr, strange[:5]))}, expected Cosmos "
            f"regions ({', '.join(REGIONS)}); map the regions"
        )
