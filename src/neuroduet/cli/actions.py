"""The commands of action segmentation: ``neuroduet actions ...``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroduet.atomic import require_empty
from neuroduet.cli.help import Commands
from neuroduet.cli.paths import require_file
from neuroduet.console import (
    counted,
    is_quiet,
    print_table,
    unused,
    write,
    write_json,
    write_next,
)
from neuroduet.errors import UserError
from neuroduet.options import (
    AsJson,
    Chosen,
    ChosenOfModel,
    Features,
    Kinds,
    Models,
    Names,
    OutDir,
    OutFile,
    Pool,
    Recordings,
    Seed,
    Segmenter,
    Segmenters,
    Smooth,
    Source,
    keyed,
    names,
    number_or_auto,
    numbers,
)

if TYPE_CHECKING:
    import pandas as pd

    from neuroduet.actions.experiments import Grid
    from neuroduet.actions.run import Inputs, Recipe

app = typer.Typer(
    name="actions",
    help="Say what an animal does in every frame, from its pose.",
    cls=Commands,
    rich_markup_mode=None,
)


@app.command()
def train(
    data: Recordings,
    out: OutDir,
    model: Segmenter = "tcn",
    features: Features = "auto",
    pool: Pool = "auto",
    smooth: Smooth = "auto",
    states: Annotated[
        int | None,
        typer.Option("--states", metavar="K", min=1, help="States to find without labels."),
    ] = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Leave the labels aside and find states.")
    ] = False,
    source: Source = None,
    recordings: Names = None,
    settings: Chosen = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train a segmenter on labelled, partly labelled or unlabelled recordings."""
    require_empty(out)
    inputs = _inputs(data, source, recordings)
    recipe = _recipe(model, features, pool, smooth, states, seed, settings)
    from neuroduet.actions.run import train_segmenter

    with counted("steps") as report:
        made = train_segmenter(
            inputs=inputs, recipe=recipe, out=out, unlabelled=unlabelled, report=report
        )
    if as_json:
        write_json(made)
        return
    print_table(("class", "labelled frames"), [(n, f"{m:,}") for n, m in made["labelled"].items()])
    write(f"the segmenter is in {out}")
    write_next("actions", "predict", out, "--data", data, "--out", unused(out.parent / "answers"))


@app.command()
def predict(
    models: Segmenters,
    data: Recordings,
    write_back: Annotated[
        bool, typer.Option("--write-back", help="Write the actions into the recordings.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder to write.")
    ] = None,
    source: Source = None,
    recordings: Names = None,
    as_json: AsJson = False,
) -> None:
    """Say what the animal does in every frame."""
    if write_back == (out is not None):
        raise UserError("give either --out DIR or --write-back, so that it is clear what changes")
    inputs = _inputs(data, source, recordings)
    from neuroduet.actions.run import predict_actions

    with counted("recordings") as report:
        rows = predict_actions(models=models, inputs=inputs, out=out, report=report)
    if as_json:
        write_json(rows)
        return
    print_table(("recording", "frames", "actions"), [_answer_row(row) for row in rows])
    write(f"the actions are in {out or data}")


@app.command()
def evaluate(
    models: Segmenters,
    data: Recordings,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Score table (.csv) to write.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="DIR", help="Folder for figures (.svg).")
    ] = None,
    source: Source = None,
    recordings: Names = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Score a segmenter on labelled recordings, with intervals and nulls."""
    if out is not None:
        require_file(out)
    inputs = _inputs(data, source, recordings)
    from neuroduet.actions.evaluation import evaluate_actions
    from neuroduet.actions.run import seen_in_training

    with counted("recordings") as report:
        found = evaluate_actions(models=models, inputs=inputs, out=out, seed=seed, report=report)
    _warn_of_seen(seen_in_training(models, [one.name for one in found.recordings]))
    _show_scores(found.scores, as_json)
    if figures is not None:
        from neuroduet.report.action_pages import draw_evaluation

        draw_evaluation(found, figures)
    for path in (out, figures):
        if path is not None and not as_json:
            write(f"written: {path}")


@app.command()
def compare(
    data: Recordings,
    out: OutDir,
    models: Models,
    features: Kinds = "auto",
    folds: Annotated[int, typer.Option("--folds", metavar="K", min=2, help="Folds.")] = 5,
    pool: Pool = "auto",
    smooth: Smooth = "auto",
    source: Source = None,
    recordings: Names = None,
    settings: ChosenOfModel = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Cross-validate models and features by recording; goes on where it was stopped."""
    inputs = _inputs(data, source, recordings)
    candidates = _grid(models, features, pool, smooth, settings)
    from neuroduet.actions.experiments import compare_models
    from neuroduet.report.action_pages import draw_grid

    with counted("fits") as report:
        table = compare_models(
            inputs=inputs, candidates=candidates, folds=folds, seed=seed, out=out, report=report
        )
    draw_grid(table, out / "compare.svg")
    _show_summary(table, ["model", "features"], as_json)
    if not as_json:
        write(f"the table and the figure are in {out}")


