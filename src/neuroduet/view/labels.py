"""Labels that a human corrects: paint, clear, undo, save; nothing done is lost.

They are kept in a table of bouts in frames, which no clock and no rate can shift.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from neuroduet.atomic import replacing
from neuroduet.data.boundary import reading
from neuroduet.data.readers.labels import label_format, load_labels
from neuroduet.data.readers.text_tables import cells, read_lines, separator_of
from neuroduet.data.writers.labels import bouts_of
from neuroduet.errors import UserError, unknown
from neuroduet.types import UNLABELLED

COLUMNS = ("start_frame", "end_frame", "behaviour")
"""Header; frames count from 0, and the end frame belongs to the bout."""

LONGEST_CLASS = 60


class LabelEdits:
    """The human labels of one recording, with the edits that were not saved.

    After every edit all labels are also in ``<file>.partial``, which a later start finds. Undo
    reaches back to the last save.

    Attributes:
        path: File that :meth:`save` writes.
        classes: Class of every frame, ``UNLABELLED`` where nobody said.
        names: Names of the classes.
        problem: Why nothing can be changed; empty if it can.
    """

    def __init__(
        self,
        path: Path,
        classes: Int[np.ndarray, " T"],
        names: tuple[str, ...],
        rate_hz: float,
        problem: str = "",
    ) -> None:
        """Go on where the label file, or a session that was cut off, ended.

        Args:
            path: File to save to; one that exists replaces the labels of the recording.
            classes: Labels of the recording.
            names: Names of the classes.
            rate_hz: Frames per second.
            problem: Why the file is left alone; the labels of the recording can be seen then.

        Raises:
            UserError: The file is of another kind, or damaged.
        """
        self.path = path
        self.classes, self.names = classes.astype(np.int64), names
        self.problem = problem or _why_not(path.parent)
        self._undo: list[_Before] = []
        self._read = _version(path)
        if problem:
            return
        if path.exists():
            self.classes, self.names = read_label_file(path, len(classes), rate_hz, names)
        if self._partial.exists():
            found, self.names = read_label_file(self._partial, len(classes), rate_hz, self.names)
            self._undo.append(_Before.of(self.classes, 0, len(classes)))
            self.classes = found

    @property
    def unsaved(self) -> int:
        """Edits since the last save."""
        return len(self._undo)

    @property
    def _partial(self) -> Path:
        return self.path.with_name(f"{self.path.name}.partial")

    def paint(self, start_frame: int, end_frame: int, name: str | None) -> None:
        """Give frames a class, or none.

        Args:
            start_frame: First frame.
            end_frame: The one after the last.
            name: The class; ``None`` clears.

        Raises:
            UserError: There are no such frames or no such class, or nothing can be written.
        """
        self._require_writable()
        if not 0 <= start_frame < end_frame <= len(self.classes):
            raise UserError(
                f"frames {start_frame} to {end_frame} are not in the recording; give a start and "
                f"an end from 0 to {len(self.classes)}, the end behind the start"
            )
        if name is not None and name not in self.names:
            raise unknown("class", name, self.names)
        part = slice(start_frame, end_frame)
        self._undo.append(_Before.of(self.classes, start_frame, end_frame))
        self.classes[part] = UNLABELLED if name is None else self.names.index(name)
        self._keep()

    def undo(self) -> tuple[int, int]:
        """Take the last edit back.

        Returns:
            The frames that changed; none if there is nothing to undo.
        """
        if not self._undo:
            return 0, 0
        before = self._undo.pop()
        last = before.first + int(before.lengths.sum())
        self.classes[before.first : last] = np.repeat(before.codes, before.lengths)
        self._keep()
        return before.first, last

    def add_class(self, name: str) -> None:
        """Offer one more class.

        Args:
            name: Its name, in ASCII as recordings hold it.

        Raises:
            UserError: It is empty, too long, not plain text, or there already.
        """
        self._require_writable()
        plain = name.isascii() and name.isprintable() and name == name.strip()
        if not (plain and 0 < len(name) <= LONGEST_CLASS):
            raise UserError(
                f"a class cannot be called {name[:LONGEST_CLASS]!r}; use 1 to {LONGEST_CLASS} "
                "printable ASCII letters without blanks around them"
            )
        if name in self.names:
            raise UserError(f"there is a class '{name}' already; choose another name")
        self.names = (*self.names, name)

    def save(self) -> int:
        """Write the label file.

        Returns:
            Number of bouts in it.

        Raises:
            UserError: It cannot be written, or somebody else wrote it meanwhile.
        """
        self._require_writable()
        if _version(self.path) != self._read:
            raise UserError(
                f"{self.path} was changed by another program while it was open here; keep a copy "
                "of it and start the viewer again, which takes the unsaved labels up"
            )
        n_bouts = write_label_file(self.path, self.classes, self.names)
        self._read = _version(self.path)
        self._undo.clear()
        self._keep()
        return n_bouts

    def _keep(self) -> None:
        """Write what is not saved beside the file, or nothing where all is."""
        if self._undo:
            write_label_file(self._partial, self.classes, self.names)
            return
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)

    def _require_writable(self) -> None:
        if self.problem:
            raise UserError(self.problem)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Before:
    """What an edit replaced, as runs: whole recordings are painted over, and undone, often."""

    first: int
    codes: Int[np.ndarray, " R"]
    lengths: Int[np.ndarray, " R"]

    @staticmethod
    def of(classes: Int[np.ndarray, " T"], first: int, last: int) -> _Before:
        part = classes[first:last]
        change = np.flatnonzero(part[1:] != part[:-1]) + 1
        begin = np.concatenate([np.zeros(min(len(part), 1), dtype=np.int64), change])
        lengths = np.diff(np.append(begin, len(part)))
        return _Before(first=first, codes=part[begin], lengths=lengths)


def _why_not(folder: Path) -> str:
    """Why no labels can be written into a folder; empty if they can."""
    if folder.is_dir() and os.access(folder, os.W_OK):
        return ""
    return (
        f"labels cannot be written into {folder}; start again with --labels and a file in a "
        "folder that can be written"
    )


def _version(path: Path) -> tuple[int, int, int] | None:
    """What changes when somebody writes a file; ``None`` where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


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
