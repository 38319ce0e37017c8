"""Segmentation models on recorded animals and people, every recording scored out of fold.

Run ``python benchmarks/actions_recorded.py --set rats-3 --out FOLDER``. Sets: ``rats-3`` (social,
nonsocial, aggression of two rats; frames without any are unlabelled), ``rats-4`` (they are a class
too), ``rats-8`` (postures), ``mocap6`` (twelve exercises; leave one sequence out). Folds are of
whole videos. What a stopped run has fitted is not fitted again.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from neuroduet.actions.compare import compare, grid, scores_out_of_fold
from neuroduet.actions.families import FAMILIES
from neuroduet.actions.out_of_fold import OutOfFold, out_of_fold, recording_folds

METRICS = ("macro_f1", "accuracy", "edit", "f1@50")
AVERAGED = ("tcn", "gru", "lstm", "boosting")
LABELLED = [name for name in FAMILIES if name != "slds"]
"""Models whose states have names; those of ``slds`` have none."""

TAIL_TIP = 4
"""A keypoint that is missing most of the time."""


def read(name: str, folder: Path) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Recordings, labels and class names of a set."""
    loaders = _loaders(folder)
    if name == "mocap6":
        sequences = loaders.mocap6()
        names = [str(action) for action in range(1, 13)]
        return [x.astype(float) for x, _, _ in sequences], [y - 1 for _, y, _ in sequences], names
    videos = [video for _, video in sorted(loaders.rat_social().items())]
    pose = [np.delete(x, TAIL_TIP, axis=2) for x, _, _ in videos]
    if name == "rats-8":
        labels, names = [s2.astype(int) for _, _, s2 in videos], loaders.RAT_S2
    else:
        rest = 1 if name == "rats-3" else 0
        labels = [
            np.where(s1 >= 0, np.maximum(s1.astype(int) - rest, -1), -1) for _, s1, _ in videos
        ]
        names = loaders.RAT_S1[rest:]
    kept = [i for i, y in enumerate(labels) if (y >= 0).any()]
    return [pose[i] for i in kept], [labels[i] for i in kept], list(names)


def _loaders(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("loaders", folder / "loaders.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Parse the arguments, fit what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    shared = os.environ.get("NEURODUET_SHARED_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(shared), help="folder of shared data")
    parser.add_argument(
        "--set", default="rats-3", choices=["rats-3", "rats-4", "rats-8", "mocap6"]
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=LABELLED, help="names of models")
    parser.add_argument("--folds", type=int, default=4)
    given = parser.parse_args()
    recordings, labels, names = read(given.set, given.data)
    folds = len(recordings) if given.set == "mocap6" else given.folds
    candidates = grid(given.models, classes=names)
    given.out.mkdir(parents=True, exist_ok=True)
    scores = compare(candidates, recordings, labels, folds=folds, names=names, folder=given.out)
    if set(AVERAGED) <= set(given.models):
        fold_of = recording_folds(labels, folds, 0, None)
        found = [
            out_of_fold(one, recordings, labels, fold_of, seed=0, folder=given.out)
            for one in candidates
            if one.model in AVERAGED
        ]
        mean = [
            np.mean(each, axis=0) for each in zip(*(f.probabilities for f in found), strict=True)
        ]
        both = scores_out_of_fold(
            OutOfFold(probabilities=mean, fit_s=found[0].fit_s), labels, names
        )
        label = "average of " + ", ".join(one.model for one in candidates if one.model in AVERAGED)
        scores = pd.concat([scores, both.assign(model=label, fit_s=np.nan)])
    scores.to_csv(given.out / "scores.csv", index=False)
    print(_table(scores).to_string())


def _table(scores: pd.DataFrame) -> pd.DataFrame:
    whole = scores[(scores["class"] == "all") & scores["metric"].isin(METRICS)]
    table = whole.pivot_table(index="model", columns="metric", values="value", sort=False)
    ends = whole[whole["metric"] == "macro_f1"].set_index("model")
    table["macro F1, 95 %"] = [f"{r.low:.3f}-{r.high:.3f}" for r in ends.itertuples()]
    shuffled = whole.pivot_table(
        index="model", columns="metric", values="null_shuffled", sort=False
    )
    table["edit, shuffled"] = shuffled["edit"]
    table["fit (s)"] = whole.groupby("model", sort=False)["fit_s"].first()
    return table.round(3)


if __name__ == "__main__":
    main()
