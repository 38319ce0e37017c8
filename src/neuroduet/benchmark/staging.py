"""Benchmark recordings made ready for our training: one row of the trial table per window.

A staged recording is an ordinary recording that ``neuroduet train`` reads with its usual settings
(bins of 20 ms, given splits). Every row ends with a scored window and starts up to 19 s earlier.

* ``ts1``: the windows of all behaviours; classes are trial columns with a value in the rows of
  their own window only. Series are scaled as they are scored. A window of values in bins is moved
  by less than a bin, so that each bin ends at a sample, whose value is stored at its centre: no
  value is interpolated, and no bin reaches beyond the scored window.
* ``ts2``: seconds of task time, activity alone.
* ``ts3``: the same, without the regions, which are what is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
    SubjectDescription,
)

from neuroduet.benchmark.checks import check_layout
from neuroduet.benchmark.layout import (
    EDGE_S,
    behaviour_values,
    behaviour_windows,
    confident_samples,
    every_window,
    find_benchmark,
    has_behaviour,
    trial_intervals,
)
from neuroduet.benchmark.suites import (
    BEHAVIOUR_TASKS,
    BIN_SIZE_S,
    LONGEST_CONTEXT_S,
    SPLITS,
    TARGET_S,
    check_suite,
)
from neuroduet.data.brainwide import HELD_OUT
from neuroduet.data.columns import column, groups
from neuroduet.data.recording import load, save
from neuroduet.data.schema import recording_id, subject_id
from neuroduet.errors import UserError

Rows = dict[str, np.ndarray]


def stage_benchmark(
    data: Path,
    suite: str,
    out: Path,
    context_s: float = TARGET_S,
    regimes: tuple[str, ...] = ("eval",),
    report: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Write staged recordings for training.

    Args:
        data: Folder of benchmark recordings, or a copy of the published data.
        suite: ``ts1``, ``ts2`` or ``ts3``.
        out: Folder to write; a recording that is there already is replaced.
        context_s: Length of a window with its context, 1 to 20 (s).
        regimes: Parts of the data: ``eval``, ``pretrain``.
        report: Told of every file written.

    Returns:
        The files, ``<recording>.h5``.

    Raises:
        UserError: There are no recordings, or one of them does not have the benchmark's layout.
    """
    check_suite(suite)
    files = [file for regime in regimes for file in find_benchmark(data, regime)]
    if not files:
        raise UserError(
            f"no recordings (*.h5) for {' and '.join(regimes)} in {data}; give a folder of "
            "benchmark recordings, or one that holds eval/ and pretrain/"
        )
    written = []
    for file in files:
        with load(file) as recording:
            check_layout(recording, suite, file)
            out.mkdir(parents=True, exist_ok=True)
            path = out / f"{recording_id(recording).replace('/', '_')}.h5"
            save(stage(recording, suite, context_s), path)
        written.append(path)
        if report is not None:
            report(path)
    return written


def stage(recording: Data, suite: str, context_s: float = TARGET_S) -> Data:
    """Make one recording ready.

    Args:
        recording: A recording of the benchmark that passes
            :func:`~neuroduet.benchmark.checks.check_layout`.
        suite: ``ts1``, ``ts2`` or ``ts3``.
        context_s: Length of a window with its context (s).

    Returns:
        A recording in our format.

    Raises:
        UserError: The context is too short or too long, or no window is left.
    """
    check_suite(suite)
    if not TARGET_S <= context_s <= LONGEST_CONTEXT_S:
        raise UserError(
            f"a context of {context_s:g} s is not allowed; give {TARGET_S:g} to "
            f"{LONGEST_CONTEXT_S:g} s, the scored second included"
        )
    rows = _behaviour_rows(recording) if suite == "ts1" else _activity_rows(recording, suite)
    if len(rows["end"]) == 0:
        raise UserError(
            f"recording {recording_id(recording)!r} has no window of {suite} inside its splits; "
            "leave it out"
        )
    rows["start"] = window_starts(recording, rows["end"], context_s)
    spikes = groups(recording)["spikes"]
    behaviours = _behaviours(recording) if suite == "ts1" else {}
    return Data(
        domain=recording.domain,
        session=SessionDescription(id=recording_id(recording)),
        subject=SubjectDescription(id=subject_id(recording)),
        spikes=IrregularTimeSeries(
            timestamps=np.asarray(column(spikes, "timestamps")),
            unit_index=np.asarray(column(spikes, "unit_index")),
            domain=spikes.domain,
        ),
        units=_units(recording, suite),
        trials=Interval(**rows, timekeys=["start", "end"]),
        **behaviours,
    )


