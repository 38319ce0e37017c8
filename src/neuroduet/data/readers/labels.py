"""Files of labels of every annotation program, through one function that reports what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from neuroduet.data.boundary import reading
from neuroduet.data.readers.hugadb import is_hugadb, read_hugadb_labels
from neuroduet.data.readers.label_conversion import track_of_bouts, track_of_frames
from neuroduet.data.readers.label_track import (
    BoutLabels,
    FrameLabels,
    LabelChoice,
    LabelReport,
    LabelTrack,
)
from neuroduet.data.readers.labels_boris import boris_header, read_boris
from neuroduet.data.readers.labels_caltech import FIRST_LINE, read_caltech
from neuroduet.data.readers.labels_intervals import is_interval_header, read_intervals
from neuroduet.data.readers.labels_per_frame import read_one_hot, read_states
from neuroduet.data.readers.text_tables import (
    cells,
    is_number,
    read_lines,
    separator_of,
)
from neuroduet.errors import UserError

__all__ = [
    "LABEL_FORMATS",
    "LabelChoice",
    "LabelReport",
    "LabelTrack",
    "label_format",
    "load_labels",
]

LABEL_FORMATS: dict[str, Callable[[Path, LabelChoice], FrameLabels | BoutLabels]] = {
    "states": lambda path, choice: read_states(path, choice.annotator),
    "caltech": lambda path, choice: read_caltech(path, choice.annotator),
    "hugadb": lambda path, choice: read_hugadb_labels(path),
    "boris": read_boris,
    "intervals": read_intervals,
    "one-hot": lambda path, choice: read_one_hot(path),
}
"""Readers of files of labels."""


def load_labels(
    path: Path | str,
    n_frames: int | None = None,
    rate_hz: float | None = None,
    classes: Sequence[str] | None = None,
    choice: LabelChoice | None = None,
) -> LabelTrack:
    """Read what humans said of a video; the format is recognised by what the file holds.

    Args:
        path: One-hot csv, BORIS tabular events (older or newer), table of intervals, Caltech
            annotation, HuGaDB text, or a parquet table of states.
        n_frames: Number of frames of the video; what the file says if not given.
        rate_hz: Frames per second, for labels in seconds; what the file says if not given.
        classes: Names of the classes, in order; those of the file if not given. Other behaviours
            stay unlabelled and are counted in the report.
        choice: What to read of a file that holds several videos, subjects or annotators.

    Returns:
        A class per frame, and a report: counts per class, unmatched events, unknown names ...

    Raises:
        UserError: The format is not known, the file is damaged, it does not belong to the video
            or it labels no frame.
    """
    path, choice = Path(path), choice or LabelChoice()
    with reading(path):
        found = LABEL_FORMATS[label_format(path)](path, choice)
        if isinstance(found, FrameLabels):
            return track_of_frames(path, found, n_frames, rate_hz, classes, choice.rest)
        return track_of_bouts(path, found, n_frames, rate_hz, classes, choice.rest)


def label_format(path: Path | str) -> str:
    """The key in :data:`LABEL_FORMATS` of a file, recognised by what it holds.

    Args:
        path: File.

    Raises:
        UserError: It is missing, or none of them.
    """
    path = Path(path)
    if path.is_file() and _starts_with(path, b"PAR1"):
        return "states"
    lines = read_lines(path)
    if lines[0].startswith(FIRST_LINE):
        return "caltech"
    if is_hugadb(lines):
        return "hugadb"
    if boris_header(lines) is not None:
        return "boris"
    if is_interval_header(lines[0]):
        return "intervals"
    if _is_one_hot(lines):
        return "one-hot"
    raise UserError(
        f"{path} is no file of labels that can be read: its first line is '{lines[0][:60]}'; "
        "known are one-hot csv, BORIS tabular events, intervals (start, end, behaviour), Caltech "
        "annotations, HuGaDB text and parquet tables of states"
    )


def _starts_with(path: Path, word: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(word)) == word


def _is_one_hot(lines: Sequence[str]) -> bool:
    separator = separator_of(lines[0])
    header = cells(lines[0], separator)
    words = [word for word in header[1:] if not word or not is_number(word)]
    first = cells(lines[1], separator) if len(lines) > 1 else []
    return len(header) > 1 and len(words) == len(header) - 1 and all(map(is_number, first))
