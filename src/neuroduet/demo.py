"""The whole road on simulated animals: pretrain on four, finetune on two, compare, report."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from neuroduet.config import Config, override
from neuroduet.errors import UserError
from neuroduet.presets import duet
from neuroduet.simulate import Size

log = logging.getLogger(__name__)

PRETRAINED, HELD_OUT = 4, 2

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

    Returns:
        Scores and paths.

    Raises:
        UserError: ``out`` already holds files.
    """
    from neuroduet.report.page import write_report
    from neuroduet.simulate import simulate
    from neuroduet.tasks.run import baselines, embed_run, evaluate_run, predict_run
    from neuroduet.training.files import write_text
    from neuroduet.training.finetune import finetune
    from neuroduet.training.fit import run_jobs, train

    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} already holds files; choose another --out or remove it")
    data = out / "data"
    log.info("simulating %d animals", PRETRAINED + HELD_OUT)
    paths = simulate(data, sessions=PRETRAINED + HELD_OUT, seed=7, size=size)
    old, new = ([p.stem for p in part] for part in (paths[:PRETRAINED], paths[PRETRAINED:]))
    log.info("pretraining on %d animals: %d steps", PRETRAINED, pretrain_steps)
    train(_budget(duet(), pretrain_steps), data, out / "pretrained", old)
    settings = [f"training.max_steps={finetune_steps}", "training.threads=1"]
    scratch = override(_budget(duet(), finetune_steps), ["training.threads=1"])
    log.info("finetuning on two new animals, and from scratch: %d steps each", finetune_steps)
    run_jobs(
        [
            (finetune, (out / "pretrained", data, new, out / "finetuned", settings)),
            (train, (scratch, data, out / "scratch", new)),
        ]
    )
    log.info("scoring, with linear baselines and oracles on the same test trials")
    tables = [
        evaluate_run(out / name, data, tasks=TASKS).assign(model=name) for name in Demo.models
    ]
    scores = pd.concat([*tables, baselines(data, None, new)], ignore_index=True)
    run = out / "finetuned"
    write_text(run / "scores.csv", scores.to_csv(index=False))
    embed_run(run, run / "embeddings.csv")
    predict_run(run, data, run / "predictions")
    report = write_report(run, title="neuroduet demo: two animals the model had never seen")
    return Demo(scores=scores, run=run, report=report)


def _budget(config: Config, steps: int) -> Config:
    return override(config, [f"training.max_steps={steps}", "training.max_epochs=10000"])
