"""What is shown while work goes on: sentences, and how far it is.

How far a long piece of work is goes to standard error: a bar with the time left, or a few lines
where no terminal shows it. Nothing is shown in the first seconds, so that quick work stays silent,
and nothing at all if only results are wanted (:func:`is_quiet`).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan
from threading import Timer
from typing import Any

from rich.console import Console

from neuroduet.plain import printable

PIPED_WIDTH = 100_000
"""Columns of a table that no terminal shows: files and pipes get whole cells, however long."""

APPEARS_AFTER_S = 2.0
"""How long work must last before its progress is shown (s)."""

SPEED_OVER_S = 600.0
"""Time over which speed is averaged to tell the time left (s); validations are minutes apart."""

Show = Callable[[float, str], None]
"""Told the share that is done, 0 to 1, and what is being done."""

Trained = Callable[[Any, float, dict[str, float]], None]
"""Told a training's counters, the share of the budget that is used, and validation scores."""

Asked = Callable[[str, int, int], None]
"""Told what an evaluation is about, how much is done, and how much there is."""

Count = Callable[[int, int, float], None]
"""Told what is done, how much there is, and the current loss or likelihood."""


def write(text: str, *, stderr: bool = False) -> None:
    """Print one sentence, never cut or coloured.

    Args:
        text: The sentence.
        stderr: Print to standard error instead of standard output.
    """
    console = new_console(stderr=stderr)
    console.print(plain(text), soft_wrap=True, markup=False, highlight=False, emoji=False)


def is_quiet() -> bool:
    """Whether only results and errors are wanted: the package's log leaves its reports out."""
    return logging.getLogger("neuroduet").level > logging.INFO


def new_console(*, stderr: bool = False) -> Console:
    """Where to print; made anew, because both streams may be replaced at any time.

    Args:
        stderr: Standard error instead of standard output.
    """
    piped = not (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=PIPED_WIDTH if piped else None)


def plain(text: str) -> str:
    """Text as it may be shown: names from files may hold letters that move the cursor.

    Args:
        text: Any text; its lines stay lines.
    """
    return "\n".join(printable(line) for line in text.split("\n"))


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
        with _lines() as show:
            yield show


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


@contextmanager
def _lines() -> Iterator[Show]:
    start, shown, written = time.monotonic(), 0, 0

    def show(share: float, said: str) -> None:
        nonlocal shown, written
        tenth = int(10 * min(share, 1.0) + 1e-9)
        if tenth > shown and time.monotonic() - start >= APPEARS_AFTER_S:
            write(f"{min(share, 1.0):4.0%}  {said}", stderr=True)
            written = tenth
        shown = tenth

    yield show
    if 0 < written < 10:  # what follows the last report is part of the work, too
        write("100%  done", stderr=True)


@contextmanager
def training_progress(told: Trained | None = None, verbose: bool = True) -> Iterator[Trained]:
    """Show how far a training is.

    Args:
        told: Who is told instead of the user, if somebody is.
        verbose: Otherwise, whether the user is.

    Yields:
        The function that training calls after every validation with its counters, the used
        fraction of the budget and the validation scores.
    """
    if told is not None or not verbose:
        yield told or (lambda counters, used, scores: None)
        return
    with working("waiting for the first validation") as show:

        def report(counters: Any, used: float, scores: dict[str, float]) -> None:
            mean = sum(scores.values()) / max(len(scores), 1)
            said = f": mean validation score {mean:.3f}" if scores else ""
            show(used, f"step {counters.step}{said}")

        yield report


@contextmanager
def question_progress(told: Asked | None = None, verbose: bool = True) -> Iterator[Asked]:
    """Show how far an evaluation is.

    Args:
        told: See :func:`training_progress`.
        verbose: The same.

    Yields:
        The function that evaluation calls with what it is about, how much is done and how much
        there is.
    """
    if told is not None or not verbose:
        yield told or (lambda about, done, count: None)
        return
    with working("looking at the recordings") as show:
        yield lambda about, done, count: show(done / max(count, 1), about)


@contextmanager
def counted(what: str, told: Count | None = None, verbose: bool = True) -> Iterator[Count]:
    """Show how far something countable is.

    Args:
        what: What is counted, e.g. ``recordings``.
        told: See :func:`training_progress`.
        verbose: The same.

    Yields:
        The function to call with what is done, how much there is and the current loss or
        likelihood (``nan``: none).
    """
    if told is not None or not verbose:
        yield told or (lambda done, total, value: None)
        return
    with working(what) as show:

        def report(done: int, total: int, value: float) -> None:
            said = what if isnan(value) else f"{what} ({value:.4g})"
            show(done / max(total, 1), f"{done} of {total} {said}")

        yield report
