"""One self-contained page about a run: it holds its figures and loads nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pandas as pd

from neuroduet.metrics.primary import DETAILED_TASKS
from neuroduet.report.answers import constant_answers
from neuroduet.report.certainty import MAX_SESSIONS, Intervals, session_intervals
from neuroduet.report.chance import chance_table
from neuroduet.report.contents import facts, scored_on, task_tables
from neuroduet.report.figures import score_dots
from neuroduet.report.folder import RunFolder, read_folder
from neuroduet.report.headlines import Headline, headlines
from neuroduet.report.holdings import Holding, holdings
from neuroduet.report.judgement import Judgement, judgements
from neuroduet.report.sections import (
    data_section,
    drawn,
    session_sections,
    shown_sessions,
    training_section,
    unit_section,
)
from neuroduet.report.session_figure import session_dots
from neuroduet.report.sheet import Listing, Section, Sheet, Table, Tile, write_sheet
from neuroduet.report.style import Plate
from neuroduet.report.summary import sentences, tile_groups
from neuroduet.report.tables import session_table, summary_table, uneven_models
from neuroduet.report.words import definitions
from neuroduet.tasks.crossval_tables import LINEAR_MODELS
from neuroduet.terminal import Show

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A written page.

    Attributes:
        path: Where it is.
        missing: One sentence for each thing it could not show.
    """

    path: Path
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """What the scores of a run give to its page; nothing where there are none."""

    judged: Mapping[Headline, Judgement] = field(default_factory=dict)
    tiles: tuple[tuple[str, tuple[Tile, ...]], ...] = ()
    sections: tuple[Section, ...] = ()
    words: tuple[tuple[str, str], ...] = ()


def write_report(
    run: Path | str,
    comparisons: pd.DataFrame | None = None,
    title: str | None = None,
    out: Path | str | None = None,
) -> Path:
    """Write ``report.html`` of a run folder: scores, learning curves, predictions, embeddings.

    The page shows what the folder holds and says what it lacks. Equal contents give an equal page.

    Args:
        run: Run folder.
        comparisons: More scores to set beside the run's own, with the columns of ``scores.csv``.
        title: Title of the page; the folder's name if not given.
        out: The file to write; ``report.html`` of the run folder if not given.

    Returns:
        Path of the page.

    Raises:
        UserError: There is no such folder, or the comparisons lack a column.
    """
    return write_page(run, comparisons, title, out).path


def write_page(
    run: Path | str,
    comparisons: pd.DataFrame | None = None,
    title: str | None = None,
    out: Path | str | None = None,
    show: Show = lambda share, said: None,
) -> Page:
    """The same as :func:`write_report`, with what the page could not show.

    Args:
        run: Run folder.
        comparisons: More scores to set beside the run's own.
        title: Title of the page.
        out: The file to write.
        show: Told how far it is.

    Raises:
        UserError: There is no such folder, or the comparisons lack a column.
    """
    run = Path(run)
    folder = _with_scores_beside(read_folder(run), comparisons)
    missing = list(folder.missing)
    held = _holdings(folder, missing)
    show(0.0, "drawing the scores")
    scored = _scored(folder, missing)
    drawn_sections = _drawn(folder, held, missing, show)
    settings = Listing(title="Settings (config.yaml)", text=folder.config_text)
    sheet = Sheet(
        title=title or f"Run {run.resolve().name}",
        about="neuroduet report" + (f" · preset {folder.preset}" if folder.preset else ""),
        summary=sentences(folder, held, scored.judged),
        tiles=scored.tiles,
        sections=(
            *scored.sections,
            *drawn_sections,
            Section(id="definitions", title="Definitions", facts=scored.words),
            Section(
                id="about",
                title="About this run",
                label="About",
                facts=facts(folder),
                parts=(settings,) if folder.config_text else (),
            ),
            Section(id="missing", title="Not shown", items=tuple(missing)),
        ),
    )
    path = write_sheet(sheet, run / "report.html" if out is None else Path(out))
    return Page(path=path, missing=tuple(missing))


def _drawn(
    folder: RunFolder, held: Sequence[Holding], missing: list[str], show: Show
) -> tuple[Section, ...]:
    """What is drawn of the run beside its scores; each part takes seconds."""
    show(0.2, "drawing the units")
    units = unit_section(folder, held, missing)
    show(0.5, "drawing the sessions")
    sessions = session_sections(folder, missing)
    show(0.85, "drawing the training")
    training = training_section(folder, missing)
    return units, *sessions, training, data_section(held, missing)


