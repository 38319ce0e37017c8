"""Figures of a report on action segmentation: time, durations and probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes

from neuroduet.actions.metrics.calibration import confidence_counts, reliability
from neuroduet.actions.metrics.segments import run_lengths, runs
from neuroduet.report.actions import class_colours
from neuroduet.report.style import (
    GREY,
    INK,
    MODEL,
    Plate,
    grid,
    logarithmic,
    plate,
    short,
    styled,
)
from neuroduet.types import UNLABELLED

MAX_RECORDINGS = 24
MAX_CLASSES = 12

Labels = Sequence[Int[np.ndarray, " _"]]


def busiest_stretch(labels: Int[np.ndarray, " T"], frames: int) -> int:
    """First frame of the stretch in which most bouts begin; the earliest of equals.

    Args:
        labels: Class of every frame, or unlabelled.
        frames: Length of the stretch.

    Example:
        >>> busiest_stretch(np.array([0, 0, 0, 1, 0, 1, 1, 1]), 3)
        3
    """
    every = runs(labels)
    begins = np.zeros(len(labels))
    begins[every.start[(every.label != UNLABELLED) & (every.start > 0)]] = 1
    total = np.concatenate([[0.0], begins.cumsum()])
    last = max(len(labels) - frames, 0)
    return int((total[frames : frames + last + 1] - total[: last + 1]).argmax()) if last else 0


@styled
def time_budget(
    truth: Labels | None, predicted: Labels, recordings: Sequence[str], names: Sequence[str]
) -> Plate:
    """Draw how each recording's time divides over the classes.

    Args:
        truth: True classes of each recording, unlabelled where nobody said; ``None`` if unknown.
        predicted: Predicted classes, unlabelled where they are not compared.
        recordings: Names of the recordings.
        names: Names of the classes.

    Returns:
        The plate; of many recordings the first :data:`MAX_RECORDINGS`.
    """
    shown = range(min(len(recordings), MAX_RECORDINGS))
    rows = [("model", predicted)] if truth is None else [("human", truth), ("model", predicted)]
    lines = [
        (short(recordings[i], 22) + (f" {who}" if len(rows) > 1 else ""), one[i])
        for i in shown
        for who, one in rows
    ]
    figure, (axes,) = grid(1, 1, 0.9 + 0.2 * len(lines))
    colours = class_colours(len(names))
    heights = [row + (0.25 * (row // 2) if truth is not None else 0) for row in range(len(lines))]
    for at, (_, labels) in zip(heights, lines, strict=True):
        known = labels[labels != UNLABELLED]
        shares = np.bincount(known, minlength=len(names)) / max(len(known), 1)
        left = np.concatenate([[0.0], shares.cumsum()[:-1]])
        axes.barh(at, 100 * shares, left=100 * left, color=colours, height=0.85)
    for name, colour in zip(names, colours, strict=True):
        axes.barh([0], [0], color=colour, label=short(name, 18))
    axes.set_yticks(heights, [label for label, _ in lines])
    axes.set_ylim(heights[-1] + 0.6, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("frames (%)")
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=min(6, len(names)))
    rest = len(recordings) - len(shown)
    more = f" {rest} more recordings are not drawn." if rest else ""
    which = "" if truth is None else "labelled "
    return plate(
        figure,
        name="budget",
        title="Time budget",
        caption=f"Share of the {which}frames of each recording that are of each class.{more}",
    )


@styled
def bout_durations(
    truth: Labels | None,
    predicted: Labels,
    names: Sequence[str],
    *,
    frame_s: float | None = None,
) -> Plate | None:
    """Draw the distribution of the durations of bouts, one panel per class.

    Args:
        truth: True classes of each recording, unlabelled where nobody said; ``None`` if unknown.
        predicted: Predicted classes, unlabelled where they are not compared.
        names: Names of the classes.
        frame_s: Duration of a frame (s); durations are in frames if not given.

    Returns:
        The plate, or ``None`` if there is no bout.
    """
    given = {"model": predicted} if truth is None else {"human": truth, "model": predicted}
    lengths = {who: _durations(one, len(names), frame_s or 1.0) for who, one in given.items()}
    classes = [k for k in range(len(names)) if any(len(one[k]) for one in lengths.values())]
    if not classes:
        return None
    shown = classes[:MAX_CLASSES]
    figure, panels = grid(len(shown), 4, 2.2)
    for axes, k in zip(panels, shown, strict=True):
        for who, one in lengths.items():
            _draw_distribution(axes, one[k], who)
        axes.set_title(short(names[k], 24))
        axes.set_xlabel("duration (" + ("frames)" if frame_s is None else "s)"))
        axes.legend(loc="upper left", fontsize=7.5)
    for axes in panels[::4]:
        axes.set_ylabel("fraction of bouts")
    against = (
        ""
        if truth is None
        else " A curve of the model to the left of the human one means that the model cuts bouts "
        "into pieces."
    )
    rest = f" {len(classes) - len(shown)} more classes are not drawn." * (
        len(classes) > MAX_CLASSES
    )
    return plate(
        figure,
        name="durations",
        title="How long bouts last",
        caption="Fraction of the bouts of a class that last at most so long; in brackets: number "
        f"of bouts.{against}{rest}",
    )


def _durations(labels: Labels, n_classes: int, frame_s: float) -> list[Float[np.ndarray, " _"]]:
    found = [run_lengths(one, n_classes) for one in labels]
    return [
        frame_s * np.array([n for one in found for n in one[k]], float) for k in range(n_classes)
    ]


def _draw_distribution(axes: Axes, durations: Float[np.ndarray, " n"], who: str) -> None:
    if len(durations) == 0:
        return
    x = np.sort(durations)
    y = np.arange(1, len(x) + 1) / len(x)
    colour = MODEL if who == "model" else GREY
    line = np.concatenate([x[:1], x]), np.concatenate([[0.0], y])
    axes.plot(*line, drawstyle="steps-post", color=colour, label=f"{who} ({len(x)})")
    logarithmic(axes)
    axes.set_ylim(0, 1.03)


@styled
def calibration_curve(
    truth: Labels, probabilities: Sequence[Float[np.ndarray, "_ K"]]
) -> Plate | None:
    """Draw how often the model is right, by how sure it is.

    Args:
        truth: True classes of each recording, unlabelled where nobody said.
        probabilities: Probability of every class in every frame.

    Returns:
        The plate, or ``None`` without a labelled frame.
    """
    pairs = zip(probabilities, truth, strict=True)
    counts = np.sum([confidence_counts(p, y) for p, y in pairs], axis=0)
    if counts[:, 0].sum() == 0:
        return None
    found = reliability(counts)
    figure, (left, right) = grid(2, 2, 3.0, width_in=8.0)
    seen = found.frames > 0
    left.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1.0)
    left.plot(found.confidence[seen], found.accuracy[seen], "-o", color=MODEL, markersize=4)
    left.set_ylabel("fraction of frames it is right")
    edges = np.linspace(0, 1, len(counts) + 1)
    share = 100 * found.frames / found.frames.sum()
    right.bar(edges[:-1], share, width=np.diff(edges), align="edge", color=MODEL, alpha=0.7)
    right.set_ylabel("labelled frames (%)")
    for axes in (left, right):
        axes.set_xlabel("probability of the most probable class")
        axes.set_xlim(0, 1)
    left.set_ylim(0, 1.02)
    return plate(
        figure,
        name="calibration",
        title="Whether probabilities mean what they say",
        caption="Left: of the labelled frames in which the model gives its most probable class so "
        "much, the fraction in which that class is right; on the dotted line probabilities are "
        "honest, below it the model is too sure of itself. Right: how many frames these are.",
    )
