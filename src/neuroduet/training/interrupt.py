"""An interrupt of a training is an interrupt for whoever called it."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from neuroduet.training.state import Progress

log = logging.getLogger(__name__)


@contextmanager
def interruptible(progress: Progress) -> Iterator[None]:
    """Undo what Lightning makes of an interrupt: an exit, and deafness to further ones.

    Args:
        progress: Counters of the training.

    Raises:
        KeyboardInterrupt: There was one.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler or signal.default_int_handler)
        log.warning(
            "stopped at step %d; the same call with resume=True (--resume) goes on from the last "
            "checkpoint of its run folder",
            progress.step,
        )
        raise KeyboardInterrupt from None
