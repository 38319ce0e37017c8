"""Macaque motor cortex: from your own arrays to held-out scores, five-fold over trials.

A monkey reaches to eight targets while 174 units are recorded in M1: 159 trials of 9 to 14 bins of
100 ms. One model learns to decode velocity, position and target from the spike counts, and to
predict the counts from them and from each other. Every fold is a recording of its own that says
which trials train, validate and test; the linear baselines are scored on the same trials.

    python examples/monkey_reach.py --data ../shared/data                # about 10 minutes
    python examples/monkey_reach.py --folds 1 --steps 60 --members 1     # a quick look
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import neuroduet
from neuroduet.config import Config, override
from neuroduet.presets import PRESETS
from neuroduet.tasks.task import ActivityOptions

FOLDS = 5
# Chosen on validation trials; docs/real-data.md says what else was tried.
SETTINGS = [
    "data.min_rate_hz=0.5",  # 100 quieter units fire a handful of spikes in the test trials
    "training.learning_rate=0.003",
    "training.ema=0.98",  # a short run cannot wait for an average over 200 steps
    "training.max_epochs=1000",  # --steps is the budget
    "training.threads=1",
]
TASKS = ["encoding", "decoding", "co_smoothing", "forward"]
AHEAD = ActivityOptions(horizon=2)  # forward prediction of the last 200 ms
COLUMNS = {
    "velocity x": ("decoding", "velocity[0]", "r2"),
    "velocity y": ("decoding", "velocity[1]", "r2"),
    "position x": ("decoding", "position[0]", "r2"),
    "position y": ("decoding", "position[1]", "r2"),
    "target": ("decoding", "target", "accuracy"),
    "encoding": ("encoding", "spikes", "bits_per_spike"),
    "co-smoothing": ("co_smoothing", "spikes", "bits_per_spike"),
    "forward": ("forward", "spikes", "bits_per_spike"),
}
# Ridge on 4 lags; for the target, summed counts; R2 pooled over five folds (README of the data).
PUBLISHED = dict(zip(COLUMNS, [0.73, 0.60, 0.78, 0.81, 0.43], strict=False))


def read_trials(folder: Path) -> dict[str, list[np.ndarray] | np.ndarray]:
    """Counts, velocity and position of every trial (bins, ...), and its target."""
    raw = np.load(folder / "monkey_reach" / "chewie_20131003.npz")
    ends = np.cumsum(raw["trial_len"])[:-1]
    series = {name: np.split(raw[name], ends) for name in ("counts", "velocity", "position")}
    return {**series, "target": raw["target"].astype(int)}


def split_of_fold(n_trials: int, fold: int) -> np.ndarray:
    """One fold of the trials tests, the next one validates, the others train."""
    part = np.random.default_rng(0).permutation(n_trials) % FOLDS
    others = np.where(part == (fold + 1) % FOLDS, "valid", "train")
    return np.where(part == fold, "test", others)


def save_fold(trials: dict[str, list[np.ndarray] | np.ndarray], fold: int, folder: Path) -> Path:
    """Write the recording of one fold; the folder that holds it."""
    recording = neuroduet.from_arrays(
        session_id="chewie_20131003",
        subject_id="chewie",
        counts=trials["counts"],
        bin_size_s=0.1,
        behaviours={name: trials[name] for name in ("velocity", "position", "target")},
        split=split_of_fold(len(trials["target"]), fold),
    )
    data = folder / f"fold{fold}"
    data.mkdir(parents=True)
    neuroduet.save(recording, data / "chewie_20131003.h5")
    return data


def score_fold(config: Config, data: Path, run: Path) -> pd.DataFrame:
    """Train on one fold; test scores of the model and the baselines, one row each."""
    neuroduet.train(config, data=data, out=run)
    scores = pd.concat(
        [
            neuroduet.score_baselines(data, config=config, options=AHEAD),
            neuroduet.evaluate(run, data=data, tasks=TASKS, options=AHEAD),
        ]
    )
    table = scores.pivot(index="model", columns=["task", "target", "metric"], values="value")
    table = table.reindex(columns=list(COLUMNS.values()))
    return table.set_axis(list(COLUMNS), axis=1)


def main() -> None:
    """Run all folds and print their scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("NEURODUET_SHARED_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(shared), help="folder of shared data")
    parser.add_argument("--preset", default="duet", help="duet, or mtm for the spikes alone")
    parser.add_argument("--folds", type=int, default=FOLDS, help="folds to run, 1 to 5")
    parser.add_argument("--steps", type=int, default=1200, help="optimiser steps of a member")
    parser.add_argument("--members", type=int, default=4, help="models of an ensemble")
    parser.add_argument("--set", nargs="*", default=[], help="more settings, section.key=value")
    args = parser.parse_args()
    budget = [f"training.max_steps={args.steps}", f"training.members={args.members}"]
    config = override(PRESETS[args.preset](), [*SETTINGS, *budget, *args.set])
    trials = read_trials(args.data)
    tables = {}
    with tempfile.TemporaryDirectory() as scratch:
        for fold in range(args.folds):
            data = save_fold(trials, fold, Path(scratch) / "data")
            tables[f"fold {fold}"] = score_fold(config, data, Path(scratch) / "runs" / str(fold))
            print(f"\nfold {fold}\n{tables[f'fold {fold}'].round(2).to_string(na_rep='')}")
    mean = pd.concat(tables).groupby(level=1).mean()
    mean.loc["published ridge"] = pd.Series(PUBLISHED)
    print(f"\nmean of {args.folds} folds\n{mean.round(3).to_string(na_rep='')}")


# Members are trained in processes of their own, which import this file again.
if __name__ == "__main__":
    main()
