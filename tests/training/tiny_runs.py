"""Small models, small recordings and ways to look into run folders."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from neuroduet.config import Config, override
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.training.files import read_tensors
from neuroduet.training.state import Progress

SMALL = [
    "model.width=16",
    "model.layers=1",
    "model.heads=2",
    "model.feed_forward=16",
    "model.input_rank=4",
    "model.output_rank=4",
    "model.input_kernel=3",
    "model.behaviour_kernel=3",
    "training.device=cpu",
    "training.max_epochs=1",
]

Tensors = dict[str, torch.Tensor]


def tiny(*settings: str) -> Config:
    """Configuration of a run of about six steps of a small model, with some changes."""
    return override(Config(), [*SMALL, *settings])


class Killed(Exception):
    """Stands for the end of the process."""


def killer(validations: int) -> Callable[[Progress, float, dict[str, float]], None]:
    """A report that raises after some validations, as a process is killed between two steps."""
    seen = []

    def report(progress: Progress, used: float, scores: dict[str, float]) -> None:
        seen.append(progress.step)
        if len(seen) == validations:
            raise Killed

    return report


def model_weights(run: Path) -> Tensors:
    """What ``model/model.safetensors`` holds."""
    return read_tensors(run / "model" / "model.safetensors")[0]


def checkpoint(run: Path) -> tuple[Tensors, dict]:
    """Tensors and counters of the last checkpoint."""
    return read_tensors(run / "checkpoints" / "last.safetensors")


def metrics(run: Path) -> list[dict[str, str]]:
    """Rows of ``metrics.csv`` without the column of times."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "minutes"} for row in csv.DictReader(file)]


def same(one: Tensors, other: Tensors) -> bool:
    """Whether both hold the same names and the same bits."""
    return one.keys() == other.keys() and all(torch.equal(x, other[k]) for k, x in one.items())


def write_recording(
    folder: Path, name: str, *, units: int = 6, split: str = "", seed: int = 0, **behaviours: int
) -> Path:
    """Trials of eight bins whose counts follow ``speed``.

    Args:
        folder: Where to.
        name: Session id.
        units: Number of units.
        split: One letter per trial: a (train), v (valid) or e (test).
        seed: Seed.
        behaviours: Further behaviours, with the number of their classes; one value per trial.
    """
    split = split or "a" * 12 + "v" * 4 + "e" * 4
    generator = np.random.default_rng(seed)
    speed = generator.normal(size=(len(split), 8))
    gains = 0.7 * generator.normal(size=units)
    names = {"a": "train", "v": "valid", "e": "test"}
    recording = from_arrays(
        session_id=name,
        counts=generator.poisson(np.exp(0.3 + speed[..., None] * gains)),
        bin_size_s=0.05,
        behaviours={"speed": speed}
        | {key: np.arange(len(split)) % size for key, size in behaviours.items()},
        split=[names[letter] for letter in split],
    )
    folder.mkdir(parents=True, exist_ok=True)
    save(recording, folder / f"{name.replace('/', '_')}.h5")
    return folder
