"""What the processes of a cross-validation do: train and score a run, score the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuroduet.baselines import fit_baselines
from neuroduet.config import Config
from neuroduet.data.session import open_sessions
from neuroduet.tasks import answerable, task_names
from neuroduet.tasks.crossval_tables import LINEAR_MODELS
from neuroduet.tasks.evaluate import Evaluation, score_predictors
from neuroduet.tasks.oracle import oracles
from neuroduet.tasks.run import BASELINE_TASKS, evaluate, score_table
from neuroduet.training.files import write_text
from neuroduet.training.fit import train
from neuroduet.training.threads import using_threads


def train_and_score(
    config: Config,
    data: Path | str,
    run: Path | str,
    sessions: list[str] | None,
    tasks: Sequence[str] | None,
) -> Path:
    """Train one run (or go on with it, or find it finished) and score it on its test windows."""
    run = Path(run)
    if not _is_trained(run, config):
        train(config, data, run, sessions, resume=True)
    evaluate(run, data, sessions, tasks)
    return run


def _is_trained(run: Path, config: Config) -> bool:
    """Whether the weights are there; ``model/config.json`` is written last."""
    members = config.training.members
    folders = [run / "members" / f"{i:02d}" for i in range(members)] if members > 1 else [run]
    return all((folder / "model" / "config.json").is_file() for folder in folders)


def score_linear(
    config: Config,
    data: Path | str,
    out: Path | str,
    sessions: list[str] | None,
    tasks: Sequence[str] | None,
) -> Path:
    """Fit the linear baselines of one fold and score them, linear ones on validation windows too.

    The best of the linear ones is chosen by their validation scores.
    """
    out = Path(out)
    asked = [name for name in task_names(tasks) if name in BASELINE_TASKS]
    scores = []
    with using_threads(1):
        for session in open_sessions(data, config.data, sessions):
            answered = answerable(asked, session.info)
            fitted = fit_baselines(session)
            linear = [model for model in fitted if model.name in LINEAR_MODELS]
            all_models = [*fitted, *oracles([session])]
            scores += score_predictors(all_models, [session], answered).scores
            scores += score_predictors(linear, [session], answered, split="valid").scores
    write_text(out, score_table(Evaluation(scores=scores)).to_csv(index=False))
    return out
