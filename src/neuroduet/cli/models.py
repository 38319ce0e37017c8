"""The commands that train a model and use it: ``train``, ``finetune``, ``predict``, ``embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuroduet.cli.paths import is_first, require_data, require_run, require_unused
from neuroduet.console import counted, training_progress, write, write_json, write_next
from neuroduet.options import (
    AsJson,
    ConfigFile,
    Data,
    MaxMinutes,
    OutDir,
    OutFile,
    OutRun,
    Preset,
    Resume,
    Run,
    Sessions,
    Settings,
    Strategy,
    budget,
    configured,
    names,
)


def train(
    data: Data,
    out: OutRun,
    preset: Preset = "duet",
    sessions: Sessions = None,
    config: ConfigFile = None,
    settings: Settings = None,
    max_minutes: MaxMinutes = None,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on one or several sessions."""
    require_data(data)
    require_unused(out, resume)
    resolved = configured(preset, config, [*(settings or []), *budget(max_minutes)])
    from neuroduet.training.fit import train as fit

    with training_progress() as report:
        run = fit(
            config=resolved,
            data=data,
            out=out,
            sessions=names(sessions),
            resume=resume,
            report=report,
        )
    _announce(run, data, as_json)


def finetune(
    run: Run,
    data: Data,
    out: OutRun,
    sessions: Sessions = None,
    strategy: Strategy = None,
    settings: Settings = None,
    max_minutes: MaxMinutes = None,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Adapt a trained model to sessions it has not seen."""
    require_run(run)
    require_data(data)
    require_unused(out, resume)
    from neuroduet.training.finetune import finetune as adapt

    with training_progress() as report:
        adapted = adapt(
            run=run,
            data=data,
            sessions=names(sessions),
            out=out,
            settings=[*(settings or []), *budget(max_minutes)],
            strategy=strategy,
            resume=resume,
            report=report,
        )
    _announce(adapted, data, as_json)


def predict(
    run: Run,
    data: Data,
    out: OutDir,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Predict whole recordings, every bin once.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write predictions for every window or whole recording."""
    require_run(run)
    require_data(data)
    from neuroduet.tasks.run import write_predictions

    with counted("recordings") as report:
        files = write_predictions(
            run=run, data=data, out=out, continuous=continuous, report=report
        )
    if as_json:
        write_json({"files": files})
    else:
        write(f"the predictions are in {out}")


def embed(run: Run, out: OutFile, as_json: AsJson = False) -> None:
    """Write the learned embedding of every unit."""
    require_run(run)
    from neuroduet.tasks.run import embed as write_embeddings

    with counted("reading the run"):
        table = write_embeddings(run=run, out=out)
    if as_json:
        sessions = list(dict.fromkeys(table["session"]))
        numbers = sum(str(name).startswith("e") for name in table)
        write_json(
            {"file": out, "sessions": sessions, "units": len(table), "numbers_per_unit": numbers}
        )
    else:
        write(f"the unit embeddings are in {out}")


def _announce(run: Path, data: Path, as_json: bool) -> None:
    """Say where a trained run is, once for all processes that trained it."""
    if not is_first():
        return
    if as_json:
        write_json(_outcome(run))
        return
    from neuroduet.training.info import cut_short

    ended = cut_short(run)
    if ended:
        write(ended, stderr=True)
    write(f"the run is in {run}")
    write_next("evaluate", run, "--data", data)


def _outcome(run: Path) -> dict[str, Any]:
    """How a training ended; of several members, how the first did."""
    from neuroduet.training.info import describe_run

    first = describe_run(run=run)["trainings"][0]
    wanted = ("steps", "epochs", "minutes", "stopped_by", "validation")
    return {"run": run, **{name: first[name] for name in wanted}}
