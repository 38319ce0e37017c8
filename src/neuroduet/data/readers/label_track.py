"""What humans said of every frame of a video, whichever program they used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED


@dataclass(frozen=True, kw_only=True)
class LabelChoice:
    """What to read of a file of labels that holds several things.

    Attributes:
        subject: The animal (BORIS, tables with a column ``subject``).
        annotator: The person (tables with a column such as ``annotator``), or the stream
            (``S1``, ``S2``) of a Caltech annotation.
        observation: The video: an observation of BORIS, or a value of the column ``file``.
        unit: What ``start`` and ``end`` of a table count, where its header does not say.
        rest: Name of the class of frames in which nobody marked a behaviour; they are unlabelled
            if not given.
    """

    subject: str | None = None
    annotator: str | None = None
    observation: str | None = None
    unit: Literal["s", "frames"] | None = None
    rest: str | None = None


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """What was found in a file of labels.

    Attributes:
        format: Which program's file it was, in words.
        frames: Number of frames of the video.
        labelled: How many of them have a label.
        counts: Frames of each class, by name.
        bouts: Uninterrupted runs of each class, by name.
        unmatched: Events that start and never stop, or the reverse; they are left out.
        unknown: Bouts (or frames) of behaviours that are not in the list of classes, by name.
        overlapping: Frames with two behaviours at once; they stay unlabelled.
        notes: What else a reader should know.
    """

    format: str
    frames: int
    labelled: int
    counts: dict[str, int]
    bouts: dict[str, int]
    unmatched: tuple[str, ...] = ()
    unknown: dict[str, int] = field(default_factory=dict)
    overlapping: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelTrack:
    """One class per frame.

    Attributes:
        classes: Class of every frame, ``UNLABELLED`` where nobody said.
        names: Names of the classes.
        report: What was found in the file.
        rate_hz: Frames per second, ``None`` if neither the file nor the user said.
    """

    classes: Int[np.ndarray, " T"]
    names: tuple[str, ...]
    report: LabelReport
    rate_hz: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameLabels:
    """Labels of a format that has a row for each frame.

    Attributes:
        format: See :class:`LabelReport`.
        classes: Class of every frame.
        names: Names of the classes.
        overlapping: Rows with several behaviours.
        notes: What else a reader should know.
    """

    format: str
    classes: Int[np.ndarray, " T"]
    names: tuple[str, ...]
    overlapping: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class BoutLabels:
    """Labels of a format that has a row for each bout.

    Attributes:
        format: See :class:`LabelReport`.
        names: Behaviour of each bout.
        starts: When each starts.
        stops: When each has ended; equal to its start for an event without duration.
        unit: What they count: seconds, or frames from 0 on.
        length: How long the video is, in the same unit, if the file says.
        rate_hz: Frames per second, if the file says.
        listed: Behaviours that the file declares, used or not.
        unmatched: See :class:`LabelReport`.
        notes: What else a reader should know.
    """

    format: str
    names: tuple[str, ...]
    starts: Float[np.ndarray, " N"]
    stops: Float[np.ndarray, " N"]
    unit: Literal["s", "frames"]
    length: float | None = None
    rate_hz: float | None = None
    listed: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def paint(
    starts: Int[np.ndarray, " N"],
    stops: Int[np.ndarray, " N"],
    codes: Int[np.ndarray, " N"],
    n_frames: int,
) -> tuple[Int[np.ndarray, " T"], int]:
    """Turn bouts into one class per frame.

    Args:
        starts: First frame of each bout.
        stops: The frame after its last one.
        codes: Its class.
        n_frames: Number of frames T.

    Returns:
        Class of every frame, ``UNLABELLED`` in no bout and where bouts of two classes overlap;
        and the number of frames where they do.
    """
    classes = np.full(n_frames, UNLABELLED, dtype=np.int64)
    clash = np.zeros(n_frames, dtype=bool)
    for start, stop, code in zip(starts, stops, codes, strict=True):
        frames = slice(start, stop)
        clash[frames] |= (classes[frames] != UNLABELLED) & (classes[frames] != code)
        classes[frames] = code
    return np.where(clash, UNLABELLED, classes), int(clash.sum())


def count_bouts(classes: Int[np.ndarray, " T"], n_classes: int) -> Int[np.ndarray, " K"]:
    """Uninterrupted runs of every class.

    Args:
        classes: Class of every frame, ``UNLABELLED`` where unknown.
        n_classes: Number of classes K.

    Example:
        >>> count_bouts(np.array([0, 0, -1, 0, 1]), 2)
        array([2, 1])
    """
    first = np.ones(len(classes), dtype=bool)
    first[1:] = classes[1:] != classes[:-1]
    begun = classes[first & (classes != UNLABELLED)]
    return np.bincount(begun, minlength=n_classes)


def finished(path: Path, track: LabelTrack) -> LabelTrack:
    """The same track with its frames and bouts counted.

    Args:
        path: File, for the error.
        track: A track whose report lacks the counts.

    Raises:
        UserError: No frame has a label.
    """
    report = track.report
    frames = np.bincount(track.classes[track.classes >= 0], minlength=len(track.names))
    if not frames.sum():
        unknown = ", ".join(report.unknown)
        said = f"; its behaviours {unknown} are not in the list" if unknown else ""
        raise UserError(
            f"{path} labels none of {len(track.classes):,} frames{said}; check that it belongs "
            "to this video and names the classes that you asked for"
        )
    counted = LabelReport(
        format=report.format,
        frames=len(track.classes),
        labelled=int(frames.sum()),
        counts=dict(zip(track.names, map(int, frames), strict=True)),
        bouts=dict(
            zip(track.names, map(int, count_bouts(track.classes, len(track.names))), strict=True)
        ),
        unmatched=report.unmatched,
        unknown=report.unknown,
        overlapping=report.overlapping,
        notes=report.notes,
    )
    return LabelTrack(
        classes=track.classes, names=track.names, report=counted, rate_hz=track.rate_hz
    )


def one_of(path: Path, what: str, found: Sequence[str], chosen: str | None) -> str | None:
    """The value to read where a file holds several videos, animals or annotators.

    Args:
        path: File, for the error.
        what: What the values stand for; also the name of the choice.
        found: The values of every row.
        chosen: What the user asked for.

    Returns:
        The chosen value, or the only one; ``None`` if the file has none.

    Raises:
        UserError: There are several and none was chosen, or the chosen one is not there.
    """
    values = list(dict.fromkeys(found))
    if chosen is not None:
        if chosen not in values:
            raise UserError(
                f"{path} holds no {what} '{chosen}', but {', '.join(values) or 'none at all'}; "
                "choose one of them"
            )
        return chosen
    if len(values) > 1:
        raise UserError(
            f"{path} holds several values of {what}: {', '.join(values)}; choose one ({what})"
        )
    return values[0] if values else None
