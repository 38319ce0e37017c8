"""What is given from Python to train and the rest, and one sentence if it is something else."""

from __future__ import annotations

import inspect
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_runs import model_weights, same, tiny, write_recording

import neuroduet
from neuroduet.config import Config, load_config
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.masking import SCHEMES
from neuroduet.models import MODELS, Translator
from neuroduet.presets import PRESETS, duet
from neuroduet.training.given import as_config, as_names, path_of
from neuroduet.training.jobs import only_here
from neuroduet.training.runs import load_run
from neuroduet.training.search import check_plan
from neuroduet.training.trained import Ensemble, TrainedModel
from neuroduet.training.trials import Search

ONE_STEP = ["training.max_steps=1"]

unchecked = inspect.unwrap
"""A function as users have it: the tests' type checker would refuse what is wrong on purpose."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    write_recording(folder, "mouse1")
    return write_recording(folder, "mouse2", seed=1)


@pytest.fixture(scope="module")
def run(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    return neuroduet.train(tiny(*ONE_STEP), recordings, out, "mouse1")


def test_a_preset_goes_by_its_name_and_a_single_session_too(run: Path) -> None:
    assert as_config("mtm") == PRESETS["mtm"]()
    assert as_names("mouse1") == ["mouse1"]
    assert as_names(("a", "b")) == ["a", "b"]
    assert as_names(None) is None
    assert [info.id for info in load_run(run).sessions] == ["mouse1"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("duett", "unknown preset 'duett'; did you mean 'duet'"),
        (duet, r"config is the function duet, .*call it, duet\(\), or give 'duet'"),
        (3, "config is 3 .*expected a configuration or the name of a preset"),
    ],
)
def test_what_is_no_configuration_is_told(config, said: str) -> None:
    with pytest.raises(UserError, match=said):
        as_config(config)


def test_swapped_and_foreign_arguments_are_told(run: Path, recordings: Path, tmp_path) -> None:
    out = tmp_path / "out"
    recording = neuroduet.load(recordings / "mouse1.h5", lazy=False)
    model = load_run(run)
    nobody = r"a list of sessions or tasks is \[\]; give at least one name, or None"
    for call, said in (
        (
            lambda: unchecked(neuroduet.train)(recordings, tiny(), out),
            "a configuration is another argument",
        ),
        (
            lambda: unchecked(neuroduet.train)(tiny(), recording, out),
            "data is .*write .*neuroduet.save",
        ),
        (
            lambda: unchecked(neuroduet.train)(tiny(), [recordings], out),
            "put the recordings into one folder",
        ),
        (
            lambda: unchecked(neuroduet.finetune)(run, recordings, None),
            "out is None .*the path to write to",
        ),
        (
            lambda: unchecked(neuroduet.finetune)(model, recordings, out),
            f"a run folder, which is {run}",
        ),
        (
            lambda: unchecked(neuroduet.evaluate)(model, recordings),
            f"a run folder, which is {run}",
        ),
        (
            lambda: unchecked(neuroduet.score_baselines)(recording),
            "data is .*write .*neuroduet.save",
        ),
        (lambda: unchecked(neuroduet.score_baselines)(recordings, config=3), "config is 3"),
        (
            lambda: unchecked(neuroduet.cross_validate)({"a": 3}, recordings, out, folds=2),
            "config is 3",
        ),
        (
            lambda: unchecked(neuroduet.evaluate)(run, recordings, tasks="decodng"),
            "unknown task 'decodng'",
        ),
        (lambda: neuroduet.train(tiny(), recordings, out, []), nobody),
        (lambda: neuroduet.finetune(run, recordings, out, []), nobody),
        (lambda: neuroduet.evaluate(run, recordings, []), nobody),
        (lambda: neuroduet.evaluate(run, recordings, tasks=[]), nobody),
        (lambda: neuroduet.score_baselines(recordings, sessions=""), "tasks is \\[''\\]; give"),
        (
            lambda: unchecked(neuroduet.evaluate)(run, recordings, "mouse3"),
            "not seen session 'mouse3'",
        ),
    ):
        with pytest.raises(UserError, match=said):
            call()
    assert not out.exists()
    with pytest.raises(UserError, match="run is"):
        path_of(3, "run")


def test_one_task_and_one_session_are_scored_by_their_names(run: Path, recordings: Path) -> None:
    table = neuroduet.evaluate(run, recordings, "mouse1", "decoding", out=run / "one.csv")
    assert set(table.task) == {"decoding"}


def test_a_strategy_is_the_setting_of_that_name(run: Path, recordings: Path, tmp_path) -> None:
    given = {"sessions": "mouse2", "settings": {"training.max_steps": 1}}
    one = neuroduet.finetune(run, recordings, tmp_path / "one", **given, strategy="probe")
    two = neuroduet.finetune(
        run, recordings, tmp_path / "two", "mouse2", [*ONE_STEP, "training.finetune=probe"]
    )
    assert load_config(one / "config.yaml").training.finetune == "probe"
    assert same(model_weights(one), model_weights(two))
    with pytest.raises(UserError, match="unknown strategy 'freeze'"):
        unchecked(neuroduet.finetune)(run, recordings, tmp_path / "three", strategy="freeze")


def test_models_and_sessions_are_shown_in_a_line(run: Path, recordings: Path) -> None:
    model = load_run(run)
    assert repr(model) == f"<TrainedModel duet: mouse1, from {run}>"
    (session,) = open_sessions(recordings, tiny().data, ["mouse1"])
    shown = f"<Session mouse1: 6 units, 20 windows, speed, from {session.path}>"
    assert repr(session) == shown
    ensemble = Ensemble("duet", [model])
    ensemble.sessions = list(model.sessions) * 5
    assert repr(ensemble) == "<Ensemble duet: mouse1, mouse1, mouse1 and 2 more>"
    assert isinstance(model, TrainedModel)


@pytest.fixture
def heard() -> Iterator[None]:
    """Interrupts arrive, also where tests run in the background of a shell that silences them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_an_interrupt_stays_one_and_the_next_one_is_heard(
    recordings: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(progress, used, scores) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    config = tiny("training.max_steps=4", "training.validate_every=2")
    whole = neuroduet.train(config, recordings, tmp_path / "whole")
    with caplog.at_level(logging.WARNING, "neuroduet"), pytest.raises(KeyboardInterrupt):
        neuroduet.train(config, recordings, tmp_path / "run", report=interrupt)
    said = caplog.records[-1].getMessage()
    assert said.startswith("stopped at step 2; the same call with resume=True (--resume) goes on")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = neuroduet.train(config, recordings, tmp_path / "run", resume=True)
    assert same(model_weights(again), model_weights(whole))


def test_what_was_registered_by_assignment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Translator):
        pass

    def mine(batch, draw):
        return SCHEMES["neuron"](batch, draw)

    for preset in PRESETS.values():
        assert only_here(preset()) == []
    monkeypatch.setitem(MODELS, "mine", Mine)
    monkeypatch.setitem(SCHEMES, "own", mine)
    config = tiny("model.name=mine", "masking.schemes={own: 1, neuron: 1}")
    assert only_here(config) == ["model 'mine'", "masking scheme 'own'"]
    assert only_here(tiny("masking.schemes={own: 0, neuron: 1}")) == []
    plan = Search(
        config=config, space={}, trials=1, seed=0, data=Path("data"), out=Path("out"),
    )  # fmt: skip
    with pytest.raises(UserError, match="model 'mine' is known to this process alone, but trials"):
        check_plan(plan)


