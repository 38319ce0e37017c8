"""What pretraining on other animals is worth: finetuned against scratch at the same budget.

Run ``python benchmarks/transfer.py --out FOLDER``. Every held-out session is trained twice with
the same number of optimiser steps, from the pretrained core and from scratch; the paired
differences of their test scores are averaged over sessions, with a 95 % t interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy import stats
from side_by_side import run_all

from neuroduet.config import Config, override
from neuroduet.presets import PRESETS
from neuroduet.simulate import simulate
from neuroduet.tasks.run import evaluate
from neuroduet.training.finetune import finetune
from neuroduet.training.fit import train

SHOWN = [
    ("encoding", "spikes", "bits_per_spike"),
    ("co_smoothing", "spikes", "bits_per_spike"),
    ("forward", "spikes", "bits_per_spike"),
    ("intra_region", "spikes", "bits_per_spike"),
    ("inter_region", "spikes", "bits_per_spike"),
    ("decoding", "wheel", "r2"),
    ("decoding", "whisker", "r2"),
    ("decoding", "choice", "accuracy"),
    ("decoding", "block", "accuracy"),
]
TASKS = ["activity", "encoding", "decoding"]


def main() -> None:
    """Parse the arguments, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pretrain", type=int, default=8, help="sessions to pretrain on")
    parser.add_argument("--held-out", type=int, default=8)
    parser.add_argument("--pretrain-steps", type=int, default=1600)
    parser.add_argument("--steps", type=int, nargs="+", default=[200, 600])
    parser.add_argument("--preset", default="duet", help="duet or mtm")
    parser.add_argument("--size", default="small")
    parser.add_argument("--memory", type=float, default=1.0, help="of the private latents")
    parser.add_argument("--world", type=int, default=2026, help="seed of the simulated world")
    given = parser.parse_args()
    data = given.out / "data"
    if not data.exists():
        simulate(
            data, given.pretrain + given.held_out, given.world, given.size, memory=given.memory
        )
    names = sorted(path.stem for path in data.glob("*.h5"))
    old, new = names[: given.pretrain], names[given.pretrain :]
    core = given.out / "pretrained"
    if not (core / "model" / "config.json").exists():
        train(_budget(given.preset, given.pretrain_steps), data, core, old)
    run_all(
        [
            (_pair, (given.preset, core, data, given.out, name, steps))
            for steps in given.steps
            for name in new
        ]
    )
    for steps in given.steps:
        Console().print(_table(given.out, new, steps))


def _budget(preset: str, steps: int) -> Config:
    settings = [f"training.max_steps={steps}", "training.max_epochs=100000", "training.threads=1"]
    return override(PRESETS[preset](), settings)


def _pair(preset: str, core: Path, data: Path, out: Path, name: str, steps: int) -> Path:
    """Finetune and train from scratch on one session."""
    folder = out / f"steps-{steps}" / name
    settings = [f"training.max_steps={steps}"]
    if not (folder / "finetuned" / "scores.csv").exists():
        finetune(core, data, folder / "finetuned", [name], settings)
        evaluate(folder / "finetuned", data, [name], TASKS)
    if not (folder / "scratch" / "scores.csv").exists():
        train(_budget(preset, steps), data, folder / "scratch", [name])
        evaluate(folder / "scratch", data, [name], TASKS)
    return folder


def _table(out: Path, names: list[str], steps: int) -> Table:
    table = Table(title=f"{len(names)} held-out sessions, {steps} steps, test trials")
    for column in (
        "task",
        "target",
        "metric",
        "finetuned",
        "scratch",
        "difference",
        "95 % interval",
    ):
        table.add_column(column)
    for question in SHOWN:
        values = {
            kind: np.array([_score(out, n, kind, question, steps) for n in names])
            for kind in ("finetuned", "scratch")
        }
        known = ~np.isnan(values["finetuned"] - values["scratch"])
        if known.sum() < 2:
            continue
        better = (values["finetuned"] - values["scratch"])[known]
        reach = stats.sem(better) * stats.t.ppf(0.975, len(better) - 1)
        means = [f"{v[known].mean():.4f}" for v in values.values()]
        low, high = better.mean() - reach, better.mean() + reach
        table.add_row(*question, *means, f"{better.mean():+.4f}", f"{low:+.4f} {high:+.4f}")
    return table


def _score(out: Path, name: str, kind: str, question: tuple[str, str, str], steps: int) -> float:
    scores = pd.read_csv(out / f"steps-{steps}" / name / kind / "scores.csv")
    found = scores[(scores[["task", "target", "metric"]] == list(question)).all(axis=1)].value
    return float(found.iloc[0]) if len(found) else float("nan")


if __name__ == "__main__":
    main()
