"""A small session with planted dependencies between behaviour and activity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from neuroduet.baselines import logistic, poisson_glm, psth, reduced_rank, trials
from neuroduet.masking import hide, to_masks
from neuroduet.types import Batch, Behaviour, Masks, SessionInfo

WINDOWS, BINS, UNITS = 70, 16, 9
SPLITS = {"train": np.arange(0, 44), "valid": np.arange(44, 56), "test": np.arange(56, WINDOWS)}

Hiding = Callable[[Batch, set[str]], Masks]


@dataclass(frozen=True, kw_only=True)
class SmallSession:
    """The part of a session that baselines use, held in memory."""

    info: SessionInfo
    whole: Batch
    splits: dict[str, np.ndarray]

    def indices(self, split: str) -> np.ndarray:
        return self.splits[split]

    def batch(self, indices: np.ndarray) -> Batch:
        rows = torch.as_tensor(indices)
        return Batch(
            session=self.info.id,
            activity=self.whole.activity[rows],
            valid=self.whole.valid[rows],
            behaviours={name: x[rows] for name, x in self.whole.behaviours.items()},
            observed={name: x[rows] for name, x in self.whole.observed.items()},
            windows=rows,
        )


def behaviour(name: str, kind: str, per: str, size: int) -> Behaviour:
    classes = tuple(range(size)) if kind == "categorical" else ()
    return Behaviour(name=name, source=f"a.{name}", kind=kind, per=per, size=size, classes=classes)


BEHAVIOURS = (
    behaviour("wheel", "continuous", "bin", 1),
    behaviour("paws", "continuous", "bin", 2),
    behaviour("choice", "categorical", "trial", 2),
    behaviour("block", "categorical", "trial", 3),
    behaviour("state", "categorical", "bin", 2),
    behaviour("delay", "continuous", "trial", 1),
)


def small_session(neural: str = "counts", seed: int = 0, ragged: bool = True) -> SmallSession:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def integers(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, high, shape, generator=generator)

    lengths = torch.randint(10, BINS + 1, (WINDOWS,), generator=generator)
    lengths = lengths if ragged else torch.full((WINDOWS,), BINS)
    valid = torch.arange(BINS)[None] < lengths[:, None]
    values = {
        "wheel": normal(WINDOWS, BINS, 1).cumsum(1) / 3 + 5,
        "paws": normal(WINDOWS, BINS, 2),
        "choice": integers(2, WINDOWS),
        "block": integers(3, WINDOWS),
        "state": integers(2, WINDOWS, BINS),
        "delay": normal(WINDOWS, 1) + 2,
    }
    observed = {
        b.name: valid.clone() if b.per == "bin" else torch.ones(WINDOWS, dtype=torch.bool)
        for b in BEHAVIOURS
    }
    observed["paws"][3] = False
    observed["block"][5] = False
    for b in BEHAVIOURS:
        gone = ~observed[b.name]
        values[b.name][gone] = 0
    drive = 0.8 * (values["wheel"] - 5) * normal(UNITS)
    drive = drive + 0.8 * (values["choice"][:, None, None] - 0.5) * normal(UNITS)
    drive = drive + 0.6 * (values["state"][:, :, None] - 0.5) * normal(UNITS)
    drive = drive + 0.5 * (values["delay"][:, None] - 2) * normal(UNITS)
    drive = drive + 0.5 * (values["block"] == 1)[:, None, None] * normal(UNITS)
    rates = (drive.clamp(-2, 2) - 0.5).exp()
    rates[..., -1] = 0  # a silent unit
    activity = torch.poisson(rates, generator=generator)
    if neural == "traces":
        activity = 3 + drive + 0.5 * normal(WINDOWS, BINS, UNITS)
    return SmallSession(
        info=SessionInfo(
            id="s0",
            subject="mouse",
            neural=neural,
            units=tuple(f"u{n}" for n in range(UNITS)),
            regions=None,
            behaviours=BEHAVIOURS,
            bin_size_s=0.02,
            max_bins=BINS,
        ),
        whole=Batch(
            session="s0",
            activity=torch.where(valid[..., None], activity, 0.0),
            valid=valid,
            behaviours=values,
            observed=observed,
            windows=torch.arange(WINDOWS),
        ),
        splits=dict(SPLITS),
    )


@pytest.fixture(scope="module", autouse=True)
def _few_hyper_parameters() -> Iterator[None]:
    """Two values of each hyper-parameter: enough to choose between, and quick.

    Not for the package: a folder that is no package lets it last until all tests are over.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logistic, "TRIAL_STRENGTHS", (0.003, 0.1))
        patch.setattr(logistic, "BIN_STRENGTHS", (0.01, 0.1))
        patch.setattr(trials, "PARTS", (1, 2))
        patch.setattr(poisson_glm, "PENALTIES", (10.0, 3.0))
        patch.setattr(poisson_glm, "RANKS", (4,))
        patch.setattr(reduced_rank, "PENALTIES", (3.0, 30.0))
        patch.setattr(reduced_rank, "MAX_LAGS", (0, 4))
        patch.setattr(psth, "PRIORS", (1.0, 100.0))
        patch.setattr(psth, "SMOOTHING_BINS", (1.0, 4.0))
        yield


@pytest.fixture(scope="module")
def session() -> SmallSession:
    return small_session()


@pytest.fixture(scope="module")
def make_session() -> Callable[..., SmallSession]:
    return small_session


@pytest.fixture(scope="module")
def hiding() -> Hiding:
    """Masks that hide whole modalities and score what they hide."""

    def make(batch: Batch, hidden: set[str]) -> Masks:
        masks = to_masks(batch, hide(batch, dict.fromkeys(hidden, True)))
        scored = {name: mask for name, mask in masks.scored.items() if name in hidden}
        return replace(masks, scored=scored)

    return make


@pytest.fixture(scope="module")
def all_behaviours() -> set[str]:
    return {b.name for b in BEHAVIOURS}
