"""Tables of a comparison of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from neuroduet.report.comparison_scores import Question, mean_and_interval, verdict
from neuroduet.report.comparison_words import signed
from neuroduet.report.contents import TASK_QUESTIONS, title_of
from neuroduet.report.sheet import Cell, Table, cells
from neuroduet.report.style import METRIC_LABELS, question_label
from neuroduet.report.tables import DECIMALS, number, p_text
from neuroduet.report.words import defined, meaning

DIFFERENCE = Cell(
    text="difference",
    title="Mean over the shared sessions of the run's score minus that of the first run",
)
INTERVAL = Cell(
    text="95 % interval",
    title="Of the mean difference, Student's t over sessions; none with fewer than 3 sessions",
)
ADJUSTED = Cell(
    text="p",
    title="Two-sided p-value of the paired t-test over sessions, adjusted by Holm's method for "
    "the number of primary scores and runs that were tested",
)
SESSIONS = Cell(
    text="sessions", title="Sessions in which all runs of the row were scored: what means are over"
)
REFERENCES = (
    defined("null"),
    Cell(text="linear", title="The best linear baseline of any of the runs, by the scores shown"),
    defined("oracle"),
)


def verdict_table(questions: Sequence[Question], names: Sequence[str]) -> Table:
    """The primary scores: means of all runs, and what the tests say of each but the first.

    Args:
        questions: What was compared.
        names: Names of the runs, the one to compare with first.
    """
    others = names[1:]
    several = len(others) > 1
    return Table(
        title="Primary scores",
        columns=(
            *cells("question", "metric", *(["run"] if several else [])),
            Cell(text="verdict" if several else f"{others[0]} is", title=_VERDICT),
            *cells(names[0], "its score" if several else others[0]),
            DIFFERENCE,
            INTERVAL,
            ADJUSTED,
            SESSIONS,
        ),
        rows=tuple(
            (*_keys(one), *(cells(name) if several else ()), *_judged(one, name))
            for one in questions
            for name in one.differences
            if one.primary
        ),
        keys=3 if several else 2,
        text=f"Differences are to {names[0]}. The higher mean in bold.",
    )


_VERDICT = (
    "higher or lower: the adjusted p is below 0.05; not told apart: it is not, which does not "
    "show that the runs are equal"
)


def _keys(one: Question) -> tuple[Cell, ...]:
    metric = METRIC_LABELS.get(one.metric, one.metric)
    return (
        Cell(text=question_label(one.task, one.target), title=TASK_QUESTIONS.get(one.task, "")),
        Cell(text=metric, title=meaning(one.metric)),
    )


def _means(one: Question, names: Sequence[str]) -> list[Cell]:
    """Means of some runs, the best of them marked; a dash for a run that did not answer."""
    means = {name: float(one.values[name].mean()) for name in names if name in one.values.columns}
    best = max(round(value, DECIMALS) for value in means.values())
    found = []
    for name in names:
        value = means.get(name, np.nan)
        kind = "best" if np.isfinite(value) and round(value, DECIMALS) == best else ""
        found.append(Cell(text=number(value), kind=kind))
    return found


def _judged(one: Question, name: str) -> tuple[Cell, ...]:
    found = one.differences[name]
    said = verdict(one, name)
    first = str(one.values.columns[0])
    return (
        Cell(text=said, title="" if said != "no test" else found.test, kind="word"),
        *_means(one, [first, name]),
        Cell(text=signed(found.mean)),
        Cell(text=_interval(found.low, found.high)),
        Cell(text=p_text(one.p_holm[name]), title=_unadjusted(one, name)),
        Cell(text=str(found.n), kind="ref"),
    )


def _interval(low: float, high: float) -> str:
    return f"{signed(low)} to {signed(high)}" if np.isfinite(low) else "–"


def _unadjusted(one: Question, name: str) -> str:
    value = one.differences[name].p_value
    return f"before adjustment {p_text(value)}" if np.isfinite(value) else ""


def _references(one: Question) -> tuple[Cell, ...]:
    return (
        Cell(text=number(one.null), kind="ref"),
        Cell(text=number(one.linear), title=one.linear_name, kind="ref"),
        Cell(text=number(one.oracle), kind="ref"),
    )


def score_tables(questions: Sequence[Question]) -> list[Table]:
    """All metrics, one table per task: means with intervals, and references.

    Args:
        questions: What was compared.
    """
    found = []
    for task in dict.fromkeys(one.task for one in questions):
        rows = [one for one in questions if one.task == task]
        names = list(dict.fromkeys(str(name) for one in rows for name in one.values.columns))
        found.append(
            Table(
                title=title_of(task),
                columns=(*cells("target", "metric", *names), SESSIONS, *REFERENCES),
                rows=tuple(_score_row(one, names) for one in rows),
                keys=2,
                text=TASK_QUESTIONS.get(task, ""),
            )
        )
    return found


def _score_row(one: Question, names: Sequence[str]) -> tuple[Cell, ...]:
    found = []
    for name, mean in zip(names, _means(one, names), strict=True):
        if name not in one.values.columns:
            found.append(mean)
            continue
        _, half = mean_and_interval(one.values[name].to_numpy(float))
        spread = f"± {number(half)}" if np.isfinite(half) else ""
        found.append(replace(mean, note=spread))
    count = Cell(text=str(len(one.values)), kind="ref")
    return (Cell(text=one.target), _keys(one)[1], *found, count, *_references(one))


def differences_table(questions: Sequence[Question]) -> Table:
    """Every difference with both tests, as they are and adjusted.

    Args:
        questions: What was compared.
    """
    heads = (
        DIFFERENCE,
        INTERVAL,
        Cell(text="p (t)", title="Paired t-test over sessions, two-sided"),
        Cell(text="adjusted", title=ADJUSTED.title),
        Cell(text="p (Wilcoxon)", title="Signed-rank test over sessions, exact, two-sided"),
        Cell(text="adjusted", title="The same, adjusted by Holm's method for the primary scores"),
        SESSIONS,
        Cell(text="test", title="Name of the test, or why there is none", kind="text"),
    )
    return Table(
        title="All differences and tests",
        columns=(*cells("run", "question", "metric"), *heads),
        rows=tuple(_test_row(one, name) for one in questions for name in one.differences),
        keys=3,
        text="Only primary scores are adjusted (and reported above): other metrics of a target "
        "say much the same again.",
        folded=True,
    )


def _test_row(one: Question, name: str) -> tuple[Cell, ...]:
    found = one.differences[name]
    return (
        Cell(text=name),
        *_keys(one),
        Cell(text=signed(found.mean)),
        Cell(text=_interval(found.low, found.high)),
        Cell(text=p_text(found.p_value)),
        Cell(text=p_text(one.p_holm[name])),
        Cell(text=p_text(found.wilcoxon)),
        Cell(text=p_text(one.wilcoxon_holm[name])),
        Cell(text=str(found.n), kind="ref"),
        Cell(text=found.test, kind="text"),
    )


def settings_table(rows: Sequence[tuple[str, Sequence[str]]], names: Sequence[str]) -> Table:
    """The settings in which runs differ.

    Args:
        rows: Dotted key, and its value in each run.
        names: Names of the runs.
    """
    return Table(
        title="Settings that differ (config.yaml)",
        columns=cells("setting", *names),
        rows=tuple((Cell(text=key), *cells(*values)) for key, values in rows),
    )


_COSTS = (
    ("parameters", "Trained numbers of the model, stitchers of sessions included"),
    ("shared core", "Parameters that all sessions share"),
    ("members", "Models of the ensemble; 1 for a run without"),
    ("steps", "Optimiser steps, summed over members"),
    ("windows seen", "Windows as often as training saw them, summed over members"),
    (
        "minutes",
        "Minutes of training, summed over members; without the pretraining of a finetuned run",
    ),
    ("stopped by", "The setting whose limit ended training"),
    ("device", "Where training ran"),
)


def cost_table(costs: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    """What training cost.

    Args:
        costs: Name of each run and what :func:`~neuroduet.training.info.describe_run` says of it.
    """
    columns = [_cost_column(cost) for _, cost in costs]
    return Table(
        title="Training cost",
        columns=cells("cost", *(name for name, _ in costs)),
        rows=tuple(
            (Cell(text=name, title=title), *cells(*(column[name] for column in columns)))
            for name, title in _COSTS
        ),
    )


def _cost_column(cost: Mapping[str, Any]) -> dict[str, str]:
    trainings = cost["trainings"]
    windows = _total(trainings, "windows")
    minutes = _total(trainings, "minutes")
    about = "" if all(one["windows_exact"] for one in trainings) else "at most "
    return {
        "parameters": f"{cost['parameters']['total']:,}",
        "shared core": f"{cost['parameters']['core']:,}",
        "members": str(cost["members"]),
        "steps": _whole(_total(trainings, "steps")),
        "windows seen": about + _whole(windows) if windows is not None else "–",
        "minutes": "–" if minutes is None else f"{minutes:.1f}",
        "stopped by": _words(trainings, "stopped_by"),
        "device": _words(trainings, "gpu", "device"),
    }


def _total(trainings: Sequence[Mapping[str, Any]], name: str) -> float | int | None:
    """Sum over members; ``None`` if one of them does not say."""
    values = [one[name] for one in trainings]
    return None if None in values else sum(values)


def _whole(value: float | int | None) -> str:
    return "–" if value is None else f"{int(value):,}"


def _words(trainings: Sequence[Mapping[str, Any]], *names: str) -> str:
    """What the members say, each answer once; the first of several entries that one has."""
    said = [next((one[name] for name in names if one[name]), "–") for one in trainings]
    return ", ".join(dict.fromkeys(str(word) for word in said))
