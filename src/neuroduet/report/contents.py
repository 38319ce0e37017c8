"""The words and numbers of a report page, without their layout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from neuroduet.metrics import DEFINITIONS
from neuroduet.report.folder import RunFolder
from neuroduet.report.headlines import Headline
from neuroduet.report.style import METRIC_LABELS, task_label
from neuroduet.report.tables import (
    REFERENCES,
    best_models,
    model_columns,
    number,
    select,
)

MAX_TILES = 12
BOUNDED_METRICS = ("r2", "balanced_accuracy", "accuracy")
"""Metrics that read 1 for a perfect prediction."""

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

WHOLE_TARGETS = ("spikes", "traces", "region")
"""Targets that their task implies: no sentence needs them."""

Block = dict[str, Any]


def score_blocks(table: pd.DataFrame, main: str | None) -> list[Block]:
    """Divide a score table into one block per task, each with the models that answered it.

    Args:
        table: From :func:`~neuroduet.report.tables.summary_table` or
            :func:`~neuroduet.report.tables.session_table`.
        main: Model whose column is marked.

    Returns:
        For each block its title, the question it answers (empty if unknown), the names of key
        columns, of score columns, and the rows.
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
        blocks.append(
            {
                "title": _title(str(task)),
                "text": TASK_QUESTIONS.get(str(task), ""),
                "key_columns": [str(name) for name in rows.index.names],
                "columns": [*models, *shown],
                "rows": _block_rows(rows, models, shown, main),
            }
        )
    return blocks


def _block_rows(
    rows: pd.DataFrame, models: list[str], references: list[str], main: str | None
) -> list[dict[str, Any]]:
    found = []
    before: tuple[Any, ...] = ()
    for key, row in rows.iterrows():
        keys = key if isinstance(key, tuple) else (key,)
        best = best_models(row)
        cells = [{"text": number(row[m]), "kind": _kind(m, best, main)} for m in models]
        for name in references:
            text = str(int(row[name])) if name == "sessions" else number(row[name])
            cells.append({"text": text, "kind": "ref"})
        names = [
            {
                # A name is written once for a group of rows, like the rungs of a ladder.
                "text": "" if keys[: i + 1] == before[: i + 1] and i + 1 < len(keys) else str(k),
                "definition": DEFINITIONS.get(str(k), "")
                if rows.index.names[i] == "metric"
                else "",
            }
            for i, k in enumerate(keys)
        ]
        found.append({"names": names, "cells": cells})
        before = keys
    return found


def _title(task: str) -> str:
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


def definitions(metrics: Iterable[str]) -> list[tuple[str, str]]:
    """Name and meaning of metrics, each once."""
    return [(name, DEFINITIONS[name]) for name in dict.fromkeys(metrics) if name in DEFINITIONS]


def tiles(found: Sequence[Headline]) -> list[dict[str, Any]]:
    """The headlines as tiles: a number, and a bar from null to the best possible score."""
    return [
        {
            "task": task_label(headline.task),
            "target": headline.target,
            "value": number(headline.value),
            "metric": METRIC_LABELS.get(headline.metric, headline.metric),
            "definition": DEFINITIONS.get(headline.metric, ""),
            "references": _references(headline),
            **_bar(headline),
        }
        for headline in found[:MAX_TILES]
    ]


def _bar(headline: Headline) -> dict[str, Any]:
    top = headline.oracle
    if not np.isfinite(top) and headline.metric in BOUNDED_METRICS:
        top = 1.0
    span = top - headline.null
    if not span > 0:
        return {"fill": None, "rival_at": None, "bar_label": ""}
    share = 100 * (headline.value - headline.null) / span
    rival = 100 * (headline.rival_value - headline.null) / span
    return {
        "fill": f"{min(max(share, 0.0), 100.0):.1f}",
        "rival_at": f"{min(max(rival, 0.0), 99.0):.1f}" if np.isfinite(rival) else None,
        "bar_label": f"{share:.0f} % of the way from null to the best possible score",
    }


def _references(headline: Headline) -> str:
    parts = [f"null {number(headline.null)}"] if np.isfinite(headline.null) else []
    if headline.rival:
        parts.append(f"{headline.rival} {number(headline.rival_value)}")
    if np.isfinite(headline.oracle):
        parts.append(f"oracle {number(headline.oracle)}")
    return " · ".join(parts)


def summary(folder: RunFolder, found: Sequence[Headline]) -> list[str]:
    """One sentence on what was trained and one on how well it does.

    Args:
        folder: The run.
        found: Its headlines.

    Returns:
        Sentences; none about what the folder does not say.
    """
    sentences = []
    sessions = list(folder.sessions.values())
    if sessions:
        subjects = {str(one.get("subject", "")) for one in sessions} - {""}
        units = sum(len(one.get("units") or ()) for one in sessions)
        animals = f" of {_count(len(subjects), 'animal')}" if subjects else ""
        text = f"Trained on {_count(len(sessions), 'session')}{animals} ({_count(units, 'unit')})"
        sentences.append(text + _budget(folder) + ".")
    if found:
        words = "; ".join(_headline_words(headline) for headline in found)
        sentences.append(f"{words[0].upper()}{words[1:]}.")
    return sentences


def _headline_words(headline: Headline) -> str:
    metric = METRIC_LABELS.get(headline.metric, headline.metric)
    known = []
    if np.isfinite(headline.null):
        known.append(f"null {headline.null:.3g}")
    if headline.rival:
        known.append(f"best linear {number(headline.rival_value)}")
    if np.isfinite(headline.oracle):
        share = headline.share(headline.value)
        reached = f": {100 * share:.0f} % of what is reachable" if share > 0 else ""
        known.append(f"oracle {number(headline.oracle)}{reached}")
    target = "" if headline.target in WHOLE_TARGETS else f" {headline.target}"
    what = task_label(headline.task) + target
    words = f"{what} {number(headline.value)} {metric}"
    return words + (f" ({', '.join(known)})" if known else "")


def _budget(folder: RunFolder) -> str:
    if not folder.curves:
        return ""
    last = [curve.iloc[-1] for _, curve in folder.curves]
    steps = max(int(row["step"]) for row in last)
    text = f" for {_count(steps, 'step')}"
    if all("minutes" in row.index for row in last):
        text += f" in {max(float(row['minutes']) for row in last):.1f} minutes"
    members = len(folder.curves)
    return text + (f", as an ensemble of {members}" if members > 1 else "")


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}" + ("" if n == 1 else "s")


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
            text = ", ".join(f"{key} {entry}" for key, entry in value.items())
        else:
            text = "none" if value is None else str(value)
        found.append((str(name).replace("_", " "), text))
    return found
