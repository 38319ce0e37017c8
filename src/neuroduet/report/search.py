"""The figure of a search: how the trials went, and what their settings had to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from neuroduet.report.action_pages import write_plate
from neuroduet.report.style import GREY, MODEL, PALETTE, Plate, grid, plate, short, styled
from neuroduet.training.trials import Trial, best_trial

COLOURS = {
    "finished": MODEL,
    "stopped": PALETTE[1],
    "failed": PALETTE[3],
    "unfinished": GREY,
}
COLUMNS = 3
SPANS = 6.0
"""A setting whose largest value is this many times its smallest gets a logarithmic axis."""


@styled
def search_figure(trials: Sequence[Trial]) -> Plate:
    """Draw the score of every trial over its validations, and against every setting.

    Args:
        trials: All trials of a search.

    Returns:
        The plate.
    """
    scored = [trial for trial in trials if trial.scores]
    keys = list(trials[0].settings)
    figure, panels = grid(1 + len(keys), COLUMNS, 2.6)
    best = best_trial(trials)
    _draw_courses(panels[0], scored, best)
    for axes, key in zip(panels[1:], keys, strict=True):
        _draw_setting(axes, scored, key, best)
    lowest = _lowest([trial.best for trial in scored])
    for axes in panels:
        axes.set_ylim(bottom=lowest)
    return plate(
        figure,
        name="search",
        title="Trials of the search",
        caption="Mean validation score of every trial, over its validations and (the best one) "
        "against each setting. Colour: how the trial ended; ring: the best trial. Scores far "
        "below the others lie outside.",
    )


def write_search(trials: Sequence[Trial], path: Path) -> Path:
    """Write the figure of a search as an .svg file."""
    return write_plate(search_figure(trials), path)


def _draw_courses(axes: Axes, trials: Sequence[Trial], best: Trial | None) -> None:
    for trial in trials:
        colour = COLOURS[trial.status]
        count = np.arange(1, len(trial.scores) + 1)
        axes.plot(count, trial.scores, color=colour, alpha=0.7, linewidth=1.0)
        axes.plot(count[-1:], trial.scores[-1:], "o", color=colour, markersize=3)
    if best is not None:
        place = int(np.argmax(best.scores))
        _ring(axes, place + 1.0, best.scores[place])
    for status in dict.fromkeys(trial.status for trial in trials):
        axes.plot([], [], "o", color=COLOURS[status], markersize=4, linestyle="", label=status)
    if trials:
        axes.legend(loc="lower right")
    axes.set_xscale("log", base=2)
    most = max((len(trial.scores) for trial in trials), default=1)
    ticks = [2**power for power in range(most.bit_length())]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("validations")
    axes.set_ylabel("mean validation score")


def _draw_setting(axes: Axes, trials: Sequence[Trial], key: str, best: Trial | None) -> None:
    values = [trial.settings[key] for trial in trials]
    numeric = all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
    distinct = list(dict.fromkeys(map(str, sorted(values) if numeric else values)))
    few = not numeric or all(isinstance(value, int) for value in values)
    at = [float(distinct.index(str(v)) if few else v) for v in values]
    for trial, place in zip(trials, at, strict=True):
        axes.plot(place, trial.best, "o", color=COLOURS[trial.status], markersize=4, alpha=0.8)
        if best is not None and trial.number == best.number:
            _ring(axes, place, trial.best)
    if few:
        axes.set_xticks(range(len(distinct)), [short(name, 12) for name in distinct])
        axes.set_xlim(-0.5, max(len(distinct), 1) - 0.5)
    elif at and min(at) > 0 and max(at) > SPANS * min(at):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
        # The usual labels are formulas, which our figures do not draw.
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(key)


def _ring(axes: Axes, x: float, y: float) -> None:
    axes.plot(x, y, "o", color=MODEL, markersize=9, markerfacecolor="none", markeredgewidth=1.2)


def _lowest(scores: Sequence[float]) -> float | None:
    """Where the axis of scores starts: one that diverged would press the others flat."""
    if len(scores) < 4:
        return None
    quarter, median, top = np.percentile(scores, [25, 50, 100])
    floor = median - 4.0 * max(top - median, median - quarter)
    return float(floor) if min(scores) < floor else None
