"""The parts of a session that are read when its recording is opened."""

from __future__ import annotations

from collections import Counter

import numpy as np
from jaxtyping import Float, Int
from torch_brain.data import Data

from neuroduet.config import DataConfig
from neuroduet.data.columns import column, fields, groups, intervals
from neuroduet.data.schema import neural_kind, recording_id, subject_id
from neuroduet.data.sources import PerTrial, Series, open_per_trial, open_series
from neuroduet.data.windows import Windows
from neuroduet.types import Behaviour, SessionInfo


def trial_table(recording: Data) -> dict[str, np.ndarray]:
    """Columns of the trial table, one row per trial; none without one."""
    trials = groups(recording).get("trials")
    if trials is None:
        return {}
    return {name: np.asarray(column(trials, name)) for name in fields(trials)}


def by_window(values: np.ndarray, trial: Int[np.ndarray, " W"]) -> np.ndarray:
    """A trial column, one row per window."""
    rows = values[trial.clip(min=0)] if len(values) else np.zeros(len(trial))
    outside = trial < 0
    if not outside.any():
        return rows
    if rows.dtype.kind in "iub":
        rows = rows.astype(np.float64)
    missing = np.nan if rows.dtype.kind == "f" else np.zeros((), rows.dtype)
    return np.where(outside.reshape(-1, *(1,) * (rows.ndim - 1)), missing, rows)


def recorded_times(recording: Data) -> Float[np.ndarray, "I 2"]:
    """Start and end of every interval in which activity was recorded (s)."""
    return intervals(groups(recording)[neural_kind(recording)])


def open_source(
    recording: Data, behaviour: Behaviour, config: DataConfig, pages: np.memmap
) -> Series | PerTrial:
    """Open a behaviour of a recording whose file is mapped; nothing is cut into windows yet."""
    group_name, _, field = behaviour.source.partition(".")
    group, classes = groups(recording)[group_name], list(behaviour.classes)
    if behaviour.per == "trial":
        return open_per_trial(np.asarray(column(group, field)), classes)
    return open_series(group, field, classes, config.windows.max_gap_s, pages)


def is_empty(recording: Data, behaviour: Behaviour, windows: Windows) -> bool:
    """Whether no window can have a value, as for trial behaviours of windows outside trials."""
    if behaviour.per == "bin":
        return False
    group_name, _, field = behaviour.source.partition(".")
    raw = np.asarray(column(groups(recording)[group_name], field))
    observed = open_per_trial(raw, list(behaviour.classes)).observed
    return not observed[windows.trial[windows.trial >= 0]].any()


def session_info(
    recording: Data, behaviours: tuple[Behaviour, ...], bin_size_s: float, max_bins: int
) -> SessionInfo:
    """What a model needs to know about the session of a checked recording."""
    units = groups(recording)["units"]
    regions = np.asarray(column(units, "region")) if "region" in units else None
    return SessionInfo(
        id=recording_id(recording),
        subject=subject_id(recording),
        neural=neural_kind(recording),
        units=tuple(str(unit) for unit in np.asarray(column(units, "id"))),
        regions=None if regions is None else tuple(str(region) for region in regions),
        behaviours=behaviours,
        bin_size_s=bin_size_s,
        max_bins=max_bins,
    )


def difference(found: SessionInfo, known: SessionInfo) -> str:
    """What tells a recording from that of the same name which a model was trained on.

    Args:
        found: The session of the recording.
        known: The session of the model.

    Returns:
        The rest of a sentence that begins with the session; empty if nothing tells them apart.
        Regions may be named more finely or more coarsely than they were.
    """
    if found.units != known.units:
        return (
            f"has {len(found.units)} units, which are not the {len(known.units)} units the run "
            "was trained on"
        )
    subjects = {found.subject, known.subject} - {"unknown"}
    if len(subjects) > 1:
        return f"is of subject '{found.subject}', but the run was trained on '{known.subject}'"
    if found.regions is None or known.regions is None:
        return ""
    pairs = set(zip(found.regions, known.regions, strict=True))
    if len(pairs) > max(len(set(found.regions)), len(set(known.regions))):
        return (
            f"has as many units as the run was trained on, but in other regions ("
            f"{_counted(found.regions)}, not {_counted(known.regions)})"
        )
    return ""


def _counted(regions: tuple[str, ...]) -> str:
    most = Counter(regions).most_common(3)
    return ", ".join(f"{number} in {region}" for region, number in most)
