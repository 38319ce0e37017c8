"""One self-contained page about a run: it holds its figures and loads nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from neuroduet.errors import UserError
from neuroduet.report import activity, behaviour
from neuroduet.report.contents import definitions, facts, score_blocks, scored_on, summary, tiles
from neuroduet.report.figures import decoding_by_region, learning_curves, score_dots
from neuroduet.report.folder import RunFolder, read_arrays, read_folder
from neuroduet.report.headlines import headlines, main_model
from neuroduet.report.predicted import Predicted, from_arrays
from neuroduet.report.style import Plate, short, task_label
from neuroduet.report.tables import (
    session_table,
    summary_table,
    uneven_models,
)
from neuroduet.report.units import UNIT_QUESTIONS, embedding_map, unit_scores
from neuroduet.training.files import write_text

log = logging.getLogger(__name__)

MAX_SESSIONS = 3
"""Sessions whose predictions are drawn: a page for hundreds would not open."""

TILES_NOTE = (
    "Bars run from the null to the oracle where it is known, else to a perfect score; the mark is "
    "the best linear baseline."
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and its figures."""

    id: str
    title: str
    text: str
    plates: tuple[Plate, ...]


def write_report(
    run: Path | str, comparisons: pd.DataFrame | None = None, title: str | None = None
) -> Path:
    """Write ``report.html`` of a run folder: scores, learning curves, predictions, embeddings.

    The page shows what the folder holds and says what it lacks. Equal contents give an equal page.

    Args:
        run: Run folder.
        comparisons: More scores to set beside the run's own, with the columns of ``scores.csv``.
        title: Title of the page; the folder's name if not given.

    Returns:
        Path of the page.

    Raises:
        UserError: There is no such folder, or the comparisons lack a column.
    """
    run = Path(run)
    folder = read_folder(run)
    missing = list(folder.missing)
    scores = _scores(folder, comparisons)
    main = None if scores is None else main_model(scores, folder.config.get("preset"))
    sections = [
        _training(folder, missing),
        *_sessions(folder, scores, main, missing),
        _units(folder, main, missing),
    ]
    values = {
        "title": title or f"Run {run.resolve().name}",
        "sections": [section for section in sections if section.plates],
        "facts": facts(folder),
        "config_text": folder.config_text,
        "main_model": main,
        **_score_values(folder, scores, main, missing),
        "missing": missing,
    }
    path = run / "report.html"
    write_text(path, _template().render(**values))
    log.info("the report is in %s", path)
    return path


