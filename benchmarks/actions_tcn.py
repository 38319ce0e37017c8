"""How fast the dilated TCN trains and predicts: frames per second, beside bare PyTorch.

Training is compared with two bare loops on the same arrays, both with windows that lie ready in
memory, plain cross-entropy and Adam: ``bare`` writes the published network with ``nn.Conv1d`` and
torch's weight normalisation, ``bare_valid`` takes our network. Ours gathers windows around labels
from whole recordings, adds noise, weighs classes, clips gradients and averages weights. The
contestants take turns in one process. Prediction is from arrays in memory to probabilities.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from neuroduet.actions.frames import Frames
from neuroduet.actions.model import silent
from neuroduet.actions.networks import TCN
from neuroduet.actions.networks.network import build
from neuroduet.actions.networks.options import TCNOptions

CLASSES = 6
PAD = 24

Loop = Callable[[int], None]
"""Trains for so many steps."""


class BareBlock(nn.Module):
    """Two convolutions and a residual path, as published."""

    def __init__(self, inputs: int, hidden: int, dilation: int) -> None:
        super().__init__()
        padding = 4 * dilation
        self.layers = nn.Sequential(
            weight_norm(nn.Conv1d(inputs, hidden, 9, dilation=dilation, padding=padding)),
            nn.LeakyReLU(0.05),
            nn.Dropout1d(0.1),
            weight_norm(nn.Conv1d(hidden, hidden, 9, dilation=dilation, padding=padding)),
            nn.LeakyReLU(0.05),
            nn.Dropout1d(0.1),
        )
        self.shortcut = nn.Identity() if inputs == hidden else nn.Conv1d(inputs, hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states of all frames."""
        return functional.leaky_relu(self.layers(x) + self.shortcut(x), 0.05)


class Bare(nn.Module):
    """The published network."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(BareBlock(inputs, 32, 1), BareBlock(32, 32, 2))
        self.classes = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of all frames but the context."""
        return self.classes(self.blocks(x.transpose(1, 2)).transpose(1, 2))[:, PAD:-PAD]


def recordings(number: int, n_frames: int, inputs: int) -> list[Frames]:
    """Noise, with labels on every frame."""
    rng = np.random.default_rng(0)
    return [
        Frames(
            features=rng.standard_normal((n_frames, inputs), np.float32),
            labels=rng.integers(CLASSES, size=n_frames),
        )
        for _ in range(number)
    ]


def stacked(frames: list[Frames], window: int) -> tuple[Tensor, Tensor]:
    """Windows with their context, and labels, copied out in advance."""
    features, labels = [], []
    for one in frames:
        padded = np.pad(one.features, ((PAD, PAD), (0, 0)))
        for start in range(0, len(one.labels) - window + 1, window):
            features.append(padded[start : start + window + 2 * PAD])
            labels.append(one.labels[start : start + window])
    return torch.from_numpy(np.stack(features)), torch.from_numpy(np.stack(labels))


def bare(frames: list[Frames], options: TCNOptions, answer: Callable[[Tensor], Tensor]) -> Loop:
    """A loop that does nothing but what it must."""
    features, labels = stacked(frames, options.window)
    optimiser = torch.optim.Adam(answer.parameters(), 1e-3)

    def loop(steps: int) -> None:
        for _ in range(steps):
            chosen = torch.randperm(len(features))[: options.batch]
            loss = functional.cross_entropy(
                answer(features[chosen]).flatten(0, 1), labels[chosen].flatten()
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return loop


def ours(frames: list[Frames], options: TCNOptions) -> Loop:
    """A whole fit, from arrays to a predictor."""

    def loop(steps: int) -> None:
        TCN.fit(frames, CLASSES, options.model_copy(update={"steps": steps}), 0, silent)

    return loop


class Answer(nn.Module):
    """Our network, logits only."""

    def __init__(self, options: TCNOptions, inputs: int) -> None:
        super().__init__()
        self.network = build(options, inputs, torch.ones(CLASSES, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of all frames but the context."""
        return self.network.logits(x)


def training(options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of every turn of every contestant."""
    frames = recordings(10, 10_000, options.features)
    network = TCNOptions(window=options.window, batch=options.batch, dropout=0.1)
    loops = {
        "bare": bare(frames, network, Bare(options.features)),
        "bare_valid": bare(frames, network, Answer(network, options.features)),
        "ours": ours(frames, network),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop(5)
    for turn in range(options.repeats):
        for name in list(loops) if turn % 2 == 0 else list(reversed(loops)):
            start = time.perf_counter()
            loops[name](options.steps)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def prediction(options: argparse.Namespace, n_frames: int, number: int) -> float:
    """Frames per second, the median of the turns."""
    model = TCN.fit(recordings(1, 1000, options.features), CLASSES, TCNOptions(steps=1), 0, silent)
    features = [one.features for one in recordings(number, n_frames, options.features)]
    model.predict_proba(features)
    speeds = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        model.predict_proba(features)
        speeds.append(number * n_frames / (time.perf_counter() - start))
    return statistics.median(speeds)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time training and prediction of the TCN.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60, help="training steps of a turn")
    parser.add_argument("--window", type=int, default=500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--features", type=int, default=16)
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    seconds = training(options)
    frames = options.steps * options.window * options.batch
    table = Table(title=f"training, {options.threads} threads")
    for column in ("loop", "frames/s", "speed of bare", "speed of bare_valid"):
        table.add_column(column)
    for name, own in seconds.items():
        table.add_row(
            name,
            f"{frames / statistics.median(own):,.0f}",
            *(
                f"{statistics.median(b / a for a, b in zip(own, other, strict=True)):.2f}"
                for other in (seconds["bare"], seconds["bare_valid"])
            ),
        )
    console = Console()
    console.print(table)
    for n_frames, number in ((100_000, 10), (2_000, 200)):
        speed = prediction(options, n_frames, number)
        console.print(f"prediction, {number} recordings of {n_frames:,}: {speed:,.0f} frames/s")


if __name__ == "__main__":
    main()
