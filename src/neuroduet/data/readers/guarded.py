"""A reader that answers with a recording or with one sentence, whatever a file holds."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch_brain.data import Data

from neuroduet.data.boundary import reading
from neuroduet.data.readers.reader import Found, Reader, ReadOptions
from neuroduet.errors import UserError

log = logging.getLogger(__name__)


class Guarded:
    """A reader behind :func:`~neuroduet.data.boundary.reading`.

    Args:
        reader: The reader.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @property
    def name(self) -> str:
        """Key of the reader."""
        return self._reader.name

    def recognises(self, path: Path) -> bool:
        """Whether a path looks like this format; what cannot be read does not."""
        try:
            with reading(path):
                return self._reader.recognises(path)
        except UserError:
            return False

    def sessions(self, path: Path) -> Sequence[Path]:
        """Every session at a path, in the order of their names.

        Raises:
            UserError: There are none, or they cannot be told.
        """
        with reading(path):
            return self._reader.sessions(path)

    def inspect(self, path: Path, options: ReadOptions) -> Found:
        """What one session holds, without reading its bulk.

        Raises:
            UserError: It cannot be read.
        """
        with reading(path):
            return self._reader.inspect(path, options)

    def read(self, path: Path, options: ReadOptions) -> Data:
        """One session as a recording that passes :func:`neuroduet.data.recording.check`.

        What it warns of is logged: the line of code that a warning names is none of the user's.

        Raises:
            UserError: Something does not fit.
        """
        with reading(path), warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always", UserWarning)
            recording = self._reader.read(path, options)
        for doubt in doubts:
            log.warning("%s: %s", path, doubt.message)
        return recording
