"""How long a batch takes to load, against the training step it feeds.

Run ``python benchmarks/loader.py``. A simulated IBL-like session is written to a temporary folder;
loading means what training does at every step: bin the events of 16 windows, interpolate the
behaviours, draw the masks. The step is duet's own, on one thread. Both take turns in one process;
the ratio is the median over turns and must be at least 20.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

from neuroduet.data.session import open_sessions
from neuroduet.losses import modality_losses
from neuroduet.models import build, set_up_session
from neuroduet.presets import duet
from neuroduet.simulate import simulate
from neuroduet.training.steps import draw_part


def main() -> None:
    """Simulate, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder), 1, 0, "medium")
        load, step = make_turns(Path(folder))
        times = [(seconds(load), seconds(step)) for _ in range(given.repeats)]
    loading, training = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(b / a for a, b in times)
    Console().print(
        f"loading {1e3 * loading:.1f} ms, training step {1e3 * training:.0f} ms: "
        f"loading is {ratio:.0f} times faster (wanted: 20)"
    )


def make_turns(folder: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """Load a batch; train on one."""
    config = duet()
    session = open_sessions(folder, config.data)[0]
    windows = session.indices("train")
    model = build(config.model, [session.info]).train()
    set_up_session(model, session)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    generator = torch.Generator().manual_seed(0)
    fixed = session.batch(windows[:16])

    def load() -> object:
        chosen = windows[torch.randperm(len(windows), generator=generator)[:16].numpy()]
        return draw_part(session.batch(chosen), config, generator, None)

    def step() -> object:
        masks = draw_part(fixed, config, generator, None).masks
        prediction = model([fixed], [masks.visible])[0]
        scales = model.scales(session.info.id)
        losses = modality_losses(prediction, fixed, masks, model.behaviours, scales, config.loss)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        return optimizer.step()

    for _ in range(3):
        load(), step()
    return load, step


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
