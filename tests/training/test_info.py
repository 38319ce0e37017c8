from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given
from tiny_runs import SMALL, checkpoint, tiny, write_recording
from torch.utils.flop_counter import FlopCounterMode

from neuroduet.config import Config, TrainingConfig, override
from neuroduet.data.batch import plan_epoch
from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError
from neuroduet.masking import hide, to_masks
from neuroduet.models import Model, build
from neuroduet.presets import PRESETS
from neuroduet.training.fit import train
from neuroduet.training.info import (
    count_parameters,
    cut_short,
    describe_run,
    steps_per_epoch,
    tokens_per_window,
)
from neuroduet.training.runs import save_model
from neuroduet.training.state import MEAN
from neuroduet.types import Batch, Behaviour, SessionInfo

BINS = 20
BEHAVIOURS = (
    Behaviour(name="wheel", source="wheel.speed", kind="continuous", per="bin", size=1),
    Behaviour(
        name="choice",
        source="trials.choice",
        kind="categorical",
        per="trial",
        size=2,
        classes=(-1, 1),
    ),
)


def session(name: str, units: int, regions: tuple[str, ...] | None = None) -> SessionInfo:
    return SessionInfo(
        id=name,
        subject="mouse",
        neural="spikes",
        units=tuple(f"u{i}" for i in range(units)),
        regions=regions,
        behaviours=BEHAVIOURS,
        bin_size_s=0.02,
        max_bins=BINS,
    )


SESSIONS = (
    session("lab/a.1", 5, ("CA1", "CA1", "DG", "void", "CA1")),
    session("b", 7),
)


def small(preset: str, *settings: str) -> Config:
    """A preset with a small model."""
    sizes = [s for s in SMALL if s.startswith(("model.width", "model.layers", "model.feed"))]
    return override(PRESETS[preset](), [*sizes, "model.heads=2", *settings])


def made(config: Config) -> Model:
    torch.manual_seed(0)
    return build(config.model, SESSIONS)


def write_run(
    out: Path, config: Config, curves: str = "", windows: dict[str, int] | None = None
) -> Path:
    """A run folder as training leaves it, without training."""
    model = made(config)
    save_model(out, config, model, [(MEAN, dict(model.named_parameters()))])
    (out / "config.yaml").write_text(config.to_yaml())
    found = {"threads": 3, "cuda": None, "packages": {"torch": "2"}}
    if windows is not None:
        found["training_windows"] = windows
    (out / "env.json").write_text(json.dumps(found))
    if curves:
        (out / "metrics.csv").write_text(curves)
    return out


CURVES = """step,minutes,learning_rate,train_loss/activity,valid/activity,valid/wheel
10,0.5,0.1,1.0,0.1,0.3
20,1.0,0.1,,0.3,0.5
30,1.5,0.1,nan,0.2,0.5
"""


