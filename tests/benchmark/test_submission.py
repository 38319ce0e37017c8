"""Submissions: valid ones are read back, damaged ones are refused in one sentence."""

from __future__ import annotations

import zipfile

import pytest
import safetensors.torch
import torch

from neuroduet.benchmark.submission import Entry, read_submission, write_submission
from neuroduet.data.brainwide import REGIONS
from neuroduet.errors import UserError


def wheel(n=4, seed=43, recording="r1", **changes):
    """Predictions of a behaviour with values in every bin."""
    tensors = {
        "predictions": torch.arange(n * 50.0).reshape(n, 50, 1),
        "trial_id": torch.arange(n),
        "timestamps": torch.zeros(n, 50),
    } | changes
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    return Entry(task="ts1-wheel_speed", recording=recording, seed=seed, tensors=kept, notes={})


def choice(**changes):
    """Predicted classes."""
    tensors = {"predictions": torch.zeros(4, 1, 2), "trial_id": torch.arange(4)} | changes
    return Entry(task="ts1-choice", recording="r1", seed=43, tensors=tensors, notes={})


def activity(task="forecasting", **changes):
    """Predicted activity."""
    bins = 5 if task == "forecasting" else 50
    tensors = {
        "predictions": torch.zeros(3, bins, 7, dtype=torch.float16),
        "window_timestamps": torch.arange(3, dtype=torch.float64),
    } | changes
    return Entry(task=f"ts2-{task}", recording="r1", seed=43, tensors=tensors, notes={})


NAMES = ",".join(REGIONS)


def regions(names=NAMES, **changes):
    """Predicted regions."""
    tensors = {
        "pred_proba": torch.full((2, 10), 0.1),
        "entity_ids": torch.tensor([[97, 98], [99, 0]], dtype=torch.uint8),
    } | changes
    return Entry(
        task="ts3-unit_cosmos",
        recording="",
        seed=43,
        tensors=tensors,
        notes={"label_names": names},
    )


def test_what_was_written_is_read_back(tmp_path):
    path = tmp_path / "mine.zip"
    given = [wheel(), wheel(seed=44), wheel(recording="r2"), choice(), activity(), regions()]
    write_submission(path, "mine", given)
    found = list(read_submission(path))
    assert {label for label, _ in found} == {"mine"}
    for one, (_, other) in zip(given, found, strict=True):
        assert one.place == other.place
        for name, tensor in one.tensors.items():
            assert torch.equal(tensor, other.tensors[name])
            assert tensor.dtype == other.tensors[name].dtype


def test_files_lie_where_the_benchmark_looks_and_say_what_they_are(tmp_path):
    path = tmp_path / "mine.zip"
    write_submission(path, "mine", [wheel(), regions()])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "mine/ts1-wheel_speed/r1/seed_43.safetensors",
            "mine/ts3-unit_cosmos/seed_43.safetensors",
        ]
        archive.extractall(tmp_path)
    file = tmp_path / "mine/ts1-wheel_speed/r1/seed_43.safetensors"
    with safetensors.safe_open(file, framework="pt") as opened:
        assert opened.metadata() == {
            "label": "mine",
            "task": "ts1-wheel_speed",
            "recording_id": "r1",
            "seed": "43",
            "ibl_bwb_eval_version": "0.1.0",
        }


def test_equal_predictions_make_equal_files(tmp_path):
    for name in ("a", "b"):
        write_submission(tmp_path / f"{name}.zip", "mine", [wheel(), choice()])
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


