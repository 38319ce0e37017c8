"""How long a training step of S3LDS takes, against one of a TCN with the same backbone.

Run ``python benchmarks/actions_s3lds.py``. Both steps read the same windows: forward, losses,
backward, clipping and Adam. The TCN is the encoder's backbone with a linear classifier: 2 blocks
of 32 channels, 4 lags. Research code needs 4 to 16 times that for 4 classes. All contestants live
in one process and take turns, so that a busy machine slows all of them; the ratio is the median
over turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional

from neuroduet.actions.networks.backbones import DilatedTCN
from neuroduet.actions.s3lds.network import SwitchingNetwork
from neuroduet.actions.s3lds.options import SwitchingOptions
from neuroduet.actions.s3lds.windows import Windows
from neuroduet.types import UNLABELLED

FEATURES, LATENTS = 10, 2
WINDOWS, FRAMES = 8, 256
HIDDEN, LAYERS, LAGS, DROPOUT = 32, 2, 4, 0.1
CLIP = 5.0

Step = Callable[[], None]


def windows(classes: int) -> Windows:
    """Random windows, every fourth frame labelled."""
    pad = SwitchingOptions().pad
    labels = torch.full((WINDOWS, FRAMES), UNLABELLED)
    labels[:, ::4] = torch.randint(classes, labels[:, ::4].shape)
    return Windows(
        x=torch.randn(WINDOWS, FRAMES + 2 * pad, FEATURES),
        labels=labels,
        weak=torch.full_like(labels, UNLABELLED),
        valid=torch.ones_like(labels, dtype=torch.bool),
        posterior=torch.randn(WINDOWS, FRAMES, classes).softmax(-1),
    )


def tcn_step(classes: int) -> Step:
    """The supervised yardstick."""
    batch = windows(classes)
    trunk = DilatedTCN(FEATURES, HIDDEN, HIDDEN, layers=LAYERS, lags=LAGS, dropout=DROPOUT)
    model = nn.ModuleList([trunk, nn.Linear(HIDDEN, classes)])
    optimiser = torch.optim.Adam(model.parameters(), amsgrad=True, fused=True)

    def step() -> None:
        logits = model[1](trunk.core(batch.x))
        loss = functional.cross_entropy(
            logits.transpose(1, 2), batch.labels, ignore_index=UNLABELLED
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()

    return step


def s3lds_step(classes: int, options: SwitchingOptions) -> Step:
    """A whole step of S3LDS."""
    batch = windows(classes)
    model = SwitchingNetwork(FEATURES, classes, LATENTS, options)
    optimiser = torch.optim.Adam(model.parameters(), amsgrad=True, fused=True)

    def step() -> None:
        loss = torch.stack(list(model.terms(batch, 1.0).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()

    return step


VARIANTS: dict[str, SwitchingOptions] = {
    "shared trunk": SwitchingOptions(),
    "shared trunk, overshooting": SwitchingOptions(overshoot=True),
    "per class": SwitchingOptions(encoder="per_class"),
}


def time_steps(steps: dict[str, Step], turns: int) -> dict[str, list[float]]:
    """Seconds of every step; contestants take turns, in alternating order."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for turn in range(turns):
        for name in steps if turn % 2 == 0 else reversed(steps):
            start = time.perf_counter()
            steps[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Time training steps of S3LDS.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--classes", type=int, nargs="+", default=[4, 8])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    table = Table(title=f"{options.threads} threads, {options.turns} turns")
    for column in ("classes", "model", "step (ms)", "of the TCN step", "quickest-slowest"):
        table.add_column(column)
    for classes in options.classes:
        steps = {"TCN": tcn_step(classes)}
        steps |= {name: s3lds_step(classes, one) for name, one in VARIANTS.items()}
        seconds = time_steps(steps, options.turns)
        for name, times in seconds.items():
            ratios = [a / b for a, b in zip(times, seconds["TCN"], strict=True)]
            table.add_row(
                str(classes),
                name,
                f"{1000 * statistics.median(times):.1f}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f}-{max(ratios):.2f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
