"""From film to neurons and back: segment pose, and let the actions be a behaviour.

A simulated animal is filmed while 30 units are recorded whose rates follow what it does. A network
learns from other films to tell actions from pose; what it says of this session is written into the
recording. A model then decodes actions from spikes and predicts spikes from actions, once with
the true actions and once with these. Beside it stand the linear baselines and an oracle that knows
the mean rates of every action, and decodes by a hidden Markov model with the true chain of bouts.

    python examples/action_bridge.py              # about 3 minutes
    python examples/action_bridge.py --small      # a quick look
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import neuroduet
from neuroduet.actions import Segmenter
from neuroduet.actions.oracle import decode_actions
from neuroduet.config import Config, override
from neuroduet.data.actions import read_frames, with_actions
from neuroduet.metrics import balanced_accuracy
from neuroduet.presets import PRESETS
from neuroduet.simulate.acting import FPS, Acting, simulate_acting
from neuroduet.simulate.ethogram import simulate_pose

SETTINGS = [
    "data.windows.length_s=4",
    f"data.windows.bin_size_s={1 / FPS}",
    "training.ema=0.98",  # a short run cannot wait for an average over 200 steps
    "training.max_epochs=1000",  # --steps is the budget
]
SMALL = ["model.width=32", "model.heads=2", "model.layers=1", "model.feed_forward=32"]
COLUMNS = {
    "decode actions": ("decoding", "actions", "balanced_accuracy"),
    "encode spikes": ("encoding", "spikes", "bits_per_spike"),
}
LINEAR, NULL = ("logistic", "poisson_glm"), ("majority", "mean_rate")


def segment(world: Acting, n_frames: int, epochs: int) -> np.ndarray:
    """Probability of every action in every frame, by a network that saw other films only."""
    films = simulate_pose(4, n_frames, seed=1000)
    network = Segmenter("tcn", classes=films.names, epochs=epochs)
    network.fit(films.pose, films.states)
    return network.predict_proba([read_frames(world.recording)[0]])[0]


def save_with(world: Acting, actions: np.ndarray, folder: Path) -> Path:
    """Write the recording with these actions into a folder of its own."""
    folder.mkdir()
    frames_s = world.recording.pose.timestamps
    recording = with_actions(world.recording, actions, None, world.names, frames_s)
    neuroduet.save(recording, folder / "session.h5")
    return folder


def pick(scores: pd.DataFrame, models: tuple[str, ...]) -> dict[str, float]:
    """What some models scored, by column of the printed table."""
    mine = scores[scores["model"].isin(models)]
    values = mine.set_index(["task", "target", "metric"])["value"]
    return {name: values[key] for name, key in COLUMNS.items() if key in values.index}


def oracle_decoding(world: Acting, config: Config, data: Path) -> float:
    """Balanced accuracy in the test windows of somebody who knows the tuning and the bouts."""
    session = neuroduet.open_sessions(data, config.data)[0]
    batch = session.batch(session.indices("test"))
    n_windows, n_bins, _ = batch.activity.shape
    counts = batch.activity.flatten(0, 1).double().numpy()
    expected = np.exp(world.log_rates_of_actions_hz)[None] / FPS
    found = decode_actions(counts, expected, world.transition, [n_bins] * n_windows)
    first = np.round(session.windows.start_s[batch.windows] * FPS).astype(int)
    frames = (first[:, None] + np.arange(n_bins)).ravel()
    return balanced_accuracy(world.states[frames], found.argmax(axis=1))


def main() -> None:
    """Simulate, segment, train on true and on segmented actions, and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400, help="optimiser steps of each model")
    parser.add_argument("--small", action="store_true", help="a small world and small models")
    args = parser.parse_args()
    n_frames, length, epochs = (5000, 500, 10) if args.small else (30_000, 5000, 30)
    size = [*SMALL, "training.max_steps=20"] if args.small else []
    budget = f"training.max_steps={args.steps}"
    config = override(PRESETS["duet"](), [*SETTINGS, budget, *size])
    world = simulate_acting(n_frames=n_frames, speed=False)
    said = segment(world, length, epochs).argmax(axis=1)
    print(f"segmented: balanced accuracy {balanced_accuracy(world.states, said):.3f} over frames")
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        truth = save_with(world, world.states, scratch / "true")
        filmed = save_with(world, said, scratch / "segmented")
        for label, data in (("true", truth), ("segmented", filmed)):
            linear = neuroduet.score_baselines(data, config=config)
            run = neuroduet.train(config, data=data, out=scratch / f"{label} run")
            duet = neuroduet.evaluate(run, data=data, tasks=["encoding", "decoding"])
            known = neuroduet.evaluate(run, data=truth, tasks=["decoding"])
            rows[f"duet, {label}"] = pick(duet, ("duet",))
            rows[f"duet, {label}"]["decode true ones"] = pick(known, ("duet",))["decode actions"]
            rows[f"linear, {label}"] = pick(linear, LINEAR)
        rows["oracle"] = pick(linear, ("oracle_behaviour",))
        rows["oracle"]["decode true ones"] = oracle_decoding(world, config, truth)
        rows["null"] = pick(linear, NULL)
    print(pd.DataFrame(rows).T.round(3).to_string(na_rep=""))


# Members are trained in processes of their own, which import this file again.
if __name__ == "__main__":
    main()
