"""The command line: each command parses, calls one Python function and prints what came back.

Heavy packages are imported inside the commands, so that ``neuroduet --help`` answers at once.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from neuroduet import __version__
from neuroduet.cli import actions, crossval, export, imports, ingest, plan, search, submit
from neuroduet.console import (
    print_findings,
    print_recordings,
    print_run,
    print_scores,
    question_progress,
    training_progress,
    write,
    write_next,
)
from neuroduet.errors import UserError
from neuroduet.options import (
    ConfigFile,
    Data,
    Folds,
    Horizon,
    MaxMinutes,
    OutDir,
    OutFile,
    OutRun,
    Precision,
    Resume,
    Run,
    Sessions,
    Settings,
    Units,
    activity_options,
    budget,
    configured,
    half_or_single,
    names,
    spread_settings,
)
from neuroduet.simulate import Size

app = typer.Typer(
    name="neuroduet",
    help="Neural encoding and decoding with one multimodal masked transformer.",
    no_args_is_help=True,
    add_completion=False,
    # Plain text: rich would draw boxes around errors and cut their sentences at the edge.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(actions.app)
app.add_typer(ingest.app)
actions.app.command("import")(imports.import_recording)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; those of the process if not given.

    Returns:
        Exit code: 0 done, 1 the doctor found a problem, 2 wrong use, 130 interrupted.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    # Threads that wait for each other by spinning stall for minutes on a busy machine. This must
    # be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Several processes: torch advises against what sessions without gradients in a step need.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    _start_logging(debug)
    words = spread_settings([word for word in given if word != "--debug"])
    try:
        app(words, prog_name="neuroduet")
    except SystemExit as stop:  # typer ends every command this way, a good one too
        code = stop.code if isinstance(stop.code, int) else 0
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning turns it into exit(1)
            code = 130
    except KeyboardInterrupt:
        code = 130
    except (UserError, OSError) as error:
        if debug:
            raise
        _complain(_sentence(error))
        code = 2
    if code == 130:
        write(f"interrupted{_how_to_go_on(words)}", stderr=True)
    return code


def _show_version(wanted: bool) -> bool:
    if wanted:
        write(f"neuroduet {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and details; allowed anywhere.")
    ] = False,
) -> None:
    # main() takes --debug out before parsing; it is declared here for the help text.
    """Neural encoding and decoding with one multimodal masked transformer."""


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to create.")],
    sessions: Annotated[int, typer.Option("--sessions", min=1, help="Number of animals.")] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the world.")] = 0,
    size: Annotated[Size, typer.Option("--size", help="Trials and units of a session.")] = "small",
) -> None:
    """Write recordings of simulated animals with known rates."""
    _require_unused(out, resume=False)
    from neuroduet.simulate import simulate as write_sessions

    write_sessions(out=out, sessions=sessions, seed=seed, size=size)
    write(f"{sessions} simulated recordings are in {out}")
    write_next("train", "--data", out, "--out", "runs/first")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Recording, or folder of them.")],
) -> None:
    """Check recordings and list what they hold."""
    _require(path)
    from neuroduet.config import DataConfig
    from neuroduet.data.recording import describe, find_recordings
    from neuroduet.data.session import open_sessions

    summaries = [describe(file) for file in find_recordings(path)]
    if any(summary["problems"] for summary in summaries):
        print_recordings(summaries, {})
        raise typer.Exit(2)
    modelled = [summary["session"] for summary in summaries if summary["neural"]]
    windows = {}
    for session in open_sessions(path, DataConfig(), modelled) if modelled else []:
        counts = [len(session.indices(split)) for split in ("train", "valid", "test")]
        windows[session.info.id] = "/".join(map(str, counts))
    print_recordings(summaries, windows)


@app.command()
def train(
    data: Data,
    out: OutRun,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="duet, mtm, neds, ndt2, poyo, *_faithful, ndt1_*.")
    ] = "duet",
    sessions: Sessions = None,
    config: ConfigFile = None,
    settings: Settings = None,
    max_minutes: MaxMinutes = None,
    resume: Resume = False,
) -> None:
    """Train a model on one or several sessions."""
    _require(data)
    _require_unused(out, resume)
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
    _announce(run, data)


@app.command()
def finetune(
    run: Run,
    data: Data,
    out: OutRun,
    sessions: Sessions = None,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="full, probe (stitchers only) or gradual."),
    ] = None,
    settings: Settings = None,
    max_minutes: MaxMinutes = None,
    resume: Resume = False,
) -> None:
    """Adapt a trained model to sessions it has not seen."""
    _require_run(run)
    _require(data)
    _require_unused(out, resume)
    chosen = [f"training.finetune={strategy}"] if strategy else []
    from neuroduet.training.finetune import finetune as adapt

    with training_progress() as report:
        adapted = adapt(
            run=run,
            data=data,
            sessions=names(sessions),
            out=out,
            settings=[*(settings or []), *chosen, *budget(max_minutes)],
            resume=resume,
            report=report,
        )
    _announce(adapted, data)


@app.command()
def evaluate(
    run: Run,
    data: Data,
    sessions: Sessions = None,
    tasks: Annotated[
        str | None,
        typer.Option("--tasks", metavar="A,B", help="E.g. encoding,decoding,activity,regions."),
    ] = None,
    folds: Folds = None,
    horizon: Horizon = None,
    units: Units = None,
    precision: Precision = "32",
    nulls: Annotated[
        int,
        typer.Option("--nulls", metavar="N", min=0, help="Draws of each null, for p-values."),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Score table to write; RUN/scores.csv."),
    ] = None,
) -> None:
    """Score a trained model on the test windows."""
    _require_run(run)
    _require(data)
    from neuroduet.tasks.run import evaluate_run

    path = out or run / "scores.csv"
    with question_progress() as report:
        scores = evaluate_run(
            run=run,
            data=data,
            sessions=names(sessions),
            tasks=names(tasks),
            out=path,
            options=activity_options(folds, horizon, units),
            precision=half_or_single(precision),
            progress=report,
            nulls=nulls,
        )
    print_scores(scores)
    write(f"the scores of every session are in {path}")


@app.command()
def baselines(
    data: Data,
    out: OutFile,
    sessions: Sessions = None,
    config: ConfigFile = None,
    settings: Settings = None,
    networks: Annotated[
        bool, typer.Option("--networks", help="Fit an MLP and an LSTM decoder too.")
    ] = False,
) -> None:
    """Score linear models on the same windows and splits."""
    _require(data)
    resolved = configured("duet", config, settings or [])
    from neuroduet.tasks.run import baselines as score_baselines

    scores = score_baselines(
        data=data, out=out, sessions=names(sessions), config=resolved, networks=networks
    )
    print_scores(scores)
    write(f"the scores of every session are in {out}")


@app.command()
def info(
    run: Run,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what a trained model is made of and what its training cost."""
    _require_run(run)
    from neuroduet.training.info import describe_run

    found = describe_run(run=run)
    if as_json:
        write(json.dumps(found, indent=1))
    else:
        print_run(found)