def _with_scores_beside(folder: RunFolder, comparisons: pd.DataFrame | None) -> RunFolder:
    """The run's own scores come first: of equal rows the first counts."""
    given = (folder.scores, folder.baselines, comparisons)
    parts = [part for part in given if part is not None and len(part)]
    for part in parts:
        summary_table(part)  # names a missing column before anything is joined
    scores = pd.concat(parts, ignore_index=True) if parts else None
    return replace(folder, scores=scores)


def _holdings(folder: RunFolder, missing: list[str]) -> tuple[Holding, ...]:
    try:
        return holdings(folder)
    except Exception as error:  # descriptions and tables of any type
        log.debug("no data summary", exc_info=error)
        missing.append(f"model/config.json holds sessions that cannot be summarised: {error}")
        return ()


def _scored(folder: RunFolder, missing: list[str]) -> _Scored:
    scores, main = folder.scores, folder.main
    if scores is None or main is None:
        return _Scored()
    table = summary_table(scores)
    found = headlines(table, main)
    names = shown_sessions(sorted(set(scores["session"])), scores, main, MAX_SESSIONS)
    intervals = _intervals(folder, found, names, missing)
    own = [name for name in names if _has_score(scores, main, name)]
    plots = (
        partial(session_dots, scores, found, main, intervals, own),
        partial(score_dots, scores, found, main),
    )
    if not scores["model"].isin(LINEAR_MODELS).any():
        missing.append(
            "no linear baseline is among the scores (`neuroduet report RUN --data DIR` fits them)"
        )
    chance = chance_table(folder.nulls, found, main)
    tables = (*_by_task(table, main), *(() if chance is None else (chance,)))
    metrics = map(str, table.index.get_level_values("metric"))
    shown = (cell.text for one in tables for cell in one.columns)
    judged = judgements(folder, found, intervals, constant_answers(folder, found, names))
    return _Scored(
        judged=judged,
        tiles=tile_groups(found, judged, folder.preset),
        sections=(
            _means(scores, main, (*drawn("scores.csv", plots, missing), *tables)),
            _every_session(scores, main, intervals),
        ),
        words=definitions([*metrics, "verdict", "95 % interval", *shown]),
    )


def _by_task(table: pd.DataFrame, main: str) -> tuple[Table, ...]:
    """One table per task; those of :data:`DETAILED_TASKS` are opened by who asks for them."""
    detailed = table.index.get_level_values("task").isin(DETAILED_TASKS)
    parts = (task_tables(table[~detailed], main), task_tables(table[detailed], main, open_rows=0))
    return (*parts[0], *parts[1])


def _means(scores: pd.DataFrame, main: str, parts: tuple[Table | Plate, ...]) -> Section:
    return Section(
        id="scores",
        title="Scores",
        text=f"Mean over sessions, {scored_on(scores)}. Best model in bold (higher is better for "
        f"every metric). Shaded: {main}, the model of this run.",
        notes=_notes(scores),
        parts=parts,
    )


def _every_session(scores: pd.DataFrame, main: str, intervals: Intervals) -> Section:
    """Those of regions stand beside the map of embeddings instead."""
    table = session_table(scores[scores["task"] != "regions"])
    return Section(
        id="sessions",
        title="Scores of every session",
        label="Sessions",
        text="In brackets: 95 % interval of the shaded model's score, with what was resampled.",
        parts=task_tables(table, main, intervals, open_rows=0),
    )


def _has_score(scores: pd.DataFrame, main: str, session: str) -> bool:
    own = (scores["session"] == session) & (scores["model"] == main)
    # The read-out of regions names sessions in a way of its own where there is only one.
    return bool((own & (scores["task"] != "regions")).any())


def _intervals(
    folder: RunFolder, found: Sequence[Headline], names: list[str], missing: list[str]
) -> Intervals:
    try:
        return session_intervals(folder, found, names, missing)
    except Exception as error:  # tables of any type
        log.debug("no intervals", exc_info=error)
        missing.append(f"scores_units.parquet holds values without intervals: {error}")
        return {}


def _notes(scores: pd.DataFrame) -> tuple[str, ...]:
    uneven = uneven_models(scores)
    if not uneven:
        return ()
    return (
        f"Not every model was scored on every session ({', '.join(uneven)}): means in one row may "
        "be over different sessions. Compare them in the table of every session.",
    )
