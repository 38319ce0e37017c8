"""Segmentation models on a recurrent switching system with known states ("NASCAR").

Run ``python benchmarks/actions_nascar.py --out FILE.csv``. 10,000 frames train, 5,000 test; labels
are chunks of 50 frames, so many per class, and everything else stays unlabelled. Unsupervised
states are matched one to one. Reference values are those of an independent implementation.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from neuroduet.actions import Segmenter
from neuroduet.actions.density import thin_labels
from neuroduet.actions.metrics import macro_f1
from neuroduet.actions.metrics.clusters import match_one_to_one, relabel
from neuroduet.actions.metrics.frames import frame_counts
from neuroduet.simulate.nascar import nascar

TRAIN = 10_000
K = 4
UNSUPERVISED = {"hmm": 0.594, "arhmm": 0.970, "slds": None}
SUPERVISED = {
    ("random_forest", 20): 0.782,
    ("random_forest", 50): 0.928,
    ("random_forest", 250): 0.943,
    ("random_forest", 1000): 0.985,
    ("boosting", 20): None,
    ("boosting", 250): None,
    ("arhmm", 20): 0.940,
    ("arhmm", 50): None,
    ("arhmm", 250): None,
    ("mlp", 20): None,
    ("mlp", 250): None,
    ("gru", 20): None,
    ("gru", 250): None,
    ("tcn", 20): 0.810,
    ("tcn", 50): 0.959,
    ("tcn", 250): 0.977,
    ("gmdgm", 20): None,
    ("gmdgm", 250): None,
    ("s3lds", 20): 0.819,
    ("s3lds", 50): None,
    ("s3lds", 250): 0.961,
}
OPTIONS: dict[str, dict[str, object]] = {
    "hmm": {"components": 2},
    "arhmm": {"components": 2},
    "slds": {"latents": 2},
    "gmdgm": {"latents": 2},
    "s3lds": {"latents": 2},
    # The reference's forest sees one frame at a time.
    "random_forest": {"windows": (), "jobs": 1},
    "boosting": {"jobs": 1},
}


def make(model: str, seed: int) -> Segmenter:
    """A segmenter on positions alone."""
    return Segmenter(model, features="position", n_states=K, seed=seed, **OPTIONS.get(model, {}))


def matched(truth: np.ndarray, states: np.ndarray) -> np.ndarray:
    """States renamed to the classes they match."""
    return relabel(states, match_one_to_one(frame_counts(truth, states, K, K)))


def latent_r2(truth: np.ndarray, found: np.ndarray) -> float:
    """R2 of the worse dimension after a linear map."""
    design = np.c_[found, np.ones(len(found))]
    fitted = design @ np.linalg.lstsq(design, truth, rcond=None)[0]
    error = ((truth - fitted) ** 2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)
    return float(1 - error.max())


def score(model: str, labels: int, seed: int) -> dict[str, object]:
    """Fit one model once and score it on the test frames."""
    world = nascar()
    train, test = world.features[:TRAIN], world.features[TRAIN:]
    states = world.states[TRAIN:]
    start = time.perf_counter()
    if labels:
        known = thin_labels([world.states[:TRAIN]], labels, seed=seed)
        segmenter = make(model, seed).fit([train], known)
        found = segmenter.predict([test])[0]
    else:
        # As the reference: unsupervised models are fitted to the frames they are scored on.
        segmenter = make(model, seed).fit([test])
        found = matched(states, segmenter.predict([test])[0])
    row = {
        "model": model,
        "labels per class": labels,
        "seed": seed,
        "accuracy": float((found == states).mean()),
        "macro F1": macro_f1([states], [found], K),
        "fit and predict (s)": time.perf_counter() - start,
    }
    if model in ("slds", "gmdgm", "s3lds"):
        row["latent R2"] = latent_r2(world.latents[TRAIN:], segmenter.latents([test])[0])
    return row


def main() -> None:
    """Parse the arguments, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="csv file; what it holds is kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", nargs="*", help="only these")
    given = parser.parse_args()
    asked = {(model, 0): value for model, value in UNSUPERVISED.items()} | SUPERVISED
    rows = pd.read_csv(given.out).to_dict("records") if given.out.exists() else []
    for (model, labels), _ in asked.items():
        for seed in range(given.seeds):
            done = any(
                (r["model"], r["labels per class"], r["seed"]) == (model, labels, seed)
                for r in rows
            )
            if done or (given.models and model not in given.models):
                continue
            rows.append(score(model, labels, seed))
            pd.DataFrame(rows).to_csv(given.out, index=False)
    table = pd.DataFrame(rows).groupby(["model", "labels per class"], sort=False)
    summary = table[["accuracy", "macro F1", "fit and predict (s)"]].mean()
    summary["lowest"] = table["accuracy"].min()
    summary["highest"] = table["accuracy"].max()
    if "latent R2" in pd.DataFrame(rows):
        summary["latent R2"] = table["latent R2"].mean()
    summary["reference"] = [asked.get(key) for key in summary.index]
    print(summary.round(3).to_string())


if __name__ == "__main__":
    main()
