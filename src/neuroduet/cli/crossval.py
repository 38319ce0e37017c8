"""The command that repeats a comparison: ``neuroduet crossval``."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroduet.cli.paths import require_data
from neuroduet.console import counted, print_table, write, write_json
from neuroduet.options import (
    PRESET_NAMES,
    AsJson,
    ConfigFile,
    Data,
    MaxMinutes,
    OutDir,
    Resume,
    Sessions,
    Settings,
    Tasks,
    among,
    budget,
    configured,
    names,
)

if TYPE_CHECKING:
    from neuroduet.tasks.crossval import CrossValidation

HEADER = (
    *("task", "target", "metric", "model", "score", "against", "its score"),
    *("difference [95 %]", "p", "p (Holm)", "null", "oracle"),
)


def crossval(
    data: Data,
    out: OutDir,
    presets: Annotated[
        str,
        typer.Option(
            "--preset",
            metavar="A,B",
            help="Presets, e.g. duet,mtm.",
            autocompletion=among(PRESET_NAMES),
        ),
    ] = "duet",
    folds: Annotated[
        int | None,
        typer.Option("--folds", metavar="K", min=1, help="Parts that take turns as test split."),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="S", min=1, help="Trainings per fold.")
    ] = 1,
    tasks: Tasks = None,
    sessions: Sessions = None,
    config: ConfigFile = None,
    settings: Settings = None,
    max_minutes: MaxMinutes = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Runs at the same time; one per core."),
    ] = None,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Cross-validate presets over folds and seeds."""
    require_data(data)
    changes = [*(settings or []), *budget(max_minutes)]
    configs = {name: configured(name, config, changes) for name in names(presets) or []}
    from neuroduet.tasks.crossval import cross_validate

    with counted("runs and baselines") as report:
        found = cross_validate(
            configs=configs,
            data=data,
            out=out,
            folds=folds,
            seeds=seeds,
            tasks=names(tasks),
            sessions=names(sessions),
            workers=workers,
            resume=resume,
            report=report,
        )
    if as_json:
        write_json({"folder": out, "summary": found.summary, "paired": found.paired})
        return
    print_comparison(found, list(configs))
    write(f"scores.csv, summary.csv and paired.csv are in {out}")


def print_comparison(found: CrossValidation, presets: list[str]) -> None:
    """Print the primary scores of every preset beside what it is compared with.

    Args:
        found: What the cross-validation found.
        presets: Names of the presets.
    """
    from neuroduet.metrics.primary import QUESTION, primary

    summary = found.summary
    over = "sessions" if (summary.over == "sessions").any() else "folds"
    shown = summary[summary.over == over].set_index(["model", *QUESTION])
    tests = dict(iter(found.paired.groupby(["model", *QUESTION], sort=False)))
    rows = []
    for model in presets:
        for question in primary(summary):
            key = (model, *question)
            if key not in shown.index:
                continue
            compared = tests[key].to_dict("records") if key in tests else [None]
            rows += [_row(shown, key, test) for test in compared]
    print_table(HEADER, rows)
    several = bool((summary.n > 1).any())
    spread = f"standard errors over {over}" if several else "standard deviations over seeds"
    write(f"scores are means ± {spread}; difference and interval are of the same {over}")
    for test in dict.fromkeys(found.paired[found.paired.reported].test):
        write(f"p-values: {test}")


def _row(shown: Any, key: tuple[str, ...], test: dict[str, Any] | None) -> tuple[str, ...]:
    """One line of the table: a model, and what it is compared with if there is anything."""
    model, *question = key
    own = shown.loc[key]
    known = (_number(own["null"]), _number(own["oracle"]))
    if test is None:
        return (*question, model, _with_spread(own), "-", "-", "-", "-", "-", *known)
    other = shown.loc[(test["against"], *question)]
    interval = ""
    if isfinite(test["low"]):
        interval = f" [{test['low']:+.3f}, {test['high']:+.3f}]"
    return (
        *question,
        model,
        _with_spread(own),
        test["against"],
        _with_spread(other),
        f"{test['mean']:+.3f}{interval}",
        _p_value(test["p_value"]),
        _p_value(test["p_holm"]),
        *known,
    )


def _with_spread(row: Any) -> str:
    """Mean with its standard error, or with the deviation over seeds where that is all."""
    spread = row["sem"] if row["n"] > 1 else row["sd_seeds"]
    return _number(row["mean"]) + (f" ± {spread:.3f}" if isfinite(spread) else "")


def _number(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "-"


def _p_value(value: float) -> str:
    if not isfinite(value):
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"
