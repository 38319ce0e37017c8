"""Sessions and predictors made by hand, for which every score can be worked out."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import torch

from neuroduet.types import NEURAL, Batch, Behaviour, Masks, Prediction, SessionInfo

WHEEL = Behaviour(name="wheel", source="wheel.speed", kind="continuous", per="bin", size=1)
PAW = Behaviour(name="paw", source="paw.position", kind="continuous", per="bin", size=2)
STATE = Behaviour(
    name="state", source="actions.id", kind="categorical", per="bin", size=3, classes=(0, 1, 2)
)
CHOICE = Behaviour(
    name="choice", source="trials.choice", kind="categorical", per="trial", size=2, classes=(-1, 1)
)
LATENCY = Behaviour(
    name="latency", source="trials.latency", kind="continuous", per="trial", size=1
)
ALL = (WHEEL, PAW, STATE, CHOICE, LATENCY)


@dataclass(frozen=True, kw_only=True)
class PlantedSession:
    """All windows in memory; batches are padded to their own longest window."""

    info: SessionInfo
    activity: np.ndarray
    lengths: np.ndarray
    behaviours: dict[str, np.ndarray]
    observed: dict[str, np.ndarray]
    split: np.ndarray
    rates: np.ndarray | None = None
    rates_from_behaviour: np.ndarray | None = None
    trial: np.ndarray = field(default_factory=lambda: np.arange(0))

    @property
    def windows(self) -> SimpleNamespace:
        count = len(self.activity)
        trial = self.trial if len(self.trial) else np.arange(count)
        return SimpleNamespace(trial=trial, split=self.split, start_s=np.arange(count) * 1.0)

    @property
    def statistics(self) -> SimpleNamespace:
        train = self.indices("train")
        counts = {
            b.name: np.bincount(
                self.behaviours[b.name][train][self.observed[b.name][train]], minlength=b.size
            )
            for b in self.info.behaviours
            if b.kind == "categorical"
        }
        return SimpleNamespace(class_counts=counts)

    def indices(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.split == split)

    def batch(self, indices: np.ndarray) -> Batch:
        bins = int(self.lengths[indices].max())
        per_bin = {b.name for b in self.info.behaviours if b.per == "bin"}
        cut = {name: slice(0, bins) if name in per_bin else slice(None) for name in self.observed}
        return Batch(
            session=self.info.id,
            activity=torch.as_tensor(self.activity[indices, :bins]),
            valid=torch.as_tensor(self.valid[indices, :bins]),
            behaviours={
                n: torch.as_tensor(x[indices][:, cut[n]] if n in per_bin else x[indices])
                for n, x in self.behaviours.items()
            },
            observed={
                n: torch.as_tensor(x[indices][:, cut[n]] if n in per_bin else x[indices])
                for n, x in self.observed.items()
            },
            windows=torch.as_tensor(indices),
        )

    def truth(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        if self.rates is None or self.rates_from_behaviour is None:
            return {}
        bins = int(self.lengths[indices].max())
        return {
            "rates": self.rates[indices, :bins],
            "rates_from_behaviour": self.rates_from_behaviour[indices, :bins],
        }

    @property
    def valid(self) -> np.ndarray:
        return np.arange(self.activity.shape[1]) < self.lengths[:, None]


def plant(
    session: str = "mouse/1",
    *,
    seed: int = 0,
    windows: int = 40,
    bins: int = 10,
    units: int = 4,
    behaviours: tuple[Behaviour, ...] = ALL,
    neural: str = "spikes",
    ragged: bool = False,
    missing: float = 0.0,
    simulated: bool = False,
) -> PlantedSession:
    """A session whose rates follow nothing in particular; half of its windows are tests."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, bins, windows) if ragged else np.full(windows, bins)
    valid = np.arange(bins) < lengths[:, None]
    from_behaviour = generator.gamma(2.0, 0.5, (windows, bins, units)).astype(np.float32)
    rates = (from_behaviour * generator.gamma(4.0, 0.25, from_behaviour.shape)).astype(np.float32)
    activity = generator.poisson(rates) if neural != "traces" else rates - 1.0
    values, observed = {}, {}
    for b in behaviours:
        shape = (windows, bins) if b.per == "bin" else (windows,)
        seen = generator.random(shape) >= missing
        seen &= valid if b.per == "bin" else True
        if b.kind == "categorical":
            values[b.name] = np.where(seen, generator.integers(0, b.size, shape), 0)
        else:
            drawn = generator.normal(size=(*shape, b.size)) * seen[..., None]
            values[b.name] = drawn.astype(np.float32)
        observed[b.name] = seen
    info = SessionInfo(
        id=session,
        subject="mouse",
        neural=neural,
        units=tuple(f"u{i}" for i in range(units)),
        regions=tuple("AB"[i % 2] for i in range(units)),
        behaviours=behaviours,
        bin_size_s=0.1,
        max_bins=bins,
    )
    return PlantedSession(
        info=info,
        activity=(activity * valid[:, :, None]).astype(np.float32),
        lengths=lengths,
        behaviours=values,
        observed=observed,
        split=np.resize(["train", "test"], windows),
        rates=rates if simulated else None,
        rates_from_behaviour=from_behaviour if simulated else None,
    )


class Copier:
    """Repeats what it finds in the batch: perfect if it is shown everything, else a cheat."""

    def __init__(self, name: str = "copier", classes: dict[str, int] | None = None) -> None:
        self.name, self.classes = name, classes or {b.name: b.size for b in ALL}
        self.seen: list[Batch] = []

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        self.seen.append(batch)
        behaviours = {
            n: x if x.is_floating_point() else torch.eye(self.classes[n])[x]
            for n, x in batch.behaviours.items()
        }
        return Prediction(activity=batch.activity.clamp_min(1e-9).log(), behaviours=behaviours)


class TraceCopier(Copier):
    """The same for traces, which have no logarithm."""

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        return Prediction(activity=batch.activity)


class Guesser:
    """Predictions that depend on the index of a window only, and not on its batch."""

    def __init__(self, sessions: list[PlantedSession], name: str = "guesser") -> None:
        self.name = name
        self.tables = {session.info.id: _guesses(session) for session in sessions}

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        bins, index = batch.valid.shape[1], batch.windows
        table = self.tables[batch.session]
        found = {name: table[name][index] for name in masks.scored}
        found = {n: x[:, :bins] if masks.scored[n].ndim > 1 else x for n, x in found.items()}
        return Prediction(activity=found.pop(NEURAL, None), behaviours=found)


def _guesses(session: PlantedSession) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    shapes = {NEURAL: session.activity.shape}
    for b in session.info.behaviours:
        shapes[b.name] = (*session.observed[b.name].shape, b.size)
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


class Silent:
    """Answers nothing."""

    name = "silent"

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        return Prediction(activity=None)


def value(scores: list, **wanted: str) -> float:
    """The value of the one score with these fields."""
    found = [s for s in scores if all(getattr(s, k) == v for k, v in wanted.items())]
    assert len(found) == 1, f"{len(found)} scores with {wanted}"
    return found[0].value
