"""Figure files of the commands of action segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neuroduet.actions.evaluation import Evaluation
from neuroduet.atomic import replacing
from neuroduet.report.action_scores import density_curves, model_grid
from neuroduet.report.actions import bouts_and_transitions, confusion_matrix, ethogram
from neuroduet.report.style import Plate

SCORES = ("macro_f1", "edit", "f1@50")
"""Metrics that the figures of score tables show."""


def draw_evaluation(found: Evaluation, folder: Path) -> list[Path]:
    """Draw what a segmenter says of labelled recordings.

    Args:
        found: Predictions and labels.
        folder: Folder of the figures; made if needed.

    Returns:
        One ethogram per recording and, unless the model found mere states, the confusion matrix
        and bouts and transitions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = [frame_duration(one.timestamps) for one in found.recordings]
    written = []
    for one, truth, answer, frame_s in zip(
        found.recordings, found.truth, found.answers, steps, strict=True
    ):
        # States have other numbers than the classes of the labels.
        shown = None if found.matched else truth
        drawn = ethogram(
            shown,
            answer.classes,
            answer.probabilities,
            answer.names,
            title=one.name,
            frame_s=frame_s,
        )
        written.append(write_plate(drawn, folder / f"ethogram-{one.name}.svg"))
    if found.matched:
        return written
    predicted = [answer.classes for answer in found.answers]
    common_s = common_duration(steps)
    matrix = confusion_matrix(found.truth, predicted, found.classes)
    bouts = bouts_and_transitions(found.truth, predicted, found.classes, frame_s=common_s)
    return [
        *written,
        write_plate(matrix, folder / "confusion.svg"),
        write_plate(bouts, folder / "bouts.svg"),
    ]


def draw_grid(table: pd.DataFrame, path: Path, metrics: Sequence[str] = SCORES) -> Path | None:
    """Draw a table of models by features; ``None`` if it holds no such metric."""
    drawn = model_grid(table, metrics)
    return None if drawn is None else write_plate(drawn, path)


def draw_density(table: pd.DataFrame, path: Path, metrics: Sequence[str] = SCORES) -> Path | None:
    """Draw a table of scores by number of labels; ``None`` if it holds no such metric."""
    drawn = density_curves(with_features(table), metrics)
    return None if drawn is None else write_plate(drawn, path)


def with_features(table: pd.DataFrame) -> pd.DataFrame:
    """A score table whose models are named with their features, where these differ."""
    several = table["features"].nunique() > 1
    return table.assign(model=table["model"] + ", " + table["features"]) if several else table


def write_plate(drawn: Plate, path: Path) -> Path:
    """Write a figure as an .svg file of its own."""
    with replacing(path) as temporary:
        temporary.write_text(drawn.svg, encoding="utf-8")
    return path


def common_duration(steps: Sequence[float | None]) -> float | None:
    """Time between frames (s) of all recordings, ``None`` if they differ or one is unknown."""
    known = {round(step, 6) for step in steps if step is not None}
    return steps[0] if len(known) == 1 and None not in steps else None


def frame_duration(timestamps: np.ndarray | None) -> float | None:
    """Typical time between frames (s), ``None`` if unknown."""
    known = timestamps is not None and len(timestamps) > 1
    return float(np.median(np.diff(timestamps))) if known and timestamps is not None else None
