"""Training on continuous windows that move: a function of seed and step, for every model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import checkpoint, same, tiny

from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import open_sessions
from neuroduet.models import MODELS
from neuroduet.training.fit import train
from neuroduet.training.steps import Steps

CONTINUOUS = [
    "data.windows.align=continuous",
    "data.windows.length_s=0.8",
    "data.windows.bin_size_s=0.1",
    "data.split.gap_s=0.5",
    "data.split.blocks=2",
]
JITTER = "data.windows.jitter_s=0.4"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds of spikes and a behaviour, without trials."""
    folder, generator = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0)
    times = np.arange(0, 40, 0.02)
    recording = from_arrays(
        session_id="s",
        spike_times=np.sort(generator.uniform(0, 40, 1500)),
        spike_units=generator.integers(0, 5, 1500),
        behaviours={"speed": (times, np.sin(times))},
    )
    save(recording, folder / "s.h5")
    return folder


def steps(data: Path, first: int, last: int, *settings: str) -> list[torch.Tensor]:
    config = tiny(*CONTINUOUS, *settings)
    found = Steps(open_sessions(data, config.data), config, first, last)
    return [part.batch.activity for _, parts in found for part in parts]


def test_moves_are_a_function_of_seed_and_step(data: Path) -> None:
    whole = steps(data, 0, 6, JITTER)
    for one, other in zip(whole[3:], steps(data, 3, 6, JITTER), strict=True):
        assert torch.equal(one, other)
    other = steps(data, 0, 1, JITTER, "training.seed=1")
    assert not torch.equal(whole[0], other[0])


def test_a_window_is_read_elsewhere_at_its_next_visit(data: Path) -> None:
    config = tiny(*CONTINUOUS, JITTER, "training.batch_size=64")
    (session,) = open_sessions(data, config.data)
    (_, one), (_, two) = Steps([session], config, 0, 2)
    first, second = one[0].batch, two[0].batch
    assert sorted(first.windows.tolist()) == sorted(second.windows.tolist())
    order = [second.windows.tolist().index(w) for w in first.windows.tolist()]
    assert not torch.equal(first.activity, second.activity[order])


def test_jitter_changes_training_and_not_what_is_validated(data: Path, tmp_path: Path) -> None:
    runs = [
        train(tiny(*CONTINUOUS, *more), data, tmp_path / str(k))
        for k, more in enumerate(([], [JITTER], [JITTER]))
    ]
    still, moved, again = (checkpoint(run)[0] for run in runs)
    assert not same(still, moved)
    assert same(moved, again)
    one, two = (open_sessions(data, tiny(*CONTINUOUS, *more).data)[0] for more in ([], [JITTER]))
    for split in ("train", "valid", "test"):
        np.testing.assert_array_equal(one.indices(split), two.indices(split))
        a, b = one.batch(one.indices(split)), two.batch(two.indices(split))
        assert torch.equal(a.activity, b.activity)


SPIKES_ALONE = ["model.behaviours=false", "masking.schemes={neuron: 1.0}"]
MORE = {"mtm_published": SPIKES_ALONE, "ndt2": SPIKES_ALONE}
"""What models of activity alone need besides."""


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_on_moving_windows(data: Path, tmp_path: Path, name: str) -> None:
    settings = [*CONTINUOUS, JITTER, f"model.name={name}", "training.max_steps=2"]
    settings += MORE.get(name, [])
    run = train(tiny(*settings), data, tmp_path / "run")
    tensors, notes = checkpoint(run)
    assert notes["step"] == 2
    assert all(torch.isfinite(x).all() for k, x in tensors.items() if k.startswith("model/"))
