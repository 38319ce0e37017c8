"""The figure of every session's scores with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from neuroduet.report.certainty import Intervals
from neuroduet.report.headlines import Headline
from neuroduet.report.style import (
    GREY,
    INK,
    METRIC_LABELS,
    MODEL,
    PALETTE,
    Plate,
    grid,
    plate,
    question_label,
    short,
    styled,
    task_label,
)
from neuroduet.report.tables import select, session_table

LINEAR = PALETTE[1]
COLUMNS = 3


@styled
def session_dots(
    scores: pd.DataFrame,
    found: Sequence[Headline],
    main: str,
    intervals: Intervals,
    names: Sequence[str],
) -> Plate | None:
    """Draw the score of each session with its interval, beside null, linear and oracle.

    Args:
        scores: Columns of ``scores.csv``.
        found: Headlines to draw, one panel each.
        main: The run's model.
        intervals: Of its scores.
        names: Sessions to draw, from top to bottom.

    Returns:
        The plate, or ``None`` if no score has an interval.
    """
    keys = {(one.task, one.target, one.metric) for one in found}
    known = {key for key, one in intervals.items() if np.isfinite(one.low)}
    table = session_table(scores)
    drawn = [one for one in found if _rows(scores, one, names)]
    if not drawn or not any(key[:3] in keys for key in known):
        return None
    figure, panels = grid(len(drawn), COLUMNS, 0.9 + 0.2 * max(len(names), 2))
    for i, (axes, one) in enumerate(zip(panels, drawn, strict=True)):
        _panel(axes, select(table, one.task, one.target, one.metric), one, main, intervals, names)
        labels = [short(name, 24) for name in names] if i % COLUMNS == 0 else []
        axes.set_yticks(range(len(labels)), labels)
    figure.legend(handles=_handles(main), loc="outside upper left", ncols=5)
    # The read-out of regions names sessions in a way of its own where there is only one.
    total = scores.loc[scores["task"] != "regions", "session"].nunique()
    some = (
        f" {len(names)} of {total} sessions, evenly from best to worst."
        if total > len(names)
        else ""
    )
    return plate(
        figure,
        name="sessions",
        title="Scores by session, with 95 % intervals",
        caption=_caption(drawn, intervals) + some,
    )


def _rows(scores: pd.DataFrame, one: Headline, names: Sequence[str]) -> bool:
    own = scores[(scores["task"] == one.task) & scores["session"].isin(list(names))]
    return bool(((own["target"] == one.target) & (own["metric"] == one.metric)).any())


def _panel(
    axes: Axes,
    values: pd.DataFrame,
    one: Headline,
    main: str,
    intervals: Intervals,
    names: Sequence[str],
) -> None:
    rows = {name: row for row, name in enumerate(names)}
    for name, value in values.iterrows():
        row = rows.get(str(name))
        if row is None:
            continue
        found = intervals.get((one.task, one.target, one.metric, str(name)))
        if found is not None and np.isfinite(found.low):
            axes.plot([found.low, found.high], [row, row], color=MODEL, linewidth=2.4, alpha=0.45)
        _mark(axes, value.get("null"), row, "|", INK, 9.0)
        _mark(axes, value.get("oracle"), row, "x", GREY, 5.0)
        if one.rival:
            _mark(axes, value.get(one.rival), row, "D", LINEAR, 4.0)
        _mark(axes, value.get(main), row, "o", MODEL, 5.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    axes.set_title(question_label(one.task, short(one.target, 18)))
    axes.set_xlabel(METRIC_LABELS.get(one.metric, one.metric))


def _mark(axes: Axes, value: object, row: int, marker: str, colour: str, size: float) -> None:
    if isinstance(value, float) and np.isfinite(value):
        axes.plot([value], [row], marker, color=colour, markersize=size, linestyle="")


def _handles(main: str) -> list[Line2D]:
    marks = (
        (short(main, 20), "o", MODEL),
        ("best linear", "D", LINEAR),
        ("null", "|", INK),
        ("oracle", "x", GREY),
    )
    band = Line2D([], [], color=MODEL, linewidth=2.4, alpha=0.45, label="95 % interval")
    points = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=name)
        for name, marker, colour in marks
    ]
    return [points[0], band, *points[1:]]


def _caption(found: Sequence[Headline], intervals: Intervals) -> str:
    """What the intervals of each panel rest on: windows and units are not the same question."""
    parts = []
    for over in ("test windows", "units"):
        own = {
            task_label(one.task)
            for one in found
            for key, interval in intervals.items()
            if key[:3] == (one.task, one.target, one.metric) and interval.over == over
        }
        sizes = [
            interval.n
            for key, interval in intervals.items()
            if interval.over == over and np.isfinite(interval.low)
        ]
        if own and sizes:
            spread = (
                f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
            )
            parts.append(f"over {over} ({spread} per session) for {', '.join(sorted(own))}")
    return (
        f"Bootstrap intervals {'; '.join(parts)}. Over windows: how far the score may lie from "
        "that of other trials of the same session. Over units: from that of other units recorded "
        "in the same trials. They do not say how training anew would change it. Diamond: the "
        "linear baseline that is best on average; tick: null; cross: oracle (simulated data only)."
    )
