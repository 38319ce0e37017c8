"""Sessions and batches of the published size and of a small one, for tests of published NEDS."""

from __future__ import annotations

import torch

from neuroduet.config import ModelConfig
from neuroduet.types import Batch, Behaviour, SessionInfo

CHOICE = Behaviour(
    name="choice", source="trials.choice", kind="categorical", per="trial", size=2, classes=(-1, 1)
)
BLOCK = Behaviour(
    name="block",
    source="trials.block",
    kind="categorical",
    per="trial",
    size=3,
    classes=(0.2, 0.5, 0.8),
)
WHEEL = Behaviour(name="wheel", source="wheel.wheel_speed", kind="continuous", per="bin", size=1)
WHISKER = Behaviour(name="whisker", source="whisker.energy", kind="continuous", per="bin", size=1)
PUBLISHED = (CHOICE, BLOCK, WHEEL, WHISKER)


def size(width: int, feed_forward: int, layers: int, **changes: object) -> ModelConfig:
    """A model configuration with 8 heads and the published dropout."""
    values = {"width": width, "feed_forward": feed_forward, "layers": layers, "heads": 8}
    return ModelConfig(**(values | {"dropout": 0.4} | changes))


SMALL = size(32, 48, 2)


def info(
    units: int = 300,
    session: str = "s1",
    behaviours: tuple[Behaviour, ...] = PUBLISHED,
    bins: int = 100,
) -> SessionInfo:
    """Description of a session."""
    return SessionInfo(
        id=session,
        subject="mouse",
        neural="spikes",
        units=tuple(str(i) for i in range(units)),
        regions=None,
        behaviours=behaviours,
        bin_size_s=0.02,
        max_bins=bins,
    )


def batch_of(session: SessionInfo, windows: int, seed: int = 0, bins: int | None = None) -> Batch:
    """Random windows of a session, everything observed."""
    g = torch.Generator().manual_seed(seed)
    bins = bins or session.max_bins
    behaviours, observed = {}, {}
    for b in session.behaviours:
        shape = (windows, bins) if b.per == "bin" else (windows,)
        observed[b.name] = torch.ones(shape, dtype=torch.bool)
        behaviours[b.name] = (
            torch.randint(b.size, shape, generator=g)
            if b.kind == "categorical"
            else torch.rand((*shape, b.size), generator=g)
        )
    return Batch(
        session=session.id,
        activity=torch.poisson(torch.full((windows, bins, len(session.units)), 0.5), generator=g),
        valid=torch.ones(windows, bins, dtype=torch.bool),
        behaviours=behaviours,
        observed=observed,
        windows=torch.arange(windows),
    )
