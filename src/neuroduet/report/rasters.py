"""Figures of single trials: spikes of a unit, and the rates predicted for it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neuroduet.report.activity import chosen_units, event_line, unit_title
from neuroduet.report.predicted import Activity, Predicted
from neuroduet.report.style import INK, OBSERVED, PALE, PALETTE, Plate, grid, plate, styled

RASTERS = (0, 1, -1)
"""Of the chosen units: the two best and the worst."""

MAX_TRIALS = 60
MAX_TICKS = 12000


@styled
def unit_rasters(found: Predicted, name: str) -> Plate | None:
    """Draw single trials of the best units and the worst: spikes above, predicted rates below.

    Args:
        found: Predictions of a session.
        name: Identifier of the figure.

    Returns:
        The plate, or ``None`` without activity.
    """
    activity = found.activity
    chosen = chosen_units(activity) if activity is not None else []
    if activity is None or not chosen:
        return None
    units = list(dict.fromkeys(chosen[i] for i in RASTERS if i < len(chosen)))
    order = trial_order(found.condition)
    figure, panels = grid(2 * len(units), len(units), 2.3)
    for column, unit in enumerate(units):
        above, below = panels[column], panels[len(units) + column]
        _raster_column(above, below, activity, unit, order, found.start_s)
        below.set_xlabel(f"time from {found.event} (s)")
        for axes in (above, below):
            _boundaries(axes, found.condition[order])
    word = "trial" if found.by_trial else "window"
    panels[0].set_ylabel(f"{word}: observed")
    panels[len(units)].set_ylabel(f"{word}: predicted")
    return plate(
        figure,
        name=name,
        title=f"Single {word}s",
        caption=_raster_caption(found, len(order), word, activity.is_poisson),
    )


def _raster_column(
    above: Axes, below: Axes, activity: Activity, unit: int, order: np.ndarray, start_s: float
) -> None:
    """One unit: what it did above, what was predicted below."""
    bin_s = activity.bin_size_s if np.isfinite(activity.bin_size_s) else 1.0
    stop_s = start_s + activity.valid.shape[1] * bin_s
    extent = (start_s, stop_s, len(order), 0.0)
    observed, predicted = (
        np.where(activity.valid, values[:, :, unit], np.nan)[order]
        for values in (activity.observed, activity.predicted)
    )
    if activity.is_poisson:
        _ticks(above, observed, start_s, bin_s)
        above.set(xlim=(start_s, stop_s), ylim=(len(order), 0.0))
    else:
        above.imshow(observed, aspect="auto", extent=extent, interpolation="nearest")
    image = below.imshow(predicted, aspect="auto", extent=extent, interpolation="nearest")
    label = "rate (Hz)" if activity.is_poisson else "activity"
    below.figure.colorbar(image, ax=below, label=label)
    above.set_title(unit_title(activity, unit))
    # Predicted rates are drawn in dark blue to yellow on any page: ink could vanish there.
    event_line(above, start_s, INK if activity.is_poisson else PALE)
    event_line(below, start_s, PALE)


def trial_order(condition: np.ndarray) -> np.ndarray:
    """Windows to draw: condition by condition, in order of time, thinned evenly to a page's worth.

    Args:
        condition: Condition of each window, -1 if unknown; ``(W,)``.

    Returns:
        Indices of at most :data:`MAX_TRIALS` windows.
    """
    known = np.flatnonzero(condition >= 0)
    if len(known) > MAX_TRIALS:
        known = known[np.linspace(0, len(known) - 1, MAX_TRIALS).round().astype(np.int64)]
    return known[np.argsort(condition[known], kind="stable")]


def _ticks(axes: Axes, rates: np.ndarray, start_s: float, bin_s: float) -> None:
    """Bins with spikes as short vertical lines, in one path."""
    row, column = np.nonzero(np.nan_to_num(rates) > 0)
    x = start_s + (column + 0.5) * bin_s
    gap = np.full(len(x), np.nan)
    axes.plot(
        np.stack([x, x, gap], axis=1).ravel(),
        np.stack([row + 0.1, row + 0.9, gap], axis=1).ravel(),
        color=OBSERVED,
        linewidth=0.8,
        solid_capstyle="butt",
        rasterized=len(x) > MAX_TICKS,
    )


def _boundaries(axes: Axes, condition: np.ndarray) -> None:
    for row in np.flatnonzero(np.diff(condition)) + 1:
        axes.axhline(int(row), color=PALETTE[3], linewidth=1.0)


def _raster_caption(found: Predicted, shown: int, word: str, is_poisson: bool) -> str:
    names = found.condition_names
    grouped = (
        f" sorted by {', then '.join(names)} (separated by lines) and by time within each"
        if len(names) > 1
        else " in order of time"
    )
    marks = "each tick is a bin with at least one spike" if is_poisson else "observed activity"
    return (
        f"The best predicted units and, last, the worst in {shown} of {len(found.condition)} "
        f"{word}s,{grouped}. "
        f"Above: {marks}. Below: the rate predicted for the same {word} from its behaviours."
    )
