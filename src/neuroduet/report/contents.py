"""Score tables and facts of a report page, without their layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from neuroduet.report.certainty import Intervals
from neuroduet.report.folder import RunFolder
from neuroduet.report.intervals import Interval
from neuroduet.report.rows import Block, Cell, Column, Name, block
from neuroduet.report.style import task_label
from neuroduet.report.tables import (
    REFERENCES,
    best_models,
    model_columns,
    number,
    select,
)
from neuroduet.report.words import meaning

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


def score_blocks(
    table: pd.DataFrame, main: str | None, intervals: Intervals | None = None
) -> list[Block]:
    """Divide a score table into one block per task, each with the models that answered it.

    Args:
        table: From :func:`~neuroduet.report.tables.summary_table` or
            :func:`~neuroduet.report.tables.session_table`.
        main: Model whose column is marked.
        intervals: Intervals of its scores, for a table of sessions.

    Returns:
        A block with the question it answers (empty if unknown) for every task.
    """
    blocks = []
    for task in dict.fromkeys(table.index.get_level_values("task")):
        rows = select(table, str(task))
        models = [name for name in model_columns(rows) if rows[name].notna().any()]
        models.sort(key=lambda name: name != main)
        shown = [name for name in REFERENCES if name in rows.columns and name not in models]
        shown = [
            name for name in shown if name in ("null", "sessions") or rows[name].notna().any()
        ]
        if "session" in rows.index.names:
            shown.remove("sessions")
        found: dict[tuple[str, ...], Interval] = {
            key[1:]: one for key, one in (intervals or {}).items() if key[0] == task
        }
        blocks.append(
            block(
                title_of(str(task)),
                TASK_QUESTIONS.get(str(task), ""),
                [str(name) for name in rows.index.names],
                [Column(text=name, definition=meaning(name)) for name in (*models, *shown)],
                _block_rows(rows, models, shown, main, found),
            )
        )
    return blocks


def _block_rows(
    rows: pd.DataFrame,
    models: list[str],
    references: list[str],
    main: str | None,
    intervals: Mapping[tuple[str, ...], Interval],
) -> list[dict[str, Any]]:
    found = []
    before: tuple[Any, ...] = ()
    for key, row in rows.iterrows():
        keys = key if isinstance(key, tuple) else (key,)
        best = best_models(row)
        own = intervals.get(tuple(str(k) for k in keys))
        cells = [
            Cell(
                text=number(row[m]),
                kind=_kind(m, best, main),
                interval=interval_words(own) if m == main else "",
            )
            for m in models
        ]
        for name in references:
            text = str(int(row[name])) if name == "sessions" else number(row[name])
            cells.append(Cell(text=text, kind="ref"))
        names = [
            Name(
                # A name is written once for a group of rows, like the rungs of a ladder.
                text="" if keys[: i + 1] == before[: i + 1] and i + 1 < len(keys) else str(k),
                definition=meaning(str(k)) if rows.index.names[i] == "metric" else "",
            )
            for i, k in enumerate(keys)
        ]
        found.append({"names": names, "cells": cells})
        before = keys
    return found


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


def facts(folder: RunFolder) -> list[tuple[str, str]]:
    """What the run was made from, as names and values."""
    found: list[tuple[str, str]] = []
    if "preset" in folder.config:
        found.append(("preset", str(folder.config["preset"])))
    if folder.sessions:
        names = list(folder.sessions)
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        found.append(("sessions", ", ".join(names[:12]) + more))
    for name, value in folder.environment.items():
        if isinstance(value, dict):
            entries = list(value.items())
            text = ", ".join(f"{key} {entry}" for key, entry in entries[:12])
            text += f" and {len(entries) - 12} more" if len(entries) > 12 else ""
        else:
            text = "none" if value is None else str(value)
        found.append((str(name).replace("_", " "), text))
    return found
