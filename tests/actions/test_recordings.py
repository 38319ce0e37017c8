from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    RegularTimeSeries,
    SessionDescription,
)

from neuroduet.config import DataConfig
from neuroduet.data.action_files import (
    ActionRecording,
    Answer,
    common_labels,
    open_action_recordings,
    write_answer,
)
from neuroduet.data.actions import (
    read_frames,
    read_labels,
    read_pose,
    with_actions,
    write_actions,
)
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import describe, load, save
from neuroduet.data.schema import check, describe_behaviours, find_problems
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError

T, KEYPOINTS = 50, 3
NAMES = ("rest", "groom", "run")


def pose_group(**changes):
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(T, KEYPOINTS, 2))
    xy[3, 1] = np.nan
    columns = {"xy": xy, "likelihood": rng.uniform(size=(T, KEYPOINTS)), **changes}
    return IrregularTimeSeries(timestamps=np.arange(T) / 25, **columns)


def label_group(classes=None):
    said = np.arange(T) % 4 - 1 if classes is None else classes
    return IrregularTimeSeries(timestamps=np.arange(len(said)) / 25, classes=said)


def film(session="film", **changes):
    """A recording without neural activity."""
    members = {
        "pose": pose_group(),
        "labels": label_group(),
        "label_classes": ArrayDict(name=np.array(NAMES)),
        "keypoints": ArrayDict(name=np.array(["nose", "body", "tail"])),
        **changes,
    }
    kept = {name: value for name, value in members.items() if value is not None}
    return Data(domain=Interval(0.0, T / 25), session=SessionDescription(id=session), **kept)


def ephys(behaviours=None):
    """A recording of spike counts in bins of a tenth of a second."""
    counts = np.random.default_rng(1).poisson(1.0, (20, 10, 4))
    return from_arrays(
        session_id="ephys", counts=counts, bin_size_s=0.1, behaviours=behaviours or {}
    )


