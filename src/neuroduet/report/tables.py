"""Score tables: one row per question, one column per model, beside what is possible."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import numpy as np
import pandas as pd

from neuroduet.errors import UserError
from neuroduet.types import Score

COLUMNS = tuple(field.name for field in fields(Score))
QUESTION = ["task", "target", "metric"]
REFERENCES = ("null", "oracle", "oracle_rates", "p_value", "sessions")
"""Columns of a table that are no models; ``oracle_rates`` knows what no behaviour tells."""

P_VALUE = "p_value"
BOUND = "oracle_behaviour"
"""Model whose scores are the column ``oracle``: the best prediction from behaviour."""

TASK_ORDER = (
    "encoding",
    "encoding_from",
    "decoding",
    "co_smoothing",
    "forward",
    "intra_region",
    "inter_region",
    "decoding_by_region",
    "regions",
)
TRIVIAL_MODELS = ("mean_rate", "psth", "smoothed", "majority", "mean")
DECIMALS = 3


def summary_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Average scores over sessions, models side by side.

    Rows of the same model, session, task, target and metric count once (the first). When the table
    holds several splits only ``test`` is used. Undefined (``nan``) values do not enter a mean.

    Args:
        scores: Columns of ``scores.csv``.

    Returns:
        Indexed by task, target and metric: one column per model in order of appearance, then
        ``null``, ``oracle`` (filled from the model ``oracle_behaviour`` where undefined),
        ``oracle_rates`` if it was scored, ``p_value`` (the largest of the sessions) if one model
        was compared with nulls, and ``sessions`` (how many the row rests on).

    Raises:
        UserError: A column is missing.
    """
    return _wide(_tidy(scores), QUESTION)


def session_table(scores: pd.DataFrame) -> pd.DataFrame:
    """The same as :func:`summary_table` for each session: the index ends with the session.

    Args:
        scores: Columns of ``scores.csv``.

    Returns:
        Indexed by task, target, metric and session.

    Raises:
        UserError: A column is missing.
    """
    return _wide(_tidy(scores), [*QUESTION, "session"])


def model_columns(table: pd.DataFrame) -> list[str]:
    """Names of the models of a table."""
    return [str(name) for name in table.columns if name not in REFERENCES]


def best_models(row: pd.Series) -> set[str]:
    """Models with the highest score of a row, ties at the printed precision included.

    Args:
        row: One row of :func:`summary_table`.

    Returns:
        Names; empty when fewer than two models have a score.
    """
    values = {
        name: round(float(value), DECIMALS)
        for name, value in row.items()
        if name not in REFERENCES and np.isfinite(value)
    }
    if len(values) < 2:
        return set()
    return {str(name) for name, value in values.items() if value == max(values.values())}


def number(value: float) -> str:
    """A score as text; a dash where it is undefined, never a negative zero."""
    if not np.isfinite(value):
        return "–"
    return f"{round(float(value), DECIMALS) + 0.0:.{DECIMALS}f}"


def p_text(value: float) -> str:
    """A p-value as text.

    Example:
        >>> p_text(0.0321), p_text(1e-9), p_text(float("nan"))
        ('0.032', '<0.001', '–')
    """
    if not np.isfinite(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.2g}"


def select(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Rows whose index begins with the given task, target and metric, without those levels."""
    levels = list(table.index.names[: len(names)])
    chosen = np.ones(len(table), dtype=bool)
    for level, name in zip(levels, names, strict=True):
        chosen &= np.asarray(table.index.get_level_values(level) == name)
    return table[chosen].droplevel(levels)


def uneven_models(scores: pd.DataFrame) -> list[str]:
    """Models that lack a score in some session in which another model has one.

    Their means are over different sessions and do not compare.

    Args:
        scores: Columns of ``scores.csv``.

    Returns:
        Names of the models, in order of appearance.
    """
    by_session = session_table(scores)
    counts = by_session.notna().groupby(level=QUESTION, sort=False).sum()
    sessions = by_session.groupby(level=QUESTION, sort=False).size()
    return [
        name
        for name in model_columns(by_session)
        if bool(((counts[name] > 0) & (counts[name] < sessions)).any())
    ]


def _tidy(scores: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in COLUMNS if name not in scores.columns]
    if missing:
        raise UserError(
            f"the score table lacks the columns {', '.join(missing)}; "
            f"expected {', '.join(COLUMNS)}, as evaluate writes them"
        )
    names = ["model", "session", *QUESTION, "split"]
    tested = [P_VALUE] if P_VALUE in scores.columns else []
    tidy = scores[[*COLUMNS, *tested]].astype(dict.fromkeys(names, str))
    if (tidy["split"] == "test").any():
        tidy = tidy[tidy["split"] == "test"]
    return tidy.drop_duplicates(["model", "session", *QUESTION])


def _wide(tidy: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    if tidy.empty:
        nothing = pd.MultiIndex.from_arrays([[] for _ in keys], names=keys)
        return pd.DataFrame(index=nothing, columns=["null", "oracle", "sessions"], dtype=float)
    named = tidy[keys].itertuples(index=False, name=None)
    rows = pd.MultiIndex.from_tuples(ordered_rows(named), names=keys)
    grouped = tidy.groupby([*keys, "model"], sort=False)["value"].mean()
    values = grouped.unstack("model").reindex(index=rows).astype(float)
    models = [m for m in dict.fromkeys(tidy["model"]) if m not in (*REFERENCES, BOUND)]
    table = values.reindex(columns=models)
    references = _references(tidy, keys).reindex(rows)
    table["null"], table["oracle"] = references["null"], references["oracle"]
    if BOUND in values.columns:
        table["oracle"] = table["oracle"].fillna(values[BOUND])
    if "oracle_rates" in values.columns:
        table["oracle_rates"] = values["oracle_rates"]
    tested = tidy.dropna(subset=P_VALUE) if P_VALUE in tidy else tidy[:0]
    if tested["model"].nunique() == 1:
        table[P_VALUE] = tested.groupby(keys, sort=False)[P_VALUE].max().reindex(rows)
    table["sessions"] = tidy.groupby(keys, sort=False)["session"].nunique().reindex(rows)
    table.columns.name = None
    return table


def _references(tidy: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Null and oracle of each session, averaged over sessions."""
    # A constant model that is its own null (the majority region) says the least about others.
    trivial = tidy["model"].isin(TRIVIAL_MODELS)
    ordered = pd.concat([tidy[~trivial], tidy[trivial]])
    by_session = ordered.groupby(list(dict.fromkeys([*keys, "session"])), sort=False)
    first = by_session[["null", "oracle"]].first().astype(float)
    return first.groupby(level=keys, sort=False).mean()


def ordered_rows(named: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rows once each: known tasks first, the rest as it appears, sessions of a row together.

    Args:
        named: Task, target and metric of each row, with the session or without.
    """
    rows = list(dict.fromkeys(named))
    first = {row[:3]: i for i, row in reversed(list(enumerate(rows)))}
    targets = {row[:2]: i for i, row in reversed(list(enumerate(rows)))}
    return sorted(
        rows, key=lambda row: (_rank(row[0], TASK_ORDER), targets[row[:2]], first[row[:3]])
    )


def _rank(name: str, order: Iterable[str]) -> int:
    known = list(order)
    return known.index(name) if name in known else len(known)