def window_starts(recording: Data, end_s: np.ndarray, context_s: float) -> np.ndarray:
    """Starts of windows with as much context as was recorded, in whole bins before their end.

    Args:
        recording: The recording.
        end_s: Ends of the windows (s).
        context_s: Length with context (s).
    """
    earliest = float(recording.domain.start[0])
    available = (end_s - np.maximum(end_s - context_s, earliest)) / BIN_SIZE_S
    starts: np.ndarray = end_s - np.floor(available + EDGE_S) * BIN_SIZE_S
    return starts


def _behaviour_rows(recording: Data) -> Rows:
    """One row per trial and kind of window, with the label that belongs to it."""
    parts: dict[str, list[np.ndarray]] = {"end": [], "split": [], "window": [], "trial_index": []}
    labels: dict[str, list[np.ndarray]] = {
        name: [] for name, task in BEHAVIOUR_TASKS.items() if task.classes
    }
    for names in _kinds(recording).values():
        for split in SPLITS:
            # A window without a confident paw still holds a whisker: take the fullest table.
            each = {name: behaviour_windows(recording, name, split) for name in names}
            widest = max(each, key=lambda name, each=each: len(each[name].trial))
            found = each[widest]
            n, end_s = len(found.trial), found.start_s + TARGET_S
            if BEHAVIOUR_TASKS[widest].classes == 0:
                end_s = _sample_times(recording, widest, found.sample) + TARGET_S - BIN_SIZE_S
            parts["end"].append(end_s)
            parts["split"].append(np.full(n, split))
            parts["window"].append(np.full(n, BEHAVIOUR_TASKS[widest].window))
            parts["trial_index"].append(found.trial)
            for label, values in labels.items():
                own = label in names
                values.append(found.labels.astype(float) if own else np.full(n, np.nan))
    order = np.argsort(np.concatenate(parts["end"]), kind="stable")
    return {
        name: np.concatenate(values)[order]
        for name, values in (parts | labels).items()
        if name in parts or np.isfinite(np.concatenate(values)).any()
    }


def _kinds(recording: Data) -> dict[str, list[str]]:
    """Behaviours of the recording by the kind of window they are scored in."""
    kinds: dict[str, list[str]] = {}
    for name, task in BEHAVIOUR_TASKS.items():
        if has_behaviour(recording, task):
            kinds.setdefault(task.window, []).append(name)
    return kinds


def _activity_rows(recording: Data, suite: str) -> Rows:
    """Seconds of task time side by side; the last of a stretch may overlap the one before."""
    ends, splits = [], []
    for split in SPLITS:
        starts = every_window(trial_intervals(recording, suite, split), step_s=TARGET_S)
        ends.append(starts + TARGET_S)
        splits.append(np.full(len(starts), split))
    order = np.argsort(np.concatenate(ends), kind="stable")
    return {"end": np.concatenate(ends)[order], "split": np.concatenate(splits)[order]}


def _behaviours(recording: Data) -> dict[str, ArrayDict]:
    """Series of the behaviours given per bin, and the table that names all behaviours."""
    present = {n: task for n, task in BEHAVIOUR_TASKS.items() if has_behaviour(recording, task)}
    series: dict[str, ArrayDict] = {}
    for name, task in present.items():
        if task.classes:
            continue
        values = behaviour_values(recording, name)
        confident = confident_samples(recording, name)
        if confident is not None:
            values = np.where(confident, values, np.nan)
        times = _sample_times(recording, name, np.arange(len(values)))
        series[name] = IrregularTimeSeries(
            timestamps=times - BIN_SIZE_S / 2, values=values.astype(np.float32)
        )
    table = ArrayDict(
        name=np.array(list(present)),
        source=np.array(
            [f"trials.{n}" if t.classes else f"{n}.values" for n, t in present.items()]
        ),  # fmt: skip
        kind=np.array(["categorical" if t.classes else "continuous" for t in present.values()]),
        per=np.array(["trial" if t.classes else "bin" for t in present.values()]),
    )
    return {**series, "behaviours": table}


def _sample_times(recording: Data, name: str, rows: np.ndarray) -> np.ndarray:
    group = groups(recording)[BEHAVIOUR_TASKS[name].source.partition(".")[0]]
    times: np.ndarray = float(group.domain.start[0]) + rows * BIN_SIZE_S
    return times


def _units(recording: Data, suite: str) -> ArrayDict:
    units = groups(recording)["units"]
    table = {"id": np.asarray(units.id).astype(np.str_)}
    if suite != "ts3" and "region_cosmos" in units:
        table["region"] = np.asarray(units.region_cosmos).astype(np.str_)
    if suite == "ts2":
        held_out = [f"{HELD_OUT}{split}" for split in ("val", "test")]
        table |= {name: np.asarray(getattr(units, name)) for name in held_out if name in units}
    return ArrayDict(**table)