@app.command()
def density(
    data: Recordings,
    out: OutDir,
    models: Models,
    features: Kinds = "auto",
    goals: Annotated[
        str, typer.Option("--goals", metavar="N,N", help="Labelled frames per class.")
    ] = "50,100,250,500,1000",
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="How often each is repeated.")
    ] = 5,
    test: Annotated[
        str | None,
        typer.Option("--test", metavar="A,B", help="Recordings to score on; every other one."),
    ] = None,
    pool: Pool = "auto",
    smooth: Smooth = "auto",
    source: Source = None,
    recordings: Names = None,
    settings: ChosenOfModel = None,
    as_json: AsJson = False,
) -> None:
    """Score models that saw ever more labels; goes on where it was stopped."""
    inputs = _inputs(data, source, recordings)
    candidates = _grid(models, features, pool, smooth, settings)
    from neuroduet.actions.experiments import density_curve
    from neuroduet.report.action_pages import draw_density

    with counted("fits") as report:
        table = density_curve(
            inputs=inputs,
            candidates=candidates,
            goals=numbers("--goals", goals),
            seeds=seeds,
            test=names(test),
            out=out,
            report=report,
        )
    draw_density(table, out / "density.svg")
    _show_summary(table, ["model", "features", "goal"], as_json)
    if not as_json:
        write(f"the table and the figure are in {out}")


@app.command()
def suggest(
    models: Segmenters,
    data: Recordings,
    out: OutFile,
    n: Annotated[int, typer.Option("-n", "--bouts", min=1, help="Number of bouts.")] = 20,
    source: Source = None,
    recordings: Names = None,
    as_json: AsJson = False,
) -> None:
    """List the bouts that are worth labelling next."""
    require_file(out)
    inputs = _inputs(data, source, recordings)
    from neuroduet.actions.evaluation import suggest_labels

    with counted("recordings") as report:
        table = suggest_labels(models=models, inputs=inputs, n=n, out=out, report=report)
    if as_json:
        write_json(table)
        return
    _show_table(table)
    write(f"the suggestions are in {out}")


def _warn_of_seen(names: Sequence[str]) -> None:
    if names and not is_quiet():
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        write(
            f"warning: the segmenter was trained on {listed}: its scores are better than on new "
            "recordings; `neuroduet actions compare` scores recordings it has not seen",
            stderr=True,
        )


def _show_table(table: pd.DataFrame) -> None:
    print_table(
        [str(name) for name in table], [[_cell(x) for x in row] for row in table.to_numpy()]
    )


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _show_summary(table: pd.DataFrame, by: list[str], as_json: bool) -> None:
    """The main metrics, one row per candidate: means over whatever was repeated."""
    if as_json:
        write_json(table)
        return
    main = table[table["metric"].isin(["macro_f1", "balanced_accuracy", "edit", "f1@50"])]
    wide = main.pivot_table(index=by, columns="metric", values="value", sort=False).reset_index()
    _show_table(wide)


def _show_scores(scores: pd.DataFrame, as_json: bool) -> None:
    if as_json:
        write_json(scores)
        return
    header = ("metric", "class", "score", "95 % interval", "shuffled", "constant", "n")
    rows = [
        (
            row.metric,
            row["class"],
            f"{row.value:.3f}",
            f"{row.low:.3f} to {row.high:.3f}" if row.low == row.low else "-",
            f"{row.null_shuffled:.3f}",
            f"{row.null_constant:.3f}",
            f"{row.n:,}",
        )
        for _, row in scores.iterrows()
    ]
    print_table(header, rows)


def _answer_row(row: dict[str, Any]) -> tuple[str, ...]:
    shares = sorted(row["fractions"].items(), key=lambda one: -one[1])
    said = ", ".join(f"{name} {share:.0%}" for name, share in shares if share > 0)
    return row["recording"], f"{row['frames']:,}", said


def _inputs(data: Path, source: str | None, recordings: str | None) -> Inputs:
    if not data.exists():
        raise UserError(f"there is nothing at {data}; give a recording (.h5, .npz) or a folder")
    from neuroduet.actions.run import Inputs

    return Inputs(data=data, source=source, names=names(recordings))


def _recipe(
    model: str,
    features: str,
    pool: str,
    smooth: str,
    states: int | None,
    seed: int,
    settings: list[str] | None,
) -> Recipe:
    from neuroduet.actions.run import Recipe

    options = keyed(settings)
    more = options.pop("features", {})
    return Recipe(
        model=model,
        features={"kind": features, **more},
        pool=number_or_auto("--pool", pool),
        smooth=number_or_auto("--smooth", smooth),
        n_states=states,
        seed=seed,
        options=options,
    )


def _grid(models: str, features: str, pool: str, smooth: str, settings: list[str] | None) -> Grid:
    from neuroduet.actions.experiments import Grid

    options = keyed(settings)
    for key, value in options.items():
        if not isinstance(value, dict):
            raise UserError(f"setting '{key}' does not say of which model; write MODEL.{key}=...")
    return Grid(
        models=names(models) or (),
        features=names(features) or (),
        pool=number_or_auto("--pool", pool),
        smooth=number_or_auto("--smooth", smooth),
        options=options,
    )
