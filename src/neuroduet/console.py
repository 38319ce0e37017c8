"""What the command line prints: sentences and tables, whole and plain when piped."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console

PIPED_WIDTH = 200
"""Columns of a table that no terminal shows: wide, so that files and pipes get whole cells."""


def write(text: str, *, stderr: bool = False) -> None:
    """Print one sentence, never cut or coloured.

    Args:
        text: The sentence.
        stderr: Print to standard error instead of standard output.
    """
    _console(stderr).print(text, soft_wrap=True, markup=False, highlight=False, emoji=False)


def print_sessions(sessions: Iterable[Any]) -> None:
    """Print one row for each session.

    Args:
        sessions: Objects with ``info`` (:class:`neuroduet.types.SessionInfo`) and ``windows``
            whose ``split`` names the split of each window.
    """
    rows = []
    for session in sessions:
        info, split = session.info, [str(name) for name in session.windows.split]
        windows = "/".join(str(split.count(name)) for name in ("train", "valid", "test"))
        behaviours = [f"{b.name} ({b.kind}, per {b.per})" for b in info.behaviours]
        rows.append(
            (
                info.id,
                info.subject,
                info.neural,
                str(len(info.units)),
                str(len(set(info.regions))) if info.regions else "-",
                windows,
                f"{info.max_bins} x {1000 * info.bin_size_s:g} ms",
                ", ".join(behaviours) or "-",
            )
        )
    header = (
        "session",
        "subject",
        "activity",
        "units",
        "regions",
        "train/valid/test",
        "longest window",
        "behaviours",
    )
    _print_table(header, rows)


def print_scores(scores: Any) -> None:
    """Print the mean of each score over sessions, beside its null and oracle.

    Args:
        scores: Data frame with the columns of ``scores.csv``.
    """
    rows = [
        (
            *row["key"],
            _number(row["value"]),
            _number(row["null"]),
            _number(row["oracle"]),
            str(row["sessions"]),
        )
        for row in mean_over_sessions(scores.to_dict("records"))
    ]
    header = ("model", "task", "target", "metric", "score", "null", "oracle", "sessions")
    _print_table(header, rows, numbers=("score", "null", "oracle", "sessions"))


def mean_over_sessions(rows: Iterable[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    """Average scores over sessions; undefined (``nan``) entries do not count.

    Args:
        rows: Records with the keys of :class:`neuroduet.types.Score`.

    Returns:
        In order of appearance: ``key`` (model, task, target, metric), the mean ``value``,
        ``null`` and ``oracle``, and the number of ``sessions``.
    """
    groups: dict[tuple[str, ...], list[Mapping[Any, Any]]] = {}
    for row in rows:
        key = tuple(str(row[name]) for name in ("model", "task", "target", "metric"))
        groups.setdefault(key, []).append(row)
    return [
        {
            "key": key,
            **{name: _mean(row[name] for row in group) for name in ("value", "null", "oracle")},
            "sessions": len({row["session"] for row in group}),
        }
        for key, group in groups.items()
    ]


def print_findings(findings: Iterable[Any]) -> None:
    """Print what the doctor found, then what to do about it.

    Args:
        findings: See :class:`neuroduet.doctor.Finding`.
    """
    found = list(findings)
    _print_table(
        ("check", "found", ""),
        [(one.check, one.found, "look below" if one.remedy else "OK") for one in found],
    )
    for one in found:
        if one.remedy:
            write(f"{one.check}: {one.remedy}")
    if not any(one.remedy for one in found):
        write("everything is in order")


@contextmanager
def training_progress() -> Iterator[Callable[[Any, float, dict[str, float]], None]]:
    """Show how far a training is: a bar with the time left, or a line per tenth when piped.

    Yields:
        The function that training calls after every validation with its counters, the used
        fraction of the budget and the validation scores.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (BarColumn(), TaskProgressColumn(), TimeLeft(), TextColumn("{task.description}"))
    console = _console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("waiting for the first validation", total=1.0)
        shown = -1

        def report(counters: Any, used: float, scores: dict[str, float]) -> None:
            nonlocal shown
            score = _number(_mean(scores.values()))
            sentence = f"step {counters.step}: mean validation score {score}"
            bar.update(task, completed=min(used, 1.0), description=sentence)
            if bar.disable and int(10 * used) > shown:
                shown = int(10 * used)
                write(f"{min(used, 1.0):4.0%}  {sentence}", stderr=True)

        yield report


def _print_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name in header:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: brackets in names are no markup
    _console(stderr=False).print(table)


def _console(stderr: bool) -> Console:
    piped = not (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=PIPED_WIDTH if piped else None)


def _mean(values: Iterable[float]) -> float:
    known = [float(value) for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
