"""Files of older versions: they open, and predict what they predicted when they were written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuroduet.actions import Segmenter
from neuroduet.actions import saved as segmenter_files
from neuroduet.config import Config
from neuroduet.data.recording import check, load
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.masking import hide, to_masks
from neuroduet.migration import upgraded
from neuroduet.tasks.run import evaluate
from neuroduet.training import description
from neuroduet.training.runs import Ensemble, TrainedModel, load_run
from neuroduet.types import NEURAL

FROZEN = Path(__file__).parent / "frozen" / "v1"
RUNS = {"ensemble": FROZEN / "ensemble", "run": FROZEN / "ensemble" / "members" / "00"}
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def predicted() -> dict[str, np.ndarray]:
    with np.load(FROZEN / "predicted.npz", allow_pickle=False) as file:
        return dict(file)


def answers(model: TrainedModel | Ensemble) -> dict[str, np.ndarray]:
    """Activity from behaviour and behaviour from activity, of the test windows."""
    (session,) = open_sessions(FROZEN / "recording.h5", model.config.data)
    batch = session.batch(session.indices("test"))
    names = dict.fromkeys(("speed", "side"), True)
    activity = model.predict(batch, to_masks(batch, hide(batch, {NEURAL: True})), "encoding")
    behaviour = model.predict(batch, to_masks(batch, hide(batch, names)), "decoding")
    return {"activity": activity.activity.numpy()} | {
        name: values.numpy() for name, values in behaviour.behaviours.items()
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the frozen run to rewrite."""
    return Path(shutil.copytree(RUNS["run"], tmp_path / "run"))


def rewrite(path: Path, **changes: object) -> dict[str, object]:
    said = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(said))
    return said


def test_the_frozen_files_are_small() -> None:
    files = [path for path in FROZEN.parent.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert sum(path.stat().st_size for path in files) < 200_000


@pytest.mark.parametrize("name", RUNS)
def test_a_frozen_run_predicts_the_frozen_numbers(
    name: str, predicted: dict[str, np.ndarray]
) -> None:
    model = load_run(RUNS[name])
    assert isinstance(model, Ensemble) == (name == "ensemble")
    found = answers(model)
    wanted = {k: x for k, x in predicted.items() if k.startswith(f"{name}.")}
    assert {f"{name}.{key}" for key in found} == set(wanted)
    for key, values in found.items():
        np.testing.assert_allclose(values, wanted[f"{name}.{key}"], atol=TOLERANCE, rtol=0)
        assert values.std() > 100 * TOLERANCE  # a constant would say little


@pytest.mark.parametrize("name", ["tcn", "s3lds"])
def test_a_frozen_segmenter_predicts_the_frozen_numbers(
    name: str, predicted: dict[str, np.ndarray]
) -> None:
    segmenter = Segmenter.from_pretrained(FROZEN / name)
    assert segmenter.class_names == ("left", "right")
    (found,) = segmenter.predict_proba([predicted["features"]])
    np.testing.assert_allclose(found, predicted[name], atol=TOLERANCE, rtol=0)
    assert found.std() > 100 * TOLERANCE


def test_a_frozen_recording_holds_what_it_held() -> None:
    with load(FROZEN / "recording.h5") as recording:
        check(recording)
    (session,) = open_sessions(FROZEN / "recording.h5", Config().data)
    assert (session.info.id, session.info.subject) == ("frozen", "mouse")
    assert session.info.regions == ("CA1", "CA1", "DG", "DG")
    assert [len(session.indices(name)) for name in ("train", "valid", "test")] == [12, 4, 4]
    assert {b.name: (b.kind, b.per) for b in session.info.behaviours} == {
        "speed": ("continuous", "bin"),
        "side": ("categorical", "trial"),
    }


def test_frozen_scores_are_found_again(tmp_path: Path) -> None:
    frozen = pd.read_csv(FROZEN / "scores.csv")
    # Since then, conditions of fewer than five trials have no average to be held against.
    frozen = frozen[frozen["metric"] != "psth_r2"].reset_index(drop=True)
    data, out = FROZEN / "recording.h5", tmp_path / "scores.csv"
    found = evaluate(RUNS["ensemble"], data, tasks=["encoding", "decoding"], out=out)
    pd.testing.assert_frame_equal(
        found[frozen.columns], frozen, atol=TOLERANCE, rtol=0, check_dtype=False
    )


def test_an_older_run_migrates_and_predicts_the_same(
    run: Path, predicted: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run / "model" / "config.json"
    said = rewrite(path, schema=0)
    said["animals"] = said.pop("sessions")
    path.write_text(json.dumps(said))
    with pytest.raises(UserError, match="layout version 0, this program reads 1"):
        load_run(run)

    def rename(old: dict[str, object]) -> dict[str, object]:
        return {key: x for key, x in old.items() if key != "animals"} | {
            "sessions": old["animals"]
        }

    monkeypatch.setitem(description.MIGRATIONS, 0, rename)
    found = answers(load_run(run))
    for key, values in found.items():
        np.testing.assert_allclose(values, predicted[f"run.{key}"], atol=TOLERANCE, rtol=0)
    assert json.loads(path.read_text()) == said  # reading changes no file


def test_an_older_segmenter_migrates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(FROZEN / "tcn", tmp_path / "tcn"))
    rewrite(folder / "segmenter.json", schema=0, classes=["one", "two"])
    with pytest.raises(UserError, match="layout version 0"):
        Segmenter.from_pretrained(folder)
    monkeypatch.setitem(
        segmenter_files.MIGRATIONS, 0, lambda old: old | {"classes": ["left", "right"]}
    )
    assert Segmenter.from_pretrained(folder).class_names == ("left", "right")


@pytest.mark.parametrize("schema", [2, 99, True, "1", None, 1.0])
def test_another_version_is_refused_in_one_sentence(schema: object, run: Path) -> None:
    rewrite(run / "model" / "config.json", schema=schema)
    with pytest.raises(UserError, match=f"layout version {schema}, this program reads 1") as said:
        load_run(run)
    assert len(str(said.value).splitlines()) == 1
    assert "install the version that wrote it" in str(said.value)


def test_steps_are_taken_one_after_the_other_and_leave_the_old_as_it_is() -> None:
    steps = {
        0: lambda old: {"letters": old["letters"] + "a"},
        1: lambda old: {"letters": old["letters"] + "b"},
        2: lambda old: {"letters": old["letters"] + "c"},
    }
    old = {"schema": 1, "letters": ""}
    assert upgraded(old, 3, steps, "x") == {"schema": 3, "letters": "bc"}
    assert old == {"schema": 1, "letters": ""}
    with pytest.raises(UserError, match="layout version -1"):
        upgraded({"schema": -1}, 3, steps, "x")
