"""Estimators that were saved answer as before, and their cards say what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroduet
from neuroduet import cli
from neuroduet.actions import Segmenter
from neuroduet.errors import UserError
from neuroduet.estimators import Decoder, Encoder
from neuroduet.estimators.readouts import described, restored, tensors
from neuroduet.training.hub import opened
from neuroduet.training.runs import load_run

RNG = np.random.default_rng(4)
VELOCITY = RNG.normal(size=(24, 8, 2))
SIDE = np.where(VELOCITY[:, -1, 0] > 0, "right", "left")
COUNTS = RNG.poisson(np.exp(VELOCITY @ RNG.normal(size=(2, 6))))
BRIEF = {
    "model.width": np.int64(16),
    "model.layers": 1,
    "model.heads": 2,
    "model.feed_forward": 16,
    "training.max_steps": 2,
    "training.validate_every": 1,
    "training.device": "cpu",
}
BOTH = {"velocity": VELOCITY, "side": SIDE}


def decoder(preset: str = "duet", **given: object) -> Decoder:
    return Decoder(preset, bin_size_s=0.05, settings=BRIEF, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fitted() -> Decoder:
    return decoder().fit(COUNTS, BOTH)


@pytest.fixture(scope="module")
def saved(fitted: Decoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save_pretrained(tmp_path_factory.mktemp("saved") / "model", licence="mit")


def section(folder: Path, name: str) -> str:
    card = (folder / "README.md").read_text("utf-8")
    return card.partition(f"## {name}\n")[2].partition("\n## ")[0]


def test_a_saved_decoder_gives_the_same_numbers(fitted: Decoder, saved: Path) -> None:
    again = Decoder.from_pretrained(saved)
    assert again.get_params() == fitted.get_params()
    for method in ("predict", "predict_proba"):
        expected, found = getattr(fitted, method)(COUNTS), getattr(again, method)(COUNTS)
        assert expected.keys() == found.keys()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])
    assert again.scores(COUNTS, BOTH) == fitted.scores(COUNTS, BOTH)
    np.testing.assert_array_equal(again.split_, fitted.split_)
    np.testing.assert_array_equal(again.classes_["side"], fitted.classes_["side"])
    assert np.isfinite(again.fit(COUNTS, VELOCITY).score(COUNTS, VELOCITY))


def test_a_saved_encoder_gives_the_same_numbers(tmp_path: Path) -> None:
    encoder = Encoder(bin_size_s=0.05, settings=BRIEF).fit(BOTH, COUNTS)
    folder = neuroduet.save_pretrained(encoder, tmp_path / "model")
    again = Encoder.from_pretrained(folder)
    np.testing.assert_array_equal(again.predict(BOTH), encoder.predict(BOTH))
    assert "neuroduet.Encoder.from_pretrained" in section(folder, "How to load")


def one_after_the_other(jobs: Any, **given: Any) -> None:
    for function, arguments in jobs:
        function(*arguments)


@pytest.mark.parametrize(("preset", "members"), [("mtm", 1), ("mtm", 2), ("duet", 2)])
def test_read_outs_and_members_are_kept(
    preset: str, members: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuroduet.training.fit.run_jobs", one_after_the_other)
    settings = BRIEF | {"training.members": members}
    model = Decoder(preset, bin_size_s=0.05, settings=settings).fit(COUNTS, VELOCITY[..., 0])
    model.save_pretrained(tmp_path / "model")
    # By way of a folder, as the command shares one, and by way of what was opened.
    neuroduet.save_pretrained(tmp_path / "model", tmp_path / "second")
    Decoder.from_pretrained(tmp_path / "second").save_pretrained(tmp_path / "third")
    for name in ("model", "second", "third"):
        found = Decoder.from_pretrained(tmp_path / name)
        np.testing.assert_array_equal(found.predict(COUNTS), model.predict(COUNTS))
        rows = [
            row
            for row in section(tmp_path / name, "Training").splitlines()
            if row.endswith("| 32 |")
        ]
        assert [row.split(" | ")[1] for row in rows] == ["2"] * members


def test_the_card_says_how_the_trials_were_divided_and_what_training_cost(saved: Path) -> None:
    said = " ".join(section(saved, "Data").split())
    assert "| counts | 6 | 24 | 8 bins of 50 ms |" in said
    assert "22 trials trained the model, and 2, drawn at random (seed 0), chose" in said
    assert "none was kept to test it" in said
    assert "%" not in said
    assert "subject" not in said
    (row,) = [row for row in section(saved, "Training").splitlines() if row.endswith("| 32 |")]
    seed, steps, minutes = row.strip("| ").split(" | ")[:3]
    assert (seed, steps) == ("0", "2")
    assert float(minutes) >= 0
    assert "behaviour by name" in " ".join(section(saved, "How to load").split())
    assert "finetun" not in (saved / "README.md").read_text("utf-8")
    assert "license: mit" in (saved / "README.md").read_text("utf-8")


def test_a_card_without_validation_trials_speaks_of_none(tmp_path: Path) -> None:
    model = decoder(validation_fraction=0.0).fit(COUNTS, VELOCITY)
    folder = model.save_pretrained(tmp_path / "model")
    said = section(folder, "Data")
    assert "24 trials trained the model; none was kept" in said
    assert "behaviour as one array" in section(folder, "How to load")


def test_nothing_of_the_machine_is_saved(saved: Path) -> None:
    text = "".join(p.read_text("utf-8") for p in saved.rglob("*") if p.suffix == ".json")
    assert "platform" not in text
    assert "tmp" not in text


def test_the_folder_is_a_run_too(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_run(saved).sessions[0].units
    assert cli.main(["info", str(saved), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["preset"] == "duet"


def test_whoever_opens_it_by_another_name_is_told_the_right_one(
    saved: Path, tmp_path: Path
) -> None:
    x = RNG.normal(size=(80, 3))
    segmenter = Segmenter("random_forest", trees=2).fit([x], [(x[:, 0] > 0) * 1])
    mine = neuroduet.save_pretrained(segmenter, tmp_path / "segmenter", licence="mit")
    again = neuroduet.save_pretrained(mine, tmp_path / "again")
    found = Segmenter.from_pretrained(again)
    np.testing.assert_array_equal(found.predict([x])[0], segmenter.predict([x])[0])
    run = neuroduet.save_pretrained(Decoder.from_pretrained(saved).model_, tmp_path / "run")
    wrong = [
        (lambda: neuroduet.from_pretrained(saved), "open it with neuroduet.Decoder.from_pret"),
        (lambda: neuroduet.from_pretrained(mine), "open it with neuroduet.Segmenter.from_pret"),
        (lambda: Encoder.from_pretrained(saved), "open it with neuroduet.Decoder.from_pret"),
        (lambda: Decoder.from_pretrained(mine), "open it with neuroduet.Segmenter.from_pret"),
        (lambda: Decoder.from_pretrained(run), "open it with neuroduet.from_pretrained"),
        (lambda: Decoder.from_pretrained(tmp_path / "none"), "there is no folder"),
        (lambda: opened(COUNTS), "found a ndarray to share"),
        (lambda: decoder().save_pretrained(tmp_path / "x"), "not fitted"),
        (lambda: neuroduet.save_pretrained(decoder(), tmp_path / "x"), "not fitted"),
        (lambda: Decoder.from_pretrained(saved).save_pretrained(saved), "already holds files"),
    ]
    for act, said in wrong:
        with pytest.raises(UserError, match=said) as caught:
            act()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 9}, "layout version 9"),
        ({"single": "yes"}, "does not say what it should of single"),
        ({"split": [["train"]]}, "does not say what it should of split"),
        ({"params": {"presett": "duet"}}, "is damaged"),
        ({"readouts": [{"behaviour": "velocity"}]}, "no weights at"),
    ],
)
def test_a_damaged_description_is_one_sentence(
    change: dict, said: str, fitted: Decoder, tmp_path: Path
) -> None:
    folder = fitted.save_pretrained(tmp_path / "model")
    path = folder / "estimator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=said) as caught:
        Decoder.from_pretrained(folder)
    assert "\n" not in str(caught.value)
    path.write_text("{")
    with pytest.raises(UserError, match="estimator.json is damaged"):
        Decoder.from_pretrained(folder)


def test_read_outs_whose_numbers_do_not_fit_are_refused() -> None:
    model = decoder("mtm").fit(COUNTS, BOTH)
    kept = model._fitted.readouts
    assert set(kept) == set(BOTH)
    said, held = json.loads(json.dumps(described(kept))), tensors(kept)
    again = restored(said, held)
    assert [one.lags for one in again.values()] == [one.lags for one in kept.values()]
    assert [one.shape for one in again.values()] == [one.shape for one in kept.values()]
    for name, broken in (
        ("0.weights", held["0.weights"][:-1]),
        ("0.offset", held["0.offset"][:, None]),
        ("1.scale", held["1.scale"][:-1]),
    ):
        with pytest.raises(UserError, match="do not fit each other"):
            restored(said, held | {name: broken})
    with pytest.raises(UserError, match="lacks numbers"):
        restored(said, {name: x for name, x in held.items() if name != "1.centre"})
