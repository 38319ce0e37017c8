"""How much is said beside the results: ``--quiet``, ``--verbose`` and ``--debug``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from neuroduet.console import write
from neuroduet.errors import UserError

WORDS = {
    "--debug": "debug",
    "--quiet": "quiet",
    "-q": "quiet",
    "--verbose": "verbose",
    "-v": "verbose",
}
"""Words that are allowed anywhere before ``--``, and what they mean."""


@dataclass(frozen=True, kw_only=True)
class Loudness:
    """How much to say.

    Attributes:
        quiet: Only results and errors.
        verbose: Also what is opened, how long it takes, and all warnings.
        debug: Tracebacks too.
    """

    quiet: bool = False
    verbose: bool = False
    debug: bool = False


def take_out(words: list[str]) -> tuple[list[str], Loudness]:
    """Separate the words that say how much to say from the others.

    Args:
        words: The command line.

    Returns:
        The other words, and how much to say.
    """
    end = words.index("--") if "--" in words else len(words)
    given = {WORDS[word]: True for word in words[:end] if word in WORDS}
    return [word for word in words[:end] if word not in WORDS] + words[end:], Loudness(**given)


@contextmanager
def listening(loudness: Loudness) -> Iterator[None]:
    """Write what the package and the libraries log to standard error, as much as is wanted.

    Args:
        loudness: How much.

    Raises:
        UserError: Both more and less is wanted.
    """
    if loudness.quiet and (loudness.verbose or loudness.debug):
        raise UserError("--quiet and --verbose contradict each other; leave one of them out")
    own, root = logging.getLogger("neuroduet"), logging.getLogger()
    told, level = _Told(), own.level
    detailed = loudness.verbose or loudness.debug
    if detailed:
        told.setFormatter(logging.Formatter("%(seconds)7.1f s  %(message)s"))
    own.setLevel(logging.ERROR if loudness.quiet else logging.DEBUG if detailed else logging.INFO)
    told.setLevel(logging.ERROR if loudness.quiet else logging.NOTSET)
    root.addHandler(told)
    try:
        with warnings.catch_warnings():
            if loudness.quiet or detailed:
                warnings.simplefilter("ignore" if loudness.quiet else "default")
            yield
    finally:
        root.removeHandler(told)
        own.setLevel(level)


class _Told(logging.Handler):
    """Writes above a progress bar, should there be one, and leaves the terminal as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Lightning's loggers report ordinary steps whatever the level of the root is.
        return record.name.startswith("neuroduet") or record.levelno >= logging.WARNING

    def emit(self, record: logging.LogRecord) -> None:
        record.seconds = record.relativeCreated / 1000
        write(self.format(record), stderr=True)
