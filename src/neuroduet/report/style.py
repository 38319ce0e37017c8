"""How figures look, and how they become part of a page that may be light or dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#0a0b0c"
"""Stands for the page's text colour, whatever that is; no other artist may use it."""

GREY = "#8a8f98"
PALE = "#ffffff"
MODEL, OBSERVED = "#2f7fc1", INK
PALETTE = ("#2f7fc1", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#a68a00", "#7a6fbe")
"""Okabe and Ito's colours, the two darkest and the lightest adapted to both backgrounds."""

MARKERS = ("o", "^", "s", "D")
CRAMPED = 3000
"""Beyond this many points an artist is drawn as pixels, which take less room than vectors."""

WIDTH_IN = 10.0

SHORT, SHORTER = 30.0, 4.0
"""How many times its start a logarithmic axis may end at to have some, or all, of its numbers."""

METRIC_LABELS = {
    "bits_per_spike": "bits per spike",
    "r2": "R²",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
}

TASK_LABELS = {
    "encoding_from": "encoding from one behaviour",
    "co_smoothing": "co-smoothing",
    "forward": "forward prediction",
    "intra_region": "intra-region",
    "inter_region": "inter-region",
    "decoding_by_region": "decoding by region",
}
"""Tasks whose name in the table is not what a reader would say."""

IMPLIED_TARGETS = ("spikes", "traces", "region")
"""Targets that their task implies: no sentence needs them."""

STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "image.cmap": "cividis",
    "figure.dpi": 150.0,
    "savefig.dpi": 150.0,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    "svg.hashsalt": "neuroduet",
    # Names come from files: a dollar sign in one is no formula.
    "text.parse_math": False,
}

styled = matplotlib.rc_context(STYLE)
"""Decorator: draw in this style and leave matplotlib's settings as they were."""


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A figure ready for the page.

    Attributes:
        name: Identifier, unique in the page.
        title: A few words.
        caption: What is shown, with units, for a reader who did not train the model.
        svg: The drawing.
        folded: Whether the reader has to open it; on paper it is open.
    """

    name: str
    title: str
    caption: str
    svg: str
    folded: bool = False


def grid(
    panels: int, columns: int, height_in: float, width_in: float = WIDTH_IN
) -> tuple[Figure, list[Axes]]:
    """A figure of small multiples.

    Args:
        panels: Number of panels; the rest of the last row stays empty.
        columns: Panels in a row; fewer panels leave the row's end free.
        height_in: Height of a row (inches).
        width_in: Width of a full row (inches).

    Returns:
        The figure and one axes for each panel.
    """
    rows = -(-panels // columns)
    figure = Figure(figsize=(width_in, rows * height_in), layout="constrained")
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(panels)]
    return figure, axes


def balanced(n: int, most: int) -> int:
    """Columns that leave the fewest places of the last row empty, with as few rows as can be.

    Args:
        n: Number of things, at least one.
        most: Most in a row.

    Example:
        >>> balanced(5, 4), balanced(8, 4), balanced(3, 4)
        (3, 4, 3)
    """
    return -(-n // -(-n // most))


def plate(figure: Figure, *, name: str, title: str, caption: str) -> Plate:
    """Turn a figure into inline SVG.

    Args:
        figure: The figure.
        name: Identifier, unique in the page: it keeps the drawings' ids apart.
        title: A few words.
        caption: What is shown.

    Returns:
        The plate; equal figures give equal text.
    """
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with warnings.catch_warnings(), matplotlib.rc_context(STYLE):
        # A unit named in a script the font lacks is drawn by the reader's browser.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="svg", metadata=metadata)
    return Plate(
        name=name, title=title, caption=caption, svg=_inline(buffer.getvalue(), name, title)
    )


def _inline(text: str, name: str, title: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    # Most ids are never used, and equal images share theirs: only those that are used stay.
    used = set(re.findall(r'(?:url\(|xlink:href=")#([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda m: m.group() if m.group(1) in used else "", text)
    text = re.sub(r'\b(id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r'\bd="[^"]*"', _shorter, text)
    text = text.replace(INK, "currentColor")
    label = escape(title, quote=True)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _shorter(match: re.Match[str]) -> str:
    """A path with coordinates to a hundredth of a point."""
    return re.sub(r"(\.\d{2})\d+", r"\1", match.group())


def markings(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each name; later names repeat colours with other markers.

    Args:
        names: At most 32 distinct names get a mark of their own.

    Returns:
        Colour and marker by name.
    """
    distinct = list(dict.fromkeys(names))
    return {
        name: (PALETTE[i % len(PALETTE)], MARKERS[i // len(PALETTE) % len(MARKERS)])
        for i, name in enumerate(distinct)
    }


def task_label(task: str) -> str:
    """What a reader calls a task."""
    return TASK_LABELS.get(task, task.replace("_", " "))


def question_label(task: str, target: str) -> str:
    """Task and target as a reader would say them."""
    return task_label(task) if target in IMPLIED_TARGETS else f"{task_label(task)}: {target}"


def short(name: str, length: int = 28) -> str:
    """A name that fits beside an axis: its middle is left out when it is long."""
    name = " ".join(name.split())
    if len(name) <= length:
        return name
    return f"{name[: length - length // 3 - 1]}…{name[-(length // 3) :]}"


def decimal(value: float) -> str:
    """A number with two decimals, never a negative zero."""
    return f"{round(float(value), 2) + 0.0:.2f}"


def usual_range(values: np.ndarray) -> tuple[float, float]:
    """Ends of an axis that a few values cannot stretch: three quartile ranges beyond quartiles."""
    lower, upper = np.percentile(values, [25, 75])
    reach = 3.0 * (upper - lower)
    return max(float(values.min()), lower - reach), min(float(values.max()), upper + reach)


def logarithmic(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, with plain numbers also between powers of ten.

    Args:
        axes: What is drawn on; of a long axis only the powers of ten are numbered.
    """

    def between(value: float, _: object) -> str:
        low, high = axes.get_xlim()
        shown = "23456789" if high < SHORTER * low else "235" if high < SHORT * low else ""
        return f"{value:g}" if f"{value:e}"[0] in shown else ""

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    # The usual labels are formulas, which our figures do not draw.
    axes.xaxis.set_minor_formatter(between)


def jitter(n: int, width: float) -> np.ndarray:
    """Offsets that spread ``n`` points evenly without chance (golden-ratio sequence)."""
    return width * ((np.arange(n) * 0.6180339887498949) % 1.0 - 0.5)