def test_the_folder_of_a_trained_run_tells_what_its_counters_told(
    data: Path, tmp_path: Path
) -> None:
    settings = ["training.max_steps=6", "training.validate_every=2", "training.seed=3"]
    run = train(tiny(*settings), data, tmp_path / "run")
    found = describe_run(run)
    (training,) = found["trainings"]
    counted = checkpoint(run)[1]
    assert training["steps"] == counted["step"] == 6
    assert training["minutes"] == pytest.approx(counted["elapsed_s"] / 60)
    assert training["stopped_by"] == "max_steps"
    assert training["seed"] == 3
    validation = training["validation"]
    assert {name: score["best"] for name, score in validation.items()} == counted["best"]
    assert {name: score["best_step"] for name, score in validation.items()} == counted["best_step"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["bytes"]["run"] == sum(p.stat().st_size for p in run.rglob("*") if p.is_file())
    assert 0 < found["bytes"]["model"] < found["bytes"]["run"]


def test_curves_give_last_and_best_scores_the_first_of_equals_being_the_best(
    tmp_path: Path,
) -> None:
    (training,) = describe_run(write_run(tmp_path, tiny(), CURVES))["trainings"]
    assert training["validation"] == {
        "activity": {"best": 0.3, "best_step": 20, "final": 0.2},
        "wheel": {"best": 0.5, "best_step": 20, "final": 0.5},
        MEAN: {"best": 0.4, "best_step": 20, "final": 0.35},
    }
    assert (training["steps"], training["minutes"], training["threads"]) == (30, 1.5, 3)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_parameter_is_shared_or_belongs_to_one_session(preset: str, tmp_path: Path) -> None:
    config = small(preset)
    found = describe_run(write_run(tmp_path, config))
    parameters = found["parameters"]
    assert parameters["total"] == sum(p.numel() for p in made(config).parameters())
    assert parameters["core"] + parameters["stitchers"] == parameters["total"]
    assert sum(one["stitchers"] for one in found["sessions"]) == parameters["stitchers"]
    assert all(one["stitchers"] > 0 for one in found["sessions"])
    # One session fewer has the same core.
    alone = count_parameters(build(config.model, SESSIONS[:1], BEHAVIOURS))
    if preset != "neds_faithful":
        assert alone["core"] == parameters["core"]
    assert alone["stitchers"] == found["sessions"][0]["stitchers"]


def test_sessions_and_behaviours_are_described(tmp_path: Path) -> None:
    found = describe_run(write_run(tmp_path, tiny()))
    first, second = found["sessions"]
    assert (first["id"], first["units"], first["activity"]) == ("lab/a.1", 5, "spikes")
    assert first["regions"] == {"CA1": 3, "DG": 1}  # the fifth unit is in none that is known
    assert second["regions"] is None
    assert (first["bins"], first["bin_size_s"]) == (BINS, 0.02)
    assert found["behaviours"][1] == {
        "name": "choice",
        "kind": "categorical",
        "per": "trial",
        "size": 2,
    }


@pytest.mark.parametrize(
    ("preset", "tokens"),
    [
        ("duet", BINS + 1),  # a bin with everything in it, and the choice
        ("mtm", BINS + 2),  # session and prompt
        ("neds", 2 * BINS + 1),  # spikes and wheel apart
        ("neds_faithful", 3 * BINS),  # the choice in every bin
        ("mtm_faithful", BINS + 2),
    ],
)
def test_tokens_of_a_window_are_those_that_the_trunk_sees(preset: str, tokens: int) -> None:
    assert tokens_per_window(made(small(preset))) == tokens


def test_patches_count_by_the_largest_session() -> None:
    # 7 units in patches of 3 are three patches; the smaller session has two.
    model = made(small("ndt2", "model.patch=3"))
    assert tokens_per_window(model) == 3 * BINS + 2


def test_counting_tokens_leaves_the_model_as_it_was() -> None:
    model = made(tiny())
    before = {name: p.clone() for name, p in model.state_dict().items()}
    tokens_per_window(model)
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(before[name], p) for name, p in model.state_dict().items())


def test_the_estimate_is_near_the_operations_that_torch_counts() -> None:
    model = build(PRESETS["duet"]().model, SESSIONS).eval()
    n = 4
    batch = Batch(
        session="b",
        activity=torch.ones(n, BINS, 7),
        valid=torch.ones(n, BINS, dtype=torch.bool),
        behaviours={
            "wheel": torch.zeros(n, BINS, 1),
            "choice": torch.zeros(n, dtype=torch.long),
        },
        observed={
            "wheel": torch.ones(n, BINS, dtype=torch.bool),
            "choice": torch.ones(n, dtype=torch.bool),
        },
        windows=torch.arange(n),
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model([batch], [to_masks(batch, hide(batch, {})).visible])
    estimate = 2 * count_parameters(model)["core"] * tokens_per_window(model) * n
    assert estimate == pytest.approx(counter.get_total_flops(), rel=0.15)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Session]:
    folder = tmp_path_factory.mktemp("recordings")
    for name, count in (("a", 40), ("b", 7), ("c", 23)):
        write_recording(folder, name, split="a" * count + "e")
    return open_sessions(folder, tiny().data)


@given(st.integers(1, 20), st.integers(1, 4))
def test_steps_of_an_epoch_are_those_that_are_planned(
    recorded: list[Session], batch_size: int, together: int
) -> None:
    assume(together <= batch_size)
    windows = [len(one.indices("train")) for one in recorded]
    training = TrainingConfig(batch_size=batch_size, sessions_per_batch=together)
    plan = plan_epoch(recorded, "train", batch_size, together, 0, 0)
    assert steps_per_epoch(windows, training) == len(plan)


def test_windows_are_counted_where_the_folder_tells_how_many_an_epoch_has(
    tmp_path: Path,
) -> None:
    config = tiny("training.batch_size=8", "training.max_steps=30")
    # 20 and 4 windows are three and one steps; thirty steps are seven epochs and a half.
    run = write_run(tmp_path, config, CURVES, {"lab/a.1": 20, "b": 4})
    found = describe_run(run)
    (training,) = found["trainings"]
    assert training["epochs"] == 7.5
    assert training["windows"] == 7.5 * 24
    assert training["windows_exact"] is True
    core, tokens = found["parameters"]["core"], found["tokens_per_window"]
    assert found["operations"] == 6 * core * tokens * 180
    assert "6 x core parameters x tokens" in found["operations_rule"]


