"""The whole road on simulated animals: pretrain on four, finetune on two, compare, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from neuroduet.config import Config, override
from neuroduet.errors import UserError
from neuroduet.presets import duet
from neuroduet.simulate import Size

PRETRAINED, HELD_OUT = 4, 2

SHARES = {"simulating": 0.05, "pretraining": 0.55, "finetuning": 0.2, "scoring": 0.2}
"""About how much of the time each stage takes."""

TASKS = ["encoding", "decoding", "activity", "regions"]


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demo leaves behind.

    Attributes:
        scores: One row per model, session, task, target and metric.
        run: The finetuned run folder, with its report.
        report: The report page.
        models: Names of the models in ``scores`` that are ours.
    """

    scores: pd.DataFrame
    run: Path
    report: Path
    models: tuple[str, ...] = ("finetuned", "scratch")


def demo(
    out: Path | str,
    pretrain_steps: int = 900,
    finetune_steps: int = 250,
    size: Size = "small",
    report: Callable[[float, str], None] = lambda share, said: None,
) -> Demo:
    """Simulate six animals, pretrain on four, finetune on the two held out, score, report.

    The models trained from scratch get exactly the steps that finetuning gets. Everything is
    seeded: two runs on one machine print the same table.

    Args:
        out: Folder to write: ``data``, and the run folders ``pretrained``, ``finetuned``,
            ``scratch``.
        pretrain_steps: Optimiser steps of pretraining.
        finetune_steps: Optimiser steps of finetuning, and of training from scratch.
        size: Size of the simulated sessions.
        report: Told the share that is done, and what is being done.

    Returns:
        Scores and paths.

    Raises:
        UserError: ``out`` already holds files.
    """
    from neuroduet.report.page import write_report
    from neuroduet.simulate import simulate
    from neuroduet.tasks.run import embed, evaluate, score_baselines, write_predictions
    from neuroduet.training.files import write_bytes, write_text
    from neuroduet.training.finetune import finetune
    from neuroduet.training.fit import train
    from neuroduet.training.jobs import run_jobs

    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} already holds files; choose another folder (--out) or remove it")
    data = out / "data"
    paths = simulate(
        data,
        sessions=PRETRAINED + HELD_OUT,
        seed=7,
        size=size,
        report=lambda done, total, value: _tell(report, "simulating", done / total),
    )
    old, new = ([p.stem for p in part] for part in (paths[:PRETRAINED], paths[PRETRAINED:]))
    train(
        _budget(duet(), pretrain_steps),
        data,
        out / "pretrained",
        old,
        report=lambda counters, used, scores: _tell(report, "pretraining", used),
    )
    settings = [f"training.max_steps={finetune_steps}", "training.threads=1"]
    scratch = override(_budget(duet(), finetune_steps), ["training.threads=1"])
    _tell(report, "finetuning", 0.0)
    run_jobs(
        [
            (finetune, (out / "pretrained", data, out / "finetuned", new, settings)),
            (train, (scratch, data, out / "scratch", new)),
        ]
    )
    _tell(report, "scoring", 0.0)
    tables = [
        evaluate(out / name, data, new, tasks=TASKS).assign(model=name) for name in Demo.models
    ]
    _tell(report, "scoring", 0.3)
    scores = pd.concat([*tables, score_baselines(data, None, new)], ignore_index=True)
    run = out / Demo.models[0]
    write_text(run / "scores.csv", scores.to_csv(index=False))
    units = pd.read_parquet(run / "scores_units.parquet").assign(model=Demo.models[0])
    write_bytes(run / "scores_units.parquet", units.to_parquet(index=False))
    _tell(report, "scoring", 0.8)
    embed(run, run / "embeddings.csv")
    for path in paths[PRETRAINED:]:
        write_predictions(run, path, run / "predictions")
    page = write_report(run, title="neuroduet demo: two animals the model had never seen")
    return Demo(scores=scores, run=run, report=page)


def _tell(report: Callable[[float, str], None], stage: str, share: float) -> None:
    """Tell how far the whole is, from how far a stage is."""
    earlier = list(SHARES)[: list(SHARES).index(stage)]
    report(sum(SHARES[name] for name in earlier) + SHARES[stage] * share, stage)


def _budget(config: Config, steps: int) -> Config:
    return override(config, [f"training.max_steps={steps}", "training.max_epochs=10000"])
