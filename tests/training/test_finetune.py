from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import pytest
import torch
from tiny_runs import checkpoint, tiny, write_recording

from neuroduet.config import Config, override
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.masking import hide, to_masks
from neuroduet.nn.stitch import module_key
from neuroduet.training.finetune import _transfer, finetune
from neuroduet.training.fit import train
from neuroduet.training.runs import TrainedModel, load_run

ONE_STEP = ["training.max_steps=1"]
STILL = [*ONE_STEP, "training.learning_rate=1e-30", "training.ema=0"]
PUBLISHED = ["model.name=neds_published", "masking.kind=published", "loss.kind=published"]
MODELS = {"fused": [], "separate": ["model.tokens=separate"], "published": PUBLISHED}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Old and new sessions; two new ones have equally many units, one lacks a behaviour."""
    folder = tmp_path_factory.mktemp("recordings")
    write_recording(folder, "old-1", units=6, seed=1, choice=2, block=3)
    write_recording(folder, "old-2", units=4, seed=2, choice=2, block=3)
    write_recording(folder, "new-a", units=5, seed=3, choice=2, block=3)
    write_recording(folder, "new-b", units=5, seed=4, choice=2, block=3)
    write_recording(folder, "new-c", units=3, seed=5, block=3)
    write_recording(folder, "other", units=3, seed=6, choice=2, licks=2)
    return folder


@pytest.fixture(scope="module", params=MODELS)
def run(
    recordings: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    settings = ["training.max_steps=2", "training.learning_rate=0.01", *MODELS[request.param]]
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(tiny(*settings), recordings, out, ["old-1", "old-2"])


@pytest.fixture(scope="module")
def plain(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(tiny("training.max_steps=1"), recordings, out, ["old-1", "old-2"])


def transfer(run: Path, recordings: Path, *ids: str) -> tuple[TrainedModel, torch.nn.Module]:
    pretrained = load_run(run)
    opened = open_sessions(recordings, pretrained.config.data, list(ids), pretrained.behaviours)
    torch.manual_seed(0)
    return pretrained, _transfer(pretrained, opened, pretrained.config)


def core(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Shared parameters, less the tables of the published model, which hold rows of sessions."""
    own = {id(p) for p in model.stitchers()}
    return {
        name: p.detach()
        for name, p in model.named_parameters()
        if id(p) not in own and not name.endswith(".session")
    }


@pytest.mark.parametrize("ids", [("new-a", "new-b"), ("new-c",)])
def test_the_core_goes_along_bit_for_bit(run: Path, recordings: Path, ids: tuple) -> None:
    pretrained, model = transfer(run, recordings, *ids)
    given = core(pretrained.model)
    assert given.keys() == core(model).keys()
    assert all(torch.equal(p, given[name]) for name, p in core(model).items())
    # Rows and heads go by the order of behaviours, also where a session lacks one.
    assert model.behaviours == pretrained.model.behaviours


def test_a_session_that_lacks_a_behaviour_is_finetuned_on_the_others(
    run: Path, recordings: Path, tmp_path: Path
) -> None:
    out = finetune(run, recordings, tmp_path / "run", ["new-c"], ONE_STEP)
    found = load_run(out)
    (session,) = open_sessions(recordings, found.config.data, ["new-c"], found.behaviours)
    batch = session.batch(session.indices("test"))
    masks = to_masks(batch, hide(batch, dict.fromkeys(batch.behaviours, True)))
    assert set(found.predict(batch, masks, "decoding").behaviours) == {"speed", "block"}
    again = finetune(out, recordings, tmp_path / "again", ["new-a"], ONE_STEP)
    assert {b.name for b in load_run(again).behaviours} == {"speed", "choice", "block"}


def test_no_test_window_of_a_new_session_influences_its_start(
    run: Path, recordings: Path, tmp_path: Path
) -> None:
    (recording,) = (path for path in recordings.iterdir() if path.stem == "new-a")
    pretrained, before = transfer(run, recordings, "new-a")
    shutil.copy(recording, tmp_path / "new-a.h5")
    with h5py.File(tmp_path / "new-a.h5", "r+") as file:
        bins = 8 * 12  # twelve training trials of eight bins
        counts = file["counts/values"][:]
        counts[bins:] += 5
        file["counts/values"][:] = counts
    after = transfer(run, tmp_path, "new-a")[1].state_dict()
    assert all(torch.equal(x, after[name]) for name, x in before.state_dict().items())


def test_a_finetuned_run_knows_the_new_sessions_and_predicts(
    run: Path, recordings: Path, tmp_path: Path
) -> None:
    out = finetune(run, recordings, tmp_path / "run", ["new-a", "new-c"], ONE_STEP)
    assert [info.id for info in load_run(out).sessions] == ["new-a", "new-c"]
    assert load_run(out).config == override(load_run(run).config, ONE_STEP)
    assert checkpoint(out)[1]["step"] == 1


def test_stitchers_start_fresh_with_each_sessions_own_units(plain: Path, recordings: Path) -> None:
    _, model = transfer(plain, recordings, "new-a", "new-b", "new-c")
    assert [len(i.units) for i in model.session_infos.values()] == [5, 5, 3]
    for name, units in (("new-a", 5), ("new-b", 5), ("new-c", 3)):
        assert model.inputs[module_key(name)].weight.shape[0] == units
        assert model.outputs[module_key(name)].loadings.shape[0] == units
    # Equal numbers of units are no reason to share a stitcher.
    one, other = (model.outputs[module_key(name)] for name in ("new-a", "new-b"))
    assert not torch.equal(one.loadings, other.loadings)
    assert not torch.equal(one.bias, other.bias)


