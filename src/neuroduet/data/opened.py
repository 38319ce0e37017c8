"""The data behind sessions, held open for those read last.

A session keeps what is small. Its events, behaviour series and true rates are opened when they are
read and closed again when others were read since, so that neither memory nor open files grow with
the number of sessions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from neuroduet.config import DataConfig
from neuroduet.data.columns import file_pages, release
from neuroduet.data.parts import open_source
from neuroduet.data.recording import load
from neuroduet.data.sources import (
    Binned,
    Events,
    PerTrial,
    Series,
    Truth,
    open_neural,
    open_truth,
)
from neuroduet.errors import UserError
from neuroduet.types import Behaviour


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """What windows are read from.

    Attributes:
        neural: Activity.
        behaviours: By name.
        truth: True rates of a simulated recording.
        pages: The mapped file in which most of this lies.
    """

    neural: Events | Binned
    behaviours: dict[str, Series | PerTrial]
    truth: Truth | None
    pages: np.memmap


def open_data(path: Path, behaviours: Sequence[Behaviour], config: DataConfig) -> Opened:
    """Open what the windows of a checked recording are read from.

    Args:
        path: The recording.
        behaviours: Behaviours to open.
        config: How they are read.

    Returns:
        The data: mapped from the file where it lies there as it is needed, else in memory.
    """
    pages = file_pages(path)
    with load(path) as recording:
        return Opened(
            neural=open_neural(recording, pages),
            behaviours={b.name: open_source(recording, b, config, pages) for b in behaviours},
            truth=open_truth(recording, pages),
            pages=pages,
        )


class OpenRecordings:
    """The data of the recordings read last, by who reads them.

    Readers are told apart as objects and not kept alive: data go when their reader goes, and no
    two readers share any, whatever they make of the same file.
    """

    def __init__(self) -> None:
        self._data: WeakKeyDictionary[object, Opened] = WeakKeyDictionary()

    @contextmanager
    def reading(
        self, reader: object, limit: int, opening: Callable[[], Opened]
    ) -> Iterator[Opened]:
        """The data of a reader, which become those read last.

        Args:
            reader: Who reads.
            limit: How many recordings may be open, at least 1; those not read for longest are
                closed.
            opening: Opens the data if they are not open.

        Yields:
            The data. Pages of the file that are read meanwhile leave memory at the end.
        """
        data = self._data.pop(reader, None)
        while len(self._data) >= limit:
            del self._data[next(iter(self._data))]
        if data is None:
            data = opening()
        self._data[reader] = data
        yield data
        release(data.pages)

    def close(self) -> None:
        """Close all recordings; who reads on opens its own again."""
        self._data.clear()

    def __len__(self) -> int:
        """Number of open recordings."""
        return len(self._data)


OPEN_RECORDINGS = OpenRecordings()
"""Those of this process."""


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """By what a file is known to be unchanged.

    Attributes:
        size: Bytes.
        modified_ns: Time of the last change (ns).
    """

    size: int
    modified_ns: int


def stamp(path: Path) -> Stamp:
    """The present stamp of a file.

    Raises:
        UserError: The file cannot be reached.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); restore it, and run the same command "
            "again (`neuroduet train` with --resume)"
        ) from None
    return Stamp(size=found.st_size, modified_ns=found.st_mtime_ns)


def check_unchanged(path: Path, opened: Stamp) -> None:
    """Make sure that a file is still the one that was opened.

    Reading a page of a map behind the end of a truncated file would kill the process, and windows
    of another file than the one they were cut from would be wrong without a word.

    Args:
        path: The file.
        opened: Its stamp when it was opened.

    Raises:
        UserError: The file is missing or has changed.
    """
    found = stamp(path)
    if found != opened:
        raise UserError(
            f"{path} has changed since it was opened ({opened.size} bytes then, {found.size} "
            "now); restore it, and run the same command again (`neuroduet train` with --resume)"
        )
