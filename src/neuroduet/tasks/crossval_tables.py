"""From the scores of all runs of a cross-validation to means, their errors and paired tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from neuroduet.metrics.paired import Difference, compare_folds, compare_sessions, holm
from neuroduet.metrics.primary import QUESTION, primary

BEST_LINEAR = "best_linear"
"""Model of the rows that hold, in every fold, the linear baseline best on validation windows."""

ALL = "all"
"""Session of the rows that are over sessions."""

LINEAR_MODELS = (
    "poisson_glm",
    "reduced_rank",
    "ridge_encoding",
    "reduced_rank_units",
    "reduced_rank_past",
    "ridge",
    "logistic",
)
"""Baselines that :data:`BEST_LINEAR` is chosen from."""

SUMMARY_COLUMNS = [
    "model",
    "session",
    *QUESTION,
    "mean",
    "sem",
    "sd_seeds",
    "n",
    "over",
    "runs",
    "null",
    "oracle",
]
"""Columns of ``summary.csv``, in order."""

PAIRED_COLUMNS = [
    "model",
    "against",
    *QUESTION,
    "mean",
    "low",
    "high",
    "p_value",
    "p_holm",
    "wilcoxon",
    "n",
    "test",
    "reported",
    "chosen",
]
"""Columns of ``paired.csv``, in order."""


def fold_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Average scores over seeds, and add the best linear baseline of every fold.

    Args:
        scores: The usual columns with ``preset`` (empty for baselines), ``fold`` and ``seed``.

    Returns:
        One row per model, session, fold, task, target and metric: ``value``, ``variance`` over
        seeds, ``runs``, ``null``, ``oracle``, and ``chosen``, the name of a best linear baseline.
        Undefined (``nan``) scores do not enter a mean.
    """
    # What a run scored besides its model (the majority region) is not its own.
    own = scores[(scores.preset == "") | (scores.preset == scores.model)]
    linear = own[(own.preset == "") & own.model.isin(LINEAR_MODELS)]
    test = own[own.split == "test"].assign(chosen="")
    whole = pd.concat([test, _best_linear(linear)], ignore_index=True)
    grouped = whole.groupby(["model", "session", "fold", *QUESTION], sort=False)
    return grouped.agg(
        value=("value", "mean"),
        variance=("value", "var"),
        runs=("value", "count"),
        null=("null", "mean"),
        oracle=("oracle", "mean"),
        chosen=("chosen", "first"),
    ).reset_index()


def _best_linear(linear: pd.DataFrame) -> pd.DataFrame:
    """The test score of the linear baseline with the highest validation score of each fold.

    Without validation scores it is that of the highest test score, which favours the baseline.
    """
    keys = ["session", "fold", *QUESTION]
    test = linear[linear.split == "test"].dropna(subset="value")
    valid = linear[linear.split == "valid"].set_index([*keys, "model"])["value"]
    known = valid.reindex(pd.MultiIndex.from_frame(test[[*keys, "model"]])).to_numpy(float)
    judged = test.assign(by=np.where(np.isfinite(known), known, test.value.to_numpy(float)))
    best = judged.loc[judged.groupby(keys, sort=False)["by"].idxmax()]
    return best.assign(chosen=best.model, model=BEST_LINEAR).drop(columns="by")


def summarise(table: pd.DataFrame, sessions: Collection[str]) -> pd.DataFrame:
    """Means over the folds of each session, and over sessions where there are several.

    Args:
        table: See :func:`fold_table`.
        sessions: The sessions that were read. Regions of one session alone are scored by folds
            over its units and carry another name: a mean, but no session to average or to test.

    Returns:
        Columns :data:`SUMMARY_COLUMNS`. ``sem`` is the standard deviation over folds (sessions)
        over the root of their number ``n``; ``sd_seeds`` the standard deviation over seeds within
        a fold (the root of the mean variance); ``over`` is ``folds`` or ``sessions``.
    """
    each = _means(table, ["model", "session", *QUESTION], "value").assign(over="folds")
    found = [each]
    if len(sessions) > 1:
        pooled = _means(each[each.session.isin(list(sessions))], ["model", *QUESTION], "mean")
        found.append(pooled.assign(session=ALL, over="sessions"))
    whole = pd.concat(found, ignore_index=True)
    whole["sd_seeds"] = np.sqrt(whole["variance"])
    return whole[SUMMARY_COLUMNS]


def _means(table: pd.DataFrame, keys: list[str], column: str) -> pd.DataFrame:
    found = table.groupby(keys, sort=False).agg(
        mean=(column, "mean"),
        sem=(column, "sem"),
        n=(column, "count"),
        variance=("variance", "mean"),
        runs=("runs", "sum"),
        null=("null", "mean"),
        oracle=("oracle", "mean"),
    )
    return found.reset_index()


def compare_models(
    table: pd.DataFrame, presets: Sequence[str], test_to_train: Mapping[str, float]
) -> pd.DataFrame:
    """Compare every preset with the best linear baseline, and with the first preset.

    Args:
        table: See :func:`fold_table`.
        presets: Names of the presets, the first being the one to compare with.
        test_to_train: By session that was read, test windows of a fold over its training windows.

    Returns:
        Columns :data:`PAIRED_COLUMNS`, see :class:`~neuroduet.metrics.paired.Difference`. Tests
        are over sessions if there are several, else over the folds of the one. ``p_holm`` is
        adjusted for the number of rows that are ``reported``: the primary metric of every task
        and target. ``chosen`` says in how many folds which linear baseline was the best.
    """
    pairs = [(name, BEST_LINEAR) for name in presets] + [(n, presets[0]) for n in presets[1:]]
    rows = [row for pair in pairs for row in _compare(table, *pair, test_to_train)]
    found = pd.DataFrame(rows, columns=[c for c in PAIRED_COLUMNS if c != "p_holm"])
    p_values = found.p_value.where(found.reported.astype(bool)).to_numpy(float)
    return found.assign(p_holm=holm(p_values))[PAIRED_COLUMNS]


def _compare(
    table: pd.DataFrame, model: str, against: str, test_to_train: Mapping[str, float]
) -> list[dict[str, object]]:
    keys = [*QUESTION, "session", "fold"]
    known = table[table.session.isin(list(test_to_train))]
    one, other = (known[known.model == name].set_index(keys) for name in (model, against))
    # Subtraction sorts rows: the order of the tasks is that of the scores.
    differences = (one["value"] - other["value"]).reindex(one.index).dropna()
    reported = primary(table)
    rows: list[dict[str, object]] = []
    for question, group in differences.groupby(level=QUESTION, sort=False):
        names = other.loc[group.index, "chosen"].value_counts(sort=True)
        rows.append(
            dict(zip(QUESTION, question, strict=True))
            | asdict(_test(group, test_to_train))
            | {"model": model, "against": against, "reported": question in reported}
            | {"chosen": ", ".join(f"{name} {n}" for name, n in names.items() if name)}
        )
    return rows


def _test(differences: pd.Series, test_to_train: Mapping[str, float]) -> Difference:
    """Test over sessions where several were read, else over the folds of the one."""
    if len(test_to_train) > 1:
        by_session = differences.groupby(level="session", sort=False).mean()
        return compare_sessions(by_session.to_numpy(float))
    (ratio,) = test_to_train.values()
    return compare_folds(differences.to_numpy(float), ratio)
