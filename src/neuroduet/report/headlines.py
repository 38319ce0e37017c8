"""What a reader looks for first: one score per target, of the model the report is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuroduet.metrics.primary import CHANNEL, DETAILED_TASKS, PRIMARY_METRICS
from neuroduet.report.tables import REFERENCES, TRIVIAL_MODELS, select, summary_table
from neuroduet.tasks.crossval_tables import LINEAR_MODELS

NETWORK_MODELS = ("mlp", "lstm")
"""Baselines that see the same inputs and are not linear: columns of their own, no rivals."""


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The one score of a target that a reader looks for first.

    Attributes:
        task: Task.
        target: What was predicted.
        metric: The target's primary metric.
        value: The model's mean over sessions.
        null: What knowing nothing scores (``nan`` if undefined).
        oracle: The best possible score (``nan`` if unknown).
        rival: Name of the best linear baseline; empty if none was scored.
        rival_value: Its score.
        p_value: The largest p-value of the sessions (``nan`` if there are no nulls).
    """

    task: str
    target: str
    metric: str
    value: float
    null: float
    oracle: float
    rival: str
    rival_value: float
    p_value: float = float("nan")

    def share(self, value: float) -> float:
        """Where a score lies between null (0) and oracle (1); ``nan`` if either is unknown."""
        span = self.oracle - self.null
        return (value - self.null) / span if span > 0 else float("nan")


def main_model(scores: pd.DataFrame, preset: str | None) -> str | None:
    """The model that a report is about.

    Args:
        scores: Columns of ``scores.csv``.
        preset: Preset of the run, under which its scores are filed.

    Returns:
        The preset if it was scored, else the first model that is no baseline, else the first.
    """
    models = [str(name) for name in dict.fromkeys(scores["model"])]
    if preset in models:
        return preset
    known = {*LINEAR_MODELS, *NETWORK_MODELS, *TRIVIAL_MODELS, *REFERENCES}
    return next((name for name in models if name not in known), models[0] if models else None)


def headlines(table: pd.DataFrame, model: str, detailed: bool = False) -> list[Headline]:
    """The primary score of every task and target a model answered.

    Args:
        table: See :func:`summary_table`.
        model: One of its models.
        detailed: Include :data:`DETAILED_TASKS`.

    Returns:
        In the order of the table, without single channels.
    """
    found: list[Headline] = []
    if model not in table.columns:  # scored on another split than the table shows
        return found
    questions = dict.fromkeys((task, target) for task, target, _ in table.index)
    for task, target in questions:
        rows = select(table, task, target)
        metric = next((name for name in PRIMARY_METRICS if name in rows.index), None)
        part = task in DETAILED_TASKS and not detailed
        if (
            part
            or CHANNEL.search(target)
            or metric is None
            or not np.isfinite(rows.at[metric, model])
        ):
            continue
        row = rows.loc[metric]
        rivals = {m: row[m] for m in LINEAR_MODELS if m in row.index and np.isfinite(row[m])}
        rival = max(rivals, key=lambda name: float(rivals[name])) if rivals else ""
        headline = Headline(
            task=task,
            target=target,
            metric=metric,
            value=float(row[model]),
            null=float(row["null"]),
            oracle=float(row["oracle"]),
            rival=rival,
            rival_value=float(rivals.get(rival, np.nan)),
            p_value=float(row["p_value"]) if "p_value" in row.index else float("nan"),
        )
        found.append(headline)
    return found


def brief_table(scores: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """The primary scores of some models beside the best linear baseline of each row.

    Args:
        scores: Columns of ``scores.csv``.
        models: Models to show, the one to follow first.

    Returns:
        Like :func:`~neuroduet.report.tables.summary_table`, with the linear baselines drawn
        together: their column is the best of them by the scores shown, which favours them.
    """
    table = summary_table(scores)
    found = headlines(table, models[0])
    rows = table.loc[[(one.task, one.target, one.metric) for one in found]]
    brief = rows[[*models, "null", "oracle", "sessions"]].copy()
    brief.insert(len(models), "best linear", [one.rival_value for one in found])
    return brief
