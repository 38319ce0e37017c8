"""Score tables and facts of a report page, without their layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from neuroduet.report.certainty import Intervals
from neuroduet.report.folder import RunFolder
from neuroduet.report.intervals import Interval
from neuroduet.report.sheet import Cell, Table
from neuroduet.report.style import task_label
from neuroduet.report.tables import (
    REFERENCES,
    best_models,
    model_columns,
    number,
    select,
)
from neuroduet.report.words import defined, meaning

TASK_QUESTIONS = {
    "encoding": "Activity predicted from all behaviours.",
    "encoding_from": "Activity predicted from one behaviour, the others hidden.",
    "decoding": "Behaviours predicted from the activity, all of them hidden at once.",
    "co_smoothing": "Each unit predicted from the other units, behaviours hidden.",
    "forward": "The last bins of all units predicted from the bins before, behaviours hidden.",
    "intra_region": "Each unit predicted from the others of its region; units elsewhere and "
    "behaviours hidden.",
    "inter_region": "All units of a region predicted from the other regions, behaviours hidden.",
    "decoding_by_region": "Behaviours predicted from the units of one region, named behind the @.",
    "regions": "Brain region of a unit, read out from its learned embedding.",
}


def task_tables(
    table: pd.DataFrame,
    main: str | None,
    intervals: Intervals | None = None,
    open_rows: int | None = None,
) -> tuple[Table, ...]:
    """Divide a score table into one per task, each with the models that answered it.

    Args:
        table: From :func:`~neuroduet.report.tables.summary_table` or
            :func:`~neuroduet.report.tables.session_table`.
        main: Model whose column is marked.
        intervals: Intervals of its scores, for a table of sessions.
        open_rows: The reader has to open tables that are longer than this; ``None``: none.

    Returns:
        A table with the question it answers (empty if unknown) for every task.
    """
    found = []
    for task in map(str, dict.fromkeys(table.index.get_level_values("task"))):
        rows = select(table, task)
        models = [name for name in model_columns(rows) if rows[name].notna().any()]
        models.sort(key=lambda name: name != main)
        shown = [name for name in REFERENCES if name in rows.columns and name not in models]
        shown = [
            name for name in shown if name in ("null", "sessions") or rows[name].notna().any()
        ]
        if "session" in rows.index.names:
            shown.remove("sessions")
        own: dict[tuple[str, ...], Interval] = {
            key[1:]: one for key, one in (intervals or {}).items() if key[0] == task
        }
        keys = [str(name) for name in rows.index.names]
        found.append(
            Table(
                title=title_of(task),
                text=TASK_QUESTIONS.get(task, ""),
                columns=tuple(defined(name) for name in (*keys, *models, *shown)),
                rows=_rows(rows, models, shown, main, own),
                keys=len(keys),
                folded=open_rows is not None and len(rows) > open_rows,
            )
        )
    return tuple(found)


def _rows(
    rows: pd.DataFrame,
    models: list[str],
    references: list[str],
    main: str | None,
    intervals: Mapping[tuple[str, ...], Interval],
) -> tuple[tuple[Cell, ...], ...]:
    found = []
    before: tuple[Any, ...] = ()
    for key, row in rows.iterrows():
        keys = key if isinstance(key, tuple) else (key,)
        best = best_models(row)
        own = interval_words(intervals.get(tuple(str(k) for k in keys)))
        names = [
            Cell(
                # A name is written once for a group of rows, like the rungs of a ladder.
                text="" if keys[: i + 1] == before[: i + 1] and i + 1 < len(keys) else str(k),
                title=meaning(str(k)) if rows.index.names[i] == "metric" else "",
            )
            for i, k in enumerate(keys)
        ]
        scores = [
            Cell(text=number(row[m]), kind=_kind(m, best, main), note=own if m == main else "")
            for m in models
        ]
        others = [
            Cell(text=str(int(row[m])) if m == "sessions" else number(row[m]), kind="ref")
            for m in references
        ]
        found.append((*names, *scores, *others))
        before = keys
    return tuple(found)


def interval_words(found: Interval | None) -> str:
    """An interval with what was resampled, e.g. ``[0.09, 0.13] 30 test windows``."""
    if found is None or not np.isfinite(found.low):
        return ""
    return f"[{number(found.low)}, {number(found.high)}] {found.n} {found.over}"


def title_of(task: str) -> str:
    """A task's name as a heading."""
    label = task_label(task)
    return label[:1].upper() + label[1:]


def _kind(model: str, best: set[str], main: str | None) -> str:
    return " ".join(["best"] * (model in best) + ["own"] * (model == main))


def scored_on(scores: pd.DataFrame) -> str:
    """Which windows the scores of a page are over, in words."""
    splits = {str(name) for name in scores["split"]}
    if "test" in splits:
        return "on test windows, which training never saw (regions: on units held out)"
    return f"on windows of the split {' and '.join(sorted(splits))}"


def facts(folder: RunFolder) -> tuple[tuple[str, str], ...]:
    """What the run was made from, as names and values."""
    found: list[tuple[str, str]] = []
    if folder.preset:
        found.append(("preset", folder.preset))
    if folder.sessions:
        found.append(("sessions", _first(list(folder.sessions))))
    for name, value in folder.environment.items():
        entries = isinstance(value, dict)
        text = _first([f"{k} {v}" for k, v in value.items()]) if entries else plain(value)
        found.append((str(name).replace("_", " "), text))
    return tuple(found)


def _first(names: list[str], most: int = 12) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plain(value: Any) -> str:
    """A setting as a reader would write it.

    Example:
        >>> plain(None), plain(True), plain(0.50), plain(["a", "b"])
        ('none', 'true', '0.5', 'a, b')
    """
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and np.isfinite(value) else str(value)
