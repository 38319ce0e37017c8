"""Cross-validation: presets, folds and seeds as run folders, scored, summarised and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel

from neuroduet.config import Config, override
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.tasks import task_names
from neuroduet.tasks.crossval_jobs import score_baselines, train_and_score
from neuroduet.tasks.crossval_tables import (
    BEST_LINEAR,
    LINEAR_MODELS,
    compare_models,
    fold_table,
    summarise,
)
from neuroduet.tasks.export import file_name
from neuroduet.tasks.run import COLUMNS
from neuroduet.training.files import write_text
from neuroduet.training.fit import check_folder, run_jobs

TEXTS = ("model", "session", "task", "target", "metric", "split")
"""Columns of a score table that are text, whatever a session is called."""

Job = tuple[Callable[..., Path], tuple]


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """What a cross-validation found.

    Attributes:
        scores: The scores of all runs and baselines with ``preset`` (empty for baselines),
            ``fold`` and ``seed`` (missing for baselines). Linear baselines have validation scores
            too.
        summary: See :func:`~neuroduet.tasks.crossval_tables.summarise`.
        paired: See :func:`~neuroduet.tasks.crossval_tables.compare_models`.
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    paired: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of a cross-validation.

    Attributes:
        preset: Name of the preset.
        fold: Fold whose windows are its test windows.
        seed: Seed of the training.
        config: Its resolved configuration.
        folder: Its run folder.
    """

    preset: str
    fold: int
    seed: int
    config: Config
    folder: Path


def cross_validate(
    configs: Mapping[str, Config],
    data: Path | str,
    out: Path | str,
    *,
    folds: int | None = None,
    seeds: int = 1,
    tasks: Sequence[str] | None = None,
    sessions: Sequence[str] | None = None,
    workers: int | None = None,
    resume: bool = False,
    report: Callable[[int, int, float], None] = lambda done, total, value: None,
) -> CrossValidation:
    """Train and score every preset on every fold with every seed, and compare them.

    Every run is trained with one thread into ``<out>/<preset>/fold<k>-seed<s>`` and scored on the
    test windows of its fold; the linear baselines are fitted to the same windows. ``scores.csv``,
    ``summary.csv`` and ``paired.csv`` are written when all are done.

    Args:
        configs: Configuration by name of the preset; all read the data alike.
        data: A recording, or a folder of recordings.
        out: Folder to write.
        folds: Parts of every session that take turns as test windows; ``None`` or 1 keeps the
            configured split, so that only seeds differ.
        seeds: Trainings per fold, with the seeds ``training.seed``, ``training.seed + 1`` ...
        tasks: Names of :data:`neuroduet.tasks.TASKS` or of :data:`~neuroduet.tasks.GROUPS`;
            ``None`` for all.
        sessions: Session ids; ``None`` for all.
        workers: Runs at the same time, each in a process of its own; ``None`` for as many as there
            are cores, 1 for this process alone.
        resume: Go on with what ``out`` holds; what is finished is not repeated.
        report: Told how many runs and baselines are done, of how many, and NaN.

    Returns:
        The tables.

    Raises:
        UserError: Presets, data and folder do not fit each other, or there is nothing to average.
    """
    out, data = Path(out), Path(data)
    task_names(tasks)  # before anything is written: a typing error must not cost hours
    folds = None if folds == 1 else folds
    _check(configs, folds, seeds, workers)
    runs = plan(configs, out, folds, seeds)
    splits = {run.fold: run.config for run in runs if run.preset == next(iter(configs))}
    names = None if sessions is None else sorted(set(sessions))
    ratios = {fold: _test_to_train(data, config, names) for fold, config in splits.items()}
    _claim(out, _description(configs, folds, seeds, tasks, sorted(ratios[0])), resume)
    tables = {fold: out / f"baselines-fold{fold}.csv" for fold in splits}
    jobs: list[Job] = [
        (score_baselines, (splits[fold], data, path, names, tasks))
        for fold, path in tables.items()
        if not path.is_file()
    ]
    for run in runs:
        check_folder(run.folder, run.config, resume=True)
        if not (run.folder / "scores.csv").is_file():
            jobs.append((train_and_score, (run.config, data, run.folder, names, tasks)))
    _work(jobs, workers, report)
    return _conclude(out, runs, tables, ratios)


def plan(configs: Mapping[str, Config], out: Path, folds: int | None, seeds: int) -> list[Run]:
    """Every run of a cross-validation.

    Args:
        configs: Configuration by name of the preset.
        out: Folder of the cross-validation.
        folds: Number of folds; ``None`` for the configured split, as fold 0.
        seeds: Trainings per fold.
    """
    runs = []
    for preset, config in configs.items():
        for fold in range(folds or 1):
            split = [f"data.split.folds={folds}", f"data.split.fold={fold}"] if folds else []
            for seed in range(config.training.seed, config.training.seed + seeds):
                # Processes beside each other are quickest with one thread each.
                settings = [f"training.seed={seed}", "training.threads=1", *split]
                runs.append(
                    Run(
                        preset=preset,
                        fold=fold,
                        seed=seed,
                        config=override(config, settings),
                        folder=out / preset / f"fold{fold}-seed{seed}",
                    )
                )
    return runs


def _check(
    configs: Mapping[str, Config], folds: int | None, seeds: int, workers: int | None
) -> None:
    for name, number in (("folds", folds), ("seeds", seeds), ("workers", workers)):
        if number is not None and number < 1:
            raise UserError(f"the number of {name} is {number}; give 1 or more")
    if folds is None and seeds == 1:
        raise UserError(
            "one fold with one seed has no spread to report; ask for several, such as --folds 5 "
            "or --seeds 3"
        )
    if not configs:
        raise UserError("no preset is named; give one or several, such as duet,mtm")
    for name in configs:
        if file_name(name) != name or name in (BEST_LINEAR, *LINEAR_MODELS):
            raise UserError(
                f"'{name}' cannot name a preset here, because folders and tables are called after "
                "it; use letters and digits, and no name of a baseline"
            )
    first, *others = configs
    for other in others:
        differing = _differing(configs[first].data, configs[other].data, "data")
        if differing:
            raise UserError(
                f"presets {first} and {other} read the data differently ({', '.join(differing)}), "
                "so that their scores do not compare; set these for all, with --set or --config"
            )


def _differing(one: BaseModel, other: BaseModel, where: str) -> list[str]:
    """Dotted names of the settings in which two sections differ."""
    found = []
    for key in type(one).model_fields:
        mine, theirs = getattr(one, key), getattr(other, key)
        if isinstance(mine, BaseModel):
            found += _differing(mine, theirs, f"{where}.{key}")
        elif mine != theirs:
            found.append(f"{where}.{key}")
    return found


def _description(
    configs: Mapping[str, Config],
    folds: int | None,
    seeds: int,
    tasks: Sequence[str] | None,
    sessions: list[str],
) -> str:
    found = {
        "folds": folds,
        "seeds": seeds,
        "tasks": task_names(tasks),
        "sessions": sessions,
        "presets": {name: config.model_dump(mode="json") for name, config in configs.items()},
    }
    return yaml.safe_dump(found, sort_keys=False)


def _claim(out: Path, description: str, resume: bool) -> None:
    """Note in the folder what is done there, or check that it is the same."""
    path = out / "crossval.yaml"
    if path.is_file():
        if not resume:
            raise UserError(
                f"{out} already holds a cross-validation; go on with it by --resume, or choose "
                "another --out"
            )
        if path.read_text() != description:
            raise UserError(
                f"{path} differs from what is asked; resume with the presets, folds, seeds, "
                "tasks, sessions and settings it was started with, or choose another --out"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} already holds something else; choose another --out")
    else:
        write_text(path, description)


def _test_to_train(data: Path, config: Config, sessions: list[str] | None) -> dict[str, float]:
    """Test windows of every session over its training windows."""
    opened = open_sessions(data, config.data, sessions)
    return {s.info.id: len(s.indices("test")) / len(s.indices("train")) for s in opened}


def _work(
    jobs: Sequence[Job], workers: int | None, report: Callable[[int, int, float], None]
) -> None:
    """Do the jobs, in parallel processes or one after the other in this one."""
    if workers != 1 and len(jobs) > 1:
        run_jobs(jobs, workers, report)
        return
    for done, (function, arguments) in enumerate(jobs, start=1):
        function(*arguments)
        report(done, len(jobs), float("nan"))


def _conclude(
    out: Path,
    runs: Sequence[Run],
    baselines: Mapping[int, Path],
    test_to_train: Mapping[int, Mapping[str, float]],
) -> CrossValidation:
    """Read what all jobs wrote, and write the tables."""
    scores = pd.concat(
        [_read(path).assign(preset="", fold=fold) for fold, path in baselines.items()]
        + [_read_run(run) for run in runs],
        ignore_index=True,
    )
    scores["seed"] = scores["seed"].astype("Int64")
    scores = scores[["preset", "fold", "seed", *COLUMNS]]
    ratios = {
        session: float(np.mean([of_fold[session] for of_fold in test_to_train.values()]))
        for session in test_to_train[0]
    }
    table = fold_table(scores)
    presets = list(dict.fromkeys(run.preset for run in runs))
    found = CrossValidation(
        scores=scores,
        summary=summarise(table, ratios),
        paired=compare_models(table, presets, ratios),
    )
    for name in ("scores", "summary", "paired"):
        write_text(out / f"{name}.csv", getattr(found, name).to_csv(index=False))
    return found


def _read_run(run: Run) -> pd.DataFrame:
    """The scores of a run, under the name it has here."""
    table = _read(run.folder / "scores.csv")
    own = table.model == run.config.preset
    model = table.model.mask(own, run.preset)
    return table.assign(model=model, preset=run.preset, fold=run.fold, seed=run.seed)


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, converters=dict.fromkeys(TEXTS, str))
