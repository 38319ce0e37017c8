"""Figures of several runs side by side: sessions as lines, units as dots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes

from neuroduet.report.comparison_runs import ComparedRun
from neuroduet.report.comparison_scores import Question
from neuroduet.report.style import (
    CRAMPED,
    GREY,
    INK,
    METRIC_LABELS,
    MODEL,
    PALETTE,
    Plate,
    decimal,
    grid,
    plate,
    question_label,
    short,
    styled,
    task_label,
    usual_range,
)
from neuroduet.report.units import UNIT_QUESTIONS

MAX_PANELS = 12
MAX_LINES = 60
"""Sessions beyond this are drawn fainter."""


@styled
def paired_dots(questions: Sequence[Question]) -> Plate | None:
    """Draw every shared session as a line from run to run, one panel per primary score.

    Args:
        questions: What was compared.

    Returns:
        The plate, or ``None`` without a primary score.
    """
    shown = [one for one in questions if one.primary][:MAX_PANELS]
    if not shown:
        return None
    columns = min(4, max(3, len(shown)))
    figure, panels = grid(len(shown), columns, 2.7)
    for axes, one in zip(panels, shown, strict=True):
        _draw_sessions(axes, one)
    dropped = sum(one.primary for one in questions) - len(shown)
    more = f" {dropped} more scores are in the tables alone." if dropped else ""
    return plate(
        figure,
        name="paired",
        title="Every session in every run",
        caption="One thin line for each session that all the runs of a panel share; thick: their "
        "mean. Lines that mostly rise, or mostly fall, are a difference between runs; lines that "
        "cross are differences between sessions. Dotted: null, dashed: the best linear baseline, "
        f"dash-dotted: oracle, each the mean of the shared sessions where it is known.{more}",
    )


def _draw_sessions(axes: Axes, one: Question) -> None:
    values = one.values.to_numpy(float)
    at = np.arange(values.shape[1])
    alpha = 0.55 if len(values) <= MAX_LINES else 0.2
    for line in values:
        axes.plot(at, line, "-o", color=GREY, alpha=alpha, linewidth=0.9, markersize=3)
    axes.plot(at, values.mean(0), "-o", color=MODEL, linewidth=2.2, markersize=6)
    for height, style in ((one.null, ":"), (one.linear, "--"), (one.oracle, "-.")):
        if np.isfinite(height):
            axes.axhline(height, color=INK, linestyle=style, linewidth=0.9, alpha=0.7)
    length = max(6, 26 // len(at))
    axes.set_xticks(at, [short(str(name), length) for name in one.values.columns])
    axes.set_xlim(-0.35, len(at) - 0.65)
    axes.set_ylabel(METRIC_LABELS.get(one.metric, one.metric))
    axes.set_title(short(question_label(one.task, one.target), 32))


def unit_pairs(first: ComparedRun, other: ComparedRun) -> pd.DataFrame:
    """Scores of the units that both runs scored.

    Args:
        first: The run to compare with.
        other: Another run.

    Returns:
        Columns ``task``, ``metric``, ``session``, ``unit``, ``first`` and ``other``; units without
        a score in either run are left out. Equal names in a session are paired in their order.
    """
    empty = pd.DataFrame(columns=["task", "metric", "session", "unit", "first", "other"])
    one, two = (_units(run) for run in (first, other))
    if one is None or two is None:
        return empty
    keys = ["task", "metric", "session", "unit", "place"]
    both = one.merge(two, on=keys, suffixes=("_first", "_other"))
    both = both.rename(columns={"value_first": "first", "value_other": "other"})
    return both[np.isfinite(both[["first", "other"]]).all(axis=1)][list(empty.columns)]


def _units(run: ComparedRun) -> pd.DataFrame | None:
    rows = run.folder.own_units
    if rows is None or "session" not in rows.columns:
        return None
    if "task" not in rows.columns:
        rows = rows.assign(task="encoding")
    if "split" in rows.columns and (rows["split"] == "test").any():
        rows = rows[rows["split"] == "test"]
    keys = ["task", "metric", "session", "unit"]
    rows = rows.astype(dict.fromkeys(keys, str)).astype({"value": float})
    return rows.assign(place=rows.groupby(keys).cumcount())[[*keys, "place", "value"]]


@styled
def unit_scatter(pairs: pd.DataFrame, first: str, other: str, name: str) -> Plate | None:
    """Draw the scores of single units in one run against those in another.

    Args:
        pairs: See :func:`unit_pairs`.
        first: Name of the run on the horizontal axis.
        other: Name of the run on the vertical axis.
        name: Identifier, unique in the page.

    Returns:
        One panel for each task, or ``None`` if no unit was scored in both runs.
    """
    panels = [(task, metric, rows) for task in UNIT_QUESTIONS for metric, rows in _of(pairs, task)]
    if not panels:
        return None
    figure, drawn = grid(len(panels), 3, 3.3)
    outside = 0
    for axes, (task, metric, rows) in zip(drawn, panels, strict=True):
        values = rows[["first", "other"]].to_numpy(float)
        outside += _draw_units(axes, values)
        label = METRIC_LABELS.get(metric, metric)
        axes.set_title(f"{task_label(task)}, {label}")
        axes.set_xlabel(short(first, 26))
        axes.set_ylabel(short(other, 26))
    beyond = f" {outside} dots lie outside the axes." if outside else ""
    return plate(
        figure,
        name=name,
        title=f"Units: {other} against {first}",
        caption=f"One dot for each unit that both runs scored in test windows; cross: median. "
        f"Above the diagonal a unit is predicted better by {other}, below by {first}; the counts "
        "say how many. Units of a session share its trials, so that counts of units are no test."
        f"{beyond}",
    )


def _of(pairs: pd.DataFrame, task: str) -> list[tuple[str, pd.DataFrame]]:
    rows = pairs[pairs["task"] == task]
    metrics = [name for name in ("bits_per_spike", "r2") if (rows["metric"] == name).any()]
    return [(name, rows[rows["metric"] == name]) for name in metrics[:1]]


def _draw_units(axes: Axes, values: Float[np.ndarray, "N 2"]) -> int:
    low, high = _limits(values)
    pixels = len(values) > CRAMPED
    axes.plot([low, high], [low, high], color=INK, linewidth=0.9, linestyle=":")
    axes.plot(*values.T, ".", color=MODEL, alpha=0.4, markersize=4, rasterized=pixels)
    axes.plot(*np.median(values, axis=0), "P", color=PALETTE[3], markersize=8)
    above = int((values[:, 1] > values[:, 0]).sum())
    below = int((values[:, 1] < values[:, 0]).sum())
    told = f"{above} above ({decimal(above / len(values))})"
    axes.text(0.03, 0.97, told, transform=axes.transAxes, va="top", fontweight="bold")
    axes.text(0.97, 0.04, f"{below} below", transform=axes.transAxes, ha="right")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    return int(((values < low) | (values > high)).any(axis=1).sum())


def _limits(values: Float[np.ndarray, "N 2"]) -> tuple[float, float]:
    """Limits of both axes, which a few units cannot stretch."""
    low, high = usual_range(values)
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin
