"""How far a long piece of work is, on standard error: a bar with the time left, or a few lines.

Nothing is shown in the first seconds, so that quick work stays silent, and nothing at all if only
results are wanted (:func:`neuroduet.console.words.is_quiet`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan
from threading import Timer
from typing import Any

from neuroduet.console.words import is_quiet, new_console, plain, write

APPEARS_AFTER_S = 2.0
"""How long work must last before its progress is shown (s)."""

SPEED_OVER_S = 600.0
"""Time over which speed is averaged to tell the time left (s); validations are minutes apart."""

Show = Callable[[float, str], None]
"""Told the share that is done, 0 to 1, and what is being done."""


@contextmanager
def working(text: str) -> Iterator[Show]:
    """Show how far work is: a bar that vanishes with its end, or a line per tenth when piped.

    Args:
        text: What is done, until the first call says something else.

    Yields:
        The function to call.
    """
    if is_quiet():
        yield lambda share, said: None
    elif sys.stderr.isatty():
        with _bar(text) as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _bar(text: str) -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (
        *(BarColumn(), TaskProgressColumn(), TimeLeft()),
        TextColumn("{task.description}", markup=False),
    )
    console = new_console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, speed_estimate_period=SPEED_OVER_S)
    task = bar.add_task(plain(text), total=None)
    clock = Timer(APPEARS_AFTER_S, bar.start)
    clock.daemon = True
    clock.start()

    def show(share: float, said: str) -> None:
        bar.update(task, completed=min(share, 1.0), total=1.0, description=plain(said))

    try:
        yield show
    finally:
        clock.cancel()
        clock.join()  # it may be starting the bar at this moment
        bar.stop()


def _lines() -> Show:
    start, shown = time.monotonic(), 0

    def show(share: float, said: str) -> None:
        nonlocal shown
        tenth = int(10 * min(share, 1.0) + 1e-9)
        if tenth > shown and time.monotonic() - start >= APPEARS_AFTER_S:
            write(f"{min(share, 1.0):4.0%}  {said}", stderr=True)
        shown = tenth

    return show


@contextmanager
def training_progress() -> Iterator[Callable[[Any, float, dict[str, float]], None]]:
    """Show how far a training is.

    Yields:
        The function that training calls after every validation with its counters, the used
        fraction of the budget and the validation scores.
    """
    with working("waiting for the first validation") as show:

        def report(counters: Any, used: float, scores: dict[str, float]) -> None:
            mean = sum(scores.values()) / max(len(scores), 1)
            show(used, f"step {counters.step}: mean validation score {mean:.3f}")

        yield report


@contextmanager
def question_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show how far an evaluation is.

    Yields:
        The function that evaluation calls with what it is about, how much is done and how much
        there is.
    """
    with working("looking at the recordings") as show:
        yield lambda about, done, count: show(done / max(count, 1), about)


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int, float], None]]:
    """Show how far something countable is.

    Args:
        what: What is counted, e.g. ``recordings``.

    Yields:
        The function to call with what is done, how much there is and the current loss or
        likelihood (``nan``: none).
    """
    with working(what) as show:

        def report(done: int, total: int, value: float) -> None:
            said = what if isnan(value) else f"{what} ({value:.4g})"
            show(done / max(total, 1), f"{done} of {total} {said}")

        yield report
