"""Cross-validation: presets, folds and seeds as run folders, scored, summarised and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from neuroduet.config import Config, override
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.metrics.primary import NAMES
from neuroduet.plain import file_name
from neuroduet.tasks import TASKS, task_names
from neuroduet.tasks.crossval_folder import check_claim, claimed, describe
from neuroduet.tasks.crossval_jobs import score_linear, train_and_score
from neuroduet.tasks.crossval_tables import (
    BEST_LINEAR,
    LINEAR_MODELS,
    compare_models,
    fold_table,
    summarise,
)
from neuroduet.tasks.run import COLUMNS
from neuroduet.terminal import Count, counted
from neuroduet.training.files import write_text
from neuroduet.training.folder import check_folder
from neuroduet.training.given import as_config, as_names, path_of
from neuroduet.training.jobs import Job, is_added, only_here, run_jobs


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
    configs: Mapping[str, Config | str] | Config | str,
    data: Path | str,
    out: Path | str,
    *,
    folds: int | None = None,
    seeds: int = 1,
    tasks: Sequence[str] | str | None = None,
    sessions: Sequence[str] | str | None = None,
    workers: int | None = None,
    resume: bool = False,
    report: Count | None = None,
    verbose: bool = False,
) -> CrossValidation:
    """Train and score every preset on every fold with every seed, and compare them.

    Every run is trained with one thread into ``<out>/<preset>/fold<k>-seed<s>`` and scored on the
    test windows of its fold; the linear baselines are fitted to the same windows. ``scores.csv``,
    ``summary.csv`` and ``paired.csv`` are written when all are done.

    Args:
        configs: Configurations, or names of presets, by the name each is to have here; all read
            the data alike. A single one goes by the name of its preset.
        data: A recording, or a folder of recordings.
        out: Folder to write.
        folds: Parts of every session that take turns as test windows; ``None`` or 1 keeps the
            configured split, so that only seeds differ.
        seeds: Trainings per fold, with the seeds ``training.seed``, ``training.seed + 1`` ...
        tasks: Names of :data:`neuroduet.tasks.TASKS` or of :data:`~neuroduet.tasks.GROUPS`;
            ``None`` for all; a string is one name.
        sessions: Session ids, or one id; ``None`` for all.
        workers: Runs at the same time, each in a process of its own; ``None`` for as many as there
            are cores, 1 for this process alone.
        resume: Go on with what ``out`` holds; what is finished is not repeated.
        report: Told how many runs and baselines are done, of how many, and NaN.
        verbose: Show how far it is on standard error, unless ``report`` is told instead.

    Returns:
        The tables.

    Raises:
        UserError: Presets, data and folder do not fit each other, or there is nothing to average.
    """
    out, data, tasks = path_of(out, "out"), path_of(data, "data"), as_names(tasks)
    presets = _by_name(configs)
    asked = task_names(tasks)  # before anything is written: a typing error must not cost hours
    folds = None if folds == 1 else folds
    _check(presets, folds, seeds, workers)
    runs = plan(presets, out, folds, seeds)
    splits = {run.fold: run.config for run in runs if run.preset == next(iter(presets))}
    names = None if sessions is None else sorted(set(as_names(sessions) or ()))
    ratios = {fold: _test_to_train(data, config, names) for fold, config in splits.items()}
    description = describe(presets, folds, seeds, asked, sorted(ratios[0]))
    check_claim(out, description, resume)
    tables = {fold: out / f"baselines-fold{fold}.csv" for fold in splits}
    jobs: list[Job] = [
        (score_linear, (splits[fold], data, path, names, tasks))
        for fold, path in tables.items()
        if not path.is_file()
    ]
    for run in runs:
        check_folder(run.folder, run.config, resume=True)
        if not (run.folder / "scores.csv").is_file():
            jobs.append((train_and_score, (run.config, data, run.folder, names, tasks)))
    with (
        counted("trainings and baselines", report, verbose) as told,
        claimed(out, description),
    ):
        run_jobs(jobs, workers, told, _only_here(presets, asked))
    return _conclude(out, runs, tables, ratios)


def _by_name(configs: Any) -> dict[str, Config]:
    if isinstance(configs, Mapping):
        return {name: as_config(config) for name, config in configs.items()}
    config = as_config(configs)
    return {config.preset: config}


def _only_here(configs: Mapping[str, Config], tasks: Sequence[str]) -> list[str]:
    """What other processes would not know of it."""
    found = [name for config in configs.values() for name in only_here(config)]
    found += [f"task '{name}'" for name in tasks if is_added(TASKS[name])]
    return list(dict.fromkeys(found))


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
                "so that their scores do not compare; set these for all"
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


def _test_to_train(data: Path, config: Config, sessions: list[str] | None) -> dict[str, float]:
    """Test windows of every session over its training windows."""
    opened = open_sessions(data, config.data, sessions)
    return {s.info.id: len(s.indices("test")) / len(s.indices("train")) for s in opened}


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
    return pd.read_csv(path, converters=dict.fromkeys(NAMES, str))
