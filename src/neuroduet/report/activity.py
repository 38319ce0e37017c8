"""Figures of predicted against observed activity."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from neuroduet.report.predicted import Activity, Predicted
from neuroduet.report.style import (
    INK,
    MODEL,
    OBSERVED,
    PALE,
    PALETTE,
    Plate,
    decimal,
    grid,
    plate,
    short,
    styled,
)

BEST, WORST = 4, 2
RASTERS = 3
MAX_TRIALS = 60
MAX_TICKS = 12000
JOINED_WINDOWS = 4
SMOOTHING_S = 0.03
"""Standard deviation of the Gaussian that smooths averaged counts for the eye (s)."""


def chosen_units(activity: Activity) -> list[int]:
    """The best units, then the worst, each once."""
    ranked = activity.ranked().tolist()
    best = ranked[:BEST]
    return best + [unit for unit in ranked[-WORST:] if unit not in best]


def smoothed(values: np.ndarray, bin_size_s: float, valid: np.ndarray) -> np.ndarray:
    """Smooth over bins with a Gaussian that does not look beyond valid bins.

    Args:
        values: ``(..., T)``.
        bin_size_s: Bin width (s); ``nan`` leaves the values as they are.
        valid: Bins that count; broadcasts to ``values``.

    Returns:
        Smoothed values; the mean of a constant is that constant, up to the edges.
    """
    if not np.isfinite(bin_size_s) or bin_size_s >= 2 * SMOOTHING_S:
        return values
    bins = np.arange(values.shape[-1])
    kernel = np.exp(-0.5 * ((bins[:, None] - bins) * bin_size_s / SMOOTHING_S) ** 2)
    weight = np.broadcast_to(valid, values.shape).astype(np.float64)
    total = weight @ kernel
    return np.divide(
        (values * weight) @ kernel, total, out=np.full(values.shape, np.nan), where=total > 1e-9
    )


@styled
def unit_averages(found: Predicted, start_s: float, name: str, event: str) -> Plate | None:
    """Draw trial averages of the best and worst units, per condition.

    Sessions without trials have no averages; their windows are drawn one after the other.

    Args:
        found: Predictions of a session.
        start_s: Time of the first bin's left edge relative to ``event`` (s).
        name: Identifier of the figure.
        event: What time is counted from.

    Returns:
        The plate, or ``None`` without activity.
    """
    activity = found.activity
    units = chosen_units(activity) if activity is not None else []
    if activity is None or not units:
        return None
    figure, panels = grid(len(units), 3, 2.15)
    by_trial = bool((found.trial >= 0).any())
    label = "rate (Hz)" if activity.is_poisson else "activity"
    for axes, unit in zip(panels, units, strict=True):
        if by_trial:
            _averages(axes, found, activity, unit, start_s)
        else:
            _joined(axes, activity, unit)
        axes.set_title(_unit_title(activity, unit))
        axes.set_xlabel(f"time from {event} (s)" if by_trial else "time (s), windows joined")
    for axes in panels[::3]:
        axes.set_ylabel(label)
    figure.legend(handles=_keys(found, by_trial), loc="outside upper left", ncols=6)
    return plate(
        figure,
        name=name,
        title="Observed and predicted rates",
        caption=_caption(found, activity, len(units), by_trial),
    )


def _averages(axes: Axes, found: Predicted, activity: Activity, unit: int, start_s: float) -> None:
    bin_s = activity.bin_size_s
    for k in range(len(found.condition_names)):
        rows = found.condition == k
        valid = activity.valid[rows]
        count = valid.sum(axis=0)
        seen = count > 0
        if not seen.any():
            continue
        time = start_s + (np.arange(len(seen)) + 0.5) * (bin_s if np.isfinite(bin_s) else 1.0)
        colour = PALETTE[k] if len(found.condition_names) > 1 else MODEL
        ink = colour if len(found.condition_names) > 1 else OBSERVED
        for values, colour_, style, width in (
            (activity.observed, ink, "-", 1.0),
            (activity.predicted, colour, (0, (4, 1.5)), 2.0),
        ):
            mean = np.where(valid, values[rows][:, :, unit], 0.0).sum(axis=0) / np.maximum(
                count, 1
            )
            if values is activity.observed and activity.is_poisson:
                mean = smoothed(mean, bin_s, seen)
            axes.plot(time[seen], mean[seen], color=colour_, linestyle=style, linewidth=width)
    _event_line(axes, start_s)


def _joined(axes: Axes, activity: Activity, unit: int) -> None:
    bin_s = activity.bin_size_s if np.isfinite(activity.bin_size_s) else 1.0
    valid = activity.valid[:JOINED_WINDOWS]
    observed = activity.observed[:JOINED_WINDOWS, :, unit]
    if activity.is_poisson:
        observed = smoothed(observed, bin_s, valid)
    predicted = activity.predicted[:JOINED_WINDOWS, :, unit]
    time = (np.arange(int(valid.sum())) + 0.5) * bin_s
    axes.plot(time, observed[valid], color=OBSERVED, linewidth=0.9)
    axes.plot(time, predicted[valid], color=MODEL, linestyle=(0, (4, 1.5)), linewidth=1.8)


def _event_line(axes: Axes, start_s: float, color: str = INK) -> None:
    if start_s < 0:
        axes.axvline(0.0, color=color, linewidth=0.8, linestyle=":")


def _unit_title(activity: Activity, unit: int) -> str:
    measure = "bits/spike" if activity.is_poisson else "R²"
    return f"{short(str(activity.units[unit]), 16)}: {decimal(activity.score[unit])} {measure}"


def _keys(found: Predicted, by_trial: bool) -> list[Line2D]:
    several = by_trial and len(found.condition_names) > 1
    keys = [
        Line2D([], [], color=INK, linewidth=1.0, label="observed"),
        Line2D(
            [],
            [],
            color=INK if several else MODEL,
            linestyle=(0, (4, 1.5)),
            linewidth=2.0,
            label="predicted",
        ),
    ]
    if several:
        keys += [
            Line2D([], [], color=PALETTE[k], linewidth=5, label=short(name))
            for k, name in enumerate(found.condition_names)
        ]
    return keys


def _caption(found: Predicted, activity: Activity, shown: int, by_trial: bool) -> str:
    windows = f"{len(activity.valid)} {'test ' if found.split == 'test' else ''}windows"
    ranked = f"The {min(shown, BEST)} best predicted units"
    if shown > BEST:
        ranked += f", then the {shown - BEST} worst predicted"
    smoothing = (
        f" Observed spikes are smoothed (Gaussian, s.d. {1000 * SMOOTHING_S:.0f} ms); predictions "
        "are not."
        if activity.is_poisson
        else ""
    )
    what = f"averages over {windows}" if by_trial else f"the first of {windows}, joined"
    return (
        f"{ranked}: {what}. The activity was predicted from the behaviours alone, without seeing "
        f"any spike of these windows.{smoothing}"
    )


@styled
def unit_rasters(found: Predicted, start_s: float, name: str, event: str) -> Plate | None:
    """Draw single trials of the best units: spikes above, predicted rates below.

    Args:
        found: Predictions of a session.
        start_s: Time of the first bin's left edge relative to ``event`` (s).
        name: Identifier of the figure.
        event: What time is counted from.

    Returns:
        The plate, or ``None`` without activity.
    """
    activity = found.activity
    units = activity.ranked()[:RASTERS].tolist() if activity is not None else []
    if activity is None or not units:
        return None
    order = trial_order(found.condition)
    figure, panels = grid(2 * len(units), len(units), 2.3)
    for column, unit in enumerate(units):
        above, below = panels[column], panels[len(units) + column]
        _raster_column(above, below, activity, unit, order, start_s)
        below.set_xlabel(f"time from {event} (s)")
        for axes in (above, below):
            _boundaries(axes, found.condition[order])
    word = "trial" if bool((found.trial >= 0).any()) else "window"
    panels[0].set_ylabel(f"{word}: observed")
    panels[len(units)].set_ylabel(f"{word}: predicted")
    return plate(
        figure,
        name=name,
        title="Single trials",
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
    above.set_title(_unit_title(activity, unit))
    # Predicted rates are drawn in dark blue to yellow on any page: ink could vanish there.
    _event_line(above, start_s, INK if activity.is_poisson else PALE)
    _event_line(below, start_s, PALE)


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
        f"The best predicted units in {shown} of {len(found.condition)} {word}s,{grouped}. "
        f"Above: {marks}. Below: the rate predicted for the same {word} from its behaviours."
    )
