"""What exact co-smoothing costs per unit, in forward passes of a bare transformer of its size.

Run ``python benchmarks/cosmoothing.py``. The bare pass is ``torch.nn.TransformerEncoder`` (5
layers, width 512, feed-forward 1024, 8 heads, in inference mode, on the fast path that torch has
for it) on all test windows at once, 102 tokens each: no stitchers, no read-out. Ours is everything
that leaving out a unit of a 420-unit session takes: stitching, tokens, trunk, read-out of that
unit. The published evaluation needs 1.19 bare passes per unit, besides loops over units and
windows.

Both live in one process and take turns, so that a busy machine slows both; the ratio is the median
over turns. Rates are log-normal around a median of 2 Hz. The last column compares the answers with
plain forward passes in 32 bits that hide one unit after the other. ``bare, chunked`` is the same
bare transformer on as few windows at a time as ours takes: most of what is saved is saved there.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from neuroduet.config import ModelConfig
from neuroduet.models import build
from neuroduet.presets import mtm
from neuroduet.training.state import MEAN
from neuroduet.training.trained import CACHED_WIDTH, TrainedModel
from neuroduet.types import NEURAL, Batch, Masks, SessionInfo, UnitQuestions

BINS, UNITS, TOKENS = 100, 420, 102
SIZES = {"width": 512, "layers": 5, "heads": 8, "feed_forward": 1024}


def session() -> SessionInfo:
    """A session of six regions."""
    return SessionInfo(
        id="session",
        subject="mouse",
        neural="counts",
        units=tuple(f"u{index}" for index in range(UNITS)),
        regions=tuple(f"region{index % 6}" for index in range(UNITS)),
        behaviours=(),
        bin_size_s=0.02,
        max_bins=BINS,
    )


def windows(info: SessionInfo, count: int) -> Batch:
    """Poisson counts, log-normal rates with a median of 2 Hz."""
    rates = 2.0 * torch.randn(UNITS).exp() * info.bin_size_s
    return Batch(
        session=info.id,
        activity=torch.poisson(rates.expand(count, BINS, UNITS)),
        valid=torch.ones(count, BINS, dtype=torch.bool),
        behaviours={},
        observed={},
        windows=torch.arange(count),
    )


def trained(info: SessionInfo) -> TrainedModel:
    """The preset `mtm` in the published size, untrained: its answers do not matter here."""
    config = mtm()
    config = config.model_copy(
        update={"model": ModelConfig(**(config.model.model_dump() | SIZES))}
    )
    model = build(config.model, [info]).eval()
    weights = {name: p.detach() for name, p in model.named_parameters()}
    return TrainedModel("mtm", config, model, {MEAN: weights})


def bare() -> nn.TransformerEncoder:
    """The yardstick: as quick as torch's own transformer gets."""
    layer = nn.TransformerEncoderLayer(
        SIZES["width"],
        SIZES["heads"],
        SIZES["feed_forward"],
        activation="gelu",
        batch_first=True,
    )
    return nn.TransformerEncoder(layer, SIZES["layers"]).eval()


def leave_out(first: int, count: int) -> UnitQuestions:
    """Questions about some units, one at a time."""
    hidden = torch.zeros(count, UNITS, dtype=torch.bool)
    hidden[torch.arange(count), first + torch.arange(count)] = True
    return UnitQuestions(hidden=hidden, scored=hidden)


@torch.inference_mode()
def time_turns(run: TrainedModel, batch: Batch, turns: int, block: int) -> dict[str, list[float]]:
    """Seconds per unit of every turn; the bare pass stands for one unit."""
    model = bare()
    tokens = torch.randn(len(batch.windows), TOKENS, SIZES["width"])
    masks = Masks(
        visible={NEURAL: batch.valid[..., None]}, scored={NEURAL: batch.valid[..., None]}
    )
    seconds: dict[str, list[float]] = {"bare": [], "bare, chunked": [], "32": [], "bf16": []}
    for turn in range(turns + 1):
        started = time.perf_counter()
        model(tokens)
        found = {"bare": time.perf_counter() - started}
        started = time.perf_counter()
        for part in tokens.split(CACHED_WIDTH // SIZES["width"]):
            model(part)
        found["bare, chunked"] = time.perf_counter() - started
        for precision in ("32", "bf16"):
            run.set_precision("32" if precision == "32" else "bf16")
            started = time.perf_counter()
            run.predict_units(batch, masks, leave_out(turn * block, block), "co_smoothing")
            found[precision] = (time.perf_counter() - started) / block
        if turn:  # the first turn warms up
            for name, value in found.items():
                seconds[name].append(value)
    return seconds


@torch.inference_mode()
def largest_difference(run: TrainedModel, batch: Batch, precision: str) -> float:
    """Between the short way and one plain forward pass per unit, in log-rates."""
    questions = leave_out(0, 8)
    visible = {NEURAL: batch.valid[..., None]}
    masks = Masks(visible=visible, scored=visible)
    run.set_precision("32" if precision == "32" else "bf16")
    short = run.predict_units(batch, masks, questions, "co_smoothing")
    assert short is not None
    prompt = torch.zeros(len(batch.windows), dtype=torch.long)
    run.set_precision("32")
    largest = 0.0
    for unit in range(len(questions.hidden)):
        seen = {NEURAL: visible[NEURAL] & ~questions.hidden[unit]}
        plain = run.model([batch], [seen], [prompt])[0].activity
        largest = max(largest, float((plain[..., unit] - short[..., unit]).abs().max()))
    return largest


def main() -> None:
    """Parse the arguments, take turns, print the ratios."""
    parser = argparse.ArgumentParser(description="Time exact co-smoothing.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--windows", type=int, default=70)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--block", type=int, default=8, help="Units per turn.")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    info = session()
    batch, run = windows(info, given.windows), trained(info)
    seconds = time_turns(run, batch, given.turns, given.block)
    table = Table(title=f"{given.windows} windows of {BINS} bins, {given.threads} threads")
    for column in ("", "s per unit", "of a bare pass", "range", "largest difference in log-rate"):
        table.add_column(column)
    for name in seconds:
        ratios = [own / plain for own, plain in zip(seconds[name], seconds["bare"], strict=True)]
        apart = "" if name.startswith("bare") else f"{largest_difference(run, batch, name):.1e}"
        table.add_row(
            name,
            f"{statistics.median(seconds[name]):.3f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}-{max(ratios):.2f}",
            apart,
        )
    Console().print(table)


if __name__ == "__main__":
    main()
