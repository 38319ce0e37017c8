"""Files of labels as annotation programs write them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from neuroduet.atomic import replacing
from neuroduet.types import UNLABELLED

BORIS_COLUMNS = (
    "Observation id", "Observation date", "Description", "Observation duration",
    "Observation type", "Source", "Media duration (s)", "FPS", "Subject", "Behavior",
    "Behavioral category", "Behavior type", "Time", "Media file name", "Image index",
    "Image file path", "Comment",
)  # fmt: skip
"""Header of tabular events, newer export."""

BORIS_OLD_COLUMNS = (
    "Time", "Media file path", "Total length", "FPS", "Subject", "Behavior",
    "Behavioral category", "Comment", "Status",
)  # fmt: skip
"""Header of tabular events, older export."""

_Bout = tuple[int, int, int]


def bouts_of(classes: Int[np.ndarray, " T"]) -> list[_Bout]:
    """First frame, frame after the last, and class of every uninterrupted labelled run.

    Args:
        classes: Class of every frame, ``UNLABELLED`` where unknown.

    Example:
        >>> bouts_of(np.array([0, 0, -1, 1]))
        [(0, 2, 0), (3, 4, 1)]
    """
    edges = np.flatnonzero(np.diff(classes)) + 1
    starts, stops = [0, *edges.tolist()], [*edges.tolist(), len(classes)]
    runs = [(a, b, int(classes[a])) for a, b in zip(starts, stops, strict=True) if a < b]
    return [run for run in runs if run[2] != UNLABELLED]


def write_one_hot(path: Path, classes: Int[np.ndarray, " T"], names: Sequence[str]) -> None:
    """Write a csv with a column per class, ``background`` (unlabelled) first.

    Args:
        path: File to write.
        classes: Class of every frame, ``UNLABELLED`` where unknown.
        names: Names of the classes.
    """
    ones = np.eye(len(names) + 1, dtype=int)[classes + 1]
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", "background", *names])
        writer.writerows([frame, *row] for frame, row in enumerate(ones.tolist()))


def write_intervals(
    path: Path, classes: Int[np.ndarray, " T"], names: Sequence[str], rate_hz: float
) -> None:
    """Write a table of bouts: ``start_s``, ``end_s``, ``behaviour``.

    Args:
        path: File to write.
        classes: Class of every frame, ``UNLABELLED`` where unknown.
        names: Names of the classes.
        rate_hz: Frames per second.
    """
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["start_s", "end_s", "behaviour"])
        for start, stop, code in bouts_of(classes):
            writer.writerow([repr(start / rate_hz), repr(stop / rate_hz), names[code]])


def write_boris(
    path: Path,
    classes: Int[np.ndarray, " T"],
    names: Sequence[str],
    rate_hz: float,
    style: Literal["new", "old"] = "new",
    subject: str = "No focal subject",
) -> None:
    """Write tabular events of BORIS, a START and a STOP for every bout.

    Args:
        path: File to write.
        classes: Class of every frame, ``UNLABELLED`` where unknown.
        names: Names of the classes.
        rate_hz: Frames per second.
        style: Newer export, or the older one with its preamble.
        subject: Name of the animal.
    """
    duration_s = repr(len(classes) / rate_hz)
    events = []
    for start, stop, code in bouts_of(classes):
        events.append((start / rate_hz, 1, names[code], "START"))
        events.append((stop / rate_hz, 0, names[code], "STOP"))
    # A bout stops before the next one starts at the same moment.
    events.sort(key=lambda event: event[:2])
    rows = [
        _new_row(path.stem, duration_s, rate_hz, subject, event)
        if style == "new"
        else [repr(event[0]), f"{path.stem}.mp4", duration_s, f"{rate_hz!r}", subject, event[2],
              "", "", event[3]]
        for event in events
    ]  # fmt: skip
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if style == "old":
            writer.writerow(["Observation id", path.stem])
            writer.writerow(["Media file(s)"])
            writer.writerow([])
        writer.writerow(BORIS_COLUMNS if style == "new" else BORIS_OLD_COLUMNS)
        writer.writerows(rows)


def _new_row(
    observation: str,
    duration_s: str,
    rate_hz: float,
    subject: str,
    event: tuple[float, int, str, str],
) -> list[str]:
    time_s, _, behaviour, status = event
    cells = dict.fromkeys(BORIS_COLUMNS, "")
    cells |= {
        "Observation id": observation,
        "Observation type": "Media file(s)",
        "Source": f"player #1:{observation}.mp4",
        "Media duration (s)": duration_s,
        "FPS": repr(rate_hz),
        "Subject": subject,
        "Behavior": behaviour,
        "Behavior type": status,
        "Time": repr(time_s),
        "Media file name": f"{observation}.mp4",
        "Image index": "NA",
    }
    return list(cells.values())
