"""What smaller stitchers cost in score: rows of lower rank, and shared-unit-embedding stitchers.

Run ``python benchmarks/stitchers.py --out FOLDER``. Each variant of `duet` trains on the same
simulated animals with the same number of steps on one thread, and is then finetuned on animals it
has not seen. The first table is of validation windows, on which variants may be compared and
chosen; the second, with ``--test``, is of the test windows of both.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from neuroduet.config import Config, override
from neuroduet.presets import duet
from neuroduet.simulate import simulate
from neuroduet.tasks.run import evaluate
from neuroduet.tasks.task import ActivityOptions
from neuroduet.training.finetune import finetune
from neuroduet.training.fit import train
from neuroduet.training.info import describe_run
from neuroduet.types import NEURAL

VARIANTS: dict[str, list[str]] = {
    "rank 72": [],
    "rank 32": ["model.input_rank=32", "model.output_rank=32"],
    "rank 16": ["model.input_rank=16", "model.output_rank=16"],
    "embedding 64": ["model.unit_embedding=64"],
    "embedding 48": ["model.unit_embedding=48"],
    "embedding 32": ["model.unit_embedding=32"],
}
"""Name -> settings; the first is the default."""

TARGETS = {
    "encoding": (NEURAL, "encoding", "bits_per_spike"),
    "co-smoothing": ("co_smoothing", "co_smoothing", "bits_per_spike"),
    "intra-region": ("intra_region", "intra_region", "bits_per_spike"),
    "inter-region": ("inter_region", "inter_region", "bits_per_spike"),
    "forward": ("forward", "forward", "bits_per_spike"),
    "wheel": ("wheel", "decoding", "r2"),
    "whisker": ("whisker", "decoding", "r2"),
    "choice": ("choice", "decoding", "accuracy"),
    "block": ("block", "decoding", "accuracy"),
}
"""Column -> target of the validation scores, and task and metric of the test scores."""

Scores = dict[str, float]


def main() -> None:
    """Parse the arguments, run what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pretrain", type=int, default=6, help="animals to train on")
    parser.add_argument("--held-out", type=int, default=4, help="animals to finetune on")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--finetune-steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", default="small")
    parser.add_argument("--world", type=int, default=77, help="seed of the simulated world")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--test", action="store_true", help="score the test windows too")
    given = parser.parse_args()
    data = given.out / "data"
    if not data.exists():
        simulate(data, given.pretrain + given.held_out, given.world, given.size)
    names = sorted(path.stem for path in data.glob("*.h5"))
    animals = {"trained": names[: given.pretrain], "finetuned": names[given.pretrain :]}
    for variant in given.variants:
        for seed in range(given.seeds):
            run_variant(given, data, animals, variant, seed)
    for part in animals:
        print_scores(given, f"{part}, validation windows", part, of_validation)
        if given.test:
            print_scores(given, f"{part}, test windows", part, of_test)


def folder(given: argparse.Namespace, variant: str, seed: int) -> Path:
    """Where the runs of a variant are."""
    return given.out / variant.replace(" ", "-") / f"seed-{seed}"


def run_variant(
    given: argparse.Namespace,
    data: Path,
    animals: dict[str, list[str]],
    variant: str,
    seed: int,
) -> None:
    """Train, finetune and, if asked for, score one variant; what is there is kept."""
    out = folder(given, variant, seed)
    if not (out / "trained" / "model" / "config.json").exists():
        train(configured(variant, seed, given.steps), data, out / "trained", animals["trained"])
    if not (out / "finetuned" / "model" / "config.json").exists():
        settings = [f"training.max_steps={given.finetune_steps}"]
        finetune(out / "trained", data, out / "finetuned", animals["finetuned"], settings)
    for part, names in animals.items():
        if given.test and not (out / part / "scores.csv").exists():
            tasks = ["activity", "encoding", "decoding"]
            evaluate(out / part, data, names, tasks, options=ActivityOptions(folds=10))


def configured(variant: str, seed: int, steps: int) -> Config:
    """`duet` with the stitchers of a variant."""
    budget = [f"training.max_steps={steps}", "training.max_epochs=100000", "training.threads=1"]
    return override(duet(), [*VARIANTS[variant], *budget, f"training.seed={seed}"])


def of_validation(run: Path) -> Scores:
    """Best validation score of every target."""
    found = describe_run(run)["trainings"][0]["validation"]
    return {column: found[target]["best"] for column, (target, _, _) in TARGETS.items()}


def of_test(run: Path) -> Scores:
    """Mean over sessions of every test score."""
    table = pd.read_csv(run / "scores.csv")
    scores = {}
    for column, (target, task, metric) in TARGETS.items():
        wanted = table[(table.task == task) & (table.metric == metric)]
        if task == "decoding":
            wanted = wanted[wanted.target == target]
        scores[column] = float(wanted.value.mean())
    return scores


def print_scores(
    given: argparse.Namespace, title: str, part: str, score: Callable[[Path], Scores]
) -> None:
    """Print a row per variant: numbers per unit, and the mean of every score over seeds."""
    table = Table(title=f"{title}, {given.seeds} seed(s), {given.steps} steps")
    for column in ("stitchers", "numbers per unit", *TARGETS):
        table.add_column(column)
    for variant in given.variants:
        runs = [folder(given, variant, seed) / part for seed in range(given.seeds)]
        found = pd.DataFrame([score(run) for run in runs])
        row = [f"{mean:.3f}" for mean in found.mean()]
        table.add_row(variant, f"{per_unit(runs[0]):.0f}", *row)
    Console(width=160).print(table)


def per_unit(run: Path) -> float:
    """Numbers that a model learns for every unit, those of whole sessions shared out."""
    sessions: Sequence[dict] = describe_run(run)["sessions"]
    return float(np.sum([s["stitchers"] for s in sessions]) / sum(s["units"] for s in sessions))


if __name__ == "__main__":
    main()
