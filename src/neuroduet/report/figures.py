"""Figures of training and of scores."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neuroduet.metrics.primary import CHANNEL, PRIMARY_METRICS
from neuroduet.report.headlines import Headline
from neuroduet.report.style import (
    GREY,
    INK,
    METRIC_LABELS,
    MODEL,
    TASK_LABELS,
    Plate,
    decimal,
    grid,
    jitter,
    plate,
    question_label,
    short,
    styled,
)
from neuroduet.report.tables import model_columns, select, session_table

Curves = Sequence[tuple[str, pd.DataFrame]]

MAX_REGIONS = 20


@styled
def learning_curves(curves: Curves, prefix: str) -> Plate | None:
    """Draw the columns of the learning curves that start with a prefix.

    Args:
        curves: Name and table of the run or of each ensemble member.
        prefix: ``train_loss/`` or ``valid/``.

    Returns:
        One panel for each modality or target, or ``None`` if there is no such column.
    """
    columns = {str(c): None for _, table in curves for c in table.columns}
    names = [c.removeprefix(prefix) for c in columns if c.startswith(prefix)]
    if not names:
        return None
    in_row = min(4, max(3, len(names)))
    figure, panels = grid(len(names), in_row, 2.1)
    scored = prefix == "valid/"
    for axes, name in zip(panels, names, strict=True):
        found = [_known(table, prefix + name) for _, table in curves]
        _draw_curves(axes, [curve for curve in found if len(curve)], mark_best=scored)
        axes.set_title(short(TASK_LABELS.get(name, name), 20))
        axes.set_xlabel("optimiser step")
        axes.margins(x=0.06)
    for axes in panels[::in_row]:
        axes.set_ylabel("validation score" if scored else "training loss")
    members = f" One line for each of {len(curves)} ensemble members." if len(curves) > 1 else ""
    return plate(
        figure,
        name="valid" if scored else "loss",
        title="Validation scores" if scored else "Training losses",
        caption=(_VALID_CAPTION if scored else _LOSS_CAPTION) + members,
    )


_VALID_CAPTION = (
    "Score on validation windows, mean over sessions; higher is better and 0 means no better than "
    "the null. Activity: bits per spike (R² for traces), predicted from all behaviours, or under "
    "the masking that a panel is named after. Continuous behaviours: R². Categorical behaviours: "
    "fraction of the prior's cross-entropy that is explained. Dot: the best validation."
)
_LOSS_CAPTION = (
    "Loss of the training batch at each validation, per modality, with its weight; lower is "
    "better. It is noisy, since every batch hides different parts of the data."
)


def _known(table: pd.DataFrame, column: str) -> np.ndarray:
    """Steps and values of a curve where it has any, ``(n, 2)``."""
    if column not in table.columns:
        return np.zeros((0, 2))
    known = table[["step", column]].apply(pd.to_numeric, errors="coerce").dropna()
    return known.to_numpy(float)


def _draw_curves(axes: Axes, curves: Sequence[np.ndarray], mark_best: bool) -> None:
    for curve in curves:
        marker = "." if len(curve) == 1 else ""
        axes.plot(curve[:, 0], curve[:, 1], color=MODEL, alpha=0.9, marker=marker)
    if not mark_best or not curves:
        return
    tops = np.stack([curve[curve[:, 1].argmax()] for curve in curves])
    axes.plot(tops[:, 0], tops[:, 1], "o", color=MODEL, markersize=4.5, linestyle="")
    axes.set_title(f"best {decimal(tops[:, 1].max())}", loc="right", fontsize=8.0)


@styled
def score_dots(scores: pd.DataFrame, found: Sequence[Headline], main: str) -> Plate | None:
    """Draw every session's score of every model, one panel per headline.

    Args:
        scores: Columns of ``scores.csv``.
        found: Headlines to draw.
        main: The model that the report is about.

    Returns:
        The plate, or ``None`` without headlines.
    """
    if not found:
        return None
    table = session_table(scores)
    models = [main, *[m for m in model_columns(table) if m != main]]
    answered = [
        [m for m in models if select(table, h.task, h.target, h.metric)[m].notna().any()]
        for h in found
    ]
    rows = max(len(names) for names in answered)
    figure, panels = grid(len(found), 3, 0.8 + 0.27 * rows)
    for axes, headline, names in zip(panels, found, answered, strict=True):
        values = select(table, headline.task, headline.target, headline.metric)
        _dots(axes, values[names], [main])
        _references(axes, headline)
        axes.set_title(question_label(headline.task, short(headline.target)))
        axes.set_xlabel(METRIC_LABELS.get(headline.metric, headline.metric))
    return plate(
        figure,
        name="scores",
        title="Every model beside the others",
        caption="Test windows. Dot: one session; bar: mean over sessions; dotted line: null; "
        "dashed line: oracle (the best possible prediction, known for simulated data only).",
    )


def _dots(axes: Axes, values: pd.DataFrame, marked: Container[str]) -> None:
    """A row of dots and their mean for each column, the marked ones in the model's colour."""
    for row, name in enumerate(values.columns):
        x = values[name].dropna().to_numpy(float)
        colour = MODEL if name in marked else GREY
        offsets = jitter(len(x), 0.3) if len(x) > 1 else np.zeros(1)
        axes.plot(x, row + offsets, "o", color=colour, alpha=0.55, markersize=4, linestyle="")
        axes.plot([x.mean()] * 2, [row - 0.32, row + 0.32], color=colour, linewidth=2.4)
    axes.set_yticks(range(len(values.columns)), [short(str(n), 18) for n in values.columns])
    axes.set_ylim(len(values.columns) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)


