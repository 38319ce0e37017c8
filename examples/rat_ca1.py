"""Rat hippocampus: spike events and tracked position in continuous windows, decoded while running.

CA1 units are recorded while a rat runs on a linear track (33 min) or a w-maze (73 min). Nothing is
binned by hand: the recording holds spike times and the positions of a camera with its own clock.
The time is cut into windows; runs of neighbouring windows train, validate and test, with gaps
between them. Positions of a rat that sits still are set to nan, that is missing: place cells
replay elsewhere then. What is missing is neither seen nor scored.

    python examples/rat_ca1.py --data ../shared/data                          # a few minutes
    python examples/rat_ca1.py --maze w-maze --steps 60 --members 1           # a quick look
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.ndimage import gaussian_filter1d

import neuroduet
from neuroduet.config import override
from neuroduet.presets import PRESETS

RUNNING = 15.0  # pixels per second; the track is about 420 pixels long
# Chosen on validation windows; docs/real-data.md says what else was tried.
SETTINGS = [
    "data.windows.align=continuous",
    "data.windows.length_s=10",
    "data.windows.bin_size_s=0.25",
    "data.split.kind=blocked",
    "data.split.gap_s=2",
    "model.unit_dropout=0.1",  # there are only a few dozen units to lose
    "training.learning_rate=0.003",
    "training.ema=0.98",  # a short run cannot wait for an average over 200 steps
    "training.max_epochs=1000",  # --steps is the budget
    "training.threads=1",
]
# Training windows start up to so many seconds earlier or later; on validation windows this helps
# everything on the track, and harms co-smoothing in the w-maze.
JITTER_S = {"linear-track": 5, "w-maze": 0}
TASKS = ["encoding", "decoding", "co_smoothing", "forward"]
COLUMNS = {
    "x": ("decoding", "position[0]", "r2"),
    "y": ("decoding", "position[1]", "r2"),
    "speed": ("decoding", "speed", "r2"),
    "encoding": ("encoding", "spikes", "bits_per_spike"),
    "co-smoothing": ("co_smoothing", "spikes", "bits_per_spike"),
    "forward": ("forward", "spikes", "bits_per_spike"),
}
# Ridge on 5 lags, blocked folds, running periods (README of the data).
PUBLISHED = {"linear-track": (0.42, 0.39), "w-maze": (0.27, 0.41)}


def read_spikes(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Time (s) and unit of every spike; the file holds one table per tetrode, nested."""
    found: list[np.ndarray] = []

    def walk(node: np.ndarray) -> None:
        for entry in node.ravel():
            if node.dtype.names and "time" in node.dtype.names:
                times_s = entry["time"]
                while times_s.dtype == object and times_s.size:
                    times_s = times_s.ravel()[0]
                if times_s.size:
                    found.append(times_s.ravel().astype(float))
            elif isinstance(entry, np.ndarray):
                walk(entry)

    walk(loadmat(folder / "spikes.mat")["spikes"])
    return np.concatenate(found), np.repeat(np.arange(len(found)), [len(t) for t in found])


def read_position(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Time (s) and position (T, 2) in pixels of every video frame, 60 per second."""
    raw = (folder / "trajectory.videoPositionTracking").read_bytes()
    body = raw[raw.index(b"<End settings>") + 15 :]
    fields = [("t", "<u4"), ("x", "<u2"), ("y", "<u2"), ("x2", "<u2"), ("y2", "<u2")]
    frames = np.frombuffer(body[: len(body) // 12 * 12], dtype=fields)
    times_s, first = np.unique(frames["t"] / 30000.0, return_index=True)
    return times_s, np.c_[frames["x"], frames["y"]].astype(float)[first]


def make_recording(folder: Path, name: str) -> object:
    """Spikes, position while running, and speed, each on its own clock."""
    times_s, place = read_position(folder)
    spike_times, spike_units = read_spikes(folder)
    tracked = (spike_times >= times_s[0]) & (spike_times <= times_s[-1])
    smooth = gaussian_filter1d(place, 0.25 * 60, axis=0)
    speed = np.hypot(*np.gradient(smooth, times_s, axis=0).T)
    position = np.where(speed[:, None] > RUNNING, place, np.nan)
    return neuroduet.from_arrays(
        session_id=name,
        spike_times=spike_times[tracked],
        spike_units=spike_units[tracked],
        behaviours={"position": (times_s, position), "speed": (times_s, speed)},
    )


def main() -> None:
    """Train on one maze and print the scores beside the baselines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("NEURODUET_SHARED_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(shared), help="folder of shared data")
    parser.add_argument("--maze", choices=list(PUBLISHED), default="linear-track")
    parser.add_argument("--preset", default="duet", help="duet, or mtm for the spikes alone")
    parser.add_argument("--steps", type=int, default=800, help="optimiser steps of a member")
    parser.add_argument("--members", type=int, default=4, help="models of an ensemble")
    parser.add_argument("--set", nargs="*", default=[], help="more settings, section.key=value")
    args = parser.parse_args()
    budget = [
        f"training.max_steps={args.steps}",
        f"training.members={args.members}",
        f"data.windows.jitter_s={JITTER_S[args.maze]}",
    ]
    config = override(PRESETS[args.preset](), [*SETTINGS, *budget, *args.set])
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / f"{args.maze}.h5"
        neuroduet.save(make_recording(args.data / "rat_ca1" / args.maze, args.maze), data)
        linear = neuroduet.score_baselines(data, config=config)
        run = neuroduet.train(config, data=data, out=Path(scratch) / "run")
        scores = [linear, neuroduet.evaluate(run, data=data, tasks=TASKS)]
    table = pd.concat(scores).pivot(
        index="model", columns=["task", "target", "metric"], values="value"
    )
    table = table.reindex(columns=list(COLUMNS.values())).set_axis(list(COLUMNS), axis=1)
    table.loc["published ridge", ["x", "y"]] = PUBLISHED[args.maze]
    print(f"{args.maze}\n{table.round(3).to_string(na_rep='')}")


# Members are trained in processes of their own, which import this file again.
if __name__ == "__main__":
    main()