def test_windows_have_a_bound_where_the_folder_does_not_tell(tmp_path: Path) -> None:
    config = tiny("training.batch_size=8", "training.max_steps=30")
    (training,) = describe_run(write_run(tmp_path, config, CURVES))["trainings"]
    assert training["epochs"] is None
    assert (training["windows"], training["windows_exact"]) == (240, False)


@pytest.mark.parametrize(
    ("settings", "reason", "epochs"),
    [
        (["training.max_epochs=9"], "max_epochs", 9.0),
        (["training.max_steps=30"], "max_steps", None),
        (["training.max_steps=31", "training.max_epochs=9"], "max_epochs", 9.0),
        (["training.max_minutes=1.5"], "max_minutes", None),
        (["training.patience=1"], "patience", None),
        (["training.patience=2", "training.max_minutes=1.6"], "max_epochs", 1.0),
    ],
)
def test_what_ended_a_training_is_told(
    settings: list[str], reason: str, epochs: float | None, tmp_path: Path
) -> None:
    (training,) = describe_run(write_run(tmp_path, tiny(*settings), CURVES))["trainings"]
    assert (training["stopped_by"], training["epochs"]) == (reason, epochs)


def test_whoever_gave_too_few_minutes_is_told(tmp_path: Path) -> None:
    windows = {"lab/a.1": 20, "b": 4}  # four steps of an epoch: thirty steps are 7.5
    brief = tiny("training.batch_size=8", "training.max_minutes=1.5", "training.max_epochs=100")
    said = cut_short(write_run(tmp_path / "brief", brief, CURVES, windows))
    assert said.startswith("its time ended after 7.5 of 100 epochs;")
    for name, more in {"steps": "max_steps=30", "epochs": "max_epochs=7"}.items():
        whole = override(brief, [f"training.{more}"])
        if name == "steps":
            whole = override(whole, ["training.max_minutes=2"])
        assert cut_short(write_run(tmp_path / name, whole, CURVES, windows)) == ""
    for index, curves in enumerate((CURVES, CURVES.replace("\n30,1.5", "\n8,1.5"))):
        member = override(brief, [f"training.seed={index}"])
        write_run(tmp_path / "both" / "members" / f"0{index}", member, curves, windows)
    assert cut_short(tmp_path / "both").startswith("its time ended after 2 of 100 epochs;")


def test_each_member_of_an_ensemble_has_its_training_and_all_count(tmp_path: Path) -> None:
    config = tiny("training.members=2", "training.max_steps=30")
    for index in (0, 1):
        member = override(config, [f"training.seed={index}", "training.members=1"])
        curves = CURVES if index == 0 else "\n".join(CURVES.splitlines()[:2]) + "\n"
        write_run(tmp_path / "members" / f"0{index}", member, curves)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    found = describe_run(tmp_path)
    assert found["members"] == 2
    assert [one["seed"] for one in found["trainings"]] == [0, 1]
    assert [one["steps"] for one in found["trainings"]] == [30, 10]
    assert found["operations"] == sum(one["operations"] for one in found["trainings"])
    assert found["parameters"] == count_parameters(made(config))


def test_a_model_without_the_files_of_its_training_is_still_described(tmp_path: Path) -> None:
    run = write_run(tmp_path, tiny())
    (run / "env.json").unlink()
    found = describe_run(run)
    (training,) = found["trainings"]
    unknown = ("steps", "epochs", "minutes", "windows", "operations", "stopped_by", "threads")
    assert all(training[name] is None for name in unknown)
    assert training["validation"] == {}
    assert found["operations"] is None


def test_a_training_without_validation_windows_has_no_scores(tmp_path: Path) -> None:
    run = write_run(tmp_path, tiny("training.patience=1"), "step,minutes\n4,0.1\n")
    (training,) = describe_run(run)["trainings"]
    assert training["validation"] == {}
    assert training["stopped_by"] == "max_epochs"


def damaged(name: str, content: str) -> Callable[[Path], int]:
    return lambda run: (run / name).write_text(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damaged("metrics.csv", "step,minutes\nten,1\n"), "metrics.csv is not a readable table"),
        (damaged("metrics.csv", "a,b\n1,1\n"), "metrics.csv is not a readable table"),
        (damaged("metrics.csv", "step,minutes\n1,2,3\n"), "metrics.csv is not a readable table"),
        (damaged("env.json", "{"), "env.json is not valid JSON"),
        (damaged("env.json", "[1]"), "env.json holds no names"),
        (damaged("model/model.safetensors", "x"), "not a readable safetensors file"),
        (lambda run: (run / "model" / "config.json").unlink(), "is not a finished run"),
    ],
)
def test_a_damaged_folder_is_one_sentence(
    damage: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path, tiny(), CURVES)
    damage(run)
    with pytest.raises(UserError, match=said):
        describe_run(run)
