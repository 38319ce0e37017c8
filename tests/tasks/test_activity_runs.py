"""Trained runs asked about activity, against hiding units one after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from neuroduet import metrics
from neuroduet.config import Config, override
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import Session, open_sessions
from neuroduet.tasks import questions
from neuroduet.tasks.questions import BLOCK
from neuroduet.tasks.run import evaluate
from neuroduet.tasks.task import ActivityOptions
from neuroduet.training.fit import train
from neuroduet.training.runs import TrainedModel, load_run
from neuroduet.types import NEURAL, Masks

UNITS, BINS, HORIZON = 19, 12, 3
REGIONS = [("CA1", "VISp", "LP")[unit % 3] for unit in range(UNITS)]
SETTINGS = [
    "model.width=16",
    "model.layers=1",
    "model.heads=2",
    "model.feed_forward=16",
    "model.input_rank=4",
    "model.output_rank=4",
    "model.input_kernel=3",
    "training.device=cpu",
    "training.max_steps=20",
    "training.validate_every=5",
    "training.learning_rate=0.02",
    "masking.schemes={neuron: 1, forward: 1, intra_region: 1, inter_region: 1}",
]
KINDS = {
    "with behaviour": [],
    "prompted": ["model.behaviours=false", "model.prompts=true"],
    "silent units": ["model.behaviours=false", "model.hidden_units=zero"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty trials, some of them short, of units that share two latents."""
    generator = np.random.default_rng(0)
    lengths = np.where(np.arange(40) % 3 == 0, BINS - 2, BINS)
    latents = [np.cumsum(generator.normal(size=(n, 2)), axis=0) * 0.4 for n in lengths]
    loadings = 0.6 * generator.normal(size=(2, UNITS))
    recording = from_arrays(
        session_id="mouse",
        counts=[generator.poisson(np.exp(x @ loadings)) for x in latents],
        bin_size_s=0.05,
        behaviours={"speed": [x[:, 0] for x in latents]},
        units={"region": REGIONS},
        split=["train"] * 24 + ["valid"] * 6 + ["test"] * 10,
    )
    folder = tmp_path_factory.mktemp("data")
    save(recording, folder / "mouse.h5")
    return folder


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, data: Path, tmp_path_factory) -> Path:
    config = override(Config(), [*SETTINGS, *KINDS[request.param]])
    return train(config, data, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def session(data: Path) -> Session:
    return open_sessions(data, Config().data)[0]


def brute_force(run: Path, session: Session, task: str) -> pd.DataFrame:
    """Scores of every unit, each hidden in a pass of its own."""
    model, batch = load_run(run), session.batch(session.indices("test"))
    place = np.array(REGIONS)
    log_rates = torch.zeros(batch.activity.shape)
    bins = batch.valid.clone()
    if task == "forward":
        bins &= torch.arange(BINS) >= batch.valid.sum(1, keepdim=True) - HORIZON
    for unit in range(UNITS):
        hidden = torch.zeros(batch.activity.shape, dtype=torch.bool)
        if task == "co_smoothing":
            hidden[:, :, unit] = True
        elif task == "inter_region":
            hidden[:, :, place == place[unit]] = True
        elif task == "intra_region":
            hidden[:, :, place != place[unit]] = True
            hidden[:, :, unit] = True
        else:
            hidden[bins] = True
        visible = {name: torch.zeros_like(seen) for name, seen in batch.observed.items()}
        seen = batch.valid[:, :, None] & ~hidden
        masks = Masks(visible=visible | {NEURAL: seen}, scored={NEURAL: hidden & ~seen})
        log_rates[:, :, unit] = model.predict(batch, masks, task).activity[:, :, unit]
    rates, counts = log_rates.exp().numpy(), batch.activity.numpy()
    return pd.DataFrame(
        {
            "bits_per_spike": metrics.bits_per_spike_by_unit(rates, counts, bins.numpy()),
            "r2": metrics.r2_by_unit(counts, rates, bins.numpy()),
        }
    )


def test_scores_are_those_of_hiding_one_unit_after_the_other(
    run: Path, data: Path, session: Session, tmp_path: Path
) -> None:
    out = tmp_path / "scores.csv"
    options = ActivityOptions(horizon=HORIZON)
    table = evaluate(run, data, tasks=["activity"], out=out, options=options)
    units = pd.read_parquet(tmp_path / "scores_units.parquet")
    assert list(dict.fromkeys(table.task)) == [
        "co_smoothing",
        "forward",
        "intra_region",
        "inter_region",
    ]
    for task, rows in units.groupby("task"):
        slow = brute_force(run, session, task)
        for metric in ("bits_per_spike", "r2"):
            chosen = rows[rows.metric == metric].set_index("unit").value
            expected = slow[metric].set_axis(session.info.units)[chosen.index]
            assert len(chosen) >= UNITS - 3
            np.testing.assert_allclose(chosen, expected, atol=1e-5)
        mean = table[(table.task == task) & (table.metric == "bits_per_spike")].value.item()
        assert mean == pytest.approx(slow.bits_per_spike.mean(), abs=1e-5)


def test_a_stopped_evaluation_of_a_run_goes_on_and_leaves_no_notes_behind(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "SAVE_EVERY_S", -1.0)
    whole = evaluate(run, data, tasks=["co_smoothing"], out=tmp_path / "whole.csv")
    out, partial = tmp_path / "scores.csv", tmp_path / "scores.csv.partial"

    def stop(place: str, done: int, count: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(run, data, tasks=["co_smoothing"], out=out, progress=stop)
    assert partial.is_file()
    assert not out.exists()
    asked = []
    predict_units = TrainedModel.predict_units

    def counted(self, batch, masks, block, task):
        asked.append(len(block.hidden))
        return predict_units(self, batch, masks, block, task)

    monkeypatch.setattr(TrainedModel, "predict_units", counted)
    notes = partial.read_bytes()
    found = evaluate(run, data, tasks=["co_smoothing"], out=out)
    pd.testing.assert_frame_equal(found, whole)
    assert asked == [UNITS - BLOCK]
    assert not partial.exists()
    assert out.is_file()
    # Answers to other questions, or in other precision, are no answers to these.
    for change in ({"options": ActivityOptions(folds=UNITS)}, {"precision": "bf16"}):
        partial.write_bytes(notes)
        asked.clear()
        evaluate(run, data, tasks=["co_smoothing"], out=out, **change)
        assert asked == [BLOCK, UNITS - BLOCK]


def test_half_precision_changes_little(run: Path, data: Path, tmp_path: Path) -> None:
    found = [
        evaluate(run, data, tasks=["activity"], out=tmp_path / "s.csv", precision=precision)
        for precision in ("32", "bf16")
    ]
    single, half = (table[table.metric == "bits_per_spike"].value for table in found)
    assert not single.equals(half)
    np.testing.assert_allclose(single, half, atol=0.02)
