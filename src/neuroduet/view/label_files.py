"""Files of corrected labels: a table of bouts in frames, which no clock and no rate can shift."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from neuroduet.atomic import replacing
from neuroduet.data.boundary import reading
from neuroduet.data.readers.labels import label_format, load_labels
from neuroduet.data.readers.text_tables import cells, read_lines, separator_of
from neuroduet.data.writers.labels import bouts_of
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

COLUMNS = ("start_frame", "end_frame", "behaviour")
"""Header; frames count from 0, and the end frame belongs to the bout."""


def write_label_file(path: Path, classes: Int[np.ndarray, " T"], names: Sequence[str]) -> int:
    """Write labels; either completely, or not at all.

    Args:
        path: File to write.
        classes: Class of every frame, ``UNLABELLED`` where unknown.
        names: Names of the classes.

    Returns:
        Number of bouts.

    Raises:
        UserError: It cannot be written.
    """
    rows = [(start, stop - 1, names[code]) for start, stop, code in bouts_of(classes)]
    try:
        with (
            replacing(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows)
    except UserError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"could not write {path} ({reason}); name a file in another folder with --labels"
        ) from error
    return len(rows)


def read_label_file(
    path: Path, n_frames: int, rate_hz: float, names: Sequence[str]
) -> tuple[Int[np.ndarray, " T"], tuple[str, ...]]:
    """Read a table of bouts.

    Args:
        path: What :func:`write_label_file` wrote, or another table of start, end and behaviour.
        n_frames: Number of frames of the recording.
        rate_hz: Frames per second, for a table in seconds.
        names: Classes that the recording knows; they keep their numbers.

    Returns:
        Class of every frame, and the names: those given, then those that are new.

    Raises:
        UserError: It is another kind of file, which saving would replace by less, or is damaged.
    """
    with reading(path):
        lines = read_lines(path)
        header = cells(lines[0], separator_of(lines[0]))
        if tuple(header) == COLUMNS and len(lines) == 1:
            return np.full(n_frames, UNLABELLED), tuple(names)
        if label_format(path) != "intervals" or len(header) != len(COLUMNS):
            raise UserError(
                f"{path} holds labels of another program, expected a table with the columns "
                f"{', '.join(COLUMNS)}; bring it in with `neuroduet actions import`, and give "
                "--labels another name"
            )
        track = load_labels(path, n_frames=n_frames, rate_hz=rate_hz)
    known = tuple(dict.fromkeys((*names, *track.names)))
    code = np.array([*(known.index(name) for name in track.names), UNLABELLED])
    return code[track.classes], known
