"""Figures of decoded classes, over bins or trials: probabilities, and what really happened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from neuroduet.report.behaviour import MAX_CLASSES, QUANTILES, at_quantiles, quantile_panels
from neuroduet.report.predicted import Decoded, Predicted
from neuroduet.report.style import PALETTE, Plate, grid, plate, short, styled

MAX_BEHAVIOURS = 4
STRIP = 0.22
"""Height of the strip of true classes above the probabilities."""

_CAPTION = (
    "Test windows; one behaviour in each row. Coloured areas: the decoded probability of each "
    "class, from the activity alone, stacked to 1. Strip above them: the class that was observed, "
    "in the same colours (empty where it is unknown). From left to right the windows that are "
    f"decoded better than {', '.join(f'{q:.0%}' for q in QUANTILES)} of all (by mean probability "
    "of the true class), so that the row is no choice of the best."
)


@styled
def class_traces(found: Predicted, name: str) -> Plate | None:
    """Draw decoded classes of a few windows over time, from well to badly decoded.

    Args:
        found: Predictions of a session.
        name: Identifier of the figure.

    Returns:
        The plate, or ``None`` without a categorical behaviour per bin.
    """
    rows = [
        one
        for one in found.behaviours
        if one.classes and one.true.ndim == 2 and len(one.classes) <= MAX_CLASSES
    ]
    rows = [one for one in rows if len(windows_by_quality(one))][:MAX_BEHAVIOURS]
    if not rows:
        return None
    figure, lines = quantile_panels(len(rows), 1.9, found.event)
    for line, behaviour in zip(lines, rows, strict=True):
        _class_row(line, found, behaviour)
    return plate(figure, name=name, title="Decoded classes, single windows", caption=_CAPTION)


def windows_by_quality(behaviour: Decoded) -> np.ndarray:
    """Windows at the quantiles of the mean probability of the true class, best first.

    Args:
        behaviour: A categorical behaviour per bin.

    Returns:
        Window indices, each once; windows without an observed bin are never shown.
    """
    count = behaviour.observed.sum(axis=1)
    known = np.flatnonzero(count > 1)
    if len(known) == 0:
        return known
    label = np.where(behaviour.observed, behaviour.true, 0).astype(np.int64)
    right = np.take_along_axis(behaviour.predicted, label[:, :, None], axis=2)[:, :, 0]
    mean = np.where(behaviour.observed, right, 0.0).sum(axis=1)[known] / count[known]
    return at_quantiles(known, mean)


def _class_row(panels: Sequence[Axes], found: Predicted, behaviour: Decoded) -> None:
    windows = windows_by_quality(behaviour)
    colours = [PALETTE[k % len(PALETTE)] for k in range(len(behaviour.classes))]
    for axes, window in zip(panels, windows.tolist(), strict=False):
        last = int(np.flatnonzero(behaviour.observed[window])[-1]) + 1
        edges = found.start_s + np.arange(last + 1) * found.step_s
        _areas(axes, behaviour.predicted[window, :last], edges, colours)
        labels, observed = behaviour.true[window, :last], behaviour.observed[window, :last]
        _strip(axes, labels, observed, edges, colours)
        seen = behaviour.observed[window, :last]
        guess = behaviour.predicted[window, :last].argmax(axis=-1)
        share = float((guess == behaviour.true[window, :last])[seen].mean())
        axes.set_title(f"{found.window_name(window)}: {share:.0%} of bins right")
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0.0, 1.06 + STRIP), yticks=[0.0, 0.5, 1.0])
    for axes in panels[len(windows) :]:
        axes.set_axis_off()
    panels[0].set_ylabel(f"{short(behaviour.name, 16)}: prob.")
    keys = _class_keys(behaviour, colours)
    panels[-1].legend(handles=keys, loc="center left", bbox_to_anchor=(1, 0.5))


def _areas(axes: Axes, chance: np.ndarray, edges: np.ndarray, colours: Sequence[str]) -> None:
    """Probabilities ``(n, K)`` of pieces between edges, stacked."""
    # Areas are steps: a probability holds for its whole piece.
    steps = np.concatenate([chance, chance[-1:]]).T
    axes.stackplot(edges, steps, colors=colours, step="post", linewidth=0, alpha=0.75)


def _strip(
    axes: Axes,
    labels: np.ndarray,
    observed: np.ndarray,
    edges: np.ndarray,
    colours: Sequence[str],
) -> None:
    """The observed class of each piece, in its colour above the probabilities."""
    for k, colour in enumerate(colours):
        # Neighbours of one class are one bar: between two, the page would shine through.
        change = np.diff(np.concatenate([[0], observed & (labels == k), [0]]).astype(np.int64))
        starts, stops = edges[np.flatnonzero(change > 0)], edges[np.flatnonzero(change < 0)]
        pieces = list(zip(starts.tolist(), (stops - starts).tolist(), strict=True))
        axes.broken_barh(pieces, (1.04, STRIP), facecolors=colour, linewidth=0)


@styled
def class_trials(found: Predicted, name: str) -> Plate | None:
    """Draw classes that are given once per trial over the trials of the session.

    Args:
        found: Predictions of a session.
        name: Identifier of the figure.

    Returns:
        The plate, or ``None`` without such a behaviour.
    """
    rows = [
        one
        for one in found.behaviours
        if one.classes and one.true.ndim == 1 and len(one.classes) <= MAX_CLASSES
    ]
    rows = [one for one in rows if one.observed.any()][:MAX_BEHAVIOURS]
    if not rows:
        return None
    order = np.argsort(found.trial, kind="stable")
    figure, panels = grid(len(rows), 1, 1.6)
    for axes, behaviour in zip(panels, rows, strict=True):
        _trial_row(axes, behaviour, order)
    word = "trials" if found.by_trial else "windows"
    panels[-1].set_xlabel(f"test {word}, in the order of the session")
    return plate(
        figure,
        name=name,
        title=f"Decoded classes over {word}",
        caption=f"One column for each of {len(order)} test {word}. Coloured bars: the decoded "
        "probability of each class, from the activity alone, stacked to 1. Strip above them: the "
        "class that was observed (empty where it is unknown).",
    )


def _trial_row(axes: Axes, behaviour: Decoded, order: np.ndarray) -> None:
    colours = [PALETTE[k % len(PALETTE)] for k in range(len(behaviour.classes))]
    edges = np.arange(len(order) + 1, dtype=np.float64)
    _areas(axes, behaviour.predicted[order], edges, colours)
    _strip(axes, behaviour.true[order], behaviour.observed[order], edges, colours)
    axes.set(xlim=(0, len(order)), ylim=(0.0, 1.06 + STRIP), yticks=[0.0, 0.5, 1.0])
    axes.set_ylabel("probability")
    axes.set_title(short(behaviour.name, 24))
    axes.legend(
        handles=_class_keys(behaviour, colours), loc="center left", bbox_to_anchor=(1, 0.5)
    )


def _class_keys(behaviour: Decoded, colours: Sequence[str]) -> list[Line2D]:
    """At most eight classes: more would not be told apart."""
    named = list(zip(colours, behaviour.classes, strict=True))[:8]
    return [Line2D([], [], color=c, linewidth=5, label=short(name, 14)) for c, name in named]
