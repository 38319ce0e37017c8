"""How long a training step takes, against a bare transformer of the published size.

Run ``python benchmarks/step.py``. The bare step is ``torch.nn.TransformerEncoder`` of 5 layers,
width 256, feed-forward 512 and 8 heads on 16 windows of 500 tokens, without dropout, under SGD;
the published NEDS code needs 3.6 times that. For MtM it has width 512, feed-forward 1024 and 102
tokens; the published code needs 1.55 times that. Ours is a whole step: masks, forward, losses,
backward, clipping and AdamW, on 16 windows of 100 bins, 300 units and the four behaviours of NEDS.

All models live in one process and take turns, so that a busy machine slows all of them; the ratio
is the median over turns. Memory is the peak of a fresh process per model, torch itself included.
With several threads on a busy machine, set ``OMP_WAIT_POLICY=passive``: threads that wait by
spinning take the processor from those they wait for, and the ratio then measures the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from neuroduet import presets
from neuroduet.config import Config, ModelConfig, override
from neuroduet.losses import modality_losses
from neuroduet.losses_published import published_losses
from neuroduet.masking import Draw, draw
from neuroduet.masking.published import published_masks
from neuroduet.models import build
from neuroduet.models.neds_published import NedsPublished
from neuroduet.types import Batch, Behaviour, SessionInfo

WINDOWS, BINS, UNITS = 16, 100, 300
WIDTH, LAYERS, HEADS, FEED_FORWARD, TOKENS = 256, 5, 8, 512, 500
COUNTS_PER_BIN = 0.1  # 5 Hz in bins of 20 ms
MEMORY_STEPS = 3
REGIONS = torch.arange(UNITS) % 6

Step = Callable[[], None]
Precision = Callable[[], AbstractContextManager[object]]


def bare(width: int, feed_forward: int, tokens: int) -> Callable[[Precision], Step]:
    """A yardstick, always in 32 bit."""

    def make(precision: Precision) -> Step:
        layer = nn.TransformerEncoderLayer(
            width, HEADS, feed_forward, dropout=0.0, batch_first=True
        )
        model = nn.TransformerEncoder(layer, LAYERS)
        optimiser = torch.optim.SGD(model.parameters(), 1e-3)
        x_BLD = torch.randn(WINDOWS, tokens, width)

        def step() -> None:
            optimiser.zero_grad()
            model(x_BLD).square().mean().backward()
            optimiser.step()

        return step

    return make


def neds_faithful(precision: Precision) -> Step:
    """NEDS as published: 500 tokens, published masks and losses, no clipping."""
    info, generator = session(), torch.Generator().manual_seed(0)
    config = ModelConfig(
        width=WIDTH, layers=LAYERS, heads=HEADS, feed_forward=FEED_FORWARD, dropout=0.4
    )
    model, batch = NedsPublished(config, [info]).train(), batch_of(info)
    optimiser = torch.optim.AdamW(model.parameters(), 2e-4, weight_decay=0.01, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        masks = published_masks(batch, 0.3, generator)
        with precision():
            predictions = model([batch], [masks.visible])
        losses = published_losses(predictions, [batch], [masks], [model.scales(info.id)])
        total(losses).backward()
        optimiser.step()

    return step


def preset(config: Config) -> Callable[[Precision], Step]:
    """A preset's own step."""

    def make(precision: Precision) -> Step:
        info, generator = session(), torch.Generator().manual_seed(0)
        model, batch = build(config.model, [info]).train(), batch_of(info)
        masking, training = config.masking, config.training
        optimiser = torch.optim.AdamW(
            model.parameters(), training.learning_rate, betas=training.betas, fused=True
        )

        def step() -> None:
            optimiser.zero_grad()
            source = Draw(
                generator=generator,
                ratio=masking.ratio,
                regions=REGIONS,
                patch=config.model.patch,
            )
            masks = draw(batch, masking.schemes, source, masking.hide_visible)
            with precision():
                prediction = model([batch], [masks.visible], [masks.prompt])[0]
            scales = model.scales(info.id)
            losses = modality_losses(
                prediction, batch, masks, info.behaviours, scales, config.loss
            )
            total(losses).backward()
            if training.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), training.clip)
            optimiser.step()

        return step

    return make


def widened(config: Config, width: int = WIDTH, feed_forward: int = FEED_FORWARD) -> Config:
    """The same preset at the width and depth of a bare transformer."""
    sizes = {"width": width, "layers": LAYERS, "heads": HEADS, "feed_forward": feed_forward}
    return config.model_copy(update={"model": config.model.model_copy(update=sizes)})


