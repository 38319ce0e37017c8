"""The command that searches for good settings: ``neuroduet search``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroduet.cli.paths import require_data, require_run
from neuroduet.console import counted, print_table, write, write_json, write_next
from neuroduet.errors import UserError
from neuroduet.options import (
    PRESET_NAMES,
    AsJson,
    ConfigFile,
    Data,
    OutDir,
    Seed,
    Sessions,
    Settings,
    among,
    budget,
    configured,
    names,
)

if TYPE_CHECKING:
    from neuroduet.config import Config
    from neuroduet.training.trials import Trial

SHOWN = 10
"""Trials in the printed table."""


def search(
    data: Data,
    out: OutDir,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Preset to search around; duet.",
            autocompletion=among(PRESET_NAMES),
        ),
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Search how to finetune this run instead."),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option("--space", metavar="FILE", help="YAML space; that of the preset."),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Number of trials.")] = 30,
    seed: Seed = 0,
    sessions: Sessions = None,
    config: ConfigFile = None,
    settings: Settings = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Upper bound on epochs of a trial.")
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option("--max-minutes", metavar="M", min=0.01, help="Minutes of training a trial."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Trials at the same time.")] = 2,
    gpus: Annotated[
        float,
        typer.Option("--gpus-per-trial", metavar="N", min=0, help="May be a part, as 0.5."),
    ] = 0.0,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="A", help="Ray cluster, as auto; this machine alone."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the search that --out holds.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train many trials and keep the best settings."""
    require_data(data)
    if pretrained is not None:
        require_run(pretrained)
    bounds = [] if epochs is None else [f"training.max_epochs={epochs}"]
    changes = ["training.threads=1", *(settings or []), *bounds, *budget(max_minutes)]
    shared = _shared(preset, pretrained, config, changes)
    from neuroduet.report.search import write_search
    from neuroduet.training.search import search as run_search
    from neuroduet.training.spaces import default_space, read_space
    from neuroduet.training.trials import Machines, Search, best_trial

    finetuning = pretrained is not None
    chosen = names(sessions)
    plan = Search(
        config=shared,
        space=read_space(space) if space else default_space(shared.preset, finetuning),
        data=data.absolute(),
        out=out.absolute(),
        trials=trials,
        seed=seed,
        sessions=None if chosen is None else tuple(chosen),
        pretrained=None if pretrained is None else pretrained.absolute(),
    )
    machines = Machines(workers=workers, gpus=gpus, address=address)
    with counted("trials") as report:
        found = run_search(plan=plan, machines=machines, resume=resume, report=report)
    write_search(found, out / "search.svg")
    best = best_trial(found)
    if as_json:
        write_json({"folder": out, "best": None if best is None else best.number, "trials": found})
        return
    _show(found, out)
    if best is not None:
        _next(best, data, out, sessions, preset=None if finetuning else shared.preset)


def _shared(
    preset: str | None, pretrained: Path | None, file: Path | None, settings: list[str]
) -> Config:
    """What all trials share: a preset and its changes, or the settings of a trained run."""
    if pretrained is None:
        return configured(preset or "duet", file, settings)
    if preset or file:
        raise UserError("--from takes the settings of its run; leave --preset and --config out")
    from neuroduet.config import load_config, override

    return override(load_config(pretrained / "config.yaml"), settings)


def _show(trials: Sequence[Trial], out: Path) -> None:
    """The best trials as a table, then what became of the others."""
    keys = list(trials[0].settings)
    last = [key.split(".")[-1] for key in keys]
    header = [
        short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)
    ]
    scored = sorted((t for t in trials if t.scores), key=lambda t: t.best, reverse=True)
    rows = [
        (
            str(trial.number),
            trial.status,
            f"{trial.best:.4f}",
            str(len(trial.scores)),
            f"{trial.minutes:.2f}",
            *(_cell(value) for value in trial.settings.values()),
        )
        for trial in scored[:SHOWN]
    ]
    print_table(("trial", "status", "score", "validations", "minutes", *header), rows)
    counts = {one.status: sum(t.status == one.status for t in trials) for one in trials}
    write(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    for trial in [one for one in trials if one.message][:SHOWN]:
        write(f"trial {trial.number} failed: {trial.message}", stderr=True)
    write(f"all trials are in {out / 'search.csv'}, the figure in {out / 'search.svg'}")


def _cell(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _next(best: Trial, data: Path, out: Path, sessions: str | None, preset: str | None) -> None:
    """What to do with the best trial: score it, or train it to the end if it was stopped."""
    write(f"the best is trial {best.number}; its settings are in {out / 'best.yaml'}")
    some = [] if sessions is None else ["--sessions", sessions]
    run = out / "trials" / best.run.name
    words: list[str | Path] = ["evaluate", run, "--data", data, *some]
    if preset is not None and best.status != "finished":
        again: list[str | Path] = ["--config", out / "best.yaml", "--out", "runs/best"]
        words = ["train", "--preset", preset, "--data", data, *some, *again]
    write_next(*words)
