"""Scores of several runs on the same sessions: paired rows, references and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from neuroduet.errors import UserError
from neuroduet.metrics.paired import FEWEST, Difference, compare_sessions, holm
from neuroduet.report.action_scores import interval_of_mean
from neuroduet.report.comparison_runs import KEY, ComparedRun
from neuroduet.report.tables import QUESTION
from neuroduet.tasks.crossval_tables import LINEAR_MODELS, primary

CERTAIN = 0.05
"""An adjusted p-value below this is called certain."""

Named = tuple[str, str, str]
"""Task, target and metric."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """A task, target and metric that several runs answered in the same sessions.

    Attributes:
        task: Task.
        target: What was predicted.
        metric: Metric.
        values: Scores, one row per shared session and one column per run that answered; the
            first column is the run that the others are compared with.
        primary: Whether this is the metric of its target that is tested.
        same: Whether every shared row rests on as many scored spikes, bins or trials in every
            run; otherwise the test sets differ.
        null: Mean over the shared sessions of what knowing nothing scores; nan if unknown.
        oracle: Mean of the best possible scores; nan if unknown.
        linear: Mean of the best linear baseline that any of the tables holds; nan if none does.
        linear_name: Which one that is.
        differences: By run, how much higher it scores than the first.
        p_holm: By run, the p-value of the t-test, adjusted; nan where nothing was tested.
        wilcoxon_holm: The same of the signed-rank test.
    """

    task: str
    target: str
    metric: str
    values: pd.DataFrame
    primary: bool
    same: bool
    null: float
    oracle: float
    linear: float
    linear_name: str
    differences: dict[str, Difference] = field(default_factory=dict)
    p_holm: dict[str, float] = field(default_factory=dict)
    wilcoxon_holm: dict[str, float] = field(default_factory=dict)

    @property
    def named(self) -> Named:
        """Task, target and metric."""
        return self.task, self.target, self.metric


def unpaired(wide: pd.DataFrame, questions: Sequence[Question]) -> dict[str, list[str]]:
    """Rows of each run that are in no pair.

    Args:
        wide: See :func:`side_by_side`.
        questions: What was paired.

    Returns:
        By run, the names of the rows (task, target, metric, session) left out.
    """
    paired = {
        (str(name), (*one.named, session))
        for one in questions
        for name in one.values.columns
        for session in one.values.index
    }
    return {
        str(name): [
            " · ".join(map(str, key))
            for key, value in wide[name].items()
            if np.isfinite(value) and (str(name), key) not in paired
        ]
        for name in wide.columns
    }


def ask_questions(runs: Sequence[ComparedRun], wide: pd.DataFrame, tested: bool) -> list[Question]:
    """Pair what the runs share and test the differences to the first run.

    A question counts if the first run and another one answered it; its sessions are those in
    which every run that answered it at all has a score, so that all means are over the same.

    Args:
        runs: The runs, the one to compare with first.
        wide: See :func:`side_by_side`.
        tested: Whether p-values mean anything; if not, there are none.

    Returns:
        The questions, in the order of ``wide``.

    Raises:
        UserError: No question has a shared session.
    """
    main = set(primary(wide.reset_index()))
    found = [
        one
        for named, rows in wide.groupby(level=QUESTION, sort=False)
        if (one := _question(runs, named, rows.droplevel(QUESTION), named in main)) is not None
    ]
    if not found:
        names = ", ".join(run.name for run in runs[1:])
        raise UserError(
            f"{runs[0].name} shares no session, task, target and metric with {names}; compare "
            "runs that were evaluated on the same recordings"
        )
    return _tested(found, tested)


def _question(
    runs: Sequence[ComparedRun], named: Named, rows: pd.DataFrame, is_primary: bool
) -> Question | None:
    answering = [run for run in runs if rows[run.name].notna().any()]
    values = rows[[run.name for run in answering]].dropna()
    if len(answering) < 2 or answering[0] is not runs[0] or values.empty:
        return None
    names = [str(session) for session in values.index]
    tables = [run.table.reindex([(*named, name) for name in names]) for run in runs]
    linear = {
        model: value for model in LINEAR_MODELS if np.isfinite(value := _first_mean(tables, model))
    }
    best = max(linear, key=lambda name: linear[name]) if linear else ""
    task, target, metric = named
    return Question(
        task=task,
        target=target,
        metric=metric,
        values=values,
        primary=is_primary,
        same=_same_numbers(answering, named, names),
        null=_first_mean(tables, "null"),
        oracle=_first_mean(tables, "oracle"),
        linear=linear.get(best, np.nan),
        linear_name=best,
    )


def _first_mean(tables: Sequence[pd.DataFrame], column: str) -> float:
    """Mean of a column in the first table that knows it for every shared session."""
    for table in tables:
        if column in table.columns and table[column].notna().all():
            return float(table[column].mean())
    return float("nan")


def _same_numbers(runs: Sequence[ComparedRun], named: Named, sessions: list[str]) -> bool:
    counts = [
        run.own.set_index(KEY)["n"].reindex([(*named, name) for name in sessions]).to_numpy(float)
        for run in runs
    ]
    return all(np.array_equal(counts[0], other, equal_nan=True) for other in counts[1:])


def _tested(questions: Sequence[Question], tested: bool) -> list[Question]:
    """Differences of every question; p-values of the primary ones, adjusted for their number."""
    pairs = [(one, name) for one in questions for name in map(str, one.values.columns[1:])]
    found = [_difference(one, name, tested) for one, name in pairs]
    counted = np.array([one.primary for one, _ in pairs])
    t_test = holm(np.where(counted, [d.p_value for d in found], np.nan))
    signed = holm(np.where(counted, [d.wilcoxon for d in found], np.nan))
    rows = list(zip(pairs, found, t_test, signed, strict=True))
    return [
        replace(
            question,
            differences={n: d for (q, n), d, _, _ in rows if q is question},
            p_holm={n: float(p) for (q, n), _, p, _ in rows if q is question},
            wilcoxon_holm={n: float(p) for (q, n), _, _, p in rows if q is question},
        )
        for question in questions
    ]


def _difference(question: Question, name: str, tested: bool) -> Difference:
    values = question.values
    found = compare_sessions((values[name] - values.iloc[:, 0]).to_numpy(float))
    if tested and question.same:
        return found
    nan = float("nan")
    why = "none: the test sets differ"
    return replace(found, low=nan, high=nan, p_value=nan, wilcoxon=nan, test=why)


def mean_and_interval(values: Float[np.ndarray, " S"]) -> tuple[float, float]:
    """Mean over sessions and half its 95 % interval (Student's t); nan with fewer than three."""
    mean, half = interval_of_mean(values[None])
    return float(mean[0]), float(half[0]) if len(values) >= FEWEST else float("nan")


def verdict(question: Question, name: str) -> str:
    """What the test of a primary score says of a run against the first one, in words."""
    found, p_value = question.differences[name], question.p_holm[name]
    if np.isfinite(p_value):
        if p_value >= CERTAIN:
            return "not told apart"
        return "higher" if found.mean > 0 else "lower"
    equal = (question.values[name] == question.values.iloc[:, 0]).all()
    return "equal" if equal and question.same else "no test"
