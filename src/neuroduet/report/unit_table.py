"""Scores of single units by name, for readers who look for one of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neuroduet.report.sheet import Cell, Table
from neuroduet.report.style import METRIC_LABELS, task_label
from neuroduet.report.tables import number
from neuroduet.report.units import UNIT_QUESTIONS
from neuroduet.report.words import meaning
from neuroduet.types import is_region

MOST_BEST, MOST_WORST = 150, 50
"""Rows of a long table: those between are left out."""

KEYS = ["session", "unit"]


def unit_table(units: pd.DataFrame) -> Table | None:
    """One row for each unit, the best first.

    Args:
        units: Columns of ``scores_units.parquet`` of one model; all but ``unit``, ``metric`` and
            ``value`` may be missing.

    Returns:
        The table, or ``None`` if no unit has a score.
    """
    metric = next((m for m in ("bits_per_spike", "r2") if (units["metric"] == m).any()), None)
    defaults = {"session": "", "task": "encoding", "region": "", "rate_hz": np.nan}
    absent = {name: value for name, value in defaults.items() if name not in units.columns}
    rows = units[units["metric"] == metric].assign(**absent)
    wide = rows.groupby([*KEYS, "task"], sort=False)["value"].first().astype(float)
    wide = wide.unstack("task").dropna(how="all")
    tasks = [task for task in UNIT_QUESTIONS if task in wide.columns]
    if metric is None or not tasks or wide.empty:
        return None
    about = rows.groupby(KEYS, sort=False)[["region", "rate_hz"]].first()
    wide = wide[tasks].join(about).sort_values(tasks, ascending=False, kind="stable")
    several = wide.index.get_level_values("session").nunique() > 1
    return Table(
        title="Units by name",
        text=_text(len(wide), metric, tasks[0]),
        columns=_columns(tasks, metric, several),
        rows=tuple(_row(key, row, tasks, several) for key, row in _ends(wide).iterrows()),
        keys=3 if several else 2,
        folded=True,
    )


def _columns(tasks: list[str], metric: str, several: bool) -> tuple[Cell, ...]:
    names = ("session", "unit", "region") if several else ("unit", "region")
    rate = Cell(text="rate", title="Mean firing rate in the scored bins (Hz).")
    scores = (Cell(text=task_label(task), title=meaning(metric)) for task in tasks)
    return (*(Cell(text=name) for name in names), rate, *scores)


def _row(key: object, row: pd.Series, tasks: list[str], several: bool) -> tuple[Cell, ...]:
    session, unit = map(str, key) if isinstance(key, tuple) else ("", str(key))
    region = str(row["region"])
    rate_hz = float(row["rate_hz"])
    texts = (
        *((session,) if several else ()),
        unit,
        region if is_region(region) else "–",
        f"{rate_hz:.1f} Hz" if np.isfinite(rate_hz) else "–",
        *(number(float(row[task])) for task in tasks),
    )
    return tuple(Cell(text=text) for text in texts)


def _ends(ranked: pd.DataFrame) -> pd.DataFrame:
    if len(ranked) <= MOST_BEST + MOST_WORST:
        return ranked
    return pd.concat([ranked[:MOST_BEST], ranked[-MOST_WORST:]])


def _text(n_units: int, metric: str, task: str) -> str:
    label = METRIC_LABELS.get(metric, metric)
    text = f"{label.capitalize()} of {n_units} units in test windows"
    text += f", the best in {task_label(task)} first"
    if n_units > MOST_BEST + MOST_WORST:
        text += f": the first {MOST_BEST} and the last {MOST_WORST}"
    return f"{text}. Every metric of every unit is in scores_units.parquet."
