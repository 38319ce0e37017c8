"""The drawn parts of a report page: each reads one thing of the run folder and never fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import pandas as pd

from neuroduet.errors import UserError
from neuroduet.report import activity, behaviour, behaviour_classes, rasters
from neuroduet.report.contents import task_tables
from neuroduet.report.figures import decoding_by_region, learning_curves
from neuroduet.report.folder import RunFolder, read_arrays
from neuroduet.report.holdings import Holding, holdings_figure, holdings_table, unplaced_units
from neuroduet.report.predicted import Predicted, from_arrays
from neuroduet.report.schemes import scheme_table
from neuroduet.report.sheet import Section, Table
from neuroduet.report.style import Plate, short, task_label
from neuroduet.report.tables import session_table
from neuroduet.report.unit_table import unit_table
from neuroduet.report.units import (
    UNIT_QUESTIONS,
    embedding_map,
    region_confusion,
    unit_scores,
)
from neuroduet.types import is_region

log = logging.getLogger(__name__)

Part = TypeVar("Part", Plate, Table)

MAX_DRAWN = 3
"""Sessions whose predictions are drawn: a page for hundreds would not open."""


def unit_section(folder: RunFolder, held: Sequence[Holding], missing: list[str]) -> Section:
    """Which units are predicted, what regions tell, and the map of unit embeddings.

    Args:
        folder: The run.
        held: What its sessions hold.
        missing: A sentence is added for everything that cannot be drawn.
    """
    plates: tuple[Plate | Table, ...] = ()
    if folder.own_units is not None:
        units = folder.own_units
        names = UNIT_QUESTIONS if "task" in units.columns else ("encoding",)
        draws = [partial(_scores_of_units, units, task) for task in names]
        scored = drawn("scores_units.parquet", draws, missing)
        plates += scored[:1] + tuple(replace(one, folded=True) for one in scored[1:])
        plates += drawn("scores_units.parquet", [partial(unit_table, units)], missing)
    tables: tuple[Table, ...] = ()
    if folder.scores is not None and folder.main is not None:
        draw = partial(decoding_by_region, folder.scores, folder.main)
        plates += drawn("scores.csv", [draw], missing)
        own = folder.scores[folder.scores["task"] == "regions"]
        tables = task_tables(session_table(own), folder.main, open_rows=0)
    if folder.regions is not None:
        draw = partial(region_confusion, folder.regions)
        plates += drawn("scores_regions.csv", [draw], missing)
    if folder.embeddings is not None:
        plates += drawn(
            "embeddings", [partial(embedding_map, folder.embeddings, folder.own_units)], missing
        )
    return Section(
        id="units",
        title="Units and regions",
        label="Units",
        notes=unplaced_units(held) if plates else (),
        parts=(*plates, *tables),
    )


def _scores_of_units(units: pd.DataFrame, task: str) -> Plate | None:
    return unit_scores(units, task=task) or unit_scores(units, "r2", task)


def training_section(folder: RunFolder, missing: list[str]) -> Section:
    """Masking schemes and learning curves.

    Args:
        folder: The run.
        missing: A sentence is added for everything that cannot be drawn.
    """
    draws = [partial(learning_curves, folder.curves, part) for part in ("valid/", "train_loss/")]
    plates = drawn("metrics.csv", draws, missing)
    losses = tuple(replace(one, folded=True) for one in plates if one.name == "loss")
    plates = (*(one for one in plates if one.name != "loss"), *losses)
    try:
        table = scheme_table(folder.config, folder.scores, folder.main)
    except (TypeError, ValueError) as error:  # settings of any type
        missing.append(f"config.yaml holds masking schemes that cannot be shown: {error}")
        table = None
    tables = () if table is None else (table,)
    return Section(id="training", title="Training", parts=(*tables, *plates))


def data_section(found: Sequence[Holding], missing: list[str]) -> Section:
    """What the sessions hold.

    Args:
        found: See :func:`~neuroduet.report.holdings.holdings`.
        missing: A sentence is added for what cannot be drawn.
    """
    table = holdings_table(found)
    tables = () if table is None else (table,)
    plates = drawn("model/config.json", [partial(holdings_figure, found)], missing)
    return Section(id="data", title="Data", parts=(*tables, *plates))


def session_sections(folder: RunFolder, missing: list[str]) -> list[Section]:
    """Predictions of a few sessions.

    Args:
        folder: The run.
        missing: A sentence is added for what cannot be drawn.
    """
    scores, main = folder.scores, folder.main
    names = shown_sessions(list(folder.predictions), scores, main)
    total = len(folder.predictions)
    text = (
        f"Shown are {len(names)} of {total} sessions: the best, a middling and the worst by "
        f"{task_label(_ranking_task(scores, main))} score."
        if total > len(names)
        else ""
    )
    sections = []
    for i, name in enumerate(names):
        file = f"predictions/{folder.predictions[name].name}"
        try:
            arrays = read_arrays(folder.predictions[name])
            found = from_arrays(name, arrays)
            found = _placed(_timed(found, folder), folder)
            section = _session(found, f"session-{i}", text if i == 0 else "", missing)
        except UserError as error:
            missing.append(str(error))
            continue
        except Exception as error:  # arrays of any type and shape
            missing.append(f"{file} does not fit together: {error}")
            continue
        if section.empty:
            drawable = any(key.startswith(("encoding/", "decoding/")) for key in arrays)
            lacking = "true values to compare the predictions with"
            missing.append(f"{file} holds no {lacking if drawable else 'encoding or decoding'}")
        sections.append(section)
    return sections


def shown_sessions(
    names: list[str], scores: pd.DataFrame | None, main: str | None, most: int = MAX_DRAWN
) -> list[str]:
    """Choose the sessions that are drawn.

    Args:
        names: Sessions.
        scores: Scores of the run, or ``None``.
        main: The run's model.
        most: How many.

    Returns:
        All of up to ``most``; of more, evenly spaced from the best to the worst score in encoding,
        or else in the first task of activity (sessions without a score come last).
    """
    if len(names) <= most:
        return names
    values = dict.fromkeys(names, -np.inf)
    if scores is not None:
        task = _ranking_task(scores, main)
        own = scores[(scores["model"] == main) & (scores["task"] == task)]
        first = own.drop_duplicates("session").set_index("session")["value"].dropna()
        values |= {name: float(first[name]) for name in names if name in first.index}
    ranked = sorted(names, key=lambda name: (-values[name], name))
    return [ranked[i] for i in np.linspace(0, len(ranked) - 1, most).round().astype(int)]


def _ranking_task(scores: pd.DataFrame | None, main: str | None) -> str:
    """The task by whose scores sessions are ranked."""
    own = set() if scores is None else set(scores["task"][scores["model"] == main])
    return next((task for task in UNIT_QUESTIONS if task in own), "encoding")


def _session(found: Predicted, name: str, text: str, missing: list[str]) -> Section:
    draws = (
        activity.unit_averages,
        rasters.unit_rasters,
        behaviour.traces,
        behaviour_classes.class_traces,
        behaviour_classes.class_trials,
        behaviour.agreement,
    )
    named = [partial(draw, found, f"{name}-{i}") for i, draw in enumerate(draws)]
    return Section(
        id=name,
        title=f"Predictions: {short(found.session, 60)}",
        label=short(found.session, 20),
        text=text,
        parts=drawn(f"predictions/{found.session}.npz", named, missing),
    )


def _timed(found: Predicted, folder: RunFolder) -> Predicted:
    """The same with the event that the windows are cut around."""
    data = folder.config.get("data")
    windows = data.get("windows") if isinstance(data, dict) else None
    if not found.by_trial or not isinstance(windows, dict):
        return found
    event, pre_s = windows.get("event"), windows.get("pre_s")
    return replace(
        found,
        start_s=-float(pre_s) if isinstance(pre_s, int | float) else 0.0,
        event=short(str(event), 24) if event else "trial start",
    )


def _placed(found: Predicted, folder: RunFolder) -> Predicted:
    """The same with the regions of the units, where the model knows these units."""
    known = folder.sessions.get(found.session, {})
    units, regions = known.get("units"), known.get("regions")
    if found.activity is None or not isinstance(units, list) or not isinstance(regions, list):
        return found
    if [str(one) for one in units] != found.activity.units.tolist() or len(regions) != len(units):
        return found
    named = tuple(str(one) if is_region(str(one)) else "" for one in regions)
    return replace(found, activity=replace(found.activity, regions=named))


def drawn(
    file: str, draws: Sequence[Callable[[], Part | None]], missing: list[str]
) -> tuple[Part, ...]:
    """Figures or tables of one file; what cannot be made of its values goes to ``missing``.

    Args:
        file: Where the values come from.
        draws: One for each; ``None`` means that there is nothing to draw.
        missing: Sentences for the reader.
    """
    found = []
    for draw in draws:
        try:
            found.append(draw())
        except Exception as error:
            log.debug("%s: a figure failed", file, exc_info=error)
            missing.append(f"{file} holds values that cannot be drawn: {error}")
    return tuple(part for part in found if part is not None)
