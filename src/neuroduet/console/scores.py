"""Score tables on standard output: the primary scores, the others are in the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from neuroduet.console.tables import laid_out, paragraph, show
from neuroduet.terminal import new_console, plain, write

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table
    from rich.text import Text

FLOOR = -100.0
"""Scores below are told apart by nobody: a prediction so wrong that its value means nothing."""

SPARSE = 0.5
"""Share of empty cells from which on models are listed row by row."""

ASIDE = ("mean_rate", "mean", "majority", "oracle_rates")
"""Columns that only the file has: constants, which the null stands for, and the true rates."""


def print_scores(scores: Any, models: Sequence[str] | None = None) -> None:
    """Print the mean of each primary score over sessions, and how many others there are.

    Args:
        scores: Data frame with the columns of ``scores.csv``.
        models: Show only these, beside the best linear baseline.
    """
    from neuroduet.report.headlines import brief_table
    from neuroduet.report.tables import summary_table

    whole = summary_table(scores)
    table = brief_table(scores, models) if models else _primary_rows(whole)
    found = _ranked(table) if _is_sparse(table) else _side_by_side(table)
    if found is not None:
        show(found)
    else:
        _print_paragraphs(table)
    others = len(whole) - len(table)
    if others:
        said, are = ("score", "is") if others == 1 else ("scores", "are")
        write(f"{others} other {said} (metrics, channels, parts of tasks) {are} in the file")


def _side_by_side(table: pd.DataFrame) -> Table | None:
    """One column for every model."""
    rows = [_cells(key, row) for key, row in table.iterrows()]
    header = [*map(str, table.index.names), *(plain(str(name)) for name in table.columns)]
    return laid_out(header, rows, numbers=len(table.index.names))


def _is_sparse(table: pd.DataFrame) -> bool:
    """Whether columns of models would be empty for the most part."""
    from neuroduet.report.tables import model_columns

    models = table[model_columns(table)]
    return bool(models.isna().to_numpy().mean() > SPARSE) if models.size else False


def _ranked(table: pd.DataFrame) -> Table | None:
    """The models of every row in words, the best first."""
    from rich.text import Text

    from neuroduet.report.tables import model_columns

    models = model_columns(table)
    beside = [name for name in table.columns if name not in models]
    rows = []
    for key, row in table.iterrows():
        known = row[models].dropna().sort_values(ascending=False, kind="stable")
        best, *others = [_item(name, value) for name, value in known.items()] or ["–"]
        rows.append(
            [
                *(Text(plain(str(part))) for part in key),
                Text(best, style="bold"),
                Text(", ".join(others)),
                *(Text(_shown(str(name), float(row[name]))) for name in beside),
            ]
        )
    header = [*map(str, table.index.names), "best", "others", *map(str, beside)]
    return laid_out(header, rows, numbers=len(table.index.names) + 2)


def _primary_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Primary scores of a table; all of them if it has none."""
    from neuroduet.metrics.primary import primary
    from neuroduet.report.tables import model_columns

    rows = table.loc[primary(table.reset_index())]
    rows = rows if len(rows) else table
    answered = [x for x in rows if x in ("null", "sessions") or rows[x].notna().any()]
    telling = rows[[name for name in answered if name not in ASIDE]]
    return telling if model_columns(telling) else rows[answered]


def _cells(key: Any, row: pd.Series) -> list[Text]:
    from rich.text import Text

    from neuroduet.report.tables import best_models

    best = best_models(row)
    return [
        *(Text(plain(str(part))) for part in key),
        *(
            Text(_shown(str(name), float(value)), style="bold" if name in best else "")
            for name, value in row.items()
        ),
    ]


def _shown(column: str, value: float) -> str:
    from neuroduet.report.tables import number, p_text

    if column == "sessions":
        return str(int(value))
    if column == "p_value":
        return p_text(value)
    return f"< {FLOOR:.0f}" if value < FLOOR else number(value)


def _print_paragraphs(table: pd.DataFrame) -> None:
    """A paragraph for each row: what was scored beside what is possible, then the best first."""
    from neuroduet.report.tables import REFERENCES

    width = new_console().width
    for key, row in table.iterrows():
        known = row.dropna()
        models = known[[name for name in known.index if name not in REFERENCES]]
        asked = " ".join(plain(str(part)) for part in key)
        beside = [_item(name, value) for name, value in known.items() if name in REFERENCES]
        write(paragraph([asked, *beside], width))
        ranked = models.sort_values(ascending=False, kind="stable").items()
        items = [_item(name, value) for name, value in ranked]
        if items:
            write("  " + paragraph(items, width - 2))
        write("")


def _item(name: Any, value: float) -> str:
    return f"{plain(str(name))} {_shown(str(name), float(value))}"
