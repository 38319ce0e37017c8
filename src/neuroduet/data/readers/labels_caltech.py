"""Text of the Caltech Behavior Annotator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neuroduet.data.readers.label_track import BoutLabels
from neuroduet.data.readers.text_tables import read_lines
from neuroduet.errors import UserError, unknown

FIRST_LINE = "Caltech Behavior Annotator"
_STREAM = re.compile(r"^(\S+):\s*start\s+end\s+type\s*$")

_Row = tuple[int, int, int, str]


def read_caltech(path: Path, stream: str | None = None) -> BoutLabels:
    """Read one stream of an annotation.

    Args:
        path: File of the Caltech Behavior Annotator; its frames count from 1, and the end frame
            still belongs to the bout.
        stream: ``S1``, ``S2`` ...; the first if not given.

    Returns:
        The bouts, behaviours listed in the order of the file's configuration.

    Raises:
        UserError: The file does not look like that, or is damaged.
    """
    lines = read_lines(path)
    if not lines[0].startswith(FIRST_LINE):
        raise UserError(
            f"{path}: the first line is '{lines[0][:40]}', expected '{FIRST_LINE}'; give the text "
            "that the annotator saved"
        )
    listed = _configuration(path, lines)
    streams = _streams(path, lines)
    if stream is not None and stream not in streams:
        raise unknown(f"stream of {path}", stream, streams)
    name = stream or next(iter(streams))
    rows = streams[name]
    _check(path, name, rows, listed)
    others = [other for other in streams if other != name]
    return BoutLabels(
        format=f"Caltech annotation, stream {name}",
        names=tuple(word for *_, word in rows),
        starts=np.array([start - 1 for _, start, _, _ in rows], dtype=np.float64),
        stops=np.array([end for _, _, end, _ in rows], dtype=np.float64),
        unit="frames",
        length=float(rows[-1][2]),
        listed=listed,
        notes=(f"left aside the streams {', '.join(others)}",) if others else (),
    )


def _configuration(path: Path, lines: Sequence[str]) -> tuple[str, ...]:
    """The behaviours that the annotator could choose from."""
    starts = [n for n, line in enumerate(lines) if line.startswith("Configuration file")]
    if not starts:
        raise UserError(
            f"{path}: found no line 'Configuration file:'; give the text that the annotator saved"
        )
    names = []
    for line in lines[starts[0] + 1 :]:
        if not line.strip():
            break
        names.append(line.split()[0])
    return tuple(names)


def _streams(path: Path, lines: Sequence[str]) -> dict[str, list[_Row]]:
    """Rows of every stream: line, first frame, last frame, behaviour."""
    streams: dict[str, list[_Row]] = {}
    current: list[_Row] | None = None
    for number, line in enumerate(lines, start=1):
        heading = _STREAM.match(line.strip())
        if heading:
            if heading[1] in streams:
                raise UserError(f"{path}, line {number}: the stream {heading[1]} appears twice")
            current = streams.setdefault(heading[1], [])
        elif not line.strip():
            current = None
        elif current is not None and not line.startswith("--"):
            current.append(_row(path, number, line))
    if not streams or not all(streams.values()):
        raise UserError(
            f"{path}: found no bouts under 'S1: start end type'; the file is cut off or empty, "
            "save it again"
        )
    return streams


def _row(path: Path, number: int, line: str) -> _Row:
    words = line.split()
    if len(words) != 3 or not (words[0].isdecimal() and words[1].isdecimal()):
        raise UserError(
            f"{path}, line {number}: found '{line.strip()[:40]}', expected start, end and type; "
            "the file is damaged, save it again"
        )
    return number, int(words[0]), int(words[1]), words[2]


def _check(path: Path, stream: str, rows: Sequence[_Row], listed: Sequence[str]) -> None:
    last = 0
    for number, start, end, word in rows:
        if word not in listed:
            raise UserError(
                f"{path}, line {number}: '{word}' is not in the configuration "
                f"({', '.join(listed)}); add it there or correct the row"
            )
        if start <= last or end < start:
            raise UserError(
                f"{path}, line {number}: the bout {start} to {end} of {stream} does not follow "
                f"frame {last}, expected bouts in order and apart, from 1 on; correct the row"
            )
        last = end
