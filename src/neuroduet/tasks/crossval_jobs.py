"""What the processes of a cross-validation do: train and score a run, score the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from neuroduet.baselines import fit_baselines
from neuroduet.config import Config
from neuroduet.data.session import Session, open_sessions
from neuroduet.tasks import TASKS, task_names
from neuroduet.tasks.crossval_tables import LINEAR_MODELS
from neuroduet.tasks.evaluate import Evaluation, evaluate
from neuroduet.tasks.oracle import oracles
from neuroduet.tasks.run import BASELINE_TASKS, evaluate_run, score_table
from neuroduet.tasks.task import Task
from neuroduet.training.files import write_text
from neuroduet.training.fit import train


def train_and_score(
    config: Config,
    data: Path,
    run: Path,
    sessions: list[str] | None,
    tasks: Sequence[str] | None,
) -> Path:
    """Train one run (or go on with it, or find it finished) and score it on its test windows."""
    torch.set_num_threads(1)
    if not _is_trained(run, config):
        train(config, data, run, sessions, resume=True)
    evaluate_run(run, data, sessions, tasks)
    return run


def _is_trained(run: Path, config: Config) -> bool:
    """Whether the weights are there; ``model/config.json`` is written last."""
    members = config.training.members
    folders = [run / "members" / f"{i:02d}" for i in range(members)] if members > 1 else [run]
    return all((folder / "model" / "config.json").is_file() for folder in folders)


def score_baselines(
    config: Config,
    data: Path,
    out: Path,
    sessions: list[str] | None,
    tasks: Sequence[str] | None,
) -> Path:
    """Fit the linear baselines of one fold and score them, linear ones on validation windows too.

    The best of the linear ones is chosen by their validation scores.
    """
    torch.set_num_threads(1)
    asked = [name for name in task_names(tasks) if name in BASELINE_TASKS]
    scores = []
    for session in open_sessions(data, config.data, sessions):
        answered = [name for name in asked if _asks(name, session)]
        fitted = fit_baselines(session)
        linear = [model for model in fitted if model.name in LINEAR_MODELS]
        scores += evaluate([*fitted, *oracles([session])], [session], answered).scores
        scores += evaluate(linear, [session], answered, split="valid").scores
    write_text(out, score_table(Evaluation(scores=scores, units=[])).to_csv(index=False))
    return out


def _asks(task: str, session: Session) -> bool:
    found = TASKS[task]
    return isinstance(found, Task) and bool(found.variants(session.info))