NAN = torch.full((4, 50, 1), float("nan"))
DAMAGED = {
    "missing tensor": (wheel(trial_id=None), "no tensor trial_id"),
    "no predictions": (wheel(predictions=None), "no tensor predictions"),
    "fewer bins": (wheel(predictions=torch.zeros(4, 49, 1)), r"expected \(any, 50, 1\)"),
    "no last axis": (wheel(predictions=torch.zeros(4, 50)), r"shape \(4, 50\)"),
    "diverged": (wheel(predictions=NAN), "not finite"),
    "infinite": (wheel(predictions=NAN.fill_(float("inf")).clone()), "not finite"),
    "rows": (wheel(trial_id=torch.arange(3)), "4 rows and trial_id 3"),
    "no rows": (wheel(n=0), "0 rows"),
    "type of trials": (wheel(trial_id=torch.arange(4.0)), "trial_id is of type torch.float32"),
    "duplicates": (wheel(trial_id=torch.zeros(4, dtype=torch.int64)), "holds duplicates"),
    "integers": (wheel(predictions=torch.ones(4, 50, 1, dtype=torch.int64)), "finite numbers"),
    "classes": (choice(predictions=torch.zeros(4, 1, 3)), r"expected \(any, 1, 2\)"),
    "bins ahead": (activity(predictions=torch.zeros(3, 50, 7)), r"expected \(any, 5, any\)"),
    "single precision": (activity(window_timestamps=torch.arange(3.0)), "type torch.float32"),
    "regions": (regions(pred_proba=torch.zeros(2, 9)), r"expected \(any, 10\)"),
    "names of regions": (regions(names="CB,TH"), "label_names is 'CB,TH'"),
    "units": (regions(entity_ids=torch.tensor([97, 98])), "type torch.int64"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_an_invalid_prediction_is_refused_and_nothing_is_written(tmp_path, damage):
    entry, words = DAMAGED[damage]
    with pytest.raises(UserError, match=words):
        write_submission(tmp_path / "mine.zip", "mine", [wheel(recording="r9"), entry])
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_submission_survives_a_failed_one(tmp_path):
    path = tmp_path / "mine.zip"
    write_submission(path, "mine", [wheel()])
    before = path.read_bytes()
    with pytest.raises(UserError):
        write_submission(path, "mine", [wheel(), wheel(trial_id=None, recording="r2")])
    assert path.read_bytes() == before


def test_the_same_place_twice_nothing_at_all_and_odd_names_are_refused(tmp_path):
    path = tmp_path / "mine.zip"
    with pytest.raises(UserError, match="two runs of seed 43"):
        write_submission(path, "mine", [wheel(), wheel()])
    with pytest.raises(UserError, match="nothing to submit"):
        write_submission(path, "mine", [])
    for label in ("", "../up", "a b", "a/b"):
        with pytest.raises(UserError, match="cannot name a submission"):
            write_submission(path, label, [wheel()])
    with pytest.raises(UserError, match="name it"):
        write_submission(tmp_path / "mine.tar", "mine", [wheel()])
    with pytest.raises(UserError, match="create it first"):
        write_submission(tmp_path / "no" / "mine.zip", "mine", [wheel()])
    assert list(tmp_path.iterdir()) == []


def _rewrite(path, content, name="mine/ts1-wheel_speed/r1/seed_43.safetensors"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)


def _packed(**notes):
    said = {"label": "mine", "task": "ts1-wheel_speed", "seed": "43", "recording_id": "r1"} | notes
    kept = {key: value for key, value in said.items() if value is not None}
    return safetensors.torch.save(wheel().tensors, metadata=kept)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a readable safetensors"),
        (b"12345678901234567890", "not a readable safetensors"),
        (_packed()[:-100], "not a readable safetensors"),
        (_packed(label=None), "does not say its label"),
        (_packed(task=None, seed=None), "does not say its task, seed"),
        (_packed(recording_id=None), "does not say its recording_id"),
        (_packed(seed="first"), "seed is 'first'"),
        (_packed(task="ts1-wheel"), "'ts1-wheel' is no task"),
        (_packed(task="ts1-choice"), r"expected \(any, 1, 2\)"),
    ],
)
def test_a_damaged_file_in_a_submission_is_named(tmp_path, content, words):
    path = tmp_path / "mine.zip"
    _rewrite(path, content)
    with pytest.raises(UserError, match=words) as error:
        list(read_submission(path))
    assert "mine.zip: mine/ts1-wheel_speed/r1/seed_43.safetensors" in str(error.value)


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "without files"])
def test_a_file_that_is_no_submission_is_refused(tmp_path, damage):
    path = tmp_path / "mine.zip"
    _rewrite(path, _packed())
    whole = path.read_bytes()
    path.unlink()
    if damage == "without files":
        zipfile.ZipFile(path, "w").close()
    elif damage != "missing":
        text = {"empty": b"", "text": b"hello", "truncated": whole[: len(whole) // 2]}[damage]
        path.write_bytes(text)
    with pytest.raises(UserError, match="mine.zip"):
        list(read_submission(path))
