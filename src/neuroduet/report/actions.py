"""Figures of the actions of recordings: ethogram, confusion, bouts and transitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from neuroduet.actions.metrics.frames import confusion, frame_counts
from neuroduet.actions.metrics.segments import run_lengths, transition_matrix
from neuroduet.report.style import (
    GREY,
    MODEL,
    PALE,
    PALETTE,
    WIDTH_IN,
    Plate,
    decimal,
    grid,
    logarithmic,
    plate,
    short,
    styled,
)

DARK = "#14161a"
"""Text on the light end of the colour map."""

COLUMNS = 2400
"""An ethogram shows at most this many columns; a longer one shows every n-th frame."""


@styled
def ethogram(
    truth: Int[np.ndarray, " T"] | None,
    predicted: Int[np.ndarray, " T"],
    probabilities: Float[np.ndarray, "T K"],
    names: Sequence[str],
    *,
    title: str,
    frame_s: float | None = None,
    first: int = 0,
    name: str = "ethogram",
) -> Plate:
    """Draw what an animal did, what the model says it did, and how sure the model is.

    Args:
        truth: True classes, unlabelled where nobody said; ``None`` if nobody said anything.
        predicted: Predicted classes.
        probabilities: Probability of every class in every frame.
        names: Names of the classes.
        title: Name of the recording.
        frame_s: Duration of a frame (s); the axis counts frames if not given.
        first: Number of the first frame, where this is a stretch of a recording.
        name: Identifier, unique in the page.

    Returns:
        The plate.
    """
    step = -(-len(predicted) // COLUMNS)
    colours = class_colours(len(names))
    rows = [("model", predicted)] if truth is None else [("human", truth), ("model", predicted)]
    unit = frame_s or 1.0
    extent = (first * unit, (first + len(predicted)) * unit, 0.0, 1.0)
    height_in = 0.3 * len(rows) + 0.2 * len(names) + 1.0
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    axes = figure.subplots(
        len(rows) + 1, 1, sharex=True, height_ratios=[1.4] * len(rows) + [len(names)]
    )
    for one, (label, classes) in zip(axes, rows, strict=False):
        pixels = np.vstack([colours, np.zeros(4)])[classes[::step]]
        one.imshow(pixels[None], aspect="auto", interpolation="nearest", extent=extent)
        one.set_yticks([0.5], [label])
        one.tick_params(length=0)
    _draw_probabilities(axes[-1], probabilities[::step], names, extent)
    axes[-1].set_xlabel("frame" if frame_s is None else "time (s)")
    axes[0].set_title(short(title, 60))
    shown = "" if step == 1 else f" One frame in {step} is shown."
    human = "" if truth is None else "Top: what a human said, empty where nobody did. "
    place = "Top" if truth is None else "Middle"
    return plate(
        figure,
        name=name,
        title=f"Ethogram of {title}",
        caption=f"{human}{place}: the model's class of every frame. Bottom: its probability of "
        f"every class, from 0 (dark) to 1 (bright).{shown}",
    )


def _draw_probabilities(
    axes: Axes,
    probabilities: Float[np.ndarray, "T K"],
    names: Sequence[str],
    extent: tuple[float, float, float, float],
) -> None:
    n = len(names)
    axes.imshow(
        probabilities.T,
        aspect="auto",
        interpolation="nearest",
        vmin=0,
        vmax=1,
        extent=(extent[0], extent[1], float(n), 0.0),
    )
    axes.set_yticks(np.arange(n) + 0.5, [short(name, 18) for name in names])
    axes.tick_params(axis="y", length=0)
    for label, colour in zip(axes.get_yticklabels(), class_colours(n), strict=True):
        label.set_color(tuple(colour[:3]))
        label.set_fontweight("bold")


def class_colours(n_classes: int) -> Float[np.ndarray, "K 4"]:
    """A colour for each class, as red, green, blue and opacity.

    The palette, then the palette half way to white; from the 17th class on, colours repeat.
    """
    full = np.array([to_rgb(colour) for colour in PALETTE])
    both = np.vstack([full, 0.5 + 0.5 * full])
    return np.column_stack([both[np.arange(n_classes) % len(both)], np.ones(n_classes)])


@styled
def confusion_matrix(
    truth: Sequence[Int[np.ndarray, " _"]],
    predicted: Sequence[Int[np.ndarray, " _"]],
    names: Sequence[str],
) -> Plate:
    """Draw which class the frames of each true class were given.

    Args:
        truth: True classes of each recording, unlabelled where nobody said.
        predicted: Predicted classes.
        names: Names of the classes.

    Returns:
        The plate.
    """
    n = len(names)
    counts = sum(
        (frame_counts(y, p, n) for y, p in zip(truth, predicted, strict=True)),
        start=np.zeros((n, n + 1)),
    )
    side_in = 0.42 * n + 1.6
    figure, (axes,) = grid(1, 1, side_in, width_in=side_in + 2.0)
    draw_matrix(axes, confusion(counts, normalise=True), names)
    axes.set_ylabel("true class (labelled frames)")
    axes.set_xlabel("predicted class")
    totals = [
        f"{short(name, 16)} ({int(m):,})" for name, m in zip(names, counts.sum(1), strict=True)
    ]
    axes.set_yticks(range(n), totals)
    return plate(
        figure,
        name="confusion",
        title="Which classes are confused",
        caption="Fraction of the labelled frames of each true class (row; in brackets: how many) "
        "that were given each class. Rows without a labelled frame are empty.",
    )


def draw_matrix(axes: Axes, values: Float[np.ndarray, "K K"], names: Sequence[str]) -> None:
    """Draw a square table of fractions with its numbers; rows of nothing stay empty."""
    known = values.sum(axis=1) > 0
    axes.imshow(np.where(known[:, None], values, np.nan), vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        if not known[row]:
            continue
        colour = DARK if value > 0.55 else PALE
        axes.text(
            column, row, decimal(value), ha="center", va="center", color=colour, fontsize=7.5
        )
    ticks = [short(name, 16) for name in names]
    axes.set_xticks(range(len(names)), ticks, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), ticks)
    axes.tick_params(length=0)


@styled
def bouts_and_transitions(
    truth: Sequence[Int[np.ndarray, " _"]] | None,
    predicted: Sequence[Int[np.ndarray, " _"]],
    names: Sequence[str],
    *,
    frame_s: float | None = None,
) -> Plate:
    """Draw how long bouts last and which class follows which.

    Args:
        truth: True classes of each recording, unlabelled where nobody said; ``None`` if unknown.
        predicted: Predicted classes.
        names: Names of the classes.
        frame_s: Duration of a frame (s); durations are in frames if not given.

    Returns:
        The plate.
    """
    given = {"model": predicted} if truth is None else {"human": truth, "model": predicted}
    height_in = 0.42 * len(names) + 1.6
    figure, (left, *right) = grid(1 + len(given), 1 + len(given), height_in)
    for offset, (who, labels) in enumerate(given.items()):
        shift = 0.32 * (offset - 0.5 * (len(given) - 1))
        colour = MODEL if who == "model" else GREY
        _draw_durations(left, labels, len(names), frame_s or 1.0, shift, colour, who)
    left.set_yticks(range(len(names)), [short(name, 16) for name in names])
    left.set_ylim(len(names) - 0.4, -0.6)
    logarithmic(left)
    left.set_xlabel("duration of a bout (" + ("frames)" if frame_s is None else "s)"))
    left.legend(loc="upper right", bbox_to_anchor=(1.0, 1.12), ncols=2)
    for axes, (who, labels) in zip(right, given.items(), strict=True):
        draw_matrix(axes, transition_matrix(labels, len(names)), names)
        axes.set_title(f"next class ({who})")
    return plate(
        figure,
        name="bouts",
        title="Bouts and transitions",
        caption="Left: durations of bouts; dot: median, line: middle half, in brackets: number of "
        "bouts. Right: fraction of the bouts of each class (row) that are followed by each other "
        "class; bouts that the end of the labels cuts off are followed by nothing.",
    )


def _draw_durations(
    axes: Axes,
    labels: Sequence[Int[np.ndarray, " _"]],
    n_classes: int,
    frame_s: float,
    shift: float,
    colour: str,
    who: str,
) -> None:
    lengths = [run_lengths(one, n_classes) for one in labels]
    axes.plot([], [], "o", color=colour, linestyle="", label=who)
    for k in range(n_classes):
        own = frame_s * np.array([n for one in lengths for n in one[k]], dtype=float)
        if len(own) == 0:
            continue
        low, middle, high = np.quantile(own, [0.25, 0.5, 0.75])
        axes.plot([low, high], [k + shift] * 2, color=colour, linewidth=3, alpha=0.5)
        axes.plot(middle, k + shift, "o", color=colour, markersize=5)
        axes.annotate(
            f"({len(own)})",
            (high, k + shift),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
