"""One recording, opened for looking: activity, behaviours, pose, actions and trials.

Columns stay in the file where they can; the file itself is closed as soon as they are found, and
nothing is ever written to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from torch_brain.data import ArrayDict, Data

from neuroduet.data.boundary import reading
from neuroduet.data.columns import column, file_pages, groups, mapped
from neuroduet.data.pose import STATEMENTS, frame_groups, names_of
from neuroduet.data.recording import load
from neuroduet.data.schema import (
    check,
    describe_behaviours,
    recording_id,
    source_column,
)
from neuroduet.view.activity import Activity, open_activity, texts
from neuroduet.view.behaviours import Behaviour, open_behaviours
from neuroduet.view.poses import Pose, open_pose
from neuroduet.view.segments import Clock, clock

SHORTEST_S = 1.0
"""Length of what has none of its own, such as a single frame."""


@dataclass(frozen=True, kw_only=True, eq=False)
class States:
    """A class per frame.

    Attributes:
        timestamps: Time of every frame (s); empty where a file does not say.
        classes: Class of every frame, ``UNLABELLED`` where unknown.
        names: Names of the classes.
        probabilities: Of every class, if known.
    """

    timestamps: Float[np.ndarray, " R"]
    classes: Int[np.ndarray, " T"]
    names: tuple[str, ...]
    probabilities: Float[np.ndarray, "T K"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Trials:
    """Trials.

    Attributes:
        start_s: Start of each (s).
        end_s: End of each (s).
        split: Split of each; empty where unknown.
        labels: What is worth showing of each, e.g. ``choice=1``.
    """

    start_s: Float[np.ndarray, " J"]
    end_s: Float[np.ndarray, " J"]
    split: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A recording.

    Attributes:
        id: Session id.
        start_s: Start (s).
        end_s: End (s).
        recorded: Start and end (s) of its stretches; between them nothing was recorded.
        path: File.
        activity: Neural activity, if any.
        behaviours: By name.
        pose: Pose, if any.
        frames: When the frames of a video are: of pose, features, labels or actions, whichever
            comes first; ``None`` where there are none.
        states: Labels and actions that the recording holds, by group.
        trials: Trials.
    """

    id: str
    start_s: float
    end_s: float
    recorded: Float[np.ndarray, "I 2"]
    path: Path
    activity: Activity | None
    behaviours: dict[str, Behaviour]
    pose: Pose | None
    frames: Clock | None
    states: dict[str, States]
    trials: Trials


def open_recording(path: Path) -> Opened:
    """Open a recording.

    Args:
        path: File.

    Raises:
        UserError: It cannot be read or used.
    """
    with load(path) as recording, reading(path):
        check(recording)
        pages = file_pages(path)
        present = frame_groups(recording)
        times = next((_numbers(group, "timestamps", pages) for group in present.values()), None)
        frames = None if times is None else clock(times)
        start_s, end_s = span(recording)
        trials = _trials(recording)
        at = Clock(start_s=trials.start_s, end_s=trials.end_s, step_s=0.0)
        return Opened(
            id=recording_id(recording),
            start_s=start_s,
            end_s=end_s,
            recorded=_stretches(recording),
            path=path,
            activity=open_activity(recording, pages),
            behaviours=open_behaviours(recording, at, pages),
            pose=_pose(recording, pages) if "pose" in present else None,
            frames=frames,
            states={name: _states(recording, name) for name in STATEMENTS if name in present},
            trials=trials,
        )


def span(recording: Data) -> tuple[float, float]:
    """Start and end of a recording (s), at least :data:`SHORTEST_S` apart."""
    stretches = _stretches(recording)
    start_s = float(stretches[:, 0].min())
    return start_s, max(float(stretches[:, 1].max()), start_s + SHORTEST_S)


def _stretches(recording: Data) -> Float[np.ndarray, "I 2"]:
    domain = recording.domain
    if domain is None or not len(domain.start):
        return np.array([[0.0, SHORTEST_S]])
    stretches = np.stack([domain.start, domain.end], axis=1).astype(np.float64)
    return stretches[np.argsort(stretches[:, 0], kind="stable")]


def _numbers(group: ArrayDict, name: str, pages: np.memmap) -> Float[np.ndarray, " R"]:
    return np.array(mapped(column(group, name), pages), dtype=np.float64)


def _pose(recording: Data, pages: np.memmap) -> Pose:
    group = frame_groups(recording)["pose"]
    return open_pose(
        clock(_numbers(group, "timestamps", pages)),
        mapped(column(group, "xy"), pages),
        mapped(column(group, "likelihood"), pages) if "likelihood" in group else None,
        names_of(recording, "keypoints"),
    )


def _states(recording: Data, name: str) -> States:
    group = frame_groups(recording)[name]
    classes = np.asarray(column(group, "classes")).astype(np.int64)
    names = names_of(recording, STATEMENTS[name])
    probabilities = None
    if "probabilities" in group:
        probabilities = np.asarray(column(group, "probabilities"), dtype=np.float32)
    return States(
        timestamps=np.asarray(column(group, "timestamps"), dtype=np.float64),
        classes=classes,
        names=names or tuple(str(number) for number in range(int(classes.max(initial=-1)) + 1)),
        probabilities=probabilities,
    )


def _trials(recording: Data) -> Trials:
    table = groups(recording).get("trials")
    if table is None:
        return Trials(start_s=np.zeros(0), end_s=np.zeros(0), split=(), labels=())
    start_s = np.array(column(table, "start"), dtype=np.float64)
    end_s = np.array(column(table, "end"), dtype=np.float64)
    described = []
    for config in describe_behaviours(recording):
        place = source_column(recording, config.source)
        if config.per == "trial" and config.kind == "categorical" and place is not None:
            described.append((config.name, np.asarray(column(*place))))
    labels = [
        ", ".join(f"{name}={values[row]}" for name, values in described if row < len(values))
        for row in range(len(start_s))
    ]
    split = texts(table, "split", len(start_s))
    return Trials(start_s=start_s, end_s=end_s, split=split, labels=tuple(labels))
