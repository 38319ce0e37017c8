"""Recordings of what was observed of an animal in every frame, with or without labels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
    SubjectDescription,
)

from neuroduet.data.binning import typical_step
from neuroduet.data.readers.label_track import LabelTrack
from neuroduet.data.readers.pose_tracks import PoseTracks
from neuroduet.data.schema import check
from neuroduet.errors import UserError


def frame_recording(
    *,
    session_id: str,
    timestamps: Float[np.ndarray, " T"],
    pose: PoseTracks | None = None,
    features: Float[np.ndarray, "T D"] | None = None,
    labels: LabelTrack | None = None,
    subject_id: str | None = None,
) -> Data:
    """Build a recording that actions can be segmented in.

    Args:
        session_id: Name of the recording, and of its file.
        timestamps: Time of every frame (s), ascending.
        pose: What a tracker found; gives the groups ``pose`` and ``keypoints`` (and ``animals``).
        features: Other values per frame; gives the group ``features``.
        labels: What humans said; gives the groups ``labels`` and ``label_classes``.
        subject_id: Name of the animal.

    Returns:
        A checked recording.

    Raises:
        UserError: There is neither pose nor features, lengths differ, or a name is not ASCII.
    """
    n_frames = len(timestamps)
    groups: dict[str, ArrayDict] = {}
    if pose is not None:
        _require_length(session_id, "pose", len(pose.xy), n_frames)
        groups["pose"] = IrregularTimeSeries(
            timestamps=timestamps, xy=pose.xy, likelihood=pose.likelihood
        )
        groups["keypoints"] = _table(pose.keypoints)
        if len(pose.animals) > 1:
            groups["animals"] = _table(pose.animals)
    if features is not None:
        _require_length(session_id, "features", len(features), n_frames)
        groups["features"] = IrregularTimeSeries(timestamps=timestamps, values=features)
    if not groups:
        raise UserError(f"recording '{session_id}' has neither pose nor features; give one")
    if labels is not None:
        _require_length(session_id, "labels", len(labels.classes), n_frames)
        groups |= label_groups(timestamps, labels)
    step_s = typical_step(timestamps, 1.0)
    recording = Data(
        domain=Interval(float(timestamps[0]), float(timestamps[-1]) + step_s),
        session=SessionDescription(id=session_id),
        **({"subject": SubjectDescription(id=subject_id)} if subject_id else {}),
        **groups,
    )
    check(recording)
    return recording


def label_groups(timestamps: Float[np.ndarray, " T"], labels: LabelTrack) -> dict[str, ArrayDict]:
    """The groups of a recording that hold what humans said.

    Args:
        timestamps: Time of every frame (s), ascending.
        labels: A class for each of them.
    """
    series = IrregularTimeSeries(timestamps=timestamps, classes=labels.classes.astype(np.int32))
    return {"labels": series, "label_classes": _table(labels.names)}


def frame_times(n_frames: int, rate_hz: float) -> Float[np.ndarray, " T"]:
    """Times of frames at a constant rate (s), from 0 on.

    Args:
        n_frames: Number of frames T.
        rate_hz: Frames per second.

    Raises:
        UserError: The rate is not a positive number.
    """
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise UserError(f"the rate is {rate_hz} Hz, expected frames per second; give --rate")
    return np.arange(n_frames) / rate_hz


def session_name(path: Path) -> str:
    """A name for the recording in a file: its own, with plain letters only.

    Args:
        path: File.

    Example:
        >>> session_name(Path("mouse 1DLC_resnet50.csv"))
        'mouse_1DLC_resnet50'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).strip("_.") or "recording"


def _table(names: tuple[str, ...]) -> ArrayDict:
    return ArrayDict(name=np.array(names, dtype=np.str_))


def _require_length(session: str, what: str, found: int, expected: int) -> None:
    if found != expected:
        raise UserError(
            f"recording '{session}': {what} have {found:,} frames, but there are {expected:,} "
            "times; give values of the same video"
        )
