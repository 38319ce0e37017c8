"""The open field test: mice in a box, tracked by DeepLabCut and labelled by three annotators.

Sturman et al., Deep learning-based behavioral analysis reaches human accuracy and is capable of
outperforming commercial solutions (2020); the files are those of DLCAnalyzer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int
from torch_brain.data import Data

from neuroduet.data.readers.frame_recording import frame_recording, frame_times
from neuroduet.data.readers.label_conversion import track_of_bouts
from neuroduet.data.readers.label_track import LabelChoice, LabelReport, LabelTrack, finished
from neuroduet.data.readers.labels_intervals import interval_columns, read_intervals
from neuroduet.data.readers.pose import PoseTracks, load_pose
from neuroduet.data.readers.text_tables import read_lines, rows_of, separator_of
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

CLASSES = ("supported", "unsupported", "grooming")
"""Rearing against the wall, rearing without it, and grooming."""

RATE_HZ = 25.0
LABELS = "AllLabDataOFT_final.csv"
"""Table of all annotators' intervals, in seconds."""

CORNERS = ("tl", "tr", "bl", "br")
"""Keypoints of the arena, which the study leaves out."""

_NAME = re.compile(r"OFT_\d+(?!\d)")


def majority(votes: Int[np.ndarray, "A T"], n_classes: int) -> Int[np.ndarray, " T"]:
    """The class that more than half of the annotators gave, ``UNLABELLED`` where there is none.

    Args:
        votes: Class of every frame by each annotator, ``UNLABELLED`` where one gave none.
        n_classes: Number of classes.

    Example:
        >>> majority(np.array([[0, 1, -1], [0, 0, 1], [1, -1, -1]]), 2)
        array([ 0, -1, -1])
    """
    counts = np.stack([(votes == code).sum(0) for code in range(n_classes)])
    return np.where(2 * counts.max(0) > len(votes), counts.argmax(0), UNLABELLED)


def sessions(folder: Path) -> list[str]:
    """The recordings in a folder of DeepLabCut files.

    Args:
        folder: Folder of ``OFT_<number>*.csv``.

    Raises:
        UserError: There are none.
    """
    return sorted(_poses(folder))


def _poses(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the folder of the open field test")
    named = [(path, _NAME.match(path.name)) for path in sorted(folder.glob("*.csv"))]
    found = {match[0]: path for path, match in named if match}
    if not found:
        raise UserError(
            f"no DeepLabCut files OFT_<number>*.csv in {folder}; give the folder of the open "
            "field test"
        )
    return found


def read(folder: Path, session: str) -> Data:
    """Pose without the arena, and what most of the annotators said.

    Args:
        folder: Folder of ``OFT_<number>*.csv`` and, where there are labels, of :data:`LABELS`.
        session: E.g. ``OFT_5``.

    Returns:
        A checked recording.

    Raises:
        UserError: A file is damaged, or the table does not know the recording.
    """
    pose = _without(load_pose(_poses(folder)[session]), CORNERS)
    table = folder / LABELS
    labels = _labels(table, session, len(pose.xy)) if table.is_file() else None
    return frame_recording(
        session_id=session,
        timestamps=frame_times(len(pose.xy), RATE_HZ),
        pose=pose,
        labels=labels,
    )


def _labels(path: Path, session: str, n_frames: int) -> LabelTrack:
    video, annotators = _rows(path, session)
    spelled = tuple(name.capitalize() for name in CLASSES)
    tracks = []
    for annotator in annotators:
        choice = LabelChoice(observation=video, annotator=annotator, unit="s")
        bouts = read_intervals(path, choice, only=spelled)
        tracks.append(track_of_bouts(path, bouts, n_frames, RATE_HZ, spelled))
    votes = np.stack([track.classes for track in tracks])
    classes = majority(votes, len(CLASSES))
    marked = (votes != UNLABELLED).any(0)
    same = float((classes != UNLABELLED)[marked].mean())
    report = LabelReport(
        format=f"intervals of {len(tracks)} annotators",
        frames=n_frames,
        labelled=0,
        counts={},
        bouts={},
        overlapping=sum(track.report.overlapping for track in tracks),
        notes=(f"most annotators agree in {same:.0%} of the frames that any of them marked",),
    )
    merged = LabelTrack(classes=classes, names=CLASSES, report=report, rate_hz=RATE_HZ)
    return finished(path, merged)


def _rows(path: Path, session: str) -> tuple[str, list[str]]:
    """How the table names a recording, and who annotated it."""
    lines = read_lines(path)
    header, *rows = rows_of(path, lines, 0, separator_of(lines[0]))
    places = interval_columns(header)
    missing = [key for key in ("observation", "annotator", "behaviour") if key not in places]
    if missing:
        raise UserError(
            f"{path}: found no column for the {missing[0]} among {', '.join(header)}; fetch the "
            "table of DLCAnalyzer"
        )
    own = [row for row in rows if _is_of(row[places["observation"]], session)]
    videos = list(dict.fromkeys(row[places["observation"]] for row in own))
    if len(videos) != 1:
        raise UserError(
            f"{path}: found {len(videos)} videos of '{session}' in the column "
            f"{header[places['observation']]}, expected one; fetch the table of DLCAnalyzer"
        )
    known = {name.lower() for name in CLASSES}
    who = [r[places["annotator"]] for r in own if r[places["behaviour"]].lower() in known]
    if not who:
        raise UserError(f"{path} labels no behaviour of '{session}'; leave its labels out")
    return videos[0], list(dict.fromkeys(who))


def _is_of(video: str, session: str) -> bool:
    match = _NAME.match(video)
    return match is not None and match[0] == session


def _without(pose: PoseTracks, names: tuple[str, ...]) -> PoseTracks:
    kept = [place for place, name in enumerate(pose.keypoints) if name not in names]
    return replace(
        pose,
        xy=pose.xy[..., kept, :],
        likelihood=pose.likelihood[..., kept],
        keypoints=tuple(pose.keypoints[place] for place in kept),
    )
