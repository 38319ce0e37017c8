"""One self-contained page about a run: it holds its figures and loads nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FunctionLoader, StrictUndefined

from neuroduet.report.certainty import MAX_SESSIONS, Intervals, session_intervals
from neuroduet.report.chance import chance_table
from neuroduet.report.contents import facts, score_blocks, scored_on
from neuroduet.report.figures import score_dots
from neuroduet.report.folder import RunFolder, read_folder
from neuroduet.report.headlines import Headline, headlines, main_model
from neuroduet.report.holdings import Holding, holdings
from neuroduet.report.sections import (
    data_section,
    drawn,
    session_sections,
    shown_sessions,
    training_section,
    unit_section,
)
from neuroduet.report.session_figure import session_dots
from neuroduet.report.summary import sentences, spreads, tile_groups
from neuroduet.report.tables import session_table, summary_table, uneven_models
from neuroduet.report.words import definitions
from neuroduet.tasks.crossval_tables import LINEAR_MODELS
from neuroduet.training.files import write_text

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A written page.

    Attributes:
        path: Where it is.
        size: Its length in bytes.
        missing: One sentence for each thing it could not show.
    """

    path: Path
    size: int
    missing: tuple[str, ...]


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
) -> Page:
    """The same as :func:`write_report`, with what the page could not show.

    Args:
        run: Run folder.
        comparisons: More scores to set beside the run's own.
        title: Title of the page.
        out: The file to write.

    Raises:
        UserError: There is no such folder, or the comparisons lack a column.
    """
    run = Path(run)
    folder = read_folder(run)
    missing = list(folder.missing)
    scores = _scores(folder, comparisons)
    main = None if scores is None else main_model(scores, folder.config.get("preset"))
    held = _holdings(folder, missing)
    values = _score_values(folder, held, scores, main, missing)
    sections = [
        unit_section(folder, scores, main, missing),
        *session_sections(folder, scores, main, missing),
        training_section(folder, scores, main, missing),
        data_section(held, missing),
    ]
    values |= {
        "title": title or f"Run {run.resolve().name}",
        "preset": str(folder.config.get("preset", "")),
        "sections": [section for section in sections if section.plates or section.blocks],
        "facts": facts(folder),
        "config_text": folder.config_text,
        "main_model": main,
        "missing": missing,
    }
    text = _template().render(**values)
    path = run / "report.html" if out is None else Path(out)
    write_text(path, text)
    log.info("the report is in %s", path)
    return Page(path=path, size=len(text.encode()), missing=tuple(missing))


def _template() -> Any:
    loader = FunctionLoader(_part)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html")


def _part(name: str) -> str:
    return files("neuroduet.report").joinpath(name).read_text(encoding="utf-8")


def _scores(folder: RunFolder, comparisons: pd.DataFrame | None) -> pd.DataFrame | None:
    """The run's own scores first: of equal rows the first counts."""
    given = (folder.scores, folder.baselines, comparisons)
    parts = [p for p in given if p is not None and len(p)]
    if not parts:
        return None
    for part in parts:
        summary_table(part)  # names a missing column before anything is joined
    return pd.concat(parts, ignore_index=True)


def _holdings(folder: RunFolder, missing: list[str]) -> tuple[Holding, ...]:
    try:
        return holdings(folder)
    except Exception as error:  # descriptions and tables of any type
        log.debug("no data summary", exc_info=error)
        missing.append(f"model/config.json holds sessions that cannot be summarised: {error}")
        return ()


def _score_values(
    folder: RunFolder,
    held: Sequence[Holding],
    scores: pd.DataFrame | None,
    main: str | None,
    missing: list[str],
) -> dict[str, Any]:
    if scores is None or main is None:
        empty = ("groups", "notes", "blocks", "session_blocks", "plates", "definitions")
        return {name: [] for name in empty} | {
            "scored_on": "",
            "chance": None,
            "summary": sentences(folder, held, []),
        }
    table = summary_table(scores)
    found = headlines(table, main)
    names = shown_sessions(sorted(set(scores["session"])), scores, main, MAX_SESSIONS)
    intervals = _intervals(folder, scores, found, main, names, missing)
    by_session = [name for name in names if _has_score(scores, main, name)]
    plots = (
        lambda: session_dots(scores, found, main, intervals, by_session),
        lambda: score_dots(scores, found, main),
    )
    _note_baselines(scores, missing)
    blocks = score_blocks(table, main)
    shown = [c.text for one in blocks for c in (*one["key_columns"], *one["columns"])]
    return {
        "summary": sentences(folder, held, found),
        "scored_on": scored_on(scores),
        "groups": _groups(folder, scores, found, main, intervals),
        "notes": _notes(scores),
        "blocks": blocks,
        "session_blocks": score_blocks(session_table(scores), main, intervals),
        "plates": drawn("scores.csv", plots, missing),
        "chance": chance_table(folder.nulls, found, main),
        "definitions": definitions(
            [*table.index.get_level_values("metric"), "95 % interval", *shown]
        ),
    }


def _groups(
    folder: RunFolder,
    scores: pd.DataFrame,
    found: Sequence[Headline],
    main: str,
    intervals: Intervals,
) -> list[dict[str, Any]]:
    preset = folder.config.get("preset")
    spread = spreads(scores, found, main, intervals)
    return tile_groups(found, spread, preset if isinstance(preset, str) else None)


def _has_score(scores: pd.DataFrame, main: str, session: str) -> bool:
    own = (scores["session"] == session) & (scores["model"] == main)
    # The read-out of regions names sessions in a way of its own where there is only one.
    return bool((own & (scores["task"] != "regions")).any())


def _intervals(
    folder: RunFolder,
    scores: pd.DataFrame,
    found: Sequence[Headline],
    main: str,
    names: list[str],
    missing: list[str],
) -> Intervals:
    try:
        return session_intervals(folder, scores, found, main, names, missing)
    except Exception as error:  # tables of any type
        log.debug("no intervals", exc_info=error)
        missing.append(f"scores_units.parquet holds values without intervals: {error}")
        return {}


def _notes(scores: pd.DataFrame) -> list[str]:
    uneven = uneven_models(scores)
    if not uneven:
        return []
    return [
        f"Not every model was scored on every session ({', '.join(uneven)}): means in one row may "
        "be over different sessions. Compare them in the table of every session."
    ]


def _note_baselines(scores: pd.DataFrame, missing: list[str]) -> None:
    if not scores["model"].isin(LINEAR_MODELS).any():
        missing.append(
            "no linear baseline is among the scores (`neuroduet report RUN --data DIR` fits them)"
        )