def _template() -> Any:
    text = files("neuroduet.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(text)


def _scores(folder: RunFolder, comparisons: pd.DataFrame | None) -> pd.DataFrame | None:
    """The run's own scores first: of equal rows the first counts."""
    parts = [p for p in (folder.scores, comparisons) if p is not None and len(p)]
    if not parts:
        return None
    for part in parts:
        summary_table(part)  # names a missing column before anything is joined
    return pd.concat(parts, ignore_index=True)


def _score_values(
    folder: RunFolder, scores: pd.DataFrame | None, main: str | None, missing: list[str]
) -> dict[str, Any]:
    if scores is None or main is None:
        empty = ("tiles", "notes", "blocks", "session_blocks", "score_plates", "definitions")
        return {name: [] for name in empty} | {
            "tiles_note": "",
            "scored_on": "",
            "summary": summary(folder, []),
        }
    table = summary_table(scores)
    found = headlines(table, main)
    uneven = uneven_models(scores)
    note = (
        f"Not every model was scored on every session ({', '.join(uneven)}): means in one row may "
        "be over different sessions. Compare them in the table of every session."
    )
    draws = (
        lambda: score_dots(scores, found, main),
        lambda: decoding_by_region(scores, main),
    )
    return {
        "summary": summary(folder, found),
        "scored_on": scored_on(scores),
        "tiles": tiles(found),
        "tiles_note": TILES_NOTE,
        "notes": [note] if uneven else [],
        "blocks": score_blocks(table, main),
        "session_blocks": score_blocks(session_table(scores), main),
        "score_plates": _drawn("scores.csv", draws, missing),
        "definitions": definitions(table.index.get_level_values("metric")),
    }


def _training(folder: RunFolder, missing: list[str]) -> Section:
    draws = [partial(learning_curves, folder.curves, part) for part in ("valid/", "train_loss/")]
    plates = _drawn("metrics.csv", draws, missing)
    return Section(id="training", title="Training", text="", plates=plates)


def _units(folder: RunFolder, main: str | None, missing: list[str]) -> Section:
    plates: tuple[Plate, ...] = ()
    if folder.units is not None:
        units = folder.units
        if "model" in units.columns and (units["model"] == main).any():
            units = units[units["model"] == main]
        names = UNIT_QUESTIONS if "task" in units.columns else ("encoding",)
        draws = [partial(_scores_of_units, units, task) for task in names]
        plates += _drawn("scores_units.parquet", draws, missing)
    if folder.embeddings is not None:
        plates += _drawn("embeddings", [partial(embedding_map, folder.embeddings)], missing)
    return Section(id="units", title="Units and regions", text="", plates=plates)


def _scores_of_units(units: pd.DataFrame, task: str) -> Plate | None:
    return unit_scores(units, task=task) or unit_scores(units, "r2", task)


def _sessions(
    folder: RunFolder, scores: pd.DataFrame | None, main: str | None, missing: list[str]
) -> list[Section]:
    """Predictions of a few sessions; what cannot be drawn is added to ``missing``."""
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
        part = text if i == 0 else ""
        try:
            found = from_arrays(name, read_arrays(folder.predictions[name]))
            section = _session(found, folder, f"session-{i}", part, missing)
        except UserError as error:
            missing.append(str(error))
            continue
        except Exception as error:  # arrays of any type and shape
            missing.append(f"predictions/{name}.npz does not fit together: {error}")
            continue
        if not section.plates:
            missing.append(
                f"predictions/{name}.npz holds no true values to compare the predictions with"
            )
        sections.append(section)
    return sections


def shown_sessions(names: list[str], scores: pd.DataFrame | None, main: str | None) -> list[str]:
    """Choose the sessions whose predictions are drawn.

    Args:
        names: Sessions with predictions.
        scores: Scores of the run, or ``None``.
        main: The run's model.

    Returns:
        All of up to :data:`MAX_SESSIONS`; of more, evenly spaced from the best to the worst score
        in encoding, or else in the first task of activity (sessions without a score come last).
    """
    if len(names) <= MAX_SESSIONS:
        return names
    values = dict.fromkeys(names, -np.inf)
    if scores is not None:
        task = _ranking_task(scores, main)
        own = scores[(scores["model"] == main) & (scores["task"] == task)]
        first = own.drop_duplicates("session").set_index("session")["value"].dropna()
        values |= {name: float(first[name]) for name in names if name in first.index}
    ranked = sorted(names, key=lambda name: (-values[name], name))
    return [ranked[i] for i in np.linspace(0, len(ranked) - 1, MAX_SESSIONS).round().astype(int)]


def _ranking_task(scores: pd.DataFrame | None, main: str | None) -> str:
    """The task by whose scores sessions are ranked."""
    own = set() if scores is None else set(scores["task"][scores["model"] == main])
    return next((task for task in UNIT_QUESTIONS if task in own), "encoding")


def _session(
    found: Predicted, folder: RunFolder, name: str, text: str, missing: list[str]
) -> Section:
    start_s, event = _time_axis(folder, bool((found.trial >= 0).any()))
    timed: tuple[Callable[[Predicted, float, str, str], Plate | None], ...] = (
        activity.unit_averages,
        activity.unit_rasters,
        behaviour.traces,
    )
    draws = [partial(draw, found, start_s, f"{name}-{i}", event) for i, draw in enumerate(timed)]
    draws.append(partial(behaviour.agreement, found, f"{name}-agreement"))
    plates = _drawn(f"predictions/{found.session}.npz", draws, missing)
    title = f"Predictions: {short(found.session, 60)}"
    return Section(id=name, title=title, text=text, plates=plates)


def _time_axis(folder: RunFolder, by_trial: bool) -> tuple[float, str]:
    """Time of a window's left edge (s) and the event it is counted from."""
    data = folder.config.get("data")
    windows = data.get("windows") if isinstance(data, dict) else None
    if not by_trial or not isinstance(windows, dict):
        return 0.0, "window start"
    event = windows.get("event")
    pre_s = windows.get("pre_s")
    start_s = -float(pre_s) if isinstance(pre_s, int | float) else 0.0
    return start_s, short(str(event), 24) if event else "trial start"


def _drawn(
    file: str, draws: Sequence[Callable[[], Plate | None]], missing: list[str]
) -> tuple[Plate, ...]:
    """Figures of one file; what its values make impossible to draw is added to ``missing``."""
    found = []
    for draw in draws:
        try:
            found.append(draw())
        except Exception as error:
            log.debug("%s: a figure failed", file, exc_info=error)
            missing.append(f"{file} holds values that cannot be drawn: {error}")
    return tuple(plate for plate in found if plate is not None)
