"""What a report on action segmentation says in a minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from neuroduet.actions.metrics import EVERY_CLASS
from neuroduet.actions.metrics.frames import confusion, frame_counts
from neuroduet.report.action_report_data import ActionFolder, Predictions, best_candidate
from neuroduet.report.action_report_tables import (
    SHUFFLED,
    bout_ratio,
    full_score,
    interval_text,
    metric_name,
    metric_number,
    value_of,
)
from neuroduet.report.sheet import Cell, Tile
from neuroduet.report.summary import duration
from neuroduet.report.tables import number
from neuroduet.types import UNLABELLED

TILES = ("macro_f1", "accuracy", "edit", "f1@50", "calibration_error")
STATE_TILES = ("one_to_one", "many_to_one", "v_measure", "adjusted_rand")
CONFUSED = 0.1
"""A share of a class that is called another one is worth a sentence from here on."""


def about_model(model: Mapping[str, Any]) -> str:
    """What a saved segmenter is, in a sentence.

    Args:
        model: ``segmenter.json``.
    """
    names = list(model["classes"])
    states = all(name == f"state {i}" for i, name in enumerate(names))
    shape = model["shape"]
    kinds = {
        1: lambda: f"{shape[0]} features",
        2: lambda: f"{shape[0]} keypoints",
        3: lambda: f"{shape[0]} animals with {shape[1]} keypoints each",
    }
    seen = kinds[len(shape)]()
    tells = (
        f"{len(names)} states that it found without labels"
        if states
        else f"{len(names)} classes ({', '.join(names)})"
    )
    return f"A segmenter ({model['model']}) that tells {tells} in every frame, from {seen}."


def about_experiments(folder: ActionFolder) -> list[str]:
    """What the tables of experiments say, a sentence each."""
    found = []
    if folder.compare is not None:
        best = best_candidate(folder.compare)
        pairs = folder.compare[["model", "features"]].drop_duplicates()
        found.append(
            f"Of {len(pairs)} models and features, each recording scored by models that had not "
            f"seen it, {best['model']} with {best['features']} features has the highest macro F1: "
            f"{number(best['value'])} ({_within(best)})."
        )
    if folder.density is not None:
        found.append(_about_density(folder.density))
    return found


def _about_density(table: pd.DataFrame) -> str:
    main = table[(table["metric"] == "macro_f1") & (table["class"] == EVERY_CLASS)]
    means = main.groupby(["goal", "model", "features"], sort=False)["value"].mean()
    parts = []
    for goal in (main["goal"].min(), main["goal"].max()):
        own = means.loc[goal]
        model, features = own.idxmax()
        parts.append(
            f"{number(own.max())} with {goal:g} labelled frames per class ({model}, {features})"
        )
    seeds = main["seed"].nunique() if "seed" in main else 1
    return f"Best macro F1 over {seeds} seeds: {' and '.join(dict.fromkeys(parts))}."


def said(found: Predictions, scores: pd.DataFrame | None) -> list[str]:
    """What a model says of recordings, and how right it is.

    Args:
        found: Predictions.
        scores: See :func:`~neuroduet.report.action_report_data.scores_of`; ``None`` without
            labels.
    """
    frames = sum(len(one) for one in found.predicted)
    known = sum(int((one != UNLABELLED).sum()) for one in found.truth)
    length = "" if found.frame_s is None else f", {duration(frames * found.frame_s)}"
    n = len(found.recordings)
    labels = (
        f"; a human labelled {100 * known / frames:.0f} % of the frames"
        if known
        else "; no labels"
    )
    how = " out of fold" if found.out_of_fold else ""
    first = (
        f"{found.by} segmented {n} recording{'s' if n > 1 else ''}{how} "
        f"({frames:,} frames{length}){labels}."
    )
    if scores is None:
        return [first, _mostly(found)]
    if found.states:
        return [first, _matched(scores)]
    return [first, _right(found, scores), *_weak(found, scores)]


def _mostly(found: Predictions) -> str:
    counts = sum(np.bincount(one, minlength=len(found.names)) for one in found.predicted)
    shares = np.asarray(counts) / np.sum(counts)
    order = np.argsort(-shares, kind="stable")
    words = ", ".join(
        f"{found.names[k]} {100 * shares[k]:.0f} %" for k in order[:6] if shares[k] > 0
    )
    return f"Time goes to {words}."


def _matched(scores: pd.DataFrame) -> str:
    row = value_of(scores, "one_to_one")
    return (
        f"Matched one to one to the human classes, states agree in {number(row['value'])} of "
        f"the frames ({_within(row)}; bouts in random order "
        f"{number(row['null_shuffled'])})."
    )


def _right(found: Predictions, scores: pd.DataFrame) -> str:
    row = value_of(scores, "macro_f1")
    ratio = bout_ratio(found)
    return (
        f"Macro F1 {number(row['value'])} ({_within(row)}; the same bouts in random "
        f"order {number(row['null_shuffled'])}, always the most frequent class "
        f"{number(row['null_constant'])}). The model finds {ratio:.2f} bouts for every bout of "
        "the human."
    )


def _weak(found: Predictions, scores: pd.DataFrame) -> list[str]:
    """The worst class, and the commonest confusion if it is common."""
    own = scores[(scores["metric"] == "f1") & scores["value"].notna()]
    if len(own) < 2:
        return []
    worst = own.loc[own["value"].idxmin()]
    text = f"The hardest class is {worst['class']} (F1 {number(worst['value'])})"
    counts = sum(
        frame_counts(found.truth[i], found.predicted[i], len(found.classes))
        for i in found.labelled
    )
    shares = confusion(np.asarray(counts), normalise=True)
    np.fill_diagonal(shares, 0.0)
    true, called = np.unravel_index(int(shares.argmax()), shares.shape)
    if shares[true, called] >= CONFUSED:
        share = f"{100 * shares[true, called]:.0f} %"
        names = found.classes
        text += f"; the commonest confusion: {share} of {names[true]} is called {names[called]}"
    return [f"{text}."]


def _within(row: pd.Series) -> str:
    return f"95 % {interval_text(row)}" if np.isfinite(row["low"]) else "no interval"


def tiles(scores: pd.DataFrame) -> tuple[Tile, ...]:
    """The main metrics as tiles.

    Args:
        scores: See :func:`~neuroduet.report.action_report_data.scores_of`.
    """
    present = set(scores["metric"])
    wanted = TILES if "edit" in present else STATE_TILES
    found = []
    for name in wanted:
        if name not in present:
            continue
        row = value_of(scores, name)
        scale = "lower is better" if name == "calibration_error" else f"of {full_score(name)}"
        found.append(
            Tile(
                what=metric_name(name),
                value=metric_number(name, row["value"]),
                unit=Cell(text=scale, title=row["definition"]),
                spread=_within(row) if np.isfinite(row["low"]) else "",
                references=(replace(SHUFFLED, note=metric_number(name, row["null_shuffled"])),),
            )
        )
    return tuple(found)
