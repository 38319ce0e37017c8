"""One self-contained page about several runs: which one is better, where, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroduet.errors import UserError
from neuroduet.metrics.paired import FEWEST
from neuroduet.report.comparison_checks import (
    Checks,
    check_counts,
    check_runs,
    check_subjects,
    differing_settings,
)
from neuroduet.report.comparison_figures import paired_dots, unit_pairs, unit_scatter
from neuroduet.report.comparison_runs import ComparedRun, read_runs, side_by_side
from neuroduet.report.comparison_scores import Question, ask_questions, unpaired
from neuroduet.report.comparison_tables import (
    cost_table,
    differences_table,
    score_tables,
    settings_table,
    verdict_table,
)
from neuroduet.report.comparison_words import summary, tiles
from neuroduet.report.sheet import Section, Sheet, plates, write_sheet
from neuroduet.report.summary import pretraining
from neuroduet.report.words import definitions

MAX_NAMED = 30
"""Rows that were not paired are named up to this many of each run."""

HOW = (
    "All means of a row are over the same sessions: those in which every run that answered the "
    "question was scored. Higher is better for every metric. Null: what knowing nothing scores; "
    "linear: the best linear baseline of any of the runs, chosen by the scores shown, which "
    "favours it; oracle: the best possible prediction, known for simulated data only."
)


def write_comparison(runs: Sequence[Path], out: Path, title: str | None = None) -> Path:
    """Write one page that sets several runs side by side.

    Only rows that several runs have are paired: the same session, task, target and metric. The
    first run is the one that the others are compared with. Equal contents give an equal page.

    Args:
        runs: Two or more run folders with scores; they may have different sessions.
        out: The page (.html) to write.
        title: Title of the page; the names of the runs if not given.

    Returns:
        Path of the page.

    Raises:
        UserError: There are fewer than two runs, one has no scores, or they share none.
    """
    compared = read_runs(runs)
    checks = check_runs(compared)
    wide = side_by_side(compared)
    questions = ask_questions(compared, wide, tested=not checks.fatal)
    left_out = unpaired(wide, questions)
    sheet = Sheet(
        title=title or " · ".join(run.name for run in compared),
        about="neuroduet report · comparison",
        alarms=(*checks.fatal, *check_counts(questions)),
        summary=summary(compared, questions, left_out, comparable=not checks.fatal),
        tiles=()
        if checks.fatal
        else (("", tiles(questions, [run.name for run in compared[1:]])),),
        sections=(
            _verdicts(compared, questions, checks),
            _scores(questions),
            _units(compared),
            _differences(compared),
            _left_out(left_out),
            Section(
                id="definitions",
                title="Definitions",
                facts=definitions(one.metric for one in questions),
            ),
        ),
    )
    return write_sheet(sheet, Path(out))


def _verdicts(
    runs: Sequence[ComparedRun], questions: Sequence[Question], checks: Checks
) -> Section:
    table = verdict_table(questions, [run.name for run in runs])
    return Section(
        id="verdicts",
        title="Who scores higher",
        text=HOW,
        notes=(*checks.cautions, *check_subjects(runs, questions)),
        parts=(table, *plates(paired_dots(questions))),
    )


def _scores(questions: Sequence[Question]) -> Section:
    return Section(
        id="scores",
        title="All scores",
        text="Means over the shared sessions, plus or minus half the 95 % interval of the mean "
        f"(Student's t; none with fewer than {FEWEST} sessions).",
        parts=(*score_tables(questions), differences_table(questions)),
    )


def _units(runs: Sequence[ComparedRun]) -> Section:
    first, *others = runs
    lacking = [run.name for run in runs if run.folder.units is None]
    drawn = (
        unit_scatter(unit_pairs(first, other), first.name, other.name, f"units-{place}")
        for place, other in enumerate(others)
    )
    note = f"No scores of single units (scores_units.parquet) in {', '.join(lacking)}."
    return Section(
        id="units",
        title="Units",
        notes=(note,) if lacking else (),
        parts=plates(*drawn),
    )


def _differences(runs: Sequence[ComparedRun]) -> Section:
    costs, notes = _costs(runs)
    notes += _starts(runs)
    rows = differing_settings(runs)
    if not rows:
        notes.append("The settings (config.yaml) of the runs do not differ.")
    settings = [settings_table(rows, [run.name for run in runs])] if rows else []
    return Section(
        id="differences",
        title="What differs",
        notes=tuple(notes),
        parts=(*settings, *([cost_table(costs)] if costs else [])),
    )


def _starts(runs: Sequence[ComparedRun]) -> list[str]:
    """What each run began from, if not all of them began alike."""
    starts = [run.folder.environment.get("pretrained") for run in runs]
    if all(start == starts[0] for start in starts):
        return []
    said = [pretraining(run.folder).lower() or "not pretrained" for run in runs]
    pairs = zip(runs, said, strict=True)
    return ["; ".join(f"{run.name}: {words}" for run, words in pairs) + "."]


def _costs(runs: Sequence[ComparedRun]) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    """What is known of the training of each run, and a sentence where nothing is."""
    from neuroduet.training.info import describe_run

    found, notes = [], []
    for run in runs:
        try:
            found.append((run.name, describe_run(run.folder.path)))
        except (UserError, OSError, ValueError, KeyError) as error:
            notes.append(f"The training cost of {run.name} is not known: {error}")
    return found, notes


def _left_out(rows: dict[str, list[str]]) -> Section:
    items = []
    for name, left in rows.items():
        more = [f"{name}: and {len(left) - MAX_NAMED} more"] if len(left) > MAX_NAMED else []
        items += [f"{name}: {row}" for row in left[:MAX_NAMED]] + more
    return Section(
        id="left-out",
        title="Not compared",
        text="Scores that have no counterpart in the other runs: task · target · metric · "
        "session. They enter no mean, difference or test above.",
        items=tuple(items),
    )
