"""The command that writes a page to look at: ``neuroduet report``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroduet.cli.paths import require_data
from neuroduet.console import working, write, write_json
from neuroduet.errors import UserError
from neuroduet.options import AsJson

if TYPE_CHECKING:
    import pandas as pd

    from neuroduet.report.complete import Show

DRAWING = 0.05
"""About how much of the time it takes to draw the page, where what it shows is made first."""

ACTION_FILES = ("segmenter.json", "compare.csv", "density.csv")
"""Files that tell a folder of the `actions` commands, besides score tables."""


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folder; several are compared."),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Recordings, to make what is missing."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Page to write; RUN/report.html."),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option("--scores", metavar="FILE", help="Scores to set beside; several allowed."),
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="Title of the page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one page about a run, or a comparison of several."""
    _require_sources(runs, scores or [])
    if data is not None:
        require_data(data)
    _require_page(out)
    actions = [run for run in runs if not (run / "config.yaml").is_file()]
    if scores and (actions or len(runs) > 1):
        raise UserError("--scores belongs to the page of one run; leave it out, or give one RUN")
    missing: Sequence[str] = ()
    with working("drawing the page") as show:
        if actions:
            page = _action_page(runs, actions, data, out, title)
        elif len(runs) > 1:
            page = _comparison_page(runs, data, out, title, show)
        else:
            page, missing = _run_page(runs[0], data, out, scores or [], title, show)
    if as_json:
        write_json({"report": page, "bytes": page.stat().st_size, "missing": list(missing)})
        return
    write(f"the report is in {page} ({page.stat().st_size / 1e6:.1f} MB)")
    for sentence in missing:
        write(f"not shown: {sentence}", stderr=True)


def _require_sources(runs: Sequence[Path], scores: Sequence[Path]) -> None:
    """Check that there is something at the paths a page is made of."""
    wanted = {run: "a run folder, the --out of train" for run in runs}
    wanted |= dict.fromkeys(scores, "a score table (.csv) of evaluate or baselines")
    for path, expected in wanted.items():
        if not path.exists():
            raise UserError(f"there is nothing at {path}; give {expected}")


def _require_page(out: Path | None) -> None:
    if out is not None and (out.is_dir() or out.suffix not in (".html", ".htm")):
        raise UserError(f"--out is {out}, expected the page to write; end it in .html")


def _run_page(
    run: Path,
    data: Path | None,
    out: Path | None,
    scores: Sequence[Path],
    title: str | None,
    show: Show,
) -> tuple[Path, Sequence[str]]:
    """The page of one run, and what it lacks."""
    from neuroduet.report.page import write_page

    beside = _beside(run, scores)
    _complete([run], data, show)
    drawing = 1.0 if data is None else DRAWING
    page = write_page(run, beside, title, out, partial(_part, show, 1 - drawing, drawing, ""))
    return page.path, page.missing


def _beside(run: Path, files: Sequence[Path]) -> pd.DataFrame | None:
    """Score tables to set beside the run's own; models of the same name keep apart."""
    if not files:
        return None
    from neuroduet.report.beside import tables_beside

    return tables_beside(run, files)


def _complete(runs: Sequence[Path], data: Path | None, show: Show) -> None:
    """Make what the run folders lack, if there are recordings to make it from."""
    if data is None:
        return
    from neuroduet.report.complete import complete_run

    each = (1 - DRAWING) / len(runs)
    for place, run in enumerate(runs):
        name = f"{run.resolve().name}: " if len(runs) > 1 else ""
        complete_run(run, data, partial(_part, show, place * each, each, name))
    show(1 - DRAWING, "drawing the page")


def _part(show: Show, start: float, length: float, name: str, share: float, said: str) -> None:
    """Tell of all runs what one of them tells of itself."""
    show(start + length * share, f"{name}{said}")


def _comparison_page(
    runs: Sequence[Path], data: Path | None, out: Path | None, title: str | None, show: Show
) -> Path:
    from neuroduet.report.comparison import write_comparison

    _complete(runs, data, show)
    return write_comparison(runs, out or Path("comparison.html"), title)


def _action_page(
    runs: Sequence[Path],
    actions: Sequence[Path],
    data: Path | None,
    out: Path | None,
    title: str | None,
) -> Path:
    """The page of an action segmenter, or of what was measured of one."""
    strangers = [path for path in actions if not _is_of_actions(path)]
    if strangers:
        raise UserError(
            f"{strangers[0]} is neither a run folder nor of `neuroduet actions`: it holds no "
            f"config.yaml and no {', '.join(ACTION_FILES)}; give the --out of train"
        )
    if len(runs) > 1:
        raise UserError(
            f"{actions[0]} is about action segmentation, which has a page of its own; give it "
            "alone, or give run folders only"
        )
    from neuroduet.report.action_report import write_action_report

    return write_action_report(runs[0], data, out, title)


def _is_of_actions(path: Path) -> bool:
    if path.is_file():
        return path.suffix == ".csv"
    return any((path / name).is_file() for name in ACTION_FILES) or any(path.glob("*.csv"))
