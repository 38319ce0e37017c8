"""Small made-up sessions and batches that many tests share."""

from __future__ import annotations

import torch

from neuroduet.types import Batch, Behaviour, SessionInfo

BEHAVIOURS = (
    Behaviour(name="wheel", source="wheel.speed", kind="continuous", per="bin", size=1),
    Behaviour(name="paw", source="paw.position", kind="continuous", per="bin", size=2),
    Behaviour(
        name="state", source="actions.id", kind="categorical", per="bin", size=3, classes=(0, 1, 2)
    ),
    Behaviour(
        name="choice",
        source="trials.choice",
        kind="categorical",
        per="trial",
        size=2,
        classes=(-1, 1),
    ),
    Behaviour(name="latency", source="trials.latency", kind="continuous", per="trial", size=1),
)


def make_info(
    session: str = "lab/mouse.1",
    units: int = 7,
    behaviours: tuple[Behaviour, ...] = BEHAVIOURS,
    neural: str = "spikes",
    bins: int = 12,
) -> SessionInfo:
    return SessionInfo(
        id=session,
        subject="mouse",
        neural=neural,
        units=tuple(f"u{i}" for i in range(units)),
        regions=None,
        behaviours=behaviours,
        bin_size_s=0.02,
        max_bins=bins,
    )


def make_batch(
    info: SessionInfo, windows: int = 4, bins: int = 12, seed: int = 0, missing: float = 0.0
) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    n_units = len(info.units)
    rates = torch.full((windows, bins, n_units), 0.7)
    counts = torch.poisson(rates, generator=generator)
    traces = torch.randn(windows, bins, n_units, generator=generator)
    behaviours, observed = {}, {}
    for b in info.behaviours:
        shape = (windows, bins) if b.per == "bin" else (windows,)
        seen = torch.rand(shape, generator=generator) >= missing
        if b.kind == "categorical":
            values = torch.randint(b.size, shape, generator=generator).masked_fill(~seen, 0)
        else:
            values = torch.randn((*shape, b.size), generator=generator)
            values = values.masked_fill(~seen[..., None], 0.0)
        behaviours[b.name], observed[b.name] = values, seen
    return Batch(
        session=info.id,
        activity=traces if info.neural == "traces" else counts,
        valid=torch.ones(windows, bins, dtype=torch.bool),
        behaviours=behaviours,
        observed=observed,
        windows=torch.arange(windows),
    )
