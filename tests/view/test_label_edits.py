from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from viewed import CLASSES, LENGTH_S, N_FRAMES, RATE_HZ, Client, everything, film, labels, write

from neuroduet.data.readers.labels import load_labels
from neuroduet.data.writers.labels import write_boris, write_intervals
from neuroduet.errors import UserError
from neuroduet.view import serve
from neuroduet.view.labels import LabelEdits, read_label_file, write_label_file

Edit = tuple[int, int, str | None]

edits = st.lists(
    st.tuples(
        st.integers(0, N_FRAMES - 1), st.integers(1, 300), st.sampled_from([None, *CLASSES])
    ),
    max_size=8,
)


def start_on(folder: Path, classes: np.ndarray | None = None) -> LabelEdits:
    """Edits of the labels of a recording in a folder."""
    known = labels() if classes is None else classes
    return LabelEdits(folder / "day1.labels.csv", known, CLASSES, RATE_HZ)


def by_name(classes: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """Class of every frame in words, empty where unlabelled."""
    return np.array([*names, ""])[classes].tolist()


@given(todo=edits)
def test_undoing_every_edit_restores_every_frame(
    tmp_path_factory: pytest.TempPathFactory, todo: list[Edit]
) -> None:
    made = start_on(tmp_path_factory.mktemp("undo"))
    expected = labels()
    states = [expected.copy()]
    for first, length, name in todo:
        last = min(first + length, N_FRAMES)
        made.paint(first, last, name)
        expected[first:last] = -1 if name is None else CLASSES.index(name)
        states.append(expected.copy())
        np.testing.assert_array_equal(made.classes, expected)
    assert made.unsaved == len(todo)
    for state in states[-2::-1]:
        made.undo()
        np.testing.assert_array_equal(made.classes, state)
    assert made.unsaved == 0
    assert made.undo() == (0, 0)
    assert not list(made.path.parent.iterdir())


@given(classes=st.lists(st.integers(-1, 2), min_size=1, max_size=60).map(np.array))
def test_a_saved_file_gives_every_frame_its_class_back(
    tmp_path_factory: pytest.TempPathFactory, classes: np.ndarray
) -> None:
    path = tmp_path_factory.mktemp("save") / "labels.csv"
    write_label_file(path, classes, CLASSES)
    found, names = read_label_file(path, len(classes), 29.97, CLASSES)
    np.testing.assert_array_equal(found, classes)
    assert names == CLASSES
    if (classes >= 0).any():
        track = load_labels(path, n_frames=len(classes))
        assert by_name(track.classes, track.names) == by_name(classes, CLASSES)
        same = load_labels(path, n_frames=len(classes), rate_hz=0.7, classes=CLASSES)
        np.testing.assert_array_equal(same.classes, classes)


@given(
    name=st.text(
        st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60
    ).filter(lambda name: name == name.strip())
)
def test_a_class_of_any_plain_name_survives(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    made = start_on(tmp_path_factory.mktemp("names"))
    if name in CLASSES:
        return
    made.add_class(name)
    made.paint(10, 20, name)
    made.save()
    again = start_on(made.path.parent)
    assert by_name(again.classes, again.names) == by_name(made.classes, made.names)


@pytest.mark.parametrize("name", ["", " run", "run\n", "ru\x00n", "läuft", "x" * 61, "groom"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        start_on(tmp_path).add_class(name)


def test_edits_outlast_a_crash_and_undo_returns_to_what_was_saved(tmp_path: Path) -> None:
    made = start_on(tmp_path)
    made.paint(0, 50, "groom")
    made.save()
    made.paint(40, 90, None)
    made.paint(700, 710, "run")
    after_crash = start_on(tmp_path)
    np.testing.assert_array_equal(after_crash.classes, made.classes)
    assert after_crash.unsaved == 1
    after_crash.undo()
    expected = labels()
    expected[:50] = CLASSES.index("groom")
    np.testing.assert_array_equal(after_crash.classes, expected)
    assert [one.name for one in tmp_path.iterdir()] == ["day1.labels.csv"]


def test_a_file_that_somebody_else_saved_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    one, other = start_on(tmp_path), start_on(tmp_path)
    one.paint(0, 50, "groom")
    other.paint(100, 150, "run")
    one.save()
    with pytest.raises(UserError, match="changed by another program"):
        other.save()
    np.testing.assert_array_equal(
        read_label_file(one.path, N_FRAMES, RATE_HZ, CLASSES)[0], one.classes
    )
    one.paint(0, 50, "run")
    one.save()


def test_many_edits_of_a_whole_recording_take_little_memory(tmp_path: Path) -> None:
    made = start_on(tmp_path)
    for number in range(50):
        made.paint(0, N_FRAMES, CLASSES[number % 2])
    assert sum(one.codes.nbytes + one.lengths.nbytes for one in made._undo[1:]) < 50 * 32
    while made.unsaved:
        made.undo()
    np.testing.assert_array_equal(made.classes, labels())


def test_everything_may_be_cleared_and_saved(tmp_path: Path) -> None:
    made = start_on(tmp_path)
    made.paint(0, N_FRAMES, None)
    assert made.save() == 0
    assert (start_on(tmp_path).classes == -1).all()


def test_a_table_in_seconds_is_where_work_goes_on(tmp_path: Path) -> None:
    write_intervals(tmp_path / "day1.labels.csv", labels(), CLASSES, RATE_HZ)
    made = start_on(tmp_path, np.full(N_FRAMES, -1))
    np.testing.assert_array_equal(made.classes, labels())


def test_a_file_of_another_program_is_not_replaced(tmp_path: Path) -> None:
    write_boris(tmp_path / "day1.labels.csv", labels(), CLASSES, RATE_HZ)
    with pytest.raises(UserError, match="another program"):
        start_on(tmp_path)


@pytest.mark.parametrize("frames", [(-1, 5), (5, 5), (6, 5), (0, N_FRAMES + 1), (10**30, 10**31)])
def test_frames_outside_the_recording_are_refused(tmp_path: Path, frames: tuple[int, int]) -> None:
    made = start_on(tmp_path)
    with pytest.raises(UserError, match="not in the recording"):
        made.paint(*frames, "run")
    assert made.unsaved == 0


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        made = start_on(tmp_path)
        assert made.problem
        with pytest.raises(UserError, match="--labels"):
            made.paint(0, 5, "run")
    finally:
        tmp_path.chmod(0o700)


def test_labels_without_a_place_to_go_are_read_only(tmp_path: Path) -> None:
    made = LabelEdits(tmp_path / "gone" / "day1.labels.csv", labels(), CLASSES, RATE_HZ)
    assert made.problem
    for change in (made.save, lambda: made.add_class("sniff"), lambda: made.paint(0, 1, None)):
        with pytest.raises(UserError, match="cannot be written"):
            change()


def test_the_page_corrects_and_saves_and_the_recording_stays_as_it_was(
    client: Client, tmp_path: Path
) -> None:
    recording = tmp_path / "day1.h5"
    before = recording.read_bytes()
    assert client.post("classes", {"name": "sniff"}, id="day1")["classes"] == [*CLASSES, "sniff"]
    edit = {"start_frame": 30, "end_frame": 45, "class": "sniff"}
    changed = client.post("labels", edit, id="day1")
    assert changed["edits"] == 1
    (own,) = [one for one in changed["true"] if one["class"] == "sniff"]
    assert own == {"start": 1.2, "end": 1.8, "start_frame": 30, "end_frame": 45, "class": "sniff"}
    assert own in client.get("actions", id="day1", start=1, end=2, columns=50)["true"]
    assert own["class"] == client.get("bout", id="day1", frame=31, track="true")["class"]
    client.post("labels", {"start_frame": 500, "end_frame": 600, "class": None}, id="day1")
    assert client.post("undo", id="day1")["edits"] == 1
    saved = client.post("save", id="day1")
    expected = labels()
    expected[30:45] = len(CLASSES)
    assert saved["path"] == str(tmp_path / "day1.labels.csv")
    assert saved["frames"] == (expected >= 0).sum()
    track = load_labels(saved["path"], n_frames=N_FRAMES)
    assert by_name(track.classes, track.names) == by_name(expected, (*CLASSES, "sniff"))
    assert recording.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["day1.h5", "day1.labels.csv"]


def test_work_goes_on_where_the_label_file_ended(tmp_path: Path) -> None:
    path = everything(tmp_path / "day1.h5")
    target = tmp_path / "mine.csv"
    for number, name in enumerate(("run", "rest")):
        with serve(path, labels=target) as view:
            edit = {"start_frame": 50 * number, "end_frame": 50 * number + 50, "class": name}
            Client(view).post("labels", edit, id="day1")
            Client(view).post("save", id="day1")
    found, _ = read_label_file(target, N_FRAMES, RATE_HZ, CLASSES)
    expected = labels()
    expected[:50], expected[50:100] = 2, 0
    np.testing.assert_array_equal(found, expected)


def test_a_video_without_labels_can_be_labelled(tmp_path: Path) -> None:
    with serve(write(tmp_path / "raw.h5", **film(labelled=False))) as view:
        client = Client(view)
        about = client.get("session", id="raw")
        assert about["activity"] is None
        assert about["actions"]["classes"] == []
        client.post("classes", {"name": "dig"}, id="raw")
        client.post("labels", {"start_frame": 0, "end_frame": 5, "class": "dig"}, id="raw")
        found = client.get("actions", id="raw", start=0, end=LENGTH_S, columns=100)
    assert [one["end_frame"] for one in found["true"]] == [5]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"start_frame": 0, "end_frame": 5, "class": "dance"},
        {"start_frame": 0.5, "end_frame": 5, "class": "run"},
        {"start_frame": True, "end_frame": 5, "class": "run"},
        {"start_frame": 0, "end_frame": 10**9, "class": "run"},
        {"start_frame": 0, "end_frame": 5, "class": ["run"]},
    ],
)
def test_edits_that_make_no_sense_change_nothing(client: Client, body: object) -> None:
    status, content, _ = client.ask("POST", "/api/labels?id=day1", body=body)
    assert status == 400, content
    assert client.post("undo", id="day1") == {"edits": 0, "true": []}
