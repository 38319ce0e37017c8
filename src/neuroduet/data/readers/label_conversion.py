"""From what a file of labels holds to one class per frame of a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from neuroduet.data.readers.label_track import (
    BoutLabels,
    FrameLabels,
    LabelReport,
    LabelTrack,
    finished,
    paint,
)
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

_RATE_TOLERANCE = 0.01
"""Relative difference between two rates of the same video, e.g. 29.97 and 30 Hz."""


def track_of_frames(
    path: Path,
    found: FrameLabels,
    n_frames: int | None,
    rate_hz: float | None,
    wanted: Sequence[str] | None,
    rest: str | None = None,
) -> LabelTrack:
    """Labels that come with a row per frame.

    Args:
        path: File, for the error.
        found: What it holds.
        n_frames: Number of frames of the video, if known.
        rate_hz: Frames per second, if known.
        wanted: Names of the classes to keep, in order; all if not given.
        rest: Name of the class of frames without a behaviour.

    Raises:
        UserError: The number of frames differs, or none is labelled.
    """
    if n_frames is not None and len(found.classes) != n_frames:
        raise UserError(
            f"{path} has labels of {len(found.classes):,} frames, but the video has {n_frames:,}; "
            "give the labels of this video"
        )
    names = _order(path, found.names, found.names, wanted, rest)
    code = _recode(found.names, names)
    classes = np.append(code, UNLABELLED)[found.classes]
    frames = np.bincount(found.classes[found.classes >= 0], minlength=len(found.names))
    return _named(
        path,
        found,
        names,
        classes,
        rate_hz,
        {n: int(m) for n, m in zip(found.names, frames, strict=True) if n not in names and m},
        rest,
    )


def track_of_bouts(
    path: Path,
    found: BoutLabels,
    n_frames: int | None,
    rate_hz: float | None,
    wanted: Sequence[str] | None,
    rest: str | None = None,
) -> LabelTrack:
    """Labels that come with a row per bout.

    Args:
        path: File, for the error.
        found: What it holds.
        n_frames: Number of frames of the video; what the file says, or the end of the last bout,
            if not given.
        rate_hz: Frames per second; what the file says if not given.
        wanted: Names of the classes to keep, in order; all if not given.
        rest: Name of the class of frames in no bout.

    Raises:
        UserError: The rate is not known or contradicts the file, bouts lie outside the video, or
            nothing is labelled.
    """
    rate = _agreed_rate(path, found, rate_hz)
    scale = rate if found.unit == "s" else 1.0
    assert scale is not None
    starts = np.round(found.starts * scale).astype(np.int64)
    stops = np.round(found.stops * scale).astype(np.int64)
    stops = np.where(found.stops == found.starts, starts + 1, stops)
    total = _agreed_length(path, found, stops, n_frames, rate if rate else 1.0, scale)
    names = _order(path, found.names, found.listed, wanted, rest)
    codes = _recode(found.names, names)
    kept = codes != UNLABELLED
    classes, overlapping = paint(starts[kept], stops[kept], codes[kept], total)
    strange = [name for name in found.names if name not in names]
    short = int((kept & (stops <= starts)).sum())
    notes = (f"{short} bouts shorter than half a frame were left out",) if short else ()
    frames = FrameLabels(
        format=found.format,
        classes=classes,
        names=names,
        overlapping=overlapping,
        notes=(*found.notes, *notes),
    )
    unknown = {name: strange.count(name) for name in dict.fromkeys(strange)}
    return _named(path, frames, names, classes, rate, unknown, rest, found.unmatched)


def _named(
    path: Path,
    found: FrameLabels,
    names: tuple[str, ...],
    classes: Int[np.ndarray, " T"],
    rate_hz: float | None,
    unknown: dict[str, int],
    rest: str | None,
    unmatched: tuple[str, ...] = (),
) -> LabelTrack:
    report = LabelReport(
        format=found.format,
        frames=len(classes),
        labelled=0,
        counts={},
        bouts={},
        unmatched=unmatched,
        unknown=unknown,
        overlapping=found.overlapping,
        notes=found.notes,
    )
    track = LabelTrack(classes=classes, names=names, report=report, rate_hz=rate_hz)
    counted = finished(path, track)
    if rest is None:
        return counted
    if found.overlapping:
        raise UserError(
            f"{path}: {found.overlapping:,} frames have two behaviours at once and cannot be told "
            f"from '{rest}'; leave the class of the rest out, or correct the overlaps"
        )
    full = np.where(classes == UNLABELLED, names.index(rest), classes)
    return finished(path, LabelTrack(classes=full, names=names, report=report, rate_hz=rate_hz))


def _order(
    path: Path,
    names: Sequence[str],
    listed: Sequence[str],
    wanted: Sequence[str] | None,
    rest: str | None,
) -> tuple[str, ...]:
    """Names of the classes: those wanted, or those found in the order in which they are listed."""
    if wanted is not None:
        if len(set(wanted)) < len(wanted) or "" in wanted:
            raise UserError(
                f"the classes {', '.join(map(repr, wanted))} hold empty or equal names; give each "
                "its own"
            )
        if rest is not None and rest not in wanted:
            raise UserError(f"the class of the rest, '{rest}', is not in the list; add it there")
        return tuple(wanted)
    present = set(names)
    ordered = [name for name in dict.fromkeys([*listed, *names]) if name in present]
    if rest is not None and rest in ordered:
        raise UserError(
            f"{path} has a behaviour '{rest}' already; give the class of the rest another name"
        )
    return (rest, *ordered) if rest is not None else tuple(ordered)


def _recode(names: Sequence[str], known: tuple[str, ...]) -> Int[np.ndarray, " N"]:
    return np.array(
        [known.index(name) if name in known else UNLABELLED for name in names], dtype=np.int64
    )


def _agreed_rate(path: Path, found: BoutLabels, rate_hz: float | None) -> float | None:
    """The rate of file and user, who must not contradict each other."""
    for rate in (rate_hz, found.rate_hz):
        if rate is not None and not (np.isfinite(rate) and rate > 0):
            raise UserError(
                f"{path}: the rate is {rate} Hz, expected frames per second; give --rate"
            )
    if rate_hz is None and found.rate_hz is None and found.unit == "s":
        raise UserError(
            f"{path} counts in seconds and does not say how many frames a second has; give --rate"
        )
    if rate_hz is None or found.rate_hz is None:
        return rate_hz if rate_hz is not None else found.rate_hz
    if abs(rate_hz - found.rate_hz) > _RATE_TOLERANCE * rate_hz:
        raise UserError(
            f"{path} says {found.rate_hz:g} frames per second, but {rate_hz:g} was given or found "
            "in the pose; correct the one that is wrong"
        )
    return rate_hz


def _agreed_length(
    path: Path,
    found: BoutLabels,
    stops: Int[np.ndarray, " N"],
    n_frames: int | None,
    rate_hz: float,
    scale: float,
) -> int:
    """The number of frames, which bouts may exceed by a second at most."""
    slack = int(np.ceil(rate_hz)) if found.unit == "s" else 1
    last = int(stops.max(initial=0))
    said = None if found.length is None else round(found.length * scale)
    total = n_frames if n_frames is not None else (last if said is None else max(said, 1))
    if said is not None and abs(said - total) > slack:
        raise UserError(
            f"{path} belongs to a video of {said:,} frames, but this one has {total:,}; give the "
            "labels of this video, or correct the rate"
        )
    if last - total > slack:
        unit = "seconds" if found.unit == "s" else "frames"
        raise UserError(
            f"{path}: bouts were read in {unit} and the last one ends at frame {last:,}, but the "
            f"video has {total:,}; check unit and rate, and that the labels are of this video"
        )
    return total


def checked_bouts(
    path: Path,
    starts: Float[np.ndarray, " N"],
    stops: Float[np.ndarray, " N"],
    rows: Sequence[int],
) -> None:
    """Make sure that bouts start before they stop, and not before the video does.

    Args:
        path: File, for the error.
        starts: When each starts.
        stops: When each has ended.
        rows: Line of each in the file, counted from 1.

    Raises:
        UserError: One does not.
    """
    for bad, said in (
        (starts < 0, "starts before the video"),
        (stops < starts, "stops before it starts"),
    ):
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise UserError(
                f"{path}, row {rows[first]}: the bout from {starts[first]:g} to {stops[first]:g} "
                f"{said}; correct the row"
            )
