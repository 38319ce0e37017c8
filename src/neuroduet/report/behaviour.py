"""Figures of decoded against observed behaviour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from neuroduet.metrics import balanced_accuracy, r2
from neuroduet.report.activity import event_line
from neuroduet.report.predicted import Decoded, Predicted
from neuroduet.report.style import (
    INK,
    MODEL,
    OBSERVED,
    PALE,
    Plate,
    balanced,
    decimal,
    grid,
    plate,
    short,
    styled,
)

QUANTILES = (0.9, 0.65, 0.35, 0.1)
"""Trials shown of each behaviour: how many of all trials are decoded worse than this one."""

MAX_CHANNELS = 6
MAX_CLASSES = 14
ROOMY = 6
"""With more classes a cell of a confusion matrix has room for one number only."""

MAX_POINTS = 4000

_TRACES_CAPTION = (
    "Test windows, in the units of the recording, decoded from the activity alone. From left to "
    f"right the windows that are decoded better than {', '.join(f'{q:.0%}' for q in QUANTILES)} "
    "of all (by squared error), so that the row is no choice of the best. R² is that of the "
    "single window and can be negative where the behaviour hardly varies."
)


@styled
def traces(found: Predicted, name: str) -> Plate | None:
    """Draw decoded behaviours of a few trials, from well to badly decoded.

    Args:
        found: Predictions of a session.
        name: Identifier of the figure.

    Returns:
        The plate, or ``None`` without a continuous behaviour per bin.
    """
    rows = [
        (behaviour, channel)
        for behaviour in found.behaviours
        if not behaviour.classes and behaviour.true.ndim == 3
        for channel in range(behaviour.true.shape[2])
    ][:MAX_CHANNELS]
    rows = [row for row in rows if len(shown_windows(*row))]
    if not rows:
        return None
    figure, lines = quantile_panels(len(rows), 1.75, found.event)
    for line, (behaviour, channel) in zip(lines, rows, strict=True):
        _trace_row(line, found, behaviour, channel)
    keys = [
        Line2D([], [], color=OBSERVED, label="observed"),
        Line2D([], [], color=MODEL, linestyle=(0, (4, 1.5)), linewidth=1.8, label="decoded"),
    ]
    figure.legend(handles=keys, loc="outside upper left", ncols=2)
    return plate(
        figure,
        name=name,
        title="Decoded behaviours, single windows",
        caption=_TRACES_CAPTION,
    )


def shown_windows(behaviour: Decoded, channel: int) -> np.ndarray:
    """Windows at :data:`QUANTILES` of the mean squared error, best first; fewer if there are few.

    Args:
        behaviour: A continuous behaviour per bin.
        channel: Its channel.

    Returns:
        Window indices, each once; windows without an observed bin are never shown.
    """
    count = behaviour.observed.sum(axis=1)
    error = behaviour.predicted[:, :, channel] - behaviour.true[:, :, channel]
    total = np.where(behaviour.observed, error, 0.0) ** 2
    known = np.flatnonzero(count > 1)
    if len(known) == 0:
        return known
    return at_quantiles(known, -(total.sum(axis=1)[known] / count[known]))


def at_quantiles(windows: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Windows at :data:`QUANTILES` of a quality, best first, each once.

    Args:
        windows: Window indices, at least one.
        quality: How well each of them was decoded.
    """
    worst_first = windows[np.argsort(quality, kind="stable")]
    place = [round(q * (len(windows) - 1)) for q in QUANTILES]
    return worst_first[list(dict.fromkeys(place))]


def quantile_panels(
    rows: int, height_in: float, event: str
) -> tuple[Figure, list[Sequence[Axes]]]:
    """A figure with a row of panels for each behaviour, one panel for each quantile.

    Args:
        rows: Number of rows.
        height_in: Height of a row (inches).
        event: What time is counted from.

    Returns:
        The figure and the panels of each row.
    """
    columns = len(QUANTILES)
    figure, panels = grid(columns * rows, columns, height_in)
    for axes in panels[-columns:]:
        axes.set_xlabel(f"time from {event} (s)")
    return figure, [panels[i : i + columns] for i in range(0, len(panels), columns)]


def _trace_row(panels: Sequence[Axes], found: Predicted, behaviour: Decoded, channel: int) -> None:
    windows = shown_windows(behaviour, channel)
    time = found.start_s + (np.arange(behaviour.true.shape[1]) + 0.5) * found.step_s
    suffix = f" [{channel}]" if behaviour.true.shape[2] > 1 else ""
    shown = []
    for axes, window in zip(panels, windows.tolist(), strict=False):
        seen = behaviour.observed[window]
        true = np.where(seen, behaviour.true[window, :, channel], np.nan)
        predicted = behaviour.predicted[window, :, channel]
        last = int(np.flatnonzero(seen)[-1]) + 1
        axes.plot(time[:last], true[:last], color=OBSERVED)
        axes.plot(
            time[:last], predicted[:last], color=MODEL, linestyle=(0, (4, 1.5)), linewidth=1.8
        )
        score = decimal(r2(true[seen], predicted[seen]))
        axes.set_title(f"{found.window_name(window)}: R² {score}")
        shown += [true[:last], predicted[:last]]
        event_line(axes, found.start_s)
    low, high = _span(np.concatenate(shown))
    for axes in panels[: len(windows)]:
        axes.set_ylim(low, high)
    for axes in panels[len(windows) :]:
        axes.set_axis_off()
    panels[0].set_ylabel(short(behaviour.name + suffix, 20))


