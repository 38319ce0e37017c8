"""What functions show of their progress when they are called from Python."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import neuroduet
from neuroduet.actions import Segmenter
from neuroduet.config import Config, override
from neuroduet.terminal import counted, question_progress, training_progress

FROZEN = Path(__file__).parent / "frozen" / "v1"
DATA = FROZEN / "recording.h5"
BRIEF = ["training.max_steps=2", "training.validate_every=1", "model.layers=1"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuroduet.terminal.APPEARS_AFTER_S", 0.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verbose") / "run"
    shutil.copytree(FROZEN / "ensemble" / "members" / "00", folder)
    return folder


def train(run: Path, out: Path, **given: Any) -> Any:
    return neuroduet.train(override(Config(), BRIEF), DATA, out / "new", **given)


def finetune(run: Path, out: Path, **given: Any) -> Any:
    settings = ["training.max_steps=2", "training.validate_every=1"]
    return neuroduet.finetune(run, DATA, out / "new", None, settings, **given)


def evaluate(run: Path, out: Path, **given: Any) -> Any:
    return neuroduet.evaluate(
        run, DATA, tasks=["encoding", "co_smoothing"], out=out / "scores.csv", **given
    )


def score_baselines(run: Path, out: Path, **given: Any) -> Any:
    return neuroduet.score_baselines(DATA, **given)


def predict(run: Path, out: Path, **given: Any) -> Any:
    return neuroduet.predict(run, DATA, out, **given)


CALLS = {
    train: "100%  step 2: mean validation score ",
    finetune: "100%  step 2: mean validation score ",
    evaluate: "co_smoothing",
    score_baselines: ": scoring",
    predict: "100%  1 of 1 recordings",
}
"""A call of each function that may take long, and what it shows where no terminal is."""


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_function_shows_how_far_it_is_if_it_is_asked_to(
    call: Callable[..., Any], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(run, tmp_path / "silent")
    assert capsys.readouterr() == ("", "")
    call(run, tmp_path / "shown", verbose=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert CALLS[call] in shown.err
    concluded = shown.err.splitlines()[-1].startswith("trained duet on 1 session, best mean vali")
    assert concluded == (call in (train, finetune))
    assert "\x1b" not in shown.err


def test_whoever_is_told_is_told_instead_of_the_user(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int, float]] = []
    predict(run, tmp_path, report=lambda *step: told.append(step), verbose=True)
    assert [step[:2] for step in told] == [(1, 1)]
    assert capsys.readouterr().err == ""


def test_nobody_is_told_where_nobody_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress(verbose=False) as report:
        report(None, 1.0, {})
    with question_progress(verbose=False) as ask:
        ask("units", 1, 1)
    with counted("steps", verbose=False) as count:
        count(1, 1, 0.5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [neuroduet.Decoder, neuroduet.Encoder])
def test_an_estimator_shows_fitting_and_its_copy_does_so_too(
    kind: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    counts, speed = generator.poisson(1.0, (12, 10, 4)), generator.normal(size=(12, 10))
    pair = (counts, speed) if kind is neuroduet.Decoder else (speed, counts)
    settings = {"training.max_steps": 2, "training.validate_every": 1, "model.layers": 1}
    quiet = kind(settings=settings)
    quiet.fit(*pair)
    assert capsys.readouterr().err == ""
    copy = clone(quiet.set_params(verbose=True))
    assert copy.get_params()["verbose"] is True
    copy.fit(*pair)
    assert "step 2: mean validation score" in capsys.readouterr().err


def test_a_segmenter_shows_fitting_unless_somebody_else_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    x = np.random.default_rng(0).normal(size=(80, 3))
    labels = (x[:, 0] > 0) * 1
    told: list[int] = []
    quiet = Segmenter("tcn", steps=20)
    quiet.fit([x], [labels])
    shown = clone(quiet.set_params(verbose=True))
    shown.fit([x], [labels], report=lambda done, total, value: told.append(done))
    assert capsys.readouterr() == ("", "")
    assert told[-1] == 20
    shown.fit([x], [labels])
    said = capsys.readouterr()
    assert said.out == ""
    assert "100%  20 of 20 steps (" in said.err
