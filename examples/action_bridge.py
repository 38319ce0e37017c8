"""From video to neurons and back: segment pose, and let the actions be a behaviour.

A simulated animal is filmed while 30 units are recorded whose rates follow what it does. A network
learns from other films to tell actions from pose, says what the animal does in this session, and
its answer is written into the recording. A model then decodes actions from spikes and predicts
spikes from actions, once with these actions and once with the true ones. Beside it stand linear
baselines and oracles: of decoding, a hidden Markov model that knows the true chain of bouts and
the true tuning, or all that moves the rates; of encoding, the expected rates. With segmented
actions, "truth" scores what was decoded against the true ones.

    python examples/action_bridge.py              # a few minutes
    python examples/action_bridge.py --small      # a quick look
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from torch_brain.data import ArrayDict, Data, IrregularTimeSeries

import neuroduet
from neuroduet.actions import Segmenter
from neuroduet.actions.hmm.inference import smooth
from neuroduet.config import Config, override
from neuroduet.data.actions import read_pose, with_actions
from neuroduet.metrics import balanced_accuracy
from neuroduet.presets import PRESETS
from neuroduet.simulate.acting import FPS, Acting, simulate_acting
from neuroduet.simulate.bouts import STAGES, stationary
from neuroduet.simulate.ethogram import simulate_pose

SETTINGS = [
    "data.windows.length_s=4",
    f"data.windows.bin_size_s={1 / FPS}",
    "training.ema=0.98",  # a short run cannot wait for an average over 200 steps
    "training.max_epochs=1000",  # the budget is in steps
    "training.threads=2",
]
SMALL = ["model.width=32", "model.heads=2", "model.layers=1", "model.feed_forward=32"]
COLUMNS = {
    "actions": ("decoding", "actions", "balanced_accuracy"),
    "speed": ("decoding", "log_speed", "r2"),
    "encoding": ("encoding", "spikes", "bits_per_spike"),
    "from actions": ("encoding_from", "actions", "bits_per_spike"),
}
LINEAR = {"logistic": "linear", "ridge": "linear", "poisson_glm": "linear"}
ROWS = {**LINEAR, "oracle_behaviour": "oracle", "duet": "duet"}


def segment(world: Acting, n_frames: int, epochs: int) -> np.ndarray:
    """Probability of every action in every frame, by a network that saw other films only."""
    films = simulate_pose(4, n_frames, seed=1000)
    network = Segmenter("tcn", classes=films.names, epochs=epochs)
    network.fit(films.pose, films.states)
    return network.predict_proba([read_pose(world.recording)])[0]


def of_actions_alone(recording: Data) -> Data:
    """The same session for somebody who knows nothing but the actions."""
    known, truth = copy.copy(recording), recording.truth
    row = {"name": "actions", "source": "actions.name", "kind": "categorical", "per": "bin"}
    known.behaviours = ArrayDict(**{key: np.array([value]) for key, value in row.items()})
    known.truth = IrregularTimeSeries(
        timestamps=truth.timestamps,
        log_rates_hz=truth.log_rates_hz,
        log_rates_hz_from_behaviour=truth.log_rates_hz_from_actions,
    )
    return known


def save(recording: Data, folder: Path) -> Path:
    """Write a recording into a folder of its own."""
    folder.mkdir(parents=True)
    neuroduet.save(recording, folder / "session.h5")
    return folder


def tabulate(scores: pd.DataFrame, label: str) -> pd.DataFrame:
    """One row per kind of model, one column per question."""
    scores = scores[scores["model"].isin(ROWS)].assign(model=scores["model"].map(ROWS))
    table = scores.pivot(index="model", columns=["task", "target", "metric"], values="value")
    return table.reindex(columns=list(COLUMNS.values())).set_axis(list(COLUMNS), axis=1).add_...