def _span(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


@styled
def agreement(found: Predicted, name: str) -> Plate | None:
    """Draw decoded against true values: density for numbers, confusion matrices for classes.

    Args:
        found: Predictions of a session.
        name: Identifier of the figure.

    Returns:
        The plate, or ``None`` without behaviours.
    """
    panels: list[tuple[Decoded, int]] = []
    for behaviour in found.behaviours:
        channels = 1 if behaviour.classes else behaviour.true.shape[-1]
        if behaviour.observed.any() and len(behaviour.classes) <= MAX_CLASSES:
            panels += [(behaviour, channel) for channel in range(min(channels, MAX_CHANNELS))]
    if not panels:
        return None
    figure, all_axes = grid(len(panels), max(3, balanced(len(panels), 4)), 2.9)
    for axes, (behaviour, channel) in zip(all_axes, panels, strict=True):
        if behaviour.classes:
            _confusion(figure, axes, behaviour)
        else:
            _values(axes, behaviour, channel)
    return plate(
        figure,
        name=name,
        title="Decoded against true behaviour",
        caption="All observed values of test windows. Numbers: one dot per bin or trial, line: "
        "perfect decoding. Classes: rows are the true classes; each cell is the fraction of its "
        "row, with the number of windows (or bins) beneath, or with more than "
        f"{ROOMY} classes that number alone; rows of classes that test windows lack are empty; a "
        "perfect decoder fills the diagonal.",
    )


def _values(axes: Axes, behaviour: Decoded, channel: int) -> None:
    seen = behaviour.observed
    true = behaviour.true[seen][:, channel].astype(np.float64)
    predicted = behaviour.predicted[seen][:, channel]
    score = r2(true, predicted)
    if len(true) > MAX_POINTS:
        kept = np.linspace(0, len(true) - 1, MAX_POINTS).round().astype(np.int64)
        true, predicted = true[kept], predicted[kept]
    axes.plot(true, predicted, ".", color=MODEL, alpha=0.25, markersize=3, rasterized=True)
    low, high = _span(true)
    axes.plot([low, high], [low, high], color=INK, linewidth=0.9)
    suffix = f" [{channel}]" if behaviour.true.shape[-1] > 1 else ""
    axes.set(xlabel="true", ylabel="decoded", xlim=(low, high))
    axes.set_title(f"{short(behaviour.name + suffix, 18)}: R² {decimal(score)}")


def confusion_counts(behaviour: Decoded) -> np.ndarray:
    """How often each class was decoded for each true class.

    Args:
        behaviour: A categorical behaviour.

    Returns:
        ``(K, K)``, rows true, over observed values.
    """
    size = len(behaviour.classes)
    true = behaviour.true[behaviour.observed].astype(np.int64)
    guess = behaviour.predicted[behaviour.observed].argmax(axis=-1)
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (true, guess), 1)
    return counts


def _confusion(figure: Figure, axes: Axes, behaviour: Decoded) -> None:
    counts = confusion_counts(behaviour)
    totals = counts.sum(axis=1, keepdims=True)
    fraction = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)
    axes.imshow(fraction, vmin=0.0, vmax=1.0, aspect="equal", interpolation="nearest")
    size = len(counts)
    roomy = size <= ROOMY
    for row, column in np.argwhere(np.isfinite(fraction)):
        # Cividis runs from dark blue to yellow whatever the page's background is.
        colour = PALE if fraction[row, column] < 0.55 else "#101418"
        share = f"{fraction[row, column]:.2f}\n" if roomy else ""
        text = f"{share}{counts[row, column]}"
        points = 8.5 if roomy else 7.0
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=points)
    labels = [short(name, 10) for name in behaviour.classes]
    axes.set_xticks(range(size), labels, rotation=45 if size > 4 else 0)
    axes.set_yticks(range(size), labels)
    axes.set(xlabel="decoded", ylabel="true")
    axes.spines[:].set_visible(False)
    guess = behaviour.predicted[behaviour.observed].argmax(axis=-1).astype(np.int64)
    score = balanced_accuracy(behaviour.true[behaviour.observed].astype(np.int64), guess)
    axes.set_title(f"{short(behaviour.name, 14)}: balanced acc. {decimal(score)}")
