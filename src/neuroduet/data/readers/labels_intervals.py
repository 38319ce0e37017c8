"""Tables of intervals: start, end and behaviour, in seconds or in frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

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

_COLUMNS: dict[str, tuple[str, ...]] = {
    "start": ("start", "start_s", "start (s)", "start_time", "from", "onset", "start_frame"),
    "stop": ("end", "stop", "end_s", "stop (s)", "end (s)", "end_time", "stop_time", "to",
             "offset", "end_frame", "stop_frame"),
    "behaviour": ("behaviour", "behavior", "type", "label", "class", "action", "event"),
    "annotator": ("annotator", "experimenter", "observer", "rater"),
    "subject": ("subject", "animal"),
    "observation": ("file", "video", "observation id", "session"),
    "fps": ("fps",),
}  # fmt: skip
"""What the columns may be called; letters' case and outer blanks do not matter."""


def interval_columns(header: Sequence[str]) -> dict[str, int]:
    """Places of the known columns in a header."""
    words = [word.strip().lower() for word in header]
    found = {}
    for key, names in _COLUMNS.items():
        place = next((words.index(name) for name in names if name in words), None)
        if place is not None:
            found[key] = place
    return found


def is_interval_header(line: str) -> bool:
    """Whether a line names start, end and behaviour."""
    found = interval_columns(cells(line, separator_of(line)))
    return {"start", "stop", "behaviour"} <= found.keys()


def read_intervals(
    path: Path, choice: LabelChoice, only: Sequence[str] | None = None
) -> BoutLabels:
    """Read a table with a row per bout.

    Args:
        path: Text with the columns start, end and behaviour (see the module), separated by
            commas, semicolons or tabs. Frames count from 0, and the end frame still belongs to
            the bout.
        choice: Video, subject and annotator to read, each needed where there are several; and
            the unit, where the header does not say it and no number is fractional.
        only: Behaviours to read, in any letters; others are not even checked.

    Returns:
        The bouts.

    Raises:
        UserError: The file does not look like that, or is damaged.
    """
    lines = read_lines(path)
    separator = separator_of(lines[0])
    rows = rows_of(path, lines, 0, separator)
    places = interval_columns(rows[0])
    missing = [key for key in ("start", "stop", "behaviour") if key not in places]
    if missing:
        raise UserError(
            f"{path}: found no column for {missing[0]} among {', '.join(rows[0])}; call it "
            f"{' or '.join(_COLUMNS[missing[0]][:2])}"
        )
    numbered = list(enumerate(rows[1:], start=2))
    if not numbered:
        raise UserError(f"{path} holds a header and no rows; export it again")
    for what in ("observation", "subject", "annotator"):
        if what in places:
            values = [row[places[what]] for _, row in numbered]
            wanted = one_of(path, what, values, getattr(choice, what))
            numbered = [(n, row) for n, row in numbered if row[places[what]] == wanted]
    if only is not None:
        known = {name.lower() for name in only}
        numbered = [(n, row) for n, row in numbered if row[places["behaviour"]].lower() in known]
    return _bouts(path, rows[0], places, numbered, choice)


def _bouts(
    path: Path,
    header: Sequence[str],
    places: dict[str, int],
    rows: list[tuple[int, list[str]]],
    choice: LabelChoice,
) -> BoutLabels:
    names = tuple(row[places["behaviour"]] for _, row in rows)
    if "" in names:
        raise UserError(f"{path}, row {rows[names.index('')][0]}: the behaviour is empty; name it")
    edges = {
        key: np.array(
            [number_in(path, n, header[places[key]], row[places[key]]) for n, row in rows],
            dtype=np.float64,
        )
        for key in ("start", "stop")
    }
    checked_bouts(path, edges["start"], edges["stop"], [n for n, _ in rows])
    unit = _unit(path, header[places["start"]].lower(), edges, choice.unit)
    rates = {row[places["fps"]] for _, row in rows} if "fps" in places else set()
    return BoutLabels(
        format=f"intervals in {'seconds' if unit == 's' else 'frames'}",
        names=names,
        starts=edges["start"],
        stops=edges["stop"] + (unit == "frames"),
        unit=unit,
        rate_hz=number_in(path, rows[0][0], "FPS", rates.pop()) if len(rates) == 1 else None,
    )


def _unit(
    path: Path,
    name: str,
    edges: dict[str, Float[np.ndarray, " N"]],
    chosen: Literal["s", "frames"] | None,
) -> Literal["s", "frames"]:
    """What start and end count: as chosen, as the header says, or as fractions show."""
    whole = all((values == np.round(values)).all() for values in edges.values())
    said: Literal["s", "frames"] | None = None
    if "frame" in name:
        said = "frames"
    elif name.endswith(("_s", "(s)", "_time")) or not whole:
        said = "s"
    if chosen is not None and said is not None and chosen != said:
        found = "are not whole" if chosen == "frames" and not whole else f"are called '{name}'"
        raise UserError(
            f"{path}: start and end {found}, but the unit was given as '{chosen}'; leave the unit "
            "out or correct the table"
        )
    unit = chosen or said
    if unit is None:
        raise UserError(
            f"{path}: start and end are whole numbers, which may be seconds or frames; give the "
            "unit, or call the columns start_s or start_frame"
        )
    if unit == "frames" and not whole:
        raise UserError(f"{path}: frames are not whole numbers; give the unit 's'")
    return unit
