"""The commands that score: ``neuroduet evaluate`` and ``neuroduet baselines``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroduet.cli.paths import require_data, require_file, require_run
from neuroduet.console import print_scores, question_progress, write, write_json, write_next
from neuroduet.options import (
    AsJson,
    ConfigFile,
    Data,
    Folds,
    Horizon,
    Nulls,
    OutFile,
    Precision,
    Run,
    Sessions,
    Settings,
    Tasks,
    Units,
    activity_options,
    configured,
    half_or_single,
    names,
)

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    run: Run,
    data: Data,
    sessions: Sessions = None,
    tasks: Tasks = None,
    folds: Folds = None,
    horizon: Horizon = None,
    units: Units = None,
    precision: Precision = "32",
    nulls: Nulls = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Score table to write; RUN/scores.csv."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a trained model on the test windows."""
    require_run(run)
    require_data(data)
    path = out or run / "scores.csv"
    require_file(path)
    from neuroduet.tasks.run import evaluate as score

    with question_progress() as report:
        scores = score(
            run=run,
            data=data,
            sessions=names(sessions),
            tasks=names(tasks),
            out=out,
            options=activity_options(folds, horizon, units),
            precision=half_or_single(precision),
            progress=report,
            nulls=nulls,
        )
    _show(scores, path, as_json)
    if not as_json and path == run / "scores.csv":  # the page shows the scores of the folder
        write_next("report", run, "--data", data)


def baselines(
    data: Data,
    out: OutFile,
    sessions: Sessions = None,
    config: ConfigFile = None,
    settings: Settings = None,
    networks: Annotated[
        bool, typer.Option("--networks", help="Fit an MLP and an LSTM decoder too.")
    ] = False,
    nulls: Nulls = 0,
    as_json: AsJson = False,
) -> None:
    """Score linear models on the same windows and splits."""
    require_data(data)
    require_file(out)
    resolved = configured("duet", config, settings or [])
    from neuroduet.tasks.run import score_baselines

    with question_progress() as report:
        scores = score_baselines(
            data=data,
            out=out,
            sessions=names(sessions),
            config=resolved,
            networks=networks,
            progress=report,
            nulls=nulls,
        )
    _show(scores, out, as_json)


def _show(scores: pd.DataFrame, path: Path, as_json: bool) -> None:
    if as_json:
        write_json({"file": path, "scores": scores})
        return
    print_scores(scores)
    write(f"the scores of every session are in {path}")
