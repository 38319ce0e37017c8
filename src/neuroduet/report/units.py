"""Figures of single units: how well each is predicted, and what the model learned about it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from neuroduet.report.actions import draw_matrix
from neuroduet.report.style import (
    CRAMPED,
    GREY,
    INK,
    METRIC_LABELS,
    MODEL,
    Plate,
    decimal,
    grid,
    jitter,
    logarithmic,
    markings,
    plate,
    short,
    styled,
    task_label,
    usual_range,
)
from neuroduet.types import is_region

MAX_REGIONS = 20
MAX_NAMES = 24
MAX_CONFUSED = 30
"""Regions of which a table of confusions can be read."""

FEWEST_RATES = 10
"""With fewer units of known rate nothing is said about rates."""

MOSTLY = 0.8
NAMED = 5
"""Units whose dots have a name."""

TURNS = 6
"""In how many turns the points of crowded maps are drawn."""

UNIT_QUESTIONS = {
    "encoding": "predicted from the behaviours",
    "co_smoothing": "each predicted from all other units, behaviours hidden",
    "forward": "the last bins predicted from the bins before, behaviours hidden",
    "intra_region": "each predicted from the other units of its region, behaviours hidden",
    "inter_region": "each predicted from the units of the other regions, behaviours hidden",
}
"""Tasks whose scores of single units are drawn, and what they were predicted from."""


@styled
def unit_scores(
    units: pd.DataFrame, metric: str = "bits_per_spike", task: str = "encoding"
) -> Plate | None:
    """Draw the score of single units in a task by region and against firing rate.

    Args:
        units: Columns of ``scores_units.parquet``; ``region`` and ``rate_hz`` may be missing.
        metric: The metric to draw.
        task: The task, one of :data:`UNIT_QUESTIONS`.

    Returns:
        The plate, or ``None`` if no unit has the metric.
    """
    rows = units[units["metric"] == metric]
    if "task" in rows.columns:
        rows = rows[rows["task"] == task]
    rows = rows[np.isfinite(rows["value"].astype(float))]
    if rows.empty:
        return None
    label = METRIC_LABELS.get(metric, metric)
    region = _regions(rows)
    low, high = _limits(rows["value"].to_numpy(float))
    figure, (left, right) = grid(2, 2, max(2.8, 0.9 + 0.24 * region.nunique()))
    _by_region(left, rows["value"].to_numpy(float), region)
    left.set_xlim(low, high)
    left.set_xlabel(label)
    _against_rate(right, rows)
    right.set_ylim(low, high)
    right.set_ylabel(label)
    outside = int((rows["value"] < low).sum())
    which = "1 unit, the worst, lies" if outside == 1 else f"{outside} units, the worst, lie"
    hidden = f" {which} outside the axes." if outside else ""
    return plate(
        figure,
        name="units" if task == "encoding" else f"units-{task}",
        title=f"Which units are predicted: {task_label(task)}",
        caption=f"{label.capitalize()} of {len(rows)} units in test windows, "
        f"{UNIT_QUESTIONS[task]}. Left: by brain region; bar: median, thick line: middle half of "
        "the units, in brackets: number of units. Right: against mean firing rate, the best by "
        "name. Below 0 "
        f"(dotted) a unit is predicted worse than by its mean rate.{hidden}",
    )


def _regions(rows: pd.DataFrame) -> pd.Series:
    """Region of each unit, the rarest beyond :data:`MAX_REGIONS` together."""
    if "region" not in rows.columns:
        return pd.Series("all units", index=rows.index)
    region = _named(rows["region"])
    frequent = region.value_counts().index[:MAX_REGIONS]
    return region.where(region.isin(frequent), "other regions")


def _named(labels: pd.Series) -> pd.Series:
    """Regions, and one name for all units of none that is known."""
    region = labels.fillna("").astype(str)
    return region.where(region.map(is_region).astype(bool), "unknown")


def _limits(values: np.ndarray) -> tuple[float, float]:
    """All well predicted units, and 0; a few badly predicted ones cannot stretch them."""
    low, high = min(usual_range(values)[0], 0.0), max(float(values.max()), 0.0)
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin


def _by_region(axes: Axes, values: np.ndarray, region: pd.Series) -> None:
    labels = region.to_numpy()
    order = sorted(set(labels), key=lambda name: (-np.median(values[labels == name]), name))
    for row, name in enumerate(order):
        x = values[labels == name]
        offsets = jitter(len(x), 0.5)
        pixels = len(values) > CRAMPED
        axes.plot(x, row + offsets, ".", color=MODEL, alpha=0.4, markersize=4, rasterized=pixels)
        lower, middle, upper = np.percentile(x, [25, 50, 75])
        axes.plot([lower, upper], [row, row], color=INK, linewidth=2.2, solid_capstyle="butt")
        axes.plot([middle] * 2, [row - 0.34, row + 0.34], color=INK, linewidth=1.8)
    counts = [int((labels == name).sum()) for name in order]
    ticks = [f"{short(name, 18)} ({n})" for name, n in zip(order, counts, strict=True)]
    axes.set_yticks(range(len(order)), ticks)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.axvline(0.0, color=INK, linestyle=":", linewidth=1.0)
    axes.tick_params(axis="y", length=0)


def _against_rate(axes: Axes, rows: pd.DataFrame) -> None:
    axes.axhline(0.0, color=INK, linestyle=":", linewidth=1.0)
    axes.set_xlabel("mean firing rate (Hz)")
    if "rate_hz" not in rows.columns:
        axes.text(0.5, 0.5, "firing rates were not stored", transform=axes.transAxes, ha="center")
        return
    rate, value = rows["rate_hz"].to_numpy(float), rows["value"].to_numpy(float)
    seen = np.isfinite(rate) & (rate > 0)
    pixels = len(rows) > CRAMPED
    axes.plot(rate[seen], value[seen], ".", color=MODEL, alpha=0.4, rasterized=pixels)
    for place in np.flatnonzero(seen)[np.argsort(-value[seen], kind="stable")][:NAMED]:
        axes.annotate(
            short(str(rows["unit"].iloc[place]), 12),
            (rate[place], value[place]),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
    logarithmic(axes)


@styled
def region_confusion(table: pd.DataFrame) -> Plate | None:
    """Draw which region was read out of the embeddings of the units of each region.

    Args:
        table: Columns ``region`` (the true one) and ``guess``, a row per unit.

    Returns:
        The plate, or ``None`` with fewer than two regions or more than :data:`MAX_CONFUSED`.
    """
    names = sorted({*table["region"], *table["guess"]})
    if not 2 <= len(names) <= MAX_CONFUSED:
        return None
    counts = pd.crosstab(table["region"], table["guess"]).reindex(names, columns=names)
    counts = counts.fillna(0).to_numpy(float)
    totals = counts.sum(1)
    side_in = 0.42 * len(names) + 1.6
    figure, (axes,) = grid(1, 1, side_in, width_in=side_in + 2.0)
    draw_matrix(axes, counts / np.maximum(totals, 1)[:, None], names)
    axes.set_xlabel("region read out")
    axes.set_ylabel("region (units)")
    ticks = [f"{short(n, 16)} ({int(m)})" for n, m in zip(names, totals, strict=True)]
    axes.set_yticks(range(len(names)), ticks)
    return plate(
        figure,
        name="region-confusion",
        title="Which regions are told apart",
        caption="Fraction of the units of each region (row; in brackets: how many) whose "
        "embedding was taken for each region by a classifier that had not seen them; rows of "
        "regions whose units were not asked about are empty. A full diagonal: the embeddings "
        "tell all regions.",
    )


@styled
def embedding_map(table: pd.DataFrame, units: pd.DataFrame | None = None) -> Plate | None:
    """Draw the two main axes of the unit embeddings, by region and by session.

    Args:
        table: Columns session, unit, region (optional), e0, e1, ...
        units: Columns of ``scores_units.parquet``, whose rates may explain the first axis.

    Returns:
        The plate, or ``None`` with fewer than three units or one dimension.
    """
    columns = [c for c in table.columns if c[:1] == "e" and c[1:].isdigit()]
    values = table[columns].to_numpy(float)
    known = np.isfinite(values).all(axis=1)
    if known.sum() < 3 or len(columns) < 2:
        return None
    points, share = _principal_axes(values[known])
    names = {}
    if "region" in table.columns:
        names["region"] = _named(table["region"][known])
    if table["session"][known].nunique() > 1 or not names:
        names["session"] = table["session"][known].astype(str)
    figure, panels = grid(len(names), len(names), 4.3, 5.0 * len(names))
    for axes, (kind, labels) in zip(panels, names.items(), strict=True):
        _scatter(axes, points, labels.to_numpy(), kind)
        axes.set_xlabel(f"component 1 ({100 * share[0]:.0f} % of variance)")
        axes.set_ylabel(f"component 2 ({100 * share[1]:.0f} % of variance)")
    return plate(
        figure,
        name="embedding",
        title="What the model learned about units",
        caption=f"Learned embeddings of {int(known.sum())} units ({len(columns)} dimensions), "
        "projected on their first two principal components. Units of one region lying together "
        "mean that the model found regional structure without being told the regions"
        + ("; units of one session, that sessions differ." if "session" in names else ".")
        + _rate_words(points[:, 0], table[known], units),
    )


def _rate_words(first: np.ndarray, table: pd.DataFrame, units: pd.DataFrame | None) -> str:
    """How much of the first component is the firing rate, which is what it mostly is."""
    if units is None or not {"session", "unit", "rate_hz"} <= set(units.columns):
        return ""
    keys = ["session", "unit"]
    rates = units.astype(dict.fromkeys(keys, str)).groupby(keys)["rate_hz"].first()
    named = pd.MultiIndex.from_frame(table[keys].astype(str))
    rate_hz = rates.reindex(named).to_numpy(float)
    seen = np.isfinite(rate_hz) & (rate_hz > 0)
    if seen.sum() < FEWEST_RATES or np.ptp(rate_hz[seen]) == 0 or np.ptp(first[seen]) == 0:
        return ""
    r = float(np.corrcoef(first[seen], np.log(rate_hz[seen]))[0, 1])
    text = f" Component 1 correlates with the logarithm of the firing rate at r = {decimal(r)}"
    return f"{text}: it says mostly how much a unit fires." if abs(r) > MOSTLY else f"{text}."


def _principal_axes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centred = values - values.mean(axis=0)
    left, scale, right = np.linalg.svd(centred, full_matrices=False)
    # The sign of a component is arbitrary; its largest loading is made positive.
    largest = np.abs(right[:2]).argmax(axis=1)
    signs = np.sign(right[np.arange(len(largest)), largest])
    share = scale**2 / max(float((scale**2).sum()), 1e-12)
    return left[:, :2] * scale[:2] * signs, share[:2]


def _scatter(axes: Axes, points: np.ndarray, labels: np.ndarray, kind: str) -> None:
    names, counts = np.unique(labels, return_counts=True)
    shown = sorted(names[np.argsort(-counts, kind="stable")[:MAX_NAMES]])
    marks = markings(shown)
    rest = ~np.isin(labels, shown)
    pixels = len(points) > CRAMPED
    if rest.any():
        axes.plot(*points[rest].T, ".", color=GREY, alpha=0.4, rasterized=pixels)
    # In turns: a region drawn last would cover all others.
    for turn, (name, (colour, marker)) in product(range(TURNS), marks.items()):
        axes.plot(
            *points[labels == name][turn::TURNS].T,
            marker,
            color=colour,
            alpha=0.65,
            markersize=3.5,
            markeredgewidth=0,
            rasterized=pixels,
        )
    handles = [
        Line2D([], [], color=c, marker=m, linestyle="", markersize=5, label=short(n, 18))
        for n, (c, m) in marks.items()
    ]
    if rest.any():
        handles.append(Line2D([], [], color=GREY, marker=".", linestyle="", label="others"))
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=4,
        handletextpad=0.1,
        columnspacing=0.8,
    )
    axes.set_title(f"by {kind}")
