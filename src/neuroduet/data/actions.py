"""Pose, labels and actions of a recording: read them as arrays, write a model's answer back."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from torch_brain.data import ArrayDict, Data, IrregularTimeSeries

from neuroduet.data.binning import sample_series, typical_step
from neuroduet.data.columns import SERIES, column, fields, groups
from neuroduet.data.pose import OBSERVATIONS, STATEMENTS, frame_groups, names_of
from neuroduet.data.recording import load, replace_groups
from neuroduet.data.schema import (
    ACTIONS_SOURCE,
    find_problems,
    recording_id,
    source_column,
)
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

log = logging.getLogger(__name__)


def read_pose(recording: Data) -> Float[np.ndarray, "T *A 3"]:
    """The pose of a recording.

    Args:
        recording: Recording with a group ``pose``.

    Returns:
        x, y and likelihood of every keypoint, ``(T, keypoints, 3)`` or
        ``(T, animals, keypoints, 3)``; the likelihood is 1 where a point was found and the
        recording holds none. A missing point is NaN.

    Raises:
        UserError: There is no pose.
    """
    if source_column(recording, "pose.xy") is None:
        raise UserError(
            f"recording {recording_id(recording)!r} has no pose.xy; add pose=IrregularTimeSeries("
            "timestamps=..., xy=...)"
        )
    pose = read_frames(recording, "pose.xy")[0]
    if pose.shape[-1] == 3:
        return pose
    return np.concatenate([pose, np.isfinite(pose).all(-1, keepdims=True)], axis=-1)


def read_frames(
    recording: Data, source: str | None = None
) -> tuple[Float[np.ndarray, "T *S"], Float[np.ndarray, " T"]]:
    """What a segmenter sees of a recording, and when.

    Args:
        recording: Recording.
        source: ``group.field`` of a time series; ``pose.xy``, or ``features.values`` where there
            is no pose, if not given.

    Returns:
        Values, ``(T, features)`` or pose with its likelihood as third coordinate where the
        recording holds one; and the time of every frame (s).

    Raises:
        UserError: The recording has no such column of numbers.
    """
    name, field = _resolve(recording, source)
    group = groups(recording)[name]
    values = np.asarray(column(group, field))
    if values.dtype.kind not in "iufb" or values.ndim > 4:
        raise UserError(
            f"{name}.{field} has shape {values.shape} of type {values.dtype}, expected numbers "
            "per frame; name another column"
        )
    values = values.astype(np.float64)
    if name == "pose" and field == "xy" and "likelihood" in group:
        likelihood = np.asarray(column(group, "likelihood"), dtype=np.float64)
        values = np.concatenate([values, likelihood[..., None]], axis=-1)
    timestamps = np.asarray(column(group, "timestamps"), dtype=np.float64)
    return (values[:, None] if values.ndim == 1 else values), timestamps


def read_labels(
    recording: Data, timestamps: Float[np.ndarray, " T"]
) -> tuple[Int[np.ndarray, " T"], tuple[str, ...]] | None:
    """What humans said of every frame.

    Args:
        recording: Recording.
        timestamps: Times of the frames (s).

    Returns:
        Class of the label nearest in time, ``UNLABELLED`` where none is within half a frame (of
        the labels or of ``timestamps``, whichever is longer), and the names of the classes (empty
        if they have none); ``None`` if the recording has no labels.
    """
    group = frame_groups(recording).get("labels")
    if group is None:
        return None
    times = np.asarray(column(group, "timestamps"), dtype=np.float64)
    classes = np.asarray(column(group, "classes"))
    reach_s = 0.5 * max(typical_step(times), typical_step(timestamps))
    found, observed = sample_series(times, classes, timestamps, reach_s)
    labels = np.where(observed, found, UNLABELLED).astype(np.int64)
    return labels, names_of(recording, STATEMENTS["labels"])


def with_actions(
    recording: Data,
    classes: Int[np.ndarray, " _"],
    probabilities: Float[np.ndarray, "_ K"] | None,
    names: Sequence[str],
    timestamps: Float[np.ndarray, " _"],
) -> Data:
    """A recording that also says which action the animal performs, ready to be a behaviour.

    Args:
        recording: Recording, loaded or lazy; it stays as it is.
        classes: Class of every frame, ``UNLABELLED`` where unknown.
        probabilities: Probability of every class, if known.
        names: Name of every class, in ASCII.
        timestamps: Time of every frame (s), sorted.

    Returns:
        A copy with the group ``actions`` (``classes``, ``probabilities``, and ``name``: the
        action in words, empty where unknown) and the table ``action_classes``. Actions of before
        are replaced. The behaviour ``actions`` is offered, per bin, its classes by name.

    Raises:
        UserError: A name is empty, used twice or not ASCII, a class has none, times are missing or
            not sorted, or there are not as many of each.
    """
    lengths = {"classes": len(classes), "timestamps": len(timestamps)}
    if probabilities is not None:
        lengths["probabilities"] = len(probabilities)
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise UserError(f"found {found}, expected one of each per frame; give all of one length")
    if not np.isfinite(timestamps).all() or (np.diff(timestamps) < 0).any():
        raise UserError("times of actions are missing or not sorted; give one time per frame (s)")
    words = _words(classes, tuple(names))
    columns = {"classes": classes.astype(np.int32), "name": words}
    if probabilities is not None:
        columns["probabilities"] = probabilities.astype(np.float32)
    changed = copy.copy(recording)
    changed.__dict__["actions"] = IrregularTimeSeries(
        timestamps=timestamps.astype(np.float64), **columns
    )
    changed.__dict__["action_classes"] = ArrayDict(name=np.array(names, dtype=np.str_))
    table = groups(recording).get("behaviours")
    if table is not None:
        changed.__dict__["behaviours"] = _with_row(table)
    return changed


def write_actions(
    path: Path | str,
    classes: Int[np.ndarray, " _"],
    probabilities: Float[np.ndarray, "_ K"] | None,
    names: Sequence[str],
    timestamps: Float[np.ndarray, " _"],
) -> None:
    """Write actions into the file of a recording; whatever else it holds stays as it is.

    Args:
        path: File of the recording; it is replaced in one step, or not at all.
        classes: See :func:`with_actions`.
        probabilities: The same.
        names: The same.
        timestamps: The same.

    Raises:
        UserError: See :func:`with_actions`; or the file cannot be written.
    """
    with load(path) as recording:
        changed = with_actions(recording, classes, probabilities, names, timestamps)
        problems = find_problems(changed)
        if problems:
            raise UserError(f"actions do not fit into {path}: {'; '.join(problems)}")
        written = ("actions", "action_classes", "behaviours")
        fresh = {name: groups(changed)[name] for name in written if name in groups(changed)}
        replace_groups(path, fresh)


def _resolve(recording: Data, source: str | None) -> tuple[str, str]:
    """Group and column of a source."""
    present = frame_groups(recording)
    usual = [f"{name}.{field}" for name, field in OBSERVATIONS.items() if name in present]
    wanted = source or next(iter(usual), None)
    if wanted is not None and source_column(recording, wanted) is not None:
        name, _, field = wanted.partition(".")
        if isinstance(groups(recording)[name], SERIES):
            return name, field
    said = "no pose and no features" if source is None else f"no time series {source}"
    raise UserError(
        f"recording {recording_id(recording)!r} holds {said}; name a column of a time series: "
        + (", ".join(_series_columns(recording)) or "it has none")
    )


def _series_columns(recording: Data) -> list[str]:
    return [
        f"{name}.{field}"
        for name, group in groups(recording).items()
        if isinstance(group, SERIES)
        for field in fields(group)
        if field != "timestamps" and column(group, field).dtype.kind in "iuf"
    ]


def _words(classes: Int[np.ndarray, " T"], names: tuple[str, ...]) -> np.ndarray:
    """The action of every frame in words, empty where unknown."""
    wrong = [name for name in names if not name or not name.isascii()]
    if wrong or len(set(names)) < len(names):
        raise UserError(
            f"actions are named {', '.join(map(repr, names))}; give every class a name of its "
            "own, spelled in ASCII"
        )
    high, low = int(classes.max(initial=UNLABELLED)), int(classes.min(initial=0))
    if high >= len(names) or low < UNLABELLED:
        raise UserError(
            f"classes run from {low} to {high}, but {len(names)} are named (counted from 0, "
            f"{UNLABELLED} where unknown); name them all"
        )
    return np.array([*names, ""])[classes]


def _with_row(table: ArrayDict) -> ArrayDict:
    """The table of behaviours with one more row, unless there is one of that name."""
    row = {"name": "actions", "source": ACTIONS_SOURCE, "kind": "categorical", "per": "bin"}
    names = [str(name) for name in np.asarray(column(table, "name"))]
    if row["name"] in names:
        source = str(np.asarray(column(table, "source"))[names.index(row["name"])])
        if source.partition(".")[0] != "actions":
            log.warning("the behaviour 'actions' stays what it was: %s", source)
        return table
    columns = {key: np.asarray(column(table, key)) for key in fields(table)}
    return ArrayDict(
        **{
            key: np.append(values, row[key] if key in row else np.zeros((), values.dtype))
            for key, values in columns.items()
        }
    )
