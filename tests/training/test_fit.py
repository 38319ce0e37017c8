from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from lightning.fabric.utilities.optimizer import _optimizers_to_device
from tiny_runs import (
    Killed,
    checkpoint,
    killer,
    metrics,
    model_weights,
    same,
    tiny,
    write_recording,
)

from neuroduet.config import load_config
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.losses import modality_losses
from neuroduet.models import build, set_up_session
from neuroduet.training.fit import fit, total_steps, train
from neuroduet.training.module import GRADUAL_FROZEN, TrainingModule
from neuroduet.training.runs import load_run
from neuroduet.training.state import MEAN, Progress
from neuroduet.training.steps import Steps
from neuroduet.training.threads import using_threads
from neuroduet.training.validation import mean_scores, session_scores
from neuroduet.types import NEURAL

SIX_STEPS = [
    "training.max_epochs=10",
    "training.max_steps=6",
    "training.validate_every=2",
    "masking.schemes={encoding: 1, decoding: 1, neuron: 1, forward: 1, intra_region: 1}",
]
TARGETS = {
    *("activity", "wheel", "whisker", "choice", "block"),
    *("co_smoothing", "forward", "intra_region"),
}
"""What a run of six steps is validated on: what its schemes train."""


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run of six steps with three validations."""
    return train(tiny(*SIX_STEPS), data, tmp_path_factory.mktemp("runs") / "run")


def test_a_run_folder_holds_all_that_was_promised(run: Path) -> None:
    assert load_config(run / "config.yaml") == tiny(*SIX_STEPS)
    assert json.loads((run / "env.json").read_text())["seed"] == 0
    assert (run / "checkpoints" / "last.safetensors").is_file()
    assert (run / "model" / "model.safetensors").is_file()
    assert json.loads((run / "model" / "config.json").read_text())["schema"] == 1
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    rows = metrics(run)
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert {name for name in rows[0] if name.startswith("valid/")} == {
        f"valid/{target}" for target in TARGETS
    }
    modalities = ["activity", "wheel", "whisker", "choice", "block"]
    assert {f"train_loss/{modality}" for modality in modalities} <= set(rows[0])
    assert all(math.isfinite(float(value)) for row in rows for value in row.values() if value)


def test_nothing_in_a_run_folder_needs_a_pickle(run: Path) -> None:
    files = [p for p in run.rglob("*") if p.is_file() and p.parent.name != "tensorboard"]
    assert {p.suffix for p in files} == {".yaml", ".json", ".csv", ".safetensors"}
    kinds = {p.suffix for p in files if p.parent.name in ("model", "checkpoints")}
    assert kinds == {".json", ".safetensors"}
    assert not [p for p in files if p.name.startswith(".")]  # no temporary file is left


def test_equal_seeds_give_equal_bits_and_another_seed_others(
    data: Path, run: Path, tmp_path: Path
) -> None:
    again = train(tiny(*SIX_STEPS), data, tmp_path / "again")
    other = train(tiny(*SIX_STEPS, "training.seed=1"), data, tmp_path / "other")
    assert same(checkpoint(run)[0], checkpoint(again)[0])
    assert same(model_weights(run), model_weights(again))
    assert metrics(run) == metrics(again)
    before, after = model_weights(run), model_weights(other)
    assert not torch.equal(before["trunk.blocks.0.up.weight"], after["trunk.blocks.0.up.weight"])


@pytest.mark.parametrize("validations", [1, 2, 3])
def test_a_killed_and_resumed_run_equals_an_unbroken_one(
    data: Path, run: Path, tmp_path: Path, validations: int
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Killed):
        train(tiny(*SIX_STEPS), data, out, report=killer(validations))
    assert not (out / "model").exists()
    assert checkpoint(out)[1]["step"] == 2 * validations
    train(tiny(*SIX_STEPS), data, out, resume=True)
    assert same(checkpoint(run)[0], checkpoint(out)[0])
    assert metrics(run) == metrics(out)
    files = sorted(p.name for p in (run / "model").iterdir())
    assert files == sorted(p.name for p in (out / "model").iterdir())
    for name in files:
        assert (run / "model" / name).read_bytes() == (out / "model" / name).read_bytes(), name


def test_a_run_killed_before_its_first_checkpoint_starts_over(
    data: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Killed):
        train(tiny(*SIX_STEPS), data, out, report=killer(1))
    (out / "checkpoints" / "last.safetensors").unlink()
    train(tiny(*SIX_STEPS), data, out, resume=True)
    assert same(checkpoint(run)[0], checkpoint(out)[0])
    assert metrics(run) == metrics(out)


def test_resuming_a_finished_run_changes_nothing(data: Path, tmp_path: Path) -> None:
    # A rate of almost zero improves nothing, so patience ends the run at step 2 of 6.
    config = tiny(
        *SIX_STEPS,
        "training.validate_every=1",
        "training.patience=1",
        "training.learning_rate=1e-30",
    )
    out = train(config, data, tmp_path / "run")
    weights, steps = model_weights(out), checkpoint(out)[1]["step"]
    train(config, data, out, resume=True)
    assert steps == 2
    assert checkpoint(out)[1]["step"] == 2
    assert same(weights, model_weights(out))


def test_resuming_with_other_settings_is_refused(data: Path, tmp_path: Path) -> None:
    out = train(tiny("training.max_steps=1"), data, tmp_path / "run")
    before = (out / "config.yaml").read_text()
    with pytest.raises(
        UserError, match="config.yaml differs .* in training.max_steps; resume with"
    ):
        train(tiny("training.max_steps=2"), data, out, resume=True)
    assert (out / "config.yaml").read_text() == before


def test_resuming_on_other_recordings_is_refused(tmp_path: Path) -> None:
    config = tiny("training.max_steps=2", "training.validate_every=1")
    data = write_recording(tmp_path / "data", "s", units=6)
    with pytest.raises(Killed):
        train(config, data, tmp_path / "run", report=killer(1))
    write_recording(tmp_path / "data", "s", units=7)
    with pytest.raises(UserError, match="does not fit these recordings"):
        train(config, data, tmp_path / "run", resume=True)


def test_a_folder_in_use_is_left_as_it_is(data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="already holds files; choose another folder"):
        train(tiny(), data, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    with pytest.raises(UserError, match="already holds files"):
        train(tiny(), data, tmp_path / "thesis.txt")


@pytest.mark.parametrize("members", [1, 2])
def test_a_mistyped_session_leaves_no_folder(data: Path, tmp_path: Path, members: int) -> None:
    with pytest.raises(UserError, match="unknown session 'nobody'"):
        train(tiny(f"training.members={members}"), data, tmp_path / "run", sessions=["nobody"])
    assert not (tmp_path / "run").exists()


def test_the_number_of_steps_is_epochs_times_batches(data: Path, tmp_path: Path) -> None:
    config = tiny("training.max_epochs=2", "training.batch_size=10")
    sessions = open_sessions(data, config.data)
    batches = sum(math.ceil(len(s.indices("train")) / 10) for s in sessions)
    assert total_steps(sessions, config) == 2 * batches
    out = train(config, data, tmp_path / "run")
    assert checkpoint(out)[1]["step"] == 2 * batches
    assert metrics(out)[-1]["step"] == str(2 * batches)


def test_every_epoch_shows_every_training_window_once(data: Path) -> None:
    config = tiny("training.sessions_per_batch=2")
    sessions = open_sessions(data, config.data)
    per_epoch = Steps(sessions, config, 0, 0).per_epoch
    steps = list(Steps(sessions, config, per_epoch, 2 * per_epoch))
    assert [step for step, _ in steps] == list(range(per_epoch, 2 * per_epoch))
    for session in sessions:
        seen = [
            window
            for _, parts in steps
            for part in parts
            if part.batch.session == session.info.id
            for window in part.batch.windows.tolist()
        ]
        assert sorted(seen) == session.indices("train").tolist()


def test_steps_do_not_depend_on_where_a_run_was_resumed(data: Path) -> None:
    config = tiny()
    sessions = open_sessions(data, config.data)
    whole = list(Steps(sessions, config, 0, 8))
    for (one, parts), (other, again) in zip(whole[5:], Steps(sessions, config, 5, 8), strict=True):
        assert one == other
        for part, part_ in zip(parts, again, strict=True):
            assert torch.equal(part.batch.windows, part_.batch.windows)
            assert same(part.masks.visible, part_.masks.visible)
            assert same(part.masks.scored, part_.masks.scored)


def test_another_seed_draws_other_windows_and_for_equal_windows_other_masks(data: Path) -> None:
    sessions = open_sessions(data, tiny().data)
    windows = sessions[0].indices("train")[:8]
    found = []
    for seed in (0, 1):
        steps = Steps(sessions[:1], tiny(f"training.seed={seed}"), 0, 1)
        ((_, (drawn,)),) = steps
        steps._plan = lambda epoch: [[(0, windows)]]
        ((_, (part,)),) = steps
        found.append((drawn.batch.windows, part.masks.scored))
    assert not torch.equal(found[0][0], found[1][0])
    assert not same(found[0][1], found[1][1])


def test_validation_comes_about_once_an_epoch_however_long_the_run(tmp_path: Path) -> None:
    data = write_recording(tmp_path / "data", "s", split="a" * 60 + "v" * 2 + "e" * 2)
    config = tiny("training.batch_size=1", "training.max_epochs=100", "training.max_steps=90")
    sessions = open_sessions(data, config.data)
    model = build(config.model, [s.info for s in sessions])
    module = TrainingModule(model, sessions, config, tmp_path, total_steps(sessions, config))
    assert module.validate_every == 60


def test_patience_stops_a_run_that_no_longer_improves(data: Path, tmp_path: Path) -> None:
    settings = ["training.learning_rate=1e-30", "training.validate_every=1"]
    out = train(tiny(*settings, "training.patience=2"), data, tmp_path / "run")
    assert [row["step"] for row in metrics(out)] == ["1", "2", "3"]
    assert checkpoint(out)[1]["stale"] == 2


def test_a_time_budget_ends_a_run_that_can_still_be_loaded(data: Path, tmp_path: Path) -> None:
    settings = ["training.max_epochs=1000", "training.max_minutes=0.002"]
    used = []
    out = train(
        tiny(*settings), data, tmp_path / "run", report=lambda progress, u, scores: used.append(u)
    )
    _, notes = checkpoint(out)
    assert 1 <= notes["step"] < 5000
    assert notes["elapsed_s"] >= 60 * 0.002
    assert used[-1] >= 1.0
    assert len(load_run(out).sessions) == 2


def test_a_run_without_validation_windows_keeps_its_last_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = write_recording(tmp_path / "data", "s", split="a" * 12 + "e" * 4)
    out = train(tiny(), data, tmp_path / "run")
    # Said before the training, too.
    assert "(s: 0 validation, 4 test)" in caplog.records[0].message
    assert "no validation windows: the last weights are kept" in caplog.text
    found = load_run(out)
    average = checkpoint(out)[0]
    for name, p in found.model.named_parameters():
        assert torch.equal(p, average[f"average/{name}"])
    assert list(found.best) == [MEAN]


@pytest.mark.parametrize("tokens", ["fused", "separate"])
def test_a_single_training_trial_is_enough_to_train(tmp_path: Path, tokens: str) -> None:
    data = write_recording(tmp_path / "data", "s", split="a" + "v" * 2 + "e" * 2, choice=2)
    out = train(tiny("training.max_epochs=2", f"model.tokens={tokens}"), data, tmp_path / "run")
    assert checkpoint(out)[1]["step"] == 2
    assert all(torch.isfinite(x).all() for x in model_weights(out).values())


def test_no_training_trial_is_the_users_error(tmp_path: Path) -> None:
    data = write_recording(tmp_path / "data", "s", split="v" * 2 + "e" * 2)
    with pytest.raises(UserError, match="session s.* none for training"):
        train(tiny(), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_leaves_the_number_of_threads_as_it_was(data: Path, tmp_path: Path) -> None:
    with using_threads(2):
        train(tiny("training.max_steps=1", "training.threads=1"), data, tmp_path / "run")
        assert torch.get_num_threads() == 2
    assert json.loads((tmp_path / "run" / "env.json").read_text())["threads"] == 1


@pytest.mark.parametrize("name", ["activity", "mean", "forward"])
def test_a_behaviour_may_not_take_one_of_our_own_names(tmp_path: Path, name: str) -> None:
    data = write_recording(tmp_path / "data", "s", **{name: 2})
    with pytest.raises(UserError, match=f"called '{name}'.*rename it"):
        train(tiny(*SIX_STEPS), data, tmp_path / "run")


@pytest.mark.parametrize(
    "other", ["model.name=neds_published", "model.name=mtm_published", "loss.kind=published"]
)
def test_published_masks_need_the_published_model_and_loss(
    data: Path, tmp_path: Path, other: str
) -> None:
    with pytest.raises(UserError, match="goes with loss.kind=published and with model.name="):
        train(tiny("masking.kind=published", other), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_clipping_bounds_the_length_of_the_gradient(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    lengths = []
    end = TrainingModule.on_train_batch_end

    def spy(self, *arguments) -> None:
        squares = [p.grad.square().sum() for p in self.model.parameters() if p.grad is not None]
        lengths.append(float(torch.stack(squares).sum().sqrt()))
        end(self, *arguments)

    monkeypatch.setattr(TrainingModule, "on_train_batch_end", spy)
    settings = ["training.max_steps=2", f"training.precision='{precision}'"]
    train(tiny(*settings, "training.clip=0.01"), data, tmp_path / "clipped")
    train(tiny(*settings, "training.clip=null"), data, tmp_path / "free")
    assert lengths[:2] == pytest.approx([0.01, 0.01], rel=1e-3)
    assert min(lengths[2:]) > 0.1


def test_selection_keeps_one_set_of_weights_or_one_per_target(
    data: Path, run: Path, tmp_path: Path
) -> None:
    assert set(load_run(run).best) == TARGETS | {MEAN}
    out = train(tiny(*SIX_STEPS, "training.select=mean"), data, tmp_path / "run")
    assert set(load_run(out).best) == {MEAN}
    assert {p.name for p in (out / "model").iterdir()} == {"model.safetensors", "config.json"}
    assert same(model_weights(run), model_weights(out))


def test_the_kept_weights_are_those_of_the_best_validation(data: Path, tmp_path: Path) -> None:
    config = tiny(*SIX_STEPS, "training.learning_rate=0.05")
    out = train(config, data, tmp_path / "run")
    found, sessions = load_run(out), open_sessions(data, config.data)
    for target, best in checkpoint(out)[1]["best"].items():
        found.model.load_state_dict(found.best[target], strict=False)
        scores = mean_scores(
            [
                session_scores(found.model, s, torch.device("cpu"), masking=config.masking)
                for s in sessions
            ]
        )
        value = sum(scores.values()) / len(scores) if target == MEAN else scores[target]
        assert value == pytest.approx(best, rel=1e-6), target
        column = [float(row[f"valid/{target}"]) for row in metrics(out)] if target != MEAN else []
        assert not column or best == max(column)


def test_a_model_can_learn_one_batch_by_heart(tmp_path: Path) -> None:
    data = write_recording(tmp_path / "data", "s", split="a" * 4 + "v" + "e", choice=2)
    settings = [
        "training.max_epochs=200",
        "training.validate_every=1000",
        "training.learning_rate=0.02",
        "training.weight_decay=0",
        "masking.schemes={decoding: 1.0}",
        "masking.hide_visible=0",
        "model.dropout=0",
        "model.unit_dropout=0",
        "model.readout_dropout=0",
        "loss.label_smoothing=0",
    ]
    (first,) = metrics(train(tiny(*settings, "training.max_steps=1"), data, tmp_path / "first"))
    (last,) = metrics(train(tiny(*settings), data, tmp_path / "last"))
    for column in ("train_loss/speed", "train_loss/choice"):
        assert float(last[column]) < 0.05 * float(first[column]), column


def core_history(data: Path, out: Path, mode: str) -> list[tuple[float, bool, bool]]:
    """After every step: used fraction; did any core weight move; did any stitcher."""
    settings = ["training.max_epochs=10", "training.max_steps=8", "training.validate_every=1"]
    config = tiny(*settings, f"training.finetune={mode}")
    sessions = open_sessions(data, config.data)
    torch.manual_seed(0)
    model = build(config.model, [s.info for s in sessions])
    for session in sessions:
        set_up_session(model, session)
    own = {id(p) for p in model.stitchers()}
    state = {"old": {k: p.detach().clone() for k, p in model.named_parameters()}}
    history = []

    def report(progress: Progress, used: float, scores: dict[str, float]) -> None:
        moved = {k for k, p in model.named_parameters() if not torch.equal(p, state["old"][k])}
        core = {k for k, p in model.named_parameters() if id(p) not in own}
        history.append((used, bool(moved & core), bool(moved - core)))
        state["old"] = {k: p.detach().clone() for k, p in model.named_parameters()}

    fit(model, sessions, config, out, report=report)
    return history


def test_gradual_finetuning_moves_stitchers_first_and_then_everything(
    data: Path, tmp_path: Path
) -> None:
    history = core_history(data, tmp_path / "run", "gradual")
    frozen = [core for used, core, _ in history if used <= GRADUAL_FROZEN]
    later = [core for used, core, _ in history if used > GRADUAL_FROZEN]
    assert frozen == [False] * 2
    assert later == [True] * 6
    assert all(stitchers for _, _, stitchers in history)


def test_a_probe_never_moves_the_core(data: Path, tmp_path: Path) -> None:
    history = core_history(data, tmp_path / "run", "probe")
    assert not any(core for _, core, _ in history)
    assert all(stitchers for _, _, stitchers in history)


def test_a_step_minimises_the_mean_over_its_windows(data: Path, tmp_path: Path) -> None:
    config = tiny(
        "training.sessions_per_batch=2",
        "training.max_steps=1",
        "model.dropout=0",
        "model.unit_dropout=0",
        "model.readout_dropout=0",
        "training.batch_size=9",
    )
    sessions = open_sessions(data, config.data)
    torch.manual_seed(config.training.seed)
    model = build(config.model, [s.info for s in sessions])
    for session in sessions:
        set_up_session(model, session)
    ((_, parts),) = Steps(sessions, config, 0, 1)
    sums, windows = {}, 0
    for part in parts:
        batch, masks = part.batch, part.masks
        (answer,) = model([batch], [masks.visible])
        scales = model.scales(batch.session)
        for name, loss in modality_losses(
            answer, batch, masks, model.behaviours, scales, config.loss
        ).items():
            sums[name] = sums.get(name, 0.0) + loss.item() * len(batch.windows)
        windows += len(batch.windows)
    (row,) = metrics(train(config, data, tmp_path / "run"))
    assert len(parts) == 2
    for name, total in sums.items():
        assert float(row[f"train_loss/{name}"]) == pytest.approx(total / windows, rel=1e-4)


def test_all_that_is_no_module_follows_the_model_to_its_device(data: Path, tmp_path: Path) -> None:
    opened = open_sessions(data, tiny().data)
    model = build(tiny().model, [session.info for session in opened])
    module = TrainingModule(model, opened, tiny(), tmp_path / "run", 10)
    for p in model.parameters():
        module.optimizer.state[p] = {
            name: torch.zeros(()) for name in ("step", "exp_avg", "exp_avg_sq")
        }
    device = torch.device("meta")  # stands for a GPU
    module.to(device)
    _optimizers_to_device([module.optimizer], device)
    module.on_fit_start()
    tensors = [x for state in module.optimizer.state.values() for x in state.values()]
    assert {x.device for x in (*tensors, *module.average.shadow.values())} == {device}


def test_true_values_that_are_shown_are_moved_once(data: Path, tmp_path: Path) -> None:
    opened = open_sessions(data, tiny().data)
    model = build(tiny().model, [session.info for session in opened])
    for settings, once in (([], True), (["masking.random=0.5"], False)):
        config = tiny(*settings)
        module = TrainingModule(model, opened, config, tmp_path / "run", 10)
        step = next(iter(Steps(opened, config, 0, 1)))
        _, (part,) = module.transfer_batch_to_device(step, torch.device("meta"), 0)
        assert (part.shown is part.batch) == once
        assert part.shown.activity.is_meta
        assert part.masks.visible[NEURAL].is_meta


def test_a_gpu_that_is_not_there_is_said_before_anything_is_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for members in (1, 2):
        config = tiny("training.device=cuda", f"training.members={members}")
        with pytest.raises(UserError, match="training.device is cuda, but torch finds no GPU"):
            train(config, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