MODELS: dict[str, Callable[[Precision], Step]] = {
    "bare": bare(WIDTH, FEED_FORWARD, TOKENS),
    "neds_faithful": neds_faithful,
    "neds": preset(presets.neds()),
    "duet_wide": preset(widened(presets.duet())),
    "duet": preset(presets.duet()),
    "bare_mtm": bare(512, 1024, 102),
    "mtm_wide": preset(widened(presets.mtm(), 512, 1024)),
    "bare_ndt2": bare(512, 1024, 302),
    "ndt2_wide": preset(override(widened(presets.ndt2(), 512, 1024), ["model.patch=128"])),
}
"""Name -> what makes the model and returns its step. ``*_wide`` are presets at the bare sizes."""

YARDSTICKS = {
    **dict.fromkeys(("mtm_wide", "bare_mtm"), "bare_mtm"),
    **dict.fromkeys(("ndt2_wide", "bare_ndt2"), "bare_ndt2"),
}
"""What a model is compared with, where that is not ``bare``."""

PRECISIONS: dict[str, Precision] = {
    "32": nullcontext,
    "bf16": lambda: torch.autocast("cpu", torch.bfloat16),
}


def session() -> SessionInfo:
    """A session with the four behaviours of NEDS."""

    def behaviour(name: str, classes: tuple[float, ...] = ()) -> Behaviour:
        return Behaviour(
            name=name,
            source=f"trials.{name}",
            kind="categorical" if classes else "continuous",
            per="trial" if classes else "bin",
            size=len(classes) or 1,
            classes=classes,
        )

    return SessionInfo(
        id="session",
        subject="mouse",
        neural="counts",
        units=tuple(f"u{index}" for index in range(UNITS)),
        regions=None,
        behaviours=(
            behaviour("choice", (-1, 1)),
            behaviour("block", (0.2, 0.5, 0.8)),
            behaviour("wheel"),
            behaviour("whisker"),
        ),
        bin_size_s=0.02,
        max_bins=BINS,
    )


def batch_of(info: SessionInfo) -> Batch:
    """Random windows of the session, everything observed."""
    behaviours: dict[str, Tensor] = {}
    for b in info.behaviours:
        behaviours[b.name] = (
            torch.randint(b.size, (WINDOWS,))
            if b.kind == "categorical"
            else torch.rand(WINDOWS, BINS, b.size)
        )
    return Batch(
        session=info.id,
        activity=torch.poisson(torch.full((WINDOWS, BINS, UNITS), COUNTS_PER_BIN)),
        valid=torch.ones(WINDOWS, BINS, dtype=torch.bool),
        behaviours=behaviours,
        observed={
            name: torch.ones(values.shape[:2], dtype=torch.bool)
            for name, values in behaviours.items()
        },
        windows=torch.arange(WINDOWS),
    )


def total(losses: dict[str, Tensor]) -> Tensor:
    """The sum that training minimises."""
    return torch.stack(list(losses.values())).sum()


def time_steps(names: list[str], repeats: int, precision: Precision) -> dict[str, list[float]]:
    """Seconds of every step; the models take turns, in alternating order."""
    steps = {name: MODELS[name](precision) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for step in steps.values():
        step()
    for turn in range(repeats):
        for name in names if turn % 2 == 0 else reversed(names):
            start = time.perf_counter()
            steps[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def peak_gigabytes(name: str, options: argparse.Namespace) -> float:
    """Peak memory of a fresh process that makes a few steps."""
    arguments = ["--threads", str(options.threads), "--precision", options.precision]
    command = [sys.executable, __file__, "--memory-of", name, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    return float(json.loads(done.stdout))


def own_peak_gigabytes(name: str, precision: Precision) -> float:
    """Peak memory of this process after a few steps."""
    step = MODELS[name](precision)
    for _ in range(MEMORY_STEPS):
        step()
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (1e9 if sys.platform == "darwin" else 1e6)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time training steps.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--precision", choices=list(PRECISIONS), default="32")
    parser.add_argument("--memory-of", choices=list(MODELS), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    precision = PRECISIONS[options.precision]
    if options.memory_of:
        sys.stdout.write(json.dumps(own_peak_gigabytes(options.memory_of, precision)))
        return
    yardsticks = [YARDSTICKS.get(name, "bare") for name in options.models]
    names = list(dict.fromkeys([*yardsticks, *options.models]))
    # Memory first: on Linux a child's peak starts at what its parent holds when it is started.
    memory = {name: peak_gigabytes(name, options) for name in names}
    seconds = time_steps(names, options.repeats, precision)
    table = Table(title=f"{options.threads} threads, {options.precision}, {options.repeats} turns")
    for column in ("model", "step (s)", "of bare step", "quickest-slowest", "peak memory (GB)"):
        table.add_column(column)
    for name in names:
        yardstick = seconds[YARDSTICKS.get(name, "bare")]
        ratios = [a / b for a, b in zip(seconds[name], yardstick, strict=True)]
        table.add_row(
            name,
            f"{statistics.median(seconds[name]):.3f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}-{max(ratios):.2f}",
            f"{memory[name]:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
