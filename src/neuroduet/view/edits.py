"""Labels that a human corrects: paint, clear, undo, save; nothing done is lost."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Int

from neuroduet.errors import UserError, unknown
from neuroduet.types import UNLABELLED
from neuroduet.view.label_files import read_label_file, write_label_file

LONGEST_CLASS = 60


class LabelEdits:
    """The human labels of one recording, with the edits that were not saved.

    After every edit all labels are also in ``<file>.partial``, which a later start finds. Undo
    reaches back to the last save.

    Attributes:
        path: File that :meth:`save` writes.
        classes: Class of every frame, ``UNLABELLED`` where nobody said.
        names: Names of the classes.
        read_only: Whether labels cannot be written where the file lies.
    """

    def __init__(
        self,
        path: Path,
        classes: Int[np.ndarray, " T"],
        names: tuple[str, ...],
        rate_hz: float,
    ) -> None:
        """Go on where the label file, or a session that was cut off, ended.

        Args:
            path: File to save to; one that exists replaces the labels of the recording.
            classes: Labels of the recording.
            names: Names of the classes.
            rate_hz: Frames per second.

        Raises:
            UserError: The file is of another kind, or damaged.
        """
        self.path = path
        self.classes, self.names = classes.astype(np.int64), names
        folder = path.parent
        self.read_only = not (folder.is_dir() and os.access(folder, os.W_OK))
        self._undo: list[tuple[int, Int[np.ndarray, " _"]]] = []
        if path.exists():
            self.classes, self.names = read_label_file(path, len(classes), rate_hz, names)
        if self._partial.exists():
            found, self.names = read_label_file(self._partial, len(classes), rate_hz, self.names)
            self._undo.append((0, self.classes.copy()))
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
        self._undo.append((start_frame, self.classes[part].copy()))
        self.classes[part] = UNLABELLED if name is None else self.names.index(name)
        self._keep()

    def undo(self) -> tuple[int, int]:
        """Take the last edit back.

        Returns:
            The frames that changed; none if there is nothing to undo.
        """
        if not self._undo:
            return 0, 0
        first, before = self._undo.pop()
        self.classes[first : first + len(before)] = before
        self._keep()
        return first, first + len(before)

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
            UserError: It cannot be written.
        """
        self._require_writable()
        n_bouts = write_label_file(self.path, self.classes, self.names)
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
        if self.read_only:
            raise UserError(
                f"labels cannot be written into {self.path.parent}; start again with --labels and "
                "a file in a folder that can be written"
            )
