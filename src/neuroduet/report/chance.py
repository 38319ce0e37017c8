"""Scores beside what chance gives: the nulls of an evaluation, with p-values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from neuroduet.report.headlines import Headline
from neuroduet.report.rows import Block, Cell, Column, Name, block
from neuroduet.report.style import METRIC_LABELS, task_label
from neuroduet.report.tables import number
from neuroduet.report.words import meaning

NULL_WORDS = {
    "shuffled": "Windows paired with predictions at random; valid if windows are exchangeable.",
    "shifted": "Predictions shifted in time against the truth, so that slow drift stays.",
    "imposter": "Behaviour of another session in place of the session's own.",
}
LEVEL = 0.05

COLUMNS = (
    Column(text="score", definition="Mean over sessions."),
    Column(text="null mean ± sd", definition="Of the null scores, mean over sessions."),
    Column(
        text="draws",
        definition="Null scores of each session; 1 / (1 + draws) is the "
        "smallest p-value they can give.",
    ),
    Column(text="p, median", definition=meaning("p_value").replace("largest", "median")),
    Column(text="p, largest", definition=meaning("p_value")),
    Column(
        text="p < 0.05",
        definition="Sessions with a p-value below 0.05, not corrected for their number.",
    ),
)


def chance_table(nulls: pd.DataFrame | None, found: Sequence[Headline], main: str) -> Block | None:
    """The primary scores beside every null they were compared with.

    Args:
        nulls: Columns of ``scores_nulls.csv``, or ``None``.
        found: Headlines, whose metrics are shown.
        main: The run's model.

    Returns:
        The table, or ``None`` if no headline was compared with a null.
    """
    if nulls is None:
        return None
    own = nulls[nulls["model"] == main] if (nulls["model"] == main).any() else nulls
    rows = []
    for one in found:
        chosen = own[
            (own["task"] == one.task)
            & (own["target"] == one.target)
            & (own["metric"] == one.metric)
        ]
        for kind, group in chosen.groupby("null", sort=False):
            rows.append(_row(one, str(kind), group))
    if not rows:
        return None
    text = (
        "How the primary scores compare with the same predictions paired with the wrong truth. "
        "The p-value is the share of null draws that score at least as high."
    )
    return block("Against chance", text, ("task", "target", "null"), COLUMNS, rows)


def _row(one: Headline, kind: str, group: pd.DataFrame) -> dict[str, Any]:
    p = group["p_value"].to_numpy(float)
    p = p[np.isfinite(p)]
    metric = METRIC_LABELS.get(one.metric, one.metric)
    mean, spread = group["null_mean"].mean(), group["null_sd"].mean()
    low = f"{int((p < LEVEL).sum())} of {len(p)}" if len(p) else "–"
    return {
        "names": [
            Name(text=task_label(one.task)),
            Name(text=f"{one.target} ({metric})", definition=meaning(one.metric)),
            Name(text=kind, definition=NULL_WORDS.get(kind, "")),
        ],
        "cells": [
            Cell(text=number(group["value"].mean())),
            Cell(text=f"{number(mean)} ± {number(spread)}"),
            Cell(text=f"{group['draws'].min():.0f}" if group["draws"].notna().any() else "–"),
            Cell(text=_p(float(np.median(p)) if len(p) else float("nan"))),
            Cell(text=_p(float(p.max()) if len(p) else float("nan"))),
            Cell(text=low),
        ],
    }


def _p(value: float) -> str:
    return f"{value:.2g}" if np.isfinite(value) else "–"