def test_what_others_would_not_know_prepares_no_steps_in_them(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCHEMES, "own", lambda batch, draw: SCHEMES["neuron"](batch, draw))
    config = tiny("masking.schemes={own: 1}", "training.workers=1", *ONE_STEP)
    with pytest.raises(UserError, match="training.workers=1 prepares the steps in others"):
        neuroduet.train(config, recordings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_says_what_must_be_imported_first(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(Translator):
        pass

    with monkeypatch.context() as patch:
        patch.setitem(MODELS, "mine", Mine)
        patch.setitem(SCHEMES, "own", lambda batch, draw: SCHEMES["neuron"](batch, draw))
        modelled = neuroduet.train(
            tiny("model.name=mine", *ONE_STEP), recordings, tmp_path / "modelled"
        )
        masked = neuroduet.train(
            tiny("masking.schemes={own: 1}", *ONE_STEP), recordings, tmp_path / "masked"
        )
    with pytest.raises(UserError, match="unknown model 'mine'.*import the module that registers"):
        load_run(modelled)
    load_run(masked)  # to predict, schemes are not needed
    with pytest.raises(UserError, match="unknown masking scheme 'own'.*import the module"):
        neuroduet.finetune(masked, recordings, tmp_path / "out")


def test_an_ensemble_of_which_nothing_was_trained_leaves_nothing(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(jobs, report, known_here) -> None:
        raise UserError("no process can be started")

    monkeypatch.setattr("neuroduet.training.fit.run_jobs", broken)
    with pytest.raises(UserError, match="no process"):
        neuroduet.train(tiny("training.members=2"), recordings, tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


def test_a_configuration_is_given_as_an_object_too() -> None:
    assert as_config(Config()) == Config()
