"""Figures of trial averages of predicted and observed activity, and the units to draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from neuroduet.report.predicted import Activity, Predicted, combinations
from neuroduet.report.style import (
    INK,
    MODEL,
    OBSERVED,
    PALETTE,
    Plate,
    decimal,
    grid,
    plate,
    short,
    styled,
)
from neuroduet.tasks.scoring import FEWEST_TRIALS

BEST, WORST = 4, 2
FEWEST_SPIKES = 50
"""Units with fewer spikes in test windows are passed over: their bits per spike are luck."""

JOINED_WINDOWS = 4
SMOOTHING_S = 0.04
"""Standard deviation of the Gaussian that smooths averaged counts for the eye (s)."""


def chosen_units(activity: Activity) -> list[int]:
    """The best units, then the worst, each once.

    Args:
        activity: Predicted activity; units with few spikes count only where there are no others.
    """
    ranked = activity.ranked().tolist()
    if activity.is_poisson and np.isfinite(activity.bin_size_s):
        seen = np.where(activity.valid[:, :, None], activity.observed, 0.0)
        spikes = seen.sum(axis=(0, 1)) * activity.bin_size_s
        lively = [unit for unit in ranked if spikes[unit] > FEWEST_SPIKES - 0.5]
        ranked = lively if len(lively) >= BEST + WORST else ranked
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
def unit_averages(found: Predicted, name: str) -> Plate | None:
    """Draw trial averages of the best and worst units, per condition.

    Sessions without trials have no averages; their windows are drawn one after the other.

    Args:
        found: Predictions of a session.
        name: Identifier of the figure.

    Returns:
        The plate, or ``None`` without activity.
    """
    activity = found.activity
    units = chosen_units(activity) if activity is not None else []
    if activity is None or not units:
        return None
    figure, panels = grid(len(units), 3, 2.15)
    label = "rate (Hz)" if activity.is_poisson else "activity"
    for axes, unit in zip(panels, units, strict=True):
        if found.by_trial:
            _averages(axes, found, activity, unit)
        else:
            _joined(axes, activity, unit)
        axes.set_title(unit_title(activity, unit))
        axes.set_xlabel(
            f"time from {found.event} (s)" if found.by_trial else "time (s), windows joined"
        )
    for axes in panels[::3]:
        axes.set_ylabel(label)
    figure.legend(handles=_keys(found), loc="outside upper left", ncols=6)
    return plate(
        figure,
        name=name,
        title="Observed and predicted rates",
        caption=_caption(found, activity, len(units)),
    )


def _averages(axes: Axes, found: Predicted, activity: Activity, unit: int) -> None:
    for k in range(len(found.condition_names)):
        rows = found.condition == k
        valid = activity.valid[rows]
        count = valid.sum(axis=0)
        seen = count > 0
        if not seen.any():
            continue
        time = found.start_s + (np.arange(len(seen)) + 0.5) * found.step_s
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
                mean = smoothed(mean, activity.bin_size_s, seen)
            axes.plot(time[seen], mean[seen], color=colour_, linestyle=style, linewidth=width)
    event_line(axes, found.start_s)


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


def event_line(axes: Axes, start_s: float, color: str = INK) -> None:
    """Mark time 0, where the window begins before it (s)."""
    if start_s < 0:
        axes.axvline(0.0, color=color, linewidth=0.8, linestyle=":")


def unit_title(activity: Activity, unit: int) -> str:
    """A unit's name, region and score."""
    measure = "bits/spike" if activity.is_poisson else "R²"
    region = activity.regions[unit] if activity.regions else ""
    where = f" ({short(region, 10)})" if region else ""
    name = short(str(activity.units[unit]), 12)
    name = name if "unit" in name.lower() else f"unit {name}"
    return f"{name}{where}: {decimal(activity.score[unit])} {measure}"


def _keys(found: Predicted) -> list[Line2D]:
    several = found.by_trial and len(found.condition_names) > 1
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
        counts = np.bincount(found.condition[found.condition >= 0])
        keys += [
            Line2D([], [], color=PALETTE[k], linewidth=5, label=f"{short(name)} ({counts[k]})")
            for k, name in enumerate(found.condition_names)
        ]
    return keys


def _caption(found: Predicted, activity: Activity, shown: int) -> str:
    windows = f"{len(activity.valid)} {'test ' if found.split == 'test' else ''}windows"
    ranked = f"The {min(shown, BEST)} best predicted units"
    if shown > BEST:
        ranked += f", then the {shown - BEST} worst predicted"
    if activity.is_poisson:
        ranked += (
            f" (of those with {FEWEST_SPIKES} spikes or more in test windows, if enough have)"
        )
    smoothing = (
        f" Observed spikes are smoothed (Gaussian, s.d. {1000 * SMOOTHING_S:.0f} ms); predictions "
        "are not."
        if activity.is_poisson
        else ""
    )
    what = f"averages over {windows}" if found.by_trial else f"the first of {windows}, joined"
    return (
        f"{ranked}: {what}{_numbers(found)}. The activity was predicted from the behaviours "
        f"alone, without seeing any spike of these windows.{smoothing}{_psth_words(found)}"
    )


def _numbers(found: Predicted) -> str:
    several = found.by_trial and len(found.condition_names) > 1
    return " (in brackets: how many of each condition)" if several else ""


def _psth_words(found: Predicted) -> str:
    """Over which averages ``psth_r2`` is, since they are not those drawn."""
    names, counts = combinations(found)
    if not found.by_trial or not names:
        return ""
    several = " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
    if not counts:
        return (
            f" No combination of {several} has {FEWEST_TRIALS} test trials: there is no psth_r2."
        )
    each = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    kinds = _plural("combination" if len(names) > 1 else "class", counts)
    return (
        f" The psth_r2 of the tables is over averages of {len(counts)} {kinds} of "
        f"{several} with at least {FEWEST_TRIALS} test trials ({each} each, {sum(counts)} of "
        f"{len(found.trial)} in all), bin by bin and not smoothed, so that noise keeps it low."
    )


def _plural(word: str, counts: Sequence[int]) -> str:
    if len(counts) == 1:
        return word
    return f"{word}es" if word.endswith("s") else f"{word}s"
