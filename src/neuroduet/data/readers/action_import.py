"""From files of pose and labels to recordings that actions can be segmented in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from neuroduet.data.actions import read_frames
from neuroduet.data.readers.frame_recording import (
    frame_recording,
    frame_times,
    label_groups,
    session_name,
)
from neuroduet.data.readers.labels import LabelChoice, LabelReport, LabelTrack, load_labels
from neuroduet.data.readers.pose import PoseTracks, load_pose, missing_fractions
from neuroduet.data.recording import load, replace_groups, save
from neuroduet.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ImportSummary:
    """What an import found.

    Attributes:
        session: Name of the recording.
        pose_format: Which program's file the pose was.
        frames: Number of frames.
        rate_hz: Frames per second (their median, where times are given).
        animals: Number of animals.
        missing: By keypoint, the fraction of frames in which it was not found.
        labels: What was found in the file of labels, ``None`` if none was given.
        notes: What else a reader should know.
        written: The file, ``None`` if only checked.
    """

    session: str
    pose_format: str
    frames: int
    rate_hz: float
    animals: int
    missing: dict[str, float]
    labels: LabelReport | None
    notes: tuple[str, ...]
    written: Path | None


def import_actions(
    *,
    pose: Path,
    out: Path,
    labels: Path | None = None,
    rate_hz: float | None = None,
    classes: Sequence[str] | None = None,
    choice: LabelChoice | None = None,
    containers: Sequence[str] = (),
    session_id: str | None = None,
    check_only: bool = False,
) -> ImportSummary:
    """Read pose and labels, check them against each other and write a recording.

    Args:
        pose: See :func:`~neuroduet.data.readers.pose.load_pose`.
        out: File to write (.h5); it is replaced in one step, or not at all.
        labels: See :func:`~neuroduet.data.readers.labels.load_labels`.
        rate_hz: Frames per second, where no file says.
        classes: Names of the classes, in order; those of the labels if not given.
        choice: What to read of the labels.
        containers: Which poses of an NWB file to read.
        session_id: Name of the recording; that of the file of pose if not given.
        check_only: Write nothing.

    Returns:
        What was found.

    Raises:
        UserError: A file is damaged, they do not belong to each other, or the rate is unknown.
    """
    if out.suffix != ".h5":
        raise UserError(f"{out} cannot be a recording; give --out a name that ends in .h5")
    tracks = load_pose(pose, containers)
    known = _pose_rate(pose, tracks, rate_hz)
    track = None
    if labels is not None:
        track = load_labels(labels, len(tracks.xy), known, classes, choice)
    timestamps = _times(pose, tracks, track, known)
    session = session_id or session_name(pose)
    recording = frame_recording(
        session_id=session, timestamps=timestamps, pose=tracks, labels=track
    )
    if not check_only:
        save(recording, out)
    step_s = np.median(np.diff(timestamps)) if len(timestamps) > 1 else np.nan
    return ImportSummary(
        session=session,
        pose_format=tracks.format,
        frames=len(tracks.xy),
        rate_hz=float(1 / step_s),
        animals=max(1, len(tracks.animals)),
        missing=missing_fractions(tracks),
        labels=None if track is None else track.report,
        notes=tracks.notes,
        written=None if check_only else out,
    )


def label_recording(
    path: Path,
    labels: Path,
    *,
    classes: Sequence[str] | None = None,
    choice: LabelChoice | None = None,
    check_only: bool = False,
) -> LabelReport:
    """Write the labels of a file into a recording, in place of those it may have.

    Args:
        path: The recording (.h5); it is replaced in one step, or not at all.
        labels: See :func:`~neuroduet.data.readers.labels.load_labels`; such as the viewer saves.
        classes: Names of the classes, in order; those of the labels if not given.
        choice: What to read of the labels.
        check_only: Write nothing.

    Returns:
        What was found in the labels.

    Raises:
        UserError: A file is damaged, or the labels are of another video.
    """
    with load(path) as recording:
        _, timestamps = read_frames(recording)
    rate_hz = float(1 / np.median(np.diff(timestamps))) if len(timestamps) > 1 else None
    track = load_labels(labels, len(timestamps), rate_hz, classes, choice)
    if not check_only:
        replace_groups(path, label_groups(timestamps, track))
    return track.report


def _pose_rate(path: Path, tracks: PoseTracks, rate_hz: float | None) -> float | None:
    """The rate of the user or of the file of pose, which must agree."""
    said = tracks.rate_hz
    if said is None and tracks.timestamps is not None and len(tracks.timestamps) > 1:
        said = float(1 / np.median(np.diff(tracks.timestamps)))
    if said is not None and rate_hz is not None and abs(said - rate_hz) > 0.01 * rate_hz:
        raise UserError(
            f"{path} says {said:g} frames per second, but --rate is {rate_hz:g}; leave --rate out "
            "or correct it"
        )
    return rate_hz if said is None else said


def _times(
    path: Path, tracks: PoseTracks, labels: LabelTrack | None, rate_hz: float | None
) -> Float[np.ndarray, " T"]:
    if tracks.timestamps is not None:
        return tracks.timestamps
    rate = rate_hz if rate_hz is not None else (labels.rate_hz if labels is not None else None)
    if rate is None:
        raise UserError(
            f"{path} does not say how many frames a second has; give --rate, e.g. --rate 30"
        )
    return frame_times(len(tracks.xy), rate)