def test_sessions_with_equally_many_units_keep_their_own_stitchers_in_training(
    plain: Path, recordings: Path, tmp_path: Path
) -> None:
    settings = ["training.max_steps=1", "training.learning_rate=0.01", "training.ema=0"]
    before = transfer(plain, recordings, "new-a", "new-b")[1].state_dict()
    out = finetune(plain, recordings, tmp_path / "run", ["new-a", "new-b"], settings)
    after = load_run(out).model.state_dict()
    # One step sees one session: the stitcher of that session alone has moved.
    moved = {
        name
        for name in ("new-a", "new-b")
        if not torch.equal(
            before[f"outputs.{module_key(name)}.bias"], after[f"outputs.{module_key(name)}.bias"]
        )
    }
    assert len(moved) == 1


def test_without_a_step_worth_the_name_the_saved_core_is_the_pretrained_one(
    plain: Path, recordings: Path, tmp_path: Path
) -> None:
    out = finetune(plain, recordings, tmp_path / "run", ["new-a"], STILL)
    given = core(load_run(plain).model)
    assert all(torch.equal(p, given[name]) for name, p in core(load_run(out).model).items())


def test_a_probe_leaves_the_core_as_it_was_and_moves_the_stitchers(
    plain: Path, recordings: Path, tmp_path: Path
) -> None:
    settings = ["training.max_steps=4", "training.learning_rate=0.05", "training.finetune=probe"]
    fresh = transfer(plain, recordings, "new-a")[1]
    out = finetune(plain, recordings, tmp_path / "run", ["new-a"], settings)
    found, given = load_run(out).model, core(load_run(plain).model)
    assert all(torch.equal(p, given[name]) for name, p in core(found).items())
    assert not torch.equal(found.outputs["s_new-a"].loadings, fresh.outputs["s_new-a"].loadings)


LICKS = "data.behaviours=[{name: licks, source: trials.licks, kind: categorical, per: trial}]"


def test_asking_for_an_unknown_behaviour_is_the_users_error(
    plain: Path, recordings: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="unknown behaviour of the pretrained run 'licks'.*block"):
        finetune(plain, recordings, tmp_path / "run", ["other"], [LICKS])
    assert not (tmp_path / "run").exists()


def test_a_behaviour_nobody_asked_for_is_left_out(
    plain: Path, recordings: Path, tmp_path: Path
) -> None:
    out = finetune(plain, recordings, tmp_path / "run", ["other"], ONE_STEP)
    (info,) = load_run(out).sessions
    assert {b.name for b in info.behaviours} == {"speed", "choice"}
    assert load_run(out).behaviours == load_run(plain).behaviours


def test_an_unknown_session_names_the_nearest(
    plain: Path, recordings: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="unknown session 'new-aa'; did you mean 'new-a'"):
        finetune(plain, recordings, tmp_path / "run", ["new-aa"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.width=32", "keeps the architecture"),
        ("model.dropout=0.1", "keeps the architecture"),
        ("training.members=2", "leave training.members"),
        ("training.epochs=2", "unknown configuration key"),
    ],
)
def test_settings_that_cannot_be_changed_are_refused(
    plain: Path, recordings: Path, tmp_path: Path, setting: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        finetune(plain, recordings, tmp_path / "run", ["new-a"], [setting])
    assert not (tmp_path / "run").exists()


def test_a_class_the_pretrained_model_never_met_is_the_users_error(
    plain: Path, recordings: Path, tmp_path: Path
) -> None:
    data = write_recording(tmp_path / "data", "new", choice=3)
    with pytest.raises(UserError, match="choice"):
        finetune(plain, data, tmp_path / "run", None, ONE_STEP)


def test_longer_windows_than_the_published_model_holds_are_the_users_error(
    recordings: Path, tmp_path: Path
) -> None:
    config: Config = tiny(*PUBLISHED, *ONE_STEP, "data.windows.length_s=0.2")
    config = override(config, ["data.windows.align=continuous", "data.split.kind=random"])
    out = train(config, recordings, tmp_path / "run", ["old-1"])
    longer = [*ONE_STEP, "data.windows.length_s=0.4"]
    with pytest.raises(UserError, match="8 bins, but the pretrained model was built for 4"):
        finetune(out, recordings, tmp_path / "longer", ["new-a"], longer)


def test_published_masks_are_refused_for_another_model(
    plain: Path, recordings: Path, tmp_path: Path
) -> None:
    settings = ["masking.kind=published", "loss.kind=published"]
    with pytest.raises(UserError, match="masking.kind=published goes with loss.kind=published"):
        finetune(plain, recordings, tmp_path / "run", ["new-a"], settings)
    assert not (tmp_path / "run").exists()


def test_a_run_of_a_single_unit_is_finetuned_on_others(tmp_path: Path) -> None:
    write_recording(tmp_path / "data", "one", units=1, seed=1)
    write_recording(tmp_path / "data", "more", units=4, seed=2)
    run = train(tiny(*ONE_STEP), tmp_path / "data", tmp_path / "run", ["one"])
    out = finetune(run, tmp_path / "data", tmp_path / "out", ["more"], ONE_STEP)
    assert all(p.isfinite().all() for p in load_run(out).model.parameters())
