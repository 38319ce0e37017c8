"""What a recording holds, in numbers and words: what ``neuroduet inspect`` shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch_brain.data import ArrayDict, Data

from neuroduet.config import BehaviourConfig
from neuroduet.data.binning import finite_rows
from neuroduet.data.columns import SERIES, column, groups, pieces, scalar
from neuroduet.data.coverage import missing_share, recorded_bins
from neuroduet.data.drift import drift_of
from neuroduet.data.pose import OBSERVATIONS, STATEMENTS, frame_groups, names_of
from neuroduet.data.schema import (
    describe_behaviours,
    find_problems,
    has_activity,
    neural_kind,
    recording_id,
    source_column,
    subject_id,
)
from neuroduet.data.sources import is_missing
from neuroduet.types import is_region


def summarise(recording: Data) -> dict[str, Any]:
    """Summarise a recording, of which long columns are read in pieces.

    Args:
        recording: Recording, loaded or lazy.

    Returns:
        See :func:`neuroduet.data.recording.describe`.
    """
    problems = find_problems(recording)
    summary: dict[str, Any] = {
        "session": recording_id(recording),
        "subject": subject_id(recording),
        "problems": problems,
    }
    if problems:
        return summary
    trials = groups(recording).get("trials")
    duration_s = _duration_s(recording)
    bin_size_s = scalar(recording, "bin_size_s")
    return {
        **summary,
        **_describe_activity(recording, duration_s),
        "duration_s": duration_s,
        "bin_size_s": None if bin_size_s is None else float(bin_size_s),
        "trials": 0 if trials is None else len(trials),
        "behaviours": _describe_behaviours(recording),
        "frames": _describe_frames(recording),
    }


def _duration_s(recording: Data) -> float:
    """Time during which activity was recorded, or the whole of it where there is none."""
    known = has_activity(recording)
    domain = groups(recording)[neural_kind(recording)].domain if known else recording.domain
    return float((domain.end - domain.start).sum())


def _describe_activity(recording: Data, duration_s: float) -> dict[str, Any]:
    if not has_activity(recording):
        return {
            "neural": None,
            "units": 0,
            "regions": {},
            "silent_units": 0,
            "rate_quantiles_hz": None,
        }
    kind = neural_kind(recording)
    group, units = groups(recording)[kind], groups(recording)["units"]
    n_units = len(column(units, "id"))
    regions = _counted(units, "region")
    summary: dict[str, Any] = {"neural": kind, "units": n_units, "regions": regions}
    if kind == "spikes":
        total = np.zeros(n_units)
        for piece in pieces(column(group, "unit_index")):
            total += np.bincount(piece, minlength=n_units)
        seconds = duration_s
    else:
        values = column(group, "values")
        total = np.zeros(n_units)
        for piece in pieces(values):
            total += np.abs(piece).sum(axis=0)
        seconds = len(values) * float(scalar(recording, "bin_size_s"))
    rates_hz = total / max(seconds, 1e-12)
    quantiles = np.quantile(rates_hz, [0, 0.25, 0.5, 0.75, 1]) if n_units else np.zeros(5)
    return {
        **summary,
        "silent_units": int((total == 0).sum()),
        "rate_quantiles_hz": None if kind == "traces" else [float(rate) for rate in quantiles],
    }


def _counted(units: ArrayDict, name: str) -> dict[str, int]:
    """Units of every region; those of which none is known are left out."""
    if name not in units:
        return {}
    values, numbers = np.unique(np.asarray(column(units, name)), return_counts=True)
    named = zip(values, numbers, strict=True)
    return {str(value): int(number) for value, number in named if is_region(str(value))}


def _describe_behaviours(recording: Data) -> list[dict[str, Any]]:
    rows = []
    bins_s = recorded_bins(recording)
    for behaviour in describe_behaviours(recording):
        found = source_column(recording, behaviour.source)
        if found is not None:
            row = {**behaviour.model_dump(), "missing": _missing_share(behaviour, *found, bins_s)}
            rows.append(row | {"drift": _drift(behaviour, *found)})
    return rows


def _missing_share(
    behaviour: BehaviourConfig, group: ArrayDict, field: str, bins_s: np.ndarray
) -> float:
    """Share of the trials, or of the bins, without a value."""
    missing = [_missing(piece, behaviour) for piece in pieces(column(group, field))]
    rows = np.concatenate(missing) if missing else np.ones(0, dtype=bool)
    if behaviour.per == "trial" or not isinstance(group, SERIES) or not len(bins_s):
        return float(rows.mean()) if len(rows) else 1.0
    times_s = np.asarray(group.timestamps, dtype=np.float64)
    return missing_share(times_s, ~rows, behaviour.kind, bins_s)


def _missing(values: np.ndarray, behaviour: BehaviourConfig) -> np.ndarray:
    """Which rows of a behaviour hold no value."""
    if behaviour.kind == "categorical":
        return is_missing(values, behaviour.per)
    return ~finite_rows(values.astype(np.float64, copy=False))


def _drift(behaviour: BehaviourConfig, group: ArrayDict, field: str) -> float | None:
    if (behaviour.kind, behaviour.per) != ("continuous", "bin") or not isinstance(group, SERIES):
        return None
    times_s = np.asarray(group.timestamps, dtype=np.float64)
    return drift_of(times_s, np.asarray(column(group, field)[...], dtype=np.float64))


def _describe_frames(recording: Data) -> list[dict[str, Any]]:
    rows = []
    for name, group in frame_groups(recording).items():
        shape = tuple(column(group, OBSERVATIONS.get(name, "classes")).shape)
        classes = names_of(recording, STATEMENTS[name]) if name in STATEMENTS else ()
        rows.append({"name": name, "shape": shape, "classes": classes})
    return rows