def _references(axes: Axes, headline: Headline) -> None:
    for value, style in ((headline.null, ":"), (headline.oracle, "--")):
        if np.isfinite(value):
            axes.axvline(value, color=INK, linestyle=style, linewidth=1.0)


@styled
def decoding_by_region(scores: pd.DataFrame, main: str) -> Plate | None:
    """Draw how well the units of each region alone tell each behaviour.

    Args:
        scores: Columns of ``scores.csv``.
        main: The model whose scores are drawn.

    Returns:
        One panel for each behaviour, or ``None`` if the model was not scored by region.
    """
    table = session_table(scores)
    found = _by_region(table, main) if main in table.columns else {}
    if not found:
        return None
    rows = max(values.index.get_level_values("region").nunique() for values, _ in found.values())
    figure, panels = grid(len(found), 3, 0.8 + 0.24 * min(rows, MAX_REGIONS))
    for axes, (name, (values, metric)) in zip(panels, found.items(), strict=True):
        _region_dots(axes, values, main)
        axes.set_title(short(name))
        axes.set_xlabel(METRIC_LABELS.get(metric, metric))
    return plate(
        figure,
        name="by-region",
        title="Which regions tell a behaviour",
        caption=f"{main} on test windows, seeing the units of one region only; the best regions "
        f"first, at most {MAX_REGIONS}. Dot: one session; bar: mean over sessions; dotted line: "
        "null.",
    )


def _by_region(table: pd.DataFrame, main: str) -> dict[str, tuple[pd.DataFrame, str]]:
    """By behaviour: its scores and null, indexed by region and session, and their metric."""
    rows = select(table, "decoding_by_region").reset_index()
    rows = rows[rows[main].notna() & ~rows["target"].str.contains(CHANNEL)]
    parts = rows["target"].str.rsplit("@", n=1)
    rows = rows.assign(behaviour=parts.str[0], region=parts.str[-1])
    found = {}
    for name, own in rows.groupby("behaviour", sort=False):
        metric = next((m for m in PRIMARY_METRICS if (own["metric"] == m).any()), None)
        if metric is not None:
            chosen = own[own["metric"] == metric].set_index(["region", "session"])
            found[str(name)] = (chosen[[main, "null"]], metric)
    return found


def _region_dots(axes: Axes, values: pd.DataFrame, main: str) -> None:
    means = values[main].groupby(level="region", sort=False).mean()
    order = means.sort_values(ascending=False, kind="stable").index[:MAX_REGIONS]
    wide = values[main].unstack("region")
    _dots(axes, wide[order], order)
    null = values["null"].mean()
    if np.isfinite(null):
        axes.axvline(null, color=INK, linestyle=":", linewidth=1.0)
