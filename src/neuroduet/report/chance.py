"""Scores beside what chance gives: the nulls of an evaluation, with p-values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuroduet.report.headlines import Headline
from neuroduet.report.sheet import Cell, Table
from neuroduet.report.style import METRIC_LABELS, task_label
from neuroduet.report.tables import number, p_text
from neuroduet.report.words import defined, meaning

NULL_WORDS = {
    "shuffled": "Windows paired with predictions at random; valid if windows are exchangeable.",
    "shifted": "Predictions shifted in time against the truth, so that slow drift stays.",
    "imposter": "Behaviour of another session in place of the session's own.",
}
LEVEL = 0.05
OPEN_ROWS = 12
"""The reader has to open the table if it is longer."""

COLUMNS = (
    defined("task"),
    defined("target"),
    Cell(text="null", title="What the predictions were paired with."),
    Cell(text="score", title="Mean over sessions."),
    Cell(text="null mean ± sd", title="Of the null scores, mean over sessions."),
    Cell(
        text="draws",
        title="Null scores of each session; 1 / (1 + draws) is the "
        "smallest p-value they can give.",
    ),
    Cell(text="p, median", title=meaning("p_value").replace("largest", "median")),
    Cell(text="p, largest", title=meaning("p_value")),
    Cell(
        text="p < 0.05",
        title="Sessions with a p-value below 0.05, not corrected for their number.",
    ),
)


def chance_table(nulls: pd.DataFrame | None, found: Sequence[Headline], main: str) -> Table | None:
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
    return Table(
        title="Against chance",
        text=text,
        columns=COLUMNS,
        rows=tuple(rows),
        keys=3,
        folded=len(rows) > OPEN_ROWS,
    )


def _row(one: Headline, kind: str, group: pd.DataFrame) -> tuple[Cell, ...]:
    p = group["p_value"].to_numpy(float)
    p = p[np.isfinite(p)]
    metric = METRIC_LABELS.get(one.metric, one.metric)
    mean, spread = group["null_mean"].mean(), group["null_sd"].mean()
    low = f"{int((p < LEVEL).sum())} of {len(p)}" if len(p) else "–"
    draws = f"{group['draws'].min():.0f}" if group["draws"].notna().any() else "–"
    return (
        Cell(text=task_label(one.task)),
        Cell(text=f"{one.target} ({metric})", title=meaning(one.metric)),
        Cell(text=kind, title=NULL_WORDS.get(kind, "")),
        Cell(text=number(group["value"].mean())),
        Cell(text=f"{number(mean)} ± {number(spread)}"),
        Cell(text=draws),
        Cell(text=p_text(float(np.median(p)) if len(p) else np.nan)),
        Cell(text=p_text(float(p.max()) if len(p) else np.nan)),
        Cell(text=low),
    )