def said(n, classes=3, seed=0):
    """Classes and probabilities of ``n`` frames."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), n)
    return probabilities.argmax(1), probabilities


def test_a_recording_of_pose_alone_is_a_recording(tmp_path):
    save(film(), tmp_path / "film.h5")
    summary = describe(tmp_path / "film.h5")
    assert (summary["neural"], summary["units"], summary["problems"]) == (None, 0, [])
    assert summary["duration_s"] == pytest.approx(T / 25)
    assert summary["frames"] == [
        {"name": "pose", "shape": (T, KEYPOINTS, 2), "classes": ()},
        {"name": "labels", "shape": (T,), "classes": NAMES},
    ]


def test_features_alone_are_a_recording_and_labels_alone_are_none():
    features = IrregularTimeSeries(timestamps=np.arange(5.0), values=np.ones((5, 2)))
    assert find_problems(film(pose=None, keypoints=None, labels=None, features=features)) == []
    assert "none of the neural groups" in find_problems(film(pose=None, keypoints=None))[0]


def test_a_recording_without_activity_is_not_modelled(tmp_path):
    save(film(), tmp_path / "film.h5")
    with pytest.raises(UserError, match="holds no neural activity"):
        open_sessions(tmp_path, DataConfig())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pose": pose_group(xy=np.ones((T, 2)))}, r"pose.xy has shape \(50, 2\)"),
        ({"pose": pose_group(likelihood=np.ones((T, 2)))}, r"expected \(50, 3\)"),
        ({"keypoints": ArrayDict(name=np.array(["nose"]))}, "pose.xy has 3 keypoints"),
        ({"pose": IrregularTimeSeries(timestamps=np.array([0, np.inf]), xy=np.ones((2, 1, 2))),
          "keypoints": None}, "pose.timestamps holds values that are not finite"),
        ({"labels": label_group(np.array([0.0, 1.0]))}, "labels.classes is 1-D of type float64"),
        ({"labels": label_group(np.array([0, -2]))}, "labels.classes holds -2"),
        ({"labels": label_group(np.array([0, 3]))}, "goes up to 3, but label_classes.name has 3"),
        ({"label_classes": ArrayDict(name=np.array(["a", "a", "b"]))}, "empty or equal names"),
        ({"features": IrregularTimeSeries(timestamps=np.arange(2.0), values=np.ones((2, 2, 2)))},
         "features.values has shape"),
        ({"actions": IrregularTimeSeries(timestamps=np.arange(2.0), classes=np.array([0, 1]),
                                         probabilities=np.ones((2, 3))),
          "action_classes": ArrayDict(name=np.array(["a", "b"]))}, "one column per class"),
    ],
)  # fmt: skip
def test_each_problem_of_frames_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        check(film(**changes))


def test_a_group_that_only_shares_the_name_is_not_judged():
    other = IrregularTimeSeries(timestamps=np.arange(2.0), angle=np.ones(2))
    recording = ephys()
    recording.pose = recording.labels = recording.actions = other
    assert find_problems(recording) == []


def test_pose_is_read_with_its_likelihood_and_gaps():
    recording = film()
    pose = read_pose(recording)
    assert pose.shape == (T, KEYPOINTS, 3)
    np.testing.assert_array_equal(pose[..., :2], recording.pose.xy)
    np.testing.assert_array_equal(pose[..., 2], recording.pose.likelihood)
    without = film(pose=IrregularTimeSeries(timestamps=np.arange(T) / 25, xy=recording.pose.xy))
    expected = np.ones((T, KEYPOINTS))
    expected[3, 1] = 0
    np.testing.assert_array_equal(read_pose(without)[..., 2], expected)
    assert read_frames(without)[0].shape == (T, KEYPOINTS, 2)


def test_pose_of_several_animals_keeps_its_axes():
    xy = np.arange(T * 12.0).reshape(T, 2, 3, 2)
    group = IrregularTimeSeries(
        timestamps=np.arange(T) / 25, xy=xy, likelihood=np.full((T, 2, 3), 0.5)
    )
    pose = read_pose(film(pose=group))
    np.testing.assert_array_equal(pose[..., :2], xy)
    assert (pose[..., 2] == 0.5).all()


def test_any_series_of_numbers_can_be_the_source():
    sensors = RegularTimeSeries(gyro=np.arange(T * 2.0).reshape(T, 2), sampling_rate=10.0)
    recording = film(sensors=sensors)
    values, times = read_frames(recording, "sensors.gyro")
    np.testing.assert_array_equal(values, sensors.gyro)
    np.testing.assert_allclose(times, np.arange(T) / 10)
    single = read_frames(film(one=RegularTimeSeries(x=np.arange(3), sampling_rate=1.0)), "one.x")
    assert single[0].shape == (3, 1)
    with pytest.raises(UserError, match=r"no time series sensors.acc; .*sensors.gyro"):
        read_frames(recording, "sensors.acc")
    with pytest.raises(UserError, match="no pose and no features"):
        read_frames(ephys())


def test_labels_are_those_nearest_in_time_and_unlabelled_elsewhere():
    # Labels at 10 Hz of the first second; frames at 50 Hz of two seconds.
    labels = IrregularTimeSeries(timestamps=np.arange(10) / 10, classes=np.arange(10) % 3)
    times = np.arange(100) / 50 + 0.001
    found = read_labels(film(labels=labels), times)
    assert found is not None
    nearest = abs(times[:, None] - labels.timestamps).argmin(1)
    close = abs(times - labels.timestamps[nearest]) <= 0.05
    np.testing.assert_array_equal(found[0], np.where(close, nearest % 3, -1))
    assert close.sum() == 48
    assert found[1] == NAMES
    assert read_labels(film(labels=None, label_classes=None), times) is None


def test_actions_are_written_back_and_read_as_a_behaviour(tmp_path):
    recording = ephys()
    path = tmp_path / "ephys.h5"
    save(recording, path)
    times = recording.counts.timestamps
    classes, probabilities = said(len(times))
    classes[:10] = -1
    write_actions(path, classes, probabilities, NAMES, times)
    with load(path, lazy=False) as again:
        np.testing.assert_array_equal(again.actions.classes, classes)
        np.testing.assert_allclose(again.actions.probabilities, probabilities, atol=1e-7)
        assert again.action_classes.name.tolist() == list(NAMES)
        assert again.actions.name[9] == ""
        assert again.actions.name[10] == NAMES[classes[10]]
    (session,) = open_sessions(path, DataConfig())
    (behaviour,) = session.info.behaviours
    assert (behaviour.name, behaviour.kind, behaviour.per) == ("actions", "categorical", "bin")
    assert behaviour.classes == tuple(sorted(NAMES))
    batch = session.batch(np.arange(20))
    observed = batch.observed["actions"].numpy().ravel()
    np.testing.assert_array_equal(observed, classes >= 0)
    words = np.array(behaviour.classes)[batch.behaviours["actions"].numpy().ravel()]
    np.testing.assert_array_equal(words[observed], np.array(NAMES)[classes[observed]])
    assert describe(path)["behaviours"][0]["missing"] == pytest.approx(10 / 200)


def test_writing_actions_touches_nothing_else(tmp_path):
    path = tmp_path / "film.h5"
    recording = film(wheel=IrregularTimeSeries(timestamps=np.arange(4.0), speed=np.ones(4)))
    save(recording, path)
    with h5py.File(path, "r+") as file:
        file.create_group("private")["x"] = np.arange(3)
        file["private"].attrs["note"] = "torch_brain does not know this group"
        file["private"].attrs["object"], file["private"].attrs["absolute_start"] = "Data", 0.0
        file.attrs["setting"] = 4.5

    def contents():
        found = {}
        with h5py.File(path) as file:
            found["/"] = {k: np.asarray(v).tolist() for k, v in file.attrs.items()}
            for name in file:
                if name.startswith("action"):
                    continue
                file[name].visititems(lambda key, one, name=name: found.update(
                    {f"{name}/{key}": one[()].tobytes()} if isinstance(one, h5py.Dataset) else {}
                ))  # fmt: skip
                found[name] = {k: np.asarray(v).tolist() for k, v in file[name].attrs.items()}
        return found

    before, size = contents(), []
    for seed in range(3):
        classes, probabilities = said(T, seed=seed)
        write_actions(path, classes, probabilities, NAMES, recording.pose.timestamps)
        size.append(path.stat().st_size)
    assert contents() == before
    assert "torch_brain" in before["private"]["note"]
    # Actions of before are replaced: the file does not grow.
    assert max(size) - min(size) < 100


def test_a_failed_write_leaves_the_recording_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "film.h5"
    save(film(), path)
    before = path.read_bytes()
    classes, probabilities = said(T)

    def fail(self, file):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(IrregularTimeSeries, "to_hdf5", fail)
        with pytest.raises(UserError, match="could not write"):
            write_actions(path, classes, probabilities, NAMES, np.arange(T) / 25)
    with pytest.raises(UserError, match="missing or not sorted"):
        write_actions(path, classes, probabilities, NAMES, np.full(T, np.nan))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["film.h5"]


def test_the_table_of_behaviours_gets_a_row_once():
    recording = ephys({"speed": np.zeros((20, 10))})
    classes, probabilities = said(5)
    once = with_actions(recording, classes, probabilities, NAMES, np.arange(5.0))
    twice = with_actions(once, classes, None, NAMES, np.arange(5.0))
    assert [b.name for b in describe_behaviours(recording)] == ["speed"]
    for one in (once, twice):
        found = {b.name: (b.source, b.kind, b.per) for b in describe_behaviours(one)}
        assert found == {
            "speed": ("speed.values", "continuous", "bin"),
            "actions": ("actions.name", "categorical", "bin"),
        }
    assert find_problems(twice) == []
    assert "probabilities" not in twice.actions.keys()  # noqa: SIM118


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "b"), "classes run from 0 to 2, but 2 are named"),
        (("a", "a", "b"), "a name of its own"),
        (("a", "", "b"), "a name of its own"),
        (("a", "é", "b"), "ASCII"),
    ],
)
def test_actions_without_proper_names_are_refused(names, message):
    with pytest.raises(UserError, match=message):
        with_actions(film(), np.array([0, 1, 2]), None, names, np.arange(3.0))


@pytest.mark.parametrize("chances", [None, np.full((5, 3), 1 / 3)])
def test_actions_and_times_of_different_number_are_refused(chances):
    with pytest.raises(UserError, match="found 3 classes, 5 timestamps.* of one length"):
        with_actions(film(), np.array([0, 1, 2]), chances, ("a", "b", "c"), np.arange(5.0))
    with pytest.raises(UserError, match="3 timestamps, 5 probab"):
        with_actions(
            film(), np.array([0, 1, 2]), np.full((5, 3), 1 / 3), ("a", "b", "c"), np.arange(3.0)
        )


def arrays_file(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_folders_of_recordings_and_arrays_are_read_in_order(tmp_path):
    save(film("one"), tmp_path / "b.h5")
    features = np.arange(12.0).reshape(6, 2)
    labels = np.array([0, 0, 1, 1, -1, -1])
    arrays_file(tmp_path / "a.npz", features=features, labels=labels, names=["x", "y"])
    arrays_file(tmp_path / "a.actions.npz", classes=labels)
    (tmp_path / "notes.txt").write_text("mine")
    first, second = open_action_recordings(tmp_path)
    assert (first.name, second.name) == ("a", "one")
    np.testing.assert_array_equal(first.frames, features)
    np.testing.assert_array_equal(first.labels, labels)
    assert (first.classes, first.timestamps) == (("x", "y"), None)
    assert second.frames.shape == (T, KEYPOINTS, 3)
    assert second.classes == NAMES
    np.testing.assert_array_equal(second.labels, np.arange(T) % 4 - 1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "neither features nor pose"),
        ({"features": np.ones((3, 2)), "pose": np.ones((3, 2, 2))}, "features and pose"),
        ({"features": np.ones((3, 2, 2))}, "features of .* has shape"),
        ({"pose": np.array([["a", "b"]])}, "pose of .* has shape"),
        ({"features": np.ones((3, 2)), "labels": np.zeros(2, int)}, r"expected \(3,\)"),
        ({"features": np.ones((3, 2)), "labels": np.array([0, 0.5, 1])}, "not integers"),
        ({"features": np.ones((2, 2)), "labels": np.array([0, -3])}, "not integers from -1"),
        ({"features": np.ones((2, 2)), "labels": np.array([0, 1]), "names": ["a"]}, "go up to 1"),
        ({"features": np.array([[None], [1]], dtype=object)}, "cannot be read"),
    ],
)
def test_arrays_that_do_not_fit_are_one_sentence(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        open_action_recordings(arrays_file(tmp_path / "a.npz", **arrays))


def test_what_is_no_file_of_arrays_is_said(tmp_path):
    with pytest.raises(UserError, match="nothing at"):
        open_action_recordings(tmp_path / "none")
    with pytest.raises(UserError, match="no recordings"):
        open_action_recordings(tmp_path)
    (tmp_path / "a.npz").write_text("hello")
    with pytest.raises(UserError, match="cannot be read"):
        open_action_recordings(tmp_path)


def test_two_files_of_one_name_are_refused(tmp_path):
    save(film("a"), tmp_path / "b.h5")
    arrays_file(tmp_path / "a.npz", features=np.ones((3, 2)))
    with pytest.raises(UserError, match="both recording 'a'"):
        open_action_recordings(tmp_path)


def labelled(name, labels, classes=()):
    values = None if labels is None else np.array(labels)
    frames = np.zeros((3, 1))
    return ActionRecording(
        name=name, path=Path(name), frames=frames, labels=values,
        classes=tuple(classes),
    )  # fmt: skip


def test_labels_of_recordings_with_other_codings_agree_by_name():
    one = labelled("a", [0, 1, -1], ("rest", "run"))
    other = labelled("b", [0, 1, 2], ("run", "groom", "rest"))
    labels, names = common_labels([one, other, labelled("c", None)])
    assert names == ("rest", "run", "groom")
    assert [y.tolist() for y in labels] == [[0, 1, -1], [1, 2, 0], [-1, -1, -1]]
    labels, _ = common_labels([other], ("groom", "rest", "run", "jump"))
    assert labels[0].tolist() == [2, 0, 1]


def test_labels_without_names_are_numbers():
    labels, names = common_labels([labelled("a", [0, 3, -1])])
    assert (labels[0].tolist(), names) == ([0, 3, -1], ("0", "1", "2", "3"))
    assert common_labels([labelled("a", [0, 1, -1])], ("x", "y"))[0][0].tolist() == [0, 1, -1]
    with pytest.raises(UserError, match="class '1', which is not one of x"):
        common_labels([labelled("a", [0, 1, -1])], ("x",))


def test_labels_that_do_not_agree_are_refused():
    named, bare = labelled("a", [0, 1, 1], ("x", "y")), labelled("b", [0, 0, 0])
    with pytest.raises(UserError, match="'a' have names and those of 'b' have none"):
        common_labels([named, bare])
    with pytest.raises(UserError, match="class 'y', which is not one of x, z"):
        common_labels([named], ("x", "z"))
    # A class that is named but never used is no obstacle.
    assert common_labels([labelled("a", [0, 0, -1], ("x", "y"))], ("x",))[0][0].tolist() == [
        0, 0, -1]  # fmt: skip


def test_answers_go_into_recordings_or_beside_arrays(tmp_path):
    save(film("one"), tmp_path / "one.h5")
    arrays_file(tmp_path / "two.npz", features=np.ones((4, 2)))
    first, second = open_action_recordings(tmp_path)
    for one in (first, second):
        classes, probabilities = said(len(one.frames))
        answer = Answer(classes=classes, probabilities=probabilities, names=NAMES)
        written = write_answer(one, answer, None)
        if one is first:
            assert written == [tmp_path / "one.h5"]
            with load(written[0], lazy=False) as again:
                np.testing.assert_array_equal(again.actions.classes, classes)
            continue
        assert [path.name for path in written] == ["two.actions.npz", "two.actions.csv"]
        table = pd.read_csv(written[1])
        assert list(table) == ["frame", "action", *(f"p({name})" for name in NAMES)]
        assert table["action"].tolist() == [NAMES[c] for c in classes]
        with np.load(written[0]) as again:
            np.testing.assert_array_equal(again["classes"], classes)
            assert sorted(again) == ["classes", "names", "probabilities", "timestamps"]
    # What was written is no recording to be read.
    assert len(open_action_recordings(tmp_path)) == 2


def test_answers_can_go_into_a_folder_of_their_own(tmp_path):
    save(film("one"), tmp_path / "one.h5")
    before = (tmp_path / "one.h5").read_bytes()
    (recording,) = open_action_recordings(tmp_path / "one.h5")
    classes, probabilities = said(T)
    out = tmp_path / "out"
    out.mkdir()
    answer = Answer(classes=classes, probabilities=probabilities, names=NAMES)
    write_answer(recording, answer, out)
    table = pd.read_csv(out / "one.actions.csv")
    np.testing.assert_allclose(table["time_s"], recording.timestamps)
    assert (tmp_path / "one.h5").read_bytes() == before


@given(st.lists(st.integers(-1, 2), min_size=1, max_size=30))
def test_actions_survive_as_words(classes):
    found = with_actions(
        film(), np.array(classes), None, NAMES, np.arange(len(classes), dtype=float)
    )
    index = {name: number for number, name in enumerate(NAMES)} | {"": -1}
    assert [index[word] for word in found.actions.name] == classes
