"""Figures of the scores of action segmentation: label density, and models by features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from scipy.stats import t as student

from neuroduet.report.style import Plate, grid, markings, plate, short, styled

ACTION_METRICS = {
    "macro_f1": "macro F1",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "edit": "edit score",
    "f1@10": "F1@10",
    "f1@25": "F1@25",
    "f1@50": "F1@50",
}
"""What a reader calls a metric."""


@styled
def density_curves(table: pd.DataFrame, metrics: Sequence[str] = ("macro_f1",)) -> Plate | None:
    """Draw how scores grow with the number of labels.

    Args:
        table: Columns ``goal`` (labelled frames per class), ``model``, ``seed``, ``metric`` and
            ``value``.
        metrics: Metrics to draw, one panel each.

    Returns:
        The plate, or ``None`` if the table has none of the metrics.
    """
    present = [name for name in metrics if (table["metric"] == name).any()]
    if not present:
        return None
    figure, panels = grid(len(present), min(3, len(present)), 3.4, width_in=3.8 * len(present) + 1)
    marks = markings(str(name) for name in table["model"])
    for axes, metric in zip(panels, present, strict=True):
        rows = table[table["metric"] == metric]
        for model, own in rows.groupby("model", sort=False):
            _draw_density(axes, own, str(model), *marks[str(model)])
        axes.set_xscale("log")
        goals = sorted(rows["goal"].unique())
        axes.set_xticks(goals, [f"{goal:g}" for goal in goals])
        axes.minorticks_off()
        axes.set_xlabel("labelled frames per class")
        axes.set_ylabel(ACTION_METRICS.get(metric, metric))
    panels[0].legend()
    return plate(
        figure,
        name="density",
        title="How scores grow with labels",
        caption="Scores of labelled frames of recordings that were not trained on. Small marks: "
        "one seed (which draws the labels and the weights); line: mean; band: 95 % interval of "
        "the mean over seeds (Student's t).",
    )


def _draw_density(axes: Axes, rows: pd.DataFrame, model: str, colour: str, marker: str) -> None:
    values = rows.pivot_table(index="goal", columns="seed", values="value").sort_index()
    goals = values.index.to_numpy(float)
    mean, half = interval_of_mean(values.to_numpy(float))
    axes.plot(np.repeat(goals, values.shape[1]), values.to_numpy().ravel(), marker, color=colour,
              markersize=2.5, alpha=0.6, linestyle="")  # fmt: skip
    axes.plot(goals, mean, marker=marker, color=colour, markersize=5, label=short(model, 24))
    axes.fill_between(goals, mean - half, mean + half, color=colour, alpha=0.18, linewidth=0)


def interval_of_mean(
    values: Float[np.ndarray, "N S"], level: float = 0.95
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Mean over the columns, and half the width of its interval (Student's t).

    Args:
        values: One column per repetition, ``nan`` where one is missing.
        level: Coverage of the interval.

    Returns:
        Means; half widths, zero where fewer than two repetitions are known.
    """
    known = np.isfinite(values)
    n = known.sum(1)
    filled = np.where(known, values, 0.0)
    mean = np.where(n > 0, filled.sum(1) / np.maximum(n, 1), np.nan)
    spread = np.where(known, values - mean[:, None], 0.0)
    variance = (spread**2).sum(1) / np.maximum(n - 1, 1)
    factor = student.ppf(0.5 + level / 2, np.maximum(n - 1, 1))
    return mean, np.where(n > 1, factor * np.sqrt(variance / np.maximum(n, 1)), 0.0)


@styled
def model_grid(table: pd.DataFrame, metrics: Sequence[str] = ("macro_f1",)) -> Plate | None:
    """Draw the scores of every model with every kind of features.

    Args:
        table: Columns ``model``, ``features``, ``metric``, ``value``, ``low`` and ``high``, one
            row per model, features and metric.
        metrics: Metrics to draw, one panel each.

    Returns:
        The plate, or ``None`` if the table has none of the metrics.
    """
    present = [name for name in metrics if (table["metric"] == name).any()]
    if not present:
        return None
    models = [str(name) for name in dict.fromkeys(table["model"])]
    kinds = [str(name) for name in dict.fromkeys(table["features"])]
    marks = markings(kinds)
    height_in = 1.0 + (0.12 + 0.16 * len(kinds)) * len(models)
    figure, panels = grid(len(present), min(3, len(present)), height_in)
    for axes, metric in zip(panels, present, strict=True):
        for column, kind in enumerate(kinds):
            own = table[(table["metric"] == metric) & (table["features"].astype(str) == kind)]
            shift = 0.7 * ((column + 0.5) / len(kinds) - 0.5)
            _draw_scores(axes, own, models, shift, *marks[kind], label=kind)
        axes.set_yticks(range(len(models)), [short(name, 20) for name in models])
        axes.set_ylim(len(models) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(ACTION_METRICS.get(metric, metric))
    panels[0].legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=min(4, len(kinds)))
    return plate(
        figure,
        name="models",
        title="Models and features",
        caption="Every recording is scored once, by a model that was not trained on it. Colour: "
        "features; mark: all labelled frames together; line: 95 % interval over recordings.",
    )


def _draw_scores(
    axes: Axes,
    rows: pd.DataFrame,
    models: Sequence[str],
    shift: float,
    colour: str,
    marker: str,
    label: str,
) -> None:
    at = np.array([models.index(str(name)) for name in rows["model"]]) + shift
    low, high = rows["low"].to_numpy(float), rows["high"].to_numpy(float)
    axes.hlines(at, low, high, color=colour, linewidth=1.6, alpha=0.6)
    value = rows["value"].to_numpy(float)
    axes.plot(value, at, marker, color=colour, markersize=5, linestyle="", label=short(label))
