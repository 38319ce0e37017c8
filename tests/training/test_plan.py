"""Plans against what they are about: built models, real files, real steps, counted operations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from neuroduet import cli
from neuroduet.config import Config, override
from neuroduet.data.recording import load, save
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.losses import modality_losses
from neuroduet.masking import Draw, draw
from neuroduet.models import Model, build
from neuroduet.models.micro_batches import silence
from neuroduet.presets import PRESETS
from neuroduet.training.fit import total_steps, train
from neuroduet.training.operations import activation_bytes, operations_per_window
from neuroduet.training.plan import (
    Extent,
    disk_bytes,
    measure_extent,
    plan_training,
    recording_bytes,
    validation_passes,
)
from neuroduet.training.runs import load_run
from neuroduet.training.state import WeightAverage
from neuroduet.training.validation import session_scores
from neuroduet.types import SessionInfo

FEW = Extent(sessions=3, units=80, trials=40, window_s=1.0)
EMBEDDED = ["model.unit_embedding=16"]


def info_of(extent: Extent, name: str = "a") -> SessionInfo:
    return SessionInfo(
        id=name,
        subject=name,
        neural="spikes",
        units=tuple(f"u{n}" for n in range(extent.units)),
        regions=None,
        behaviours=extent.behaviours,
        bin_size_s=0.02,
        max_bins=round(extent.window_s / 0.02),
    )


def backward(config: Config, model: Model, info: SessionInfo, windows: int) -> None:
    """A training pass, units hidden at random."""
    source = Draw(generator=torch.Generator().manual_seed(0), ratio=0.3, unit_ratio=0.3)
    batch = silence(info, windows)
    masks = draw(batch, {"neuron": 1.0}, source)
    prediction = model([batch], [masks.visible], [None])[0]
    losses = modality_losses(
        prediction, batch, masks, model.behaviours, model.scales(info.id), config.loss
    )
    torch.stack(list(losses.values())).sum().backward()


@pytest.mark.parametrize(
    ("preset", "settings"),
    [("duet", []), ("duet", EMBEDDED), ("mtm", []), ("neds", []), ("ndt2", []), ("poyo", [])],
)
def test_parameters_are_those_of_the_model_that_is_built(preset: str, settings: list) -> None:
    config = override(PRESETS[preset](), settings)
    found = plan_training(config, FEW)["parameters"]
    model = build(config.model, [info_of(FEW, name) for name in "abc"])
    assert found["total"] == sum(p.numel() for p in model.parameters())
    assert found["core"] + found["stitchers"] == found["total"]


def test_stitchers_are_those_a_new_animal_learns() -> None:
    for settings in ([], EMBEDDED):
        config = override(PRESETS["duet"](), settings)
        model = build(config.model, [info_of(FEW)])
        each = plan_training(config, FEW)["parameters"]["per_session"]
        assert each == sum(p.numel() for p in model.stitchers())


@pytest.mark.parametrize(
    ("preset", "settings"),
    [("duet", []), ("duet", EMBEDDED), ("mtm", []), ("neds", ["model.layers=2"]), ("ndt2", [])],
)
def test_operations_are_those_that_are_counted_within_15_percent(
    preset: str, settings: list[str]
) -> None:
    config = override(PRESETS[preset](), settings)
    info = info_of(FEW)
    model = build(config.model, [info]).train()
    # The fused kernel of a CPU is not known to the counter.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        backward(config, model, info, config.training.batch_size)
    counted = counter.get_total_flops() / config.training.batch_size
    assert operations_per_window(config, model, info) == pytest.approx(counted, rel=0.15)


@pytest.mark.parametrize("settings", [[], EMBEDDED])
def test_training_holds_five_numbers_per_parameter(settings: list[str]) -> None:
    config, info = override(PRESETS["duet"](), settings), info_of(FEW)
    model = build(config.model, [info])
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimiser = torch.optim.AdamW(model.parameters())
    optimiser.step()
    average = WeightAverage(model, 0.9)
    held = [*model.parameters(), *(p.grad for p in model.parameters()), *average.shadow.values()]
    held += [x for state in optimiser.state.values() for x in state.values()]
    planned = plan_training(config, replace(FEW, sessions=1))["memory_bytes"]["training"]
    assert planned == pytest.approx(sum(x.nbytes for x in held), rel=0.01)


@pytest.mark.parametrize("preset", ["duet", "neds"])
def test_activations_are_those_of_a_whole_batch_with_units_hidden(preset: str) -> None:
    config = override(PRESETS[preset](), ["model.layers=2"])
    info = info_of(FEW)
    model = build(config.model, [info]).train()
    kept: dict[int, torch.Tensor] = {}  # what is kept alive has an address of its own
    own = {p.data_ptr() for p in model.parameters()}

    def note(x: torch.Tensor) -> torch.Tensor:
        kept[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        backward(config, model, info, config.training.batch_size)
    held = sum(x.untyped_storage().nbytes() for at, x in kept.items() if at not in own)
    assert activation_bytes(config, model, info) == pytest.approx(held, rel=0.2)


def test_recordings_are_as_large_as_files_are_within_10_percent(
    data: Path, tmp_path: Path
) -> None:
    for path in sorted(data.glob("*.h5")):
        recording = load(path, lazy=False)
        del recording.__dict__["truth"]  # which nobody knows of recorded activity
        save(recording, tmp_path / path.name)
        extent = measure_extent(tmp_path / path.name, Config())
        size = (tmp_path / path.name).stat().st_size
        assert recording_bytes(extent) == pytest.approx(size, rel=0.1)
        # Of a larger file spikes are the most: they must be right by themselves.
        spikes = recording_bytes(extent) - recording_bytes(replace(extent, rate_hz=0.0))
        assert spikes == pytest.approx(16 * len(recording.spikes.timestamps), rel=0.1)


def test_a_run_folder_takes_the_disk_that_was_planned(data: Path, tmp_path: Path) -> None:
    config = tiny("model.width=64", "model.feed_forward=128", "training.max_steps=2")
    run = train(config, data, tmp_path / "run")
    parameters = sum(p.numel() for p in load_run(run).model.parameters())
    planned = disk_bytes(config, measure_extent(data, config), parameters)
    sizes = {
        "checkpoint": [run / "checkpoints" / "last.safetensors"],
        "best_weights": list((run / "checkpoints").glob("best-*")),
        "model": list((run / "model").glob("*.safetensors")),
    }
    for name, files in sizes.items():
        assert planned[name] == pytest.approx(sum(f.stat().st_size for f in files), rel=0.15)


def test_the_extent_is_measured_and_the_steps_are_those_of_training(data: Path) -> None:
    config = tiny("training.max_epochs=7", "training.batch_size=4")
    sessions = open_sessions(data, config.data)
    extent = measure_extent(data, config)
    assert (extent.sessions, extent.trials) == (2, 60)
    assert extent.window_s == pytest.approx(1.0)
    units = [len(session.info.units) for session in sessions]
    assert extent.units == round(sum(units) / 2)
    spikes = [len(load(file).spikes.timestamps) for file in sorted(data.glob("*.h5"))]
    assert extent.rate_hz == pytest.approx(sum(spikes) / sum(units) / 60, rel=0.1)
    planned = plan_training(config, extent)["steps"]
    assert planned == pytest.approx(total_steps(sessions, config), rel=0.15)
    bounded = override(config, ["training.max_steps=5"])
    assert plan_training(bounded, extent)["steps"] == total_steps(sessions, bounded) == 5


@pytest.mark.parametrize("preset", ["duet", "mtm", "neds"])
def test_validation_asks_each_window_as_often_as_planned(data: Path, preset: str) -> None:
    settings = ["model.width=16", "model.layers=1", "model.heads=2", "model.feed_forward=16"]
    config = override(PRESETS[preset](), settings)
    session = open_sessions(data, config.data)[0]
    model = build(config.model, [session.info]).eval()
    asked: list[int] = []
    model.register_forward_pre_hook(lambda _, given: asked.append(len(given[0][0].windows)))
    with torch.inference_mode():
        session_scores(model, session, torch.device("cpu"), masking=config.masking)
    windows = len(session.indices("valid"))
    assert sum(asked) == validation_passes(config) * windows


def test_hours_follow_from_operations_or_from_the_least_time_of_a_step() -> None:
    config = override(PRESETS["duet"](), ["training.max_epochs=2"])
    found = plan_training(config, FEW, tflops=1e-3, step_ms=0.0)
    assert found["hours"]["training"] == pytest.approx(found["operations"]["training"] / 3.6e12)
    assert found["hours"]["bound_by"] == "operations"
    slow = plan_training(config, FEW, tflops=1e9, step_ms=100.0)
    assert slow["hours"]["training"] == pytest.approx(slow["steps"] / 36_000)
    assert slow["hours"]["bound_by"] == "launches"


def test_what_is_open_at_a_time_bounds_the_memory_of_recordings() -> None:
    config = override(PRESETS["duet"](), ["data.open_recordings=5"])
    few, many = (
        plan_training(config, replace(FEW, sessions=n))["memory_bytes"]["recordings"]
        for n in (5, 5000)
    )
    assert few == many > 0


def test_choosing_weights_by_the_mean_saves_disk() -> None:
    each, one = (
        plan_training(override(PRESETS["duet"](), [f"training.select={name}"]), FEW)["disk_bytes"]
        for name in ("task", "mean")
    )
    assert each["model"] > 5 * one["model"]
    assert each["checkpoint"] == one["checkpoint"]


@pytest.mark.parametrize("name", ["sessions", "units", "trials", "window_s", "rate_hz"])
def test_nothing_is_no_extent(name: str) -> None:
    nothing = type(getattr(FEW, name))(0)
    with pytest.raises(UserError, match=f"{name} is {nothing}, expected a finite number above 0"):
        plan_training(Config(), replace(FEW, **{name: nothing}))


def test_the_command_prints_a_table_or_json(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", "--data", str(data), "--sessions", "452", *settings_of()]) == 0
    out = capsys.readouterr().out
    assert "452 sessions" in out
    assert "60 trials of 1 s" in out
    small = ["--units", "9", "--trials", "10", "--seconds", "0.5", "--rate-hz", "2"]
    assert cli.main(["plan", "--sessions", "7", *small, *settings_of(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    extent = {key: found["extent"][key] for key in ("sessions", "units", "trials", "window_s")}
    assert extent == {"sessions": 7, "units": 9, "trials": 10, "window_s": 0.5}
    assert cli.main(["plan", "--data", "nowhere"]) == 2
    assert cli.main(["plan", "--seconds", "-1"]) == 2


def settings_of() -> list[str]:
    """A small model, on the command line."""
    return ["--set", "model.width=16", "--set", "model.heads=2", "--set", "model.unit_embedding=8"]
