"""A mapping file to begin with: every series and trial column of an NWB file, as a behaviour."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import yaml
from torch_brain.data import ArrayDict

from neuroduet.data.drift import drift_of
from neuroduet.data.readers.naming import field_name
from neuroduet.data.readers.nwb_behaviours import Columns, is_constant
from neuroduet.data.readers.nwb_mapping import COLUMNS
from neuroduet.data.readers.trial_columns import MOST_CLASSES, class_counts, kind_of

NOT_KNOWN = frozenset(
    {"none", "nan", "na", "n/a", "null", "unknown", "missing", "missed", "miss", "no response",
     "no_response", "timeout", "omission"}
)  # fmt: skip
"""Words (lower case) that often say that a trial has no value."""

_NO_BEHAVIOUR = ("start", "end", "split")


def propose(
    session: str, series: Mapping[str, ArrayDict], columns: Columns, times: Sequence[str]
) -> str:
    """Write a mapping file that can be used as it is.

    Args:
        session: Name of the session.
        series: Its time series.
        columns: Its trials.
        times: Columns of the trials that hold times.

    Returns:
        YAML, with comments where a choice is needed; empty without series and columns.
    """
    lines: list[str] = []
    taken: list[str] = []
    for name, group in series.items():
        lines += _of_series(name, group, taken)
    for column in could_be_behaviours(columns, times):
        lines += _of_column(column, columns[column], taken)
    if not taken:
        return ""
    head = f"# behaviours of {session}: rename them, delete what is not wanted"
    hint = "# to leave trials out, add for example: leave_out: {first: 20}"
    events = [name for name in times if name not in _NO_BEHAVIOUR]
    tail = [f"# times that windows can be aligned to (data.windows.event): {', '.join(events)}"]
    return "\n".join(
        [head, "behaviours:", *lines, *([hint] if columns else []), *(tail if events else [])]
    )


def could_be_behaviours(columns: Columns, times: Sequence[str]) -> tuple[str, ...]:
    """Trial columns that are neither times nor splits."""
    return tuple(name for name in columns if name not in (*_NO_BEHAVIOUR, *times))


def _of_series(name: str, group: ArrayDict, taken: list[str]) -> list[str]:
    times_s = np.asarray(group.timestamps, dtype=np.float64)
    values = np.asarray(group.values)
    if is_constant(values):
        steps = np.diff(times_s)
        if len(steps) and np.ptp(steps) < 1e-3 * steps.mean():
            return [f"  # {name}: the same value in all {len(values):,} samples"]
        key = _key(f"{name}_rate", taken)
        return [f"  {key}: {{series: {name}, rate: true}}  # {len(values):,} events, per second"]
    if drift_of(times_s, values.astype(np.float64)) is None:
        return [f"  {_key(name, taken)}: {name}"]
    key = _key(f"{name}_speed", taken)
    return [f"  {key}: {{series: {name}, speed: true}}  # its position drifts slowly"]


def _of_column(name: str, values: np.ndarray, taken: list[str]) -> list[str]:
    counts = class_counts(values)
    if len(counts) < 2:
        return [f"  # {COLUMNS}{name}: the same in every trial"]
    whole, source = values.dtype.kind in "iu", f"{COLUMNS}{name}"
    many = len(counts) > MOST_CLASSES
    if many and values.dtype.kind == "U":
        return [f"  # {source}: {len(counts)} different texts"]
    key = _key(name, taken)
    if kind_of(values) == "continuous":
        return [f"  {key}: {source}  # a number per trial"]
    if many and whole:
        return [f"  {key}: {{series: {source}, kind: continuous}}  # {len(counts)} numbers"]
    said = ", ".join(f"{_one_line(word)} {count}" for word, count in counts.items())
    lines = [f"  {key}: {source}  # trials: {said}"]
    lines += [
        f"  # if {word} means that nobody knows: {{series: {source}, missing: {_quoted(word)}}}"
        for word in counts
        if word.lower() in NOT_KNOWN
    ]
    if values.dtype.kind in "iuf" and len(counts) > 2:
        lines += [f"  # as a number, not as classes: {{series: {source}, kind: continuous}}"]
    return lines


def _key(name: str, taken: list[str]) -> str:
    """A name of its own, quoted where YAML would take it for something else, such as ``on``."""
    own = field_name(name, taken)
    taken.append(own)
    return _quoted(own)


def _quoted(word: str) -> str:
    return word if yaml.safe_load(word) == word else json.dumps(word)


def _one_line(word: str) -> str:
    return " ".join(word.split())