@app.command()
def embed(run: Run, out: OutFile) -> None:
    """Write the learned embedding of every unit."""
    _require_run(run)
    from neuroduet.tasks.run import embed_run

    embed_run(run=run, out=out)
    write(f"the unit embeddings are in {out}")


@app.command()
def predict(
    run: Run,
    data: Data,
    out: OutDir,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Predict whole recordings, every bin once.")
    ] = False,
) -> None:
    """Write predictions for every window or whole recording."""
    _require_run(run)
    _require(data)
    from neuroduet.tasks.run import predict_run

    predict_run(run=run, data=data, out=out, continuous=continuous)
    write(f"the predictions are in {out}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")] = Path(
        "demo"
    ),
) -> None:
    """Simulate, train, finetune and compare, in a few minutes."""
    from neuroduet.demo import demo as run_demo

    found = run_demo(out=out)
    print_scores(found.scores, models=found.models)
    write(f"all scores are in {found.run / 'scores.csv'}, the figures in {found.report}")


@app.command()
def doctor() -> None:
    """Check this installation and train a small model for a moment."""
    from neuroduet.doctor import examine

    findings = examine()
    print_findings(findings)
    if any(finding.remedy for finding in findings):
        raise typer.Exit(1)


app.command()(export.export)
app.command()(plan.plan)
app.command()(search.search)
app.command()(submit.benchmark)
app.command()(submit.submit)
app.command()(crossval.crossval)


def _require(path: Path) -> None:
    if not path.exists():
        raise UserError(f"there is nothing at {path}; give a recording (.h5) or a folder of them")


def _require_run(run: Path) -> None:
    if not (run / "config.yaml").is_file():
        raise UserError(
            f"{run} is not a run folder: it has no config.yaml; give the --out of train"
        )


def _require_unused(out: Path, resume: bool) -> None:
    if not _is_first():  # the first may have made it already
        return
    if out.is_dir() and any(out.iterdir()) and not resume:
        if (out / "config.yaml").is_file():
            raise UserError(f"{out} already holds a run; choose another --out or add --resume")
        raise UserError(f"{out} already holds files; choose a new or empty folder")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, expected a folder; choose another one")


def _is_first() -> bool:
    """Whether this process speaks for all that train one model together."""
    from neuroduet.training.ranks import ranks_of

    return ranks_of().writes


def _announce(run: Path, data: Path) -> None:
    """Say where a trained run is, once for all processes that trained it."""
    if _is_first():
        write(f"the run is in {run}")
        write_next("evaluate", run, "--data", data)


def _how_to_go_on(words: list[str]) -> str:
    if words[:1] in (["train"], ["finetune"]):
        return "; --resume continues the run"
    if words[:1] == ["crossval"]:
        return "; --resume goes on where it stopped"
    if words[:1] == ["search"]:
        return "; --resume continues the search"
    if words[:2] in (["actions", "compare"], ["actions", "density"]):
        return "; the same command goes on where it stopped"
    return ""


def _sentence(error: UserError | OSError) -> str:
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"there is no file or folder {error.filename}; check the path"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror.lower()}; check the path and its permissions"
    return " ".join(str(error).split())


def _start_logging(debug: bool) -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("neuroduet").setLevel(logging.DEBUG if debug else logging.INFO)


def _complain(text: str) -> None:
    write(f"error: {text}", stderr=True)
