from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny

from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError
from neuroduet.masking import hide, to_masks
from neuroduet.models import build, set_up_session
from neuroduet.training.files import read_tensors, write_tensors
from neuroduet.training.fit import fit, train
from neuroduet.training.module import best_path
from neuroduet.training.runs import Ensemble, TrainedModel, load_run
from neuroduet.training.state import MEAN
from neuroduet.types import NEURAL, Batch, Masks, Prediction, Predictor

SETTINGS = ["training.max_steps=4", "training.validate_every=2", "training.learning_rate=0.01"]


def values(prediction: Prediction) -> dict[str, torch.Tensor]:
    activity = {} if prediction.activity is None else {NEURAL: prediction.activity}
    return activity | prediction.behaviours


def question(session: Session, *hidden: str) -> tuple[Batch, Masks]:
    """Test windows with some modalities hidden."""
    batch = session.batch(session.indices("test"))
    return batch, to_masks(batch, hide(batch, dict.fromkeys(hidden, True)))


@pytest.fixture(scope="module")
def sessions(data: Path) -> list[Session]:
    return open_sessions(data, tiny().data)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tiny(*SETTINGS), data, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A run folder to damage."""
    return Path(shutil.copytree(run, tmp_path / "copied"))


def test_a_loaded_run_predicts_the_same_bits_as_the_model_in_memory(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(*SETTINGS)
    sessions = open_sessions(data, config.data)
    torch.manual_seed(0)
    model = build(config.model, [session.info for session in sessions])
    for session in sessions:
        set_up_session(model, session)
    out = fit(model, sessions, config, tmp_path / "run")
    targets = [MEAN, NEURAL, *(b.name for b in model.behaviours)]
    best = {key: read_tensors(best_path(out, key))[0] for key in targets}
    memory, loaded = TrainedModel("duet", config, model, best), load_run(out)
    assert isinstance(loaded, Predictor)
    assert loaded.name == "duet"
    assert loaded.config == config
    assert loaded.sessions == [session.info for session in sessions]
    assert loaded.behaviours == model.behaviours
    for session in sessions:
        for hidden in ([NEURAL], list(best)[2:], [NEURAL, "choice"]):
            batch, masks = question(session, *hidden)
            one, other = (values(m.predict(batch, masks, "any")) for m in (memory, loaded))
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one)


def test_each_target_is_predicted_with_its_own_best_weights(
    run: Path, sessions: list[Session]
) -> None:
    found = load_run(run)
    found.best = {
        key: {name: x + 0.01 * place for name, x in found.best[MEAN].items()}
        for place, key in enumerate(found.best)
    }
    batch, masks = question(sessions[0], NEURAL, "wheel", "choice")
    answer = values(found.predict(batch, masks, "any"))
    for key in (NEURAL, "wheel", "choice"):
        found.model.load_state_dict(found.best[key], strict=False)
        with torch.inference_mode():
            alone = values(found.model([batch], [masks.visible])[0])
        assert torch.equal(answer[key], alone[key]), key


def test_only_scored_modalities_are_answered(run: Path, sessions: list[Session]) -> None:
    batch, masks = question(sessions[0])
    only = Masks(visible=masks.visible, scored={"wheel": masks.scored["wheel"]})
    answer = load_run(run).predict(batch, only, "decoding")
    assert answer.activity is None
    assert list(answer.behaviours) == ["wheel"]


def test_predictions_do_not_depend_on_what_was_asked_before(
    run: Path, sessions: list[Session]
) -> None:
    asked, fresh = load_run(run), load_run(run)
    asked.predict(*question(sessions[1], NEURAL, "wheel"), "any")
    asked.embeddings()
    batch, masks = question(sessions[0], "choice", NEURAL)
    one, other = (values(m.predict(batch, masks, "any")) for m in (asked, fresh))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_unknown_session_names_the_nearest_known_one(
    run: Path, sessions: list[Session]
) -> None:
    batch, masks = question(sessions[0], NEURAL)
    typo = replace(batch, session=batch.session + "x")
    with pytest.raises(UserError, match=f"did you mean '{batch.session}'"):
        load_run(run).predict(typo, masks, "encoding")


def test_embeddings_have_a_row_per_unit(run: Path, sessions: list[Session]) -> None:
    found = load_run(run).embeddings()
    assert found.keys() == {session.info.id for session in sessions}
    for session in sessions:
        # Read-out direction in the trunk (width 16) and the bias.
        assert found[session.info.id].shape == (len(session.info.units), 17)


def rewrite(run: Path, change: Callable[[dict], object]) -> None:
    path = run / "model" / "config.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def broken_config(run: Path) -> None:
    path = run / "model" / "config.json"
    path.write_bytes(path.read_bytes()[:100])


def other_units(run: Path) -> None:
    rewrite(run, lambda d: d["sessions"][0].update(units=["one"]))


def other_best(run: Path) -> None:
    write_tensors(run / "model" / "best-s_wheel.safetensors", {"x": torch.zeros(1)})


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "config cut off": (broken_config, "not valid JSON"),
    "config not text": (
        lambda run: (run / "model" / "config.json").write_bytes(b"\xff\xfe\x00"),
        "not valid JSON",
    ),
    "config a list": (
        lambda run: (run / "model" / "config.json").write_text("[]"),
        "layout version None",
    ),
    "config missing": (lambda run: (run / "model" / "config.json").unlink(), "not a finished run"),
    "other layout": (lambda run: rewrite(run, lambda d: d.update(schema=99)), "version 99"),
    "no sessions": (lambda run: rewrite(run, lambda d: d.pop("sessions")), "lacks sessions"),
    "session lacks a field": (
        lambda run: rewrite(run, lambda d: d["sessions"][0].pop("units")),
        "does not describe its sessions",
    ),
    "unknown setting": (
        lambda run: rewrite(run, lambda d: d["config"]["model"].update(widht=3)),
        "unknown configuration key",
    ),
    "weights missing": (
        lambda run: (run / "model" / "model.safetensors").unlink(),
        "no weights at",
    ),
    "weights empty": (
        lambda run: (run / "model" / "model.safetensors").write_bytes(b""),
        "not a readable safetensors file",
    ),
    "weights of other units": (other_units, "do not fit its configuration"),
    "best weights missing": (
        lambda run: (run / "model" / "best-s_wheel.safetensors").unlink(),
        "no weights at",
    ),
    "best weights of another model": (other_best, "other weights than this model's"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_the_users_error_in_one_sentence(copied: Path, damage: str) -> None:
    spoil, message = DAMAGE[damage]
    spoil(copied)
    with pytest.raises(UserError, match=message) as caught:
        load_run(copied)
    assert "\n" not in str(caught.value)


def test_a_run_cannot_point_at_files_outside_its_folder(copied: Path, tmp_path: Path) -> None:
    shutil.move(copied / "model" / "best-s_wheel.safetensors", tmp_path / "elsewhere")
    rewrite(copied, lambda d: d["best"].update(wheel="../../elsewhere"))
    with pytest.raises(UserError, match="no weights at"):
        load_run(copied)


class Fixed(TrainedModel):
    """A member with given answers."""

    def __init__(self, like: TrainedModel, answer: Prediction) -> None:
        super().__init__(like.name, like.config, like.model, like.best)
        self.answer = answer

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        return self.answer


def test_an_ensemble_averages_log_rates_values_and_log_probabilities(
    run: Path, sessions: list[Session]
) -> None:
    like = load_run(run)
    logits = torch.tensor([[[2.0, 0.0]], [[-1.0, 3.0]]])
    wheel = torch.tensor([[[[1.0], [2.0]]], [[[3.0], [-4.0]]]])
    rates = torch.tensor([[[[0.1]]], [[[0.4]]]]).log()
    members = [
        Fixed(like, Prediction(activity=a, behaviours={"choice": c, "wheel": w}))
        for a, c, w in zip(rates, logits, wheel, strict=True)
    ]
    batch, masks = question(sessions[0])
    found = Ensemble("e", members).predict(batch, masks, "any")
    assert found.activity.exp().item() == pytest.approx(0.2)  # the geometric mean of 0.1 and 0.4
    assert found.behaviours["wheel"].flatten().tolist() == [2.0, -1.0]
    logs = logits.log_softmax(-1).mean(0)
    torch.testing.assert_close(found.behaviours["choice"], logs)
