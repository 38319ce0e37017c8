"""A small run folder with everything a report shows, made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from neuroduet.report.tables import COLUMNS

HOSTILE = "<script>alert('$x_{')</script>"
WINDOWS, BINS, UNITS = 24, 10, 6


def score(model, session, task, target, metric, value, null=0.0, oracle=float("nan")):
    """One row of a score table."""
    return dict(
        zip(
            COLUMNS,
            (model, session, task, target, metric, value, 10, null, oracle, "test"),
            strict=True,
        )
    )


def prediction_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """A prediction file: half of the windows are test windows, one behaviour of each kind."""
    generator = np.random.default_rng(seed)
    log_rates = np.log(generator.gamma(4.0, 0.2, size=(WINDOWS, BINS, UNITS)))
    wheel = generator.normal(size=(WINDOWS, BINS, 1))
    choice = np.arange(WINDOWS) // 2 % 2
    valid = np.ones((WINDOWS, BINS), dtype=bool)
    valid[1, 7:] = False
    return {
        "start_s": np.arange(WINDOWS) * 2.0,
        "split": np.array(["train", "test"] * (WINDOWS // 2)),
        "trial": np.arange(WINDOWS),
        "valid": valid,
        "units": np.array([f"u{i}" for i in range(UNITS)]),
        "bin_size_s": np.asarray(0.02),
        "encoding/log_rates": log_rates.astype(np.float32),
        "true/counts": generator.poisson(np.exp(log_rates)).astype(np.uint8),
        "decoding/wheel": (0.5 * wheel).astype(np.float32),
        "true/wheel": wheel.astype(np.float32),
        "observed/wheel": valid,
        "decoding/choice": np.eye(2, dtype=np.float32)[choice],
        "classes/choice": np.array([-1, 1]),
        "true/choice": choice,
        "observed/choice": np.ones(WINDOWS, dtype=bool),
    }


def score_rows(session: str) -> list[dict]:
    return [
        score("duet", session, "encoding", "spikes", "bits_per_spike", 0.2, oracle=0.4),
        score("poisson_glm", session, "encoding", "spikes", "bits_per_spike", 0.1, oracle=0.4),
        score("duet", session, "decoding", "wheel", "r2", 0.6),
        score("ridge", session, "decoding", "wheel", "r2", 0.5),
    ]


def make_run(run: Path, session: str = "mouse_1", unit: str = "u0", region: str = "CA1") -> Path:
    """Write a run folder of one session."""
    (run / "predictions").mkdir(parents=True)
    (run / "model").mkdir()
    settings = "preset: duet\ndata:\n  windows:\n    event: stim_on\n    pre_s: 0.1\n"
    (run / "config.yaml").write_text(settings + f"# {session}\n")
    (run / "env.json").write_text(json.dumps({"python": "3.11", "packages": {"torch": "2.13"}}))
    info = {"id": session, "subject": session, "units": [unit] * UNITS, "bin_size_s": 0.02}
    (run / "model" / "config.json").write_text(json.dumps({"sessions": [info]}))
    curve = {"step": [10, 20], "minutes": [0.5, 1.5], "train_loss/activity": [1.0, 0.5]}
    pd.DataFrame(curve | {"valid/activity": [0.1, 0.2]}).to_csv(run / "metrics.csv", index=False)
    pd.DataFrame(score_rows(session)).to_csv(run / "scores.csv", index=False)
    units = {
        "session": session,
        "task": "encoding",
        "unit": [unit] * UNITS,
        "region": region,
        "metric": "bits_per_spike",
        "value": np.linspace(-0.1, 0.4, UNITS),
        "rate_hz": np.geomspace(0.5, 20.0, UNITS),
    }
    pd.DataFrame(units).to_parquet(run / "scores_units.parquet")
    embeddings = pd.DataFrame(np.random.default_rng(0).normal(size=(UNITS, 3)))
    embeddings.columns = ["e0", "e1", "e2"]
    embeddings.assign(session=session, unit=unit, region=region).to_csv(
        run / "embeddings.csv", index=False
    )
    arrays = prediction_arrays() | {"units": np.array([unit] * UNITS)}
    np.savez(run / "predictions" / "one.npz", **arrays)
    return run
