"""BORIS: tabular events, in the older export with a preamble and in the newer one without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroduet.data.readers.label_conversion import checked_bouts
from neuroduet.data.readers.label_track import BoutLabels, LabelChoice, one_of
from neuroduet.data.readers.text_tables import (
    cells,
    number_in,
    read_lines,
    rows_of,
    separator_of,
)
from neuroduet.errors import UserError

_STATUS = ("status", "behavior type", "behavioral type", "behaviour type")
_LENGTH = ("media duration (s)", "total length")
_VIDEO = ("observation id", "media file name", "media file path")
_PREAMBLE_LINES = 200


@dataclass(frozen=True, kw_only=True)
class _Event:
    row: int
    time_s: float
    behaviour: str
    status: str


def boris_header(lines: Sequence[str]) -> int | None:
    """Line (from 0) of the header of BORIS events, ``None`` if there is none."""
    for number, line in enumerate(lines[:_PREAMBLE_LINES]):
        words = {cell.lower() for cell in cells(line, separator_of(line))}
        if {"time", "behavior"} <= words and words & {"subject", *_STATUS}:
            return number
    return None


def read_boris(path: Path, choice: LabelChoice) -> BoutLabels:
    """Read tabular events of BORIS.

    Args:
        path: Export with the columns ``Time``, ``Behavior`` and ``Status`` (older, after a
            preamble) or ``Behavior type`` (newer), of ``START``, ``STOP`` and ``POINT`` events.
        choice: Subject and observation to read; each is needed where there are several.

    Returns:
        The bouts. Events that start and never stop, or the reverse, are listed and left out.

    Raises:
        UserError: The file does not look like that, or is damaged.
    """
    lines = read_lines(path)
    first = boris_header(lines)
    if first is None:
        raise UserError(
            f"{path}: found no header with Time, Behavior and Status (or Behavior type); export "
            "tabular events from BORIS"
        )
    rows = rows_of(path, lines, first, separator_of(lines[first]))
    header = [cell.lower() for cell in rows[0]]
    status = next((name for name in _STATUS if name in header), None)
    if status is None:
        raise UserError(
            f"{path}: found no column Status or Behavior type; export tabular events from BORIS"
        )
    table = [dict(zip(header, row, strict=True)) for row in rows[1:]]
    numbered = list(enumerate(table, start=first + 2))
    if not numbered:
        raise UserError(f"{path} holds a header and no events; export the observation again")
    numbered = _chosen(path, numbered, choice)
    events = [
        _Event(
            row=number,
            time_s=number_in(path, number, "Time", row["time"]),
            behaviour=row["behavior"],
            status=row[status].upper(),
        )
        for number, row in numbered
    ]
    _require_order(path, events)
    return _bouts(path, events, [row for _, row in numbered])


def _chosen(
    path: Path, rows: list[tuple[int, dict[str, str]]], choice: LabelChoice
) -> list[tuple[int, dict[str, str]]]:
    """The rows of one observation and one subject."""
    video = next((name for name in _VIDEO if name in rows[0][1]), None)
    if video is not None:
        wanted = one_of(path, "observation", [row[video] for _, row in rows], choice.observation)
        rows = [(number, row) for number, row in rows if row[video] == wanted]
    if "subject" in rows[0][1]:
        wanted = one_of(path, "subject", [row["subject"] for _, row in rows], choice.subject)
        rows = [(number, row) for number, row in rows if row["subject"] == wanted]
    return rows


def _require_order(path: Path, events: Sequence[_Event]) -> None:
    for before, event in zip(events, events[1:], strict=False):
        if event.time_s < before.time_s:
            raise UserError(
                f"{path}, row {event.row}: the time {event.time_s:g} s follows "
                f"{before.time_s:g} s, expected events in order; sort the file by Time"
            )
    for event in events:
        if not event.behaviour:
            raise UserError(
                f"{path}, row {event.row}: the column Behavior is empty; name the behaviour"
            )
        if event.status not in ("START", "STOP", "POINT", "STATE"):
            raise UserError(
                f"{path}, row {event.row}: found '{event.status}', expected START, STOP or POINT; "
                "export tabular events from BORIS"
            )


def _bouts(path: Path, events: Sequence[_Event], table: Sequence[dict[str, str]]) -> BoutLabels:
    """Match every START with the STOP of the same behaviour that follows."""
    open_since: dict[str, _Event] = {}
    bouts: list[tuple[str, float, float, int]] = []
    unmatched: list[str] = []
    for event in events:
        said = f"{event.status} of '{event.behaviour}' at {event.time_s:g} s (row {event.row})"
        if event.status == "POINT":
            bouts.append((event.behaviour, event.time_s, event.time_s, event.row))
        elif event.status == "START":
            if event.behaviour in open_since:
                unmatched.append(_said(open_since[event.behaviour]))
            open_since[event.behaviour] = event
        elif event.behaviour in open_since:
            start = open_since.pop(event.behaviour)
            bouts.append((event.behaviour, start.time_s, event.time_s, start.row))
        else:
            unmatched.append(said)
    unmatched += [_said(event) for event in open_since.values()]
    if not bouts:
        raise UserError(
            f"{path}: none of {len(events)} events makes a bout; every START needs a STOP"
        )
    bouts.sort(key=lambda bout: bout[1:3])
    names, starts, stops, rows = zip(*bouts, strict=True)
    checked_bouts(path, np.array(starts), np.array(stops), rows)
    points = sum(start == stop for start, stop in zip(starts, stops, strict=True))
    return BoutLabels(
        format="BORIS tabular events",
        names=names,
        starts=np.array(starts, dtype=np.float64),
        stops=np.array(stops, dtype=np.float64),
        unit="s",
        length=_shared(path, table, _LENGTH),
        rate_hz=_shared(path, table, ("fps",)),
        unmatched=tuple(unmatched),
        notes=(f"{points} events without duration label one frame each",) if points else (),
    )


def _said(event: _Event) -> str:
    return f"{event.status} of '{event.behaviour}' at {event.time_s:g} s (row {event.row})"


def _shared(path: Path, table: Sequence[dict[str, str]], names: Sequence[str]) -> float | None:
    """A number that is the same in all rows; several players' are joined by a semicolon."""
    name = next((name for name in names if name in table[0]), None)
    if name is None:
        return None
    found: dict[float, list[str]] = defaultdict(list)
    for row in table:
        for word in row[name].split(";"):
            if word.strip().lower() not in ("", "na", "nan", "none"):
                found[_number(path, name, word)].append(word)
    if len(found) > 1:
        if name == "fps":
            said = ", ".join(f"{rate:g}" for rate in found)
            raise UserError(
                f"{path}, column FPS: found the rates {said}, expected one for the video; split "
                "the observation by video"
            )
        return None
    return next(iter(found), None)


def _number(path: Path, name: str, word: str) -> float:
    try:
        return float(word.replace(",", "."))
    except ValueError:
        raise UserError(
            f"{path}, column '{name}': found '{word}', expected a number; correct the column"
        ) from None
