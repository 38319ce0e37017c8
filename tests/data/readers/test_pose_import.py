from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from test_pose_dlc import tracks
from test_pose_hdf import T, write_ndx
from typer.testing import CliRunner

from neuroduet.cli.imports import import_recording
from neuroduet.data.action_files import open_action_recordings
from neuroduet.data.readers.action_import import import_actions, label_recording
from neuroduet.data.readers.labels import LabelChoice
from neuroduet.data.writers.labels import write_boris, write_one_hot
from neuroduet.data.writers.pose import write_dlc_csv
from neuroduet.errors import UserError

NAMES = ("rear", "groom")
CLASSES = np.array([-1, 0, 0, 1, 1, -1])


def files(folder: Path) -> tuple[Path, Path]:
    pose, labels = folder / "mouse 1.csv", folder / "labels.csv"
    write_dlc_csv(pose, tracks())
    write_one_hot(labels, CLASSES, NAMES)
    return pose, labels


def test_pose_and_labels_become_a_recording_that_actions_are_segmented_in(tmp_path: Path) -> None:
    pose, labels = files(tmp_path)
    out = tmp_path / "out.h5"
    found = import_actions(pose=pose, labels=labels, out=out, rate_hz=30.0)
    (read,) = open_action_recordings(out)
    assert read.name == found.session == "mouse_1"
    np.testing.assert_array_equal(read.frames[..., :2], tracks().xy)
    np.testing.assert_array_equal(read.frames[..., 2], tracks().likelihood)
    assert read.labels.tolist() == CLASSES.tolist()
    assert read.classes == NAMES
    np.testing.assert_allclose(read.timestamps, np.arange(6) / 30)


def test_several_animals_stay_several(tmp_path: Path) -> None:
    write_dlc_csv(tmp_path / "pose.csv", tracks(2))
    out = tmp_path / "out.h5"
    found = import_actions(pose=tmp_path / "pose.csv", out=out, rate_hz=30.0)
    assert found.animals == 2
    assert open_action_recordings(out)[0].frames.shape == (6, 2, 3, 3)


def test_the_rate_may_come_from_the_labels(tmp_path: Path) -> None:
    pose, _ = files(tmp_path)
    write_boris(tmp_path / "events.csv", CLASSES, NAMES, 25.0)
    found = import_actions(pose=pose, labels=tmp_path / "events.csv", out=tmp_path / "out.h5")
    assert found.rate_hz == pytest.approx(25.0)


def test_times_of_the_file_are_kept(tmp_path: Path) -> None:
    write_ndx(tmp_path / "s.nwb")
    import_actions(pose=tmp_path / "s.nwb", out=tmp_path / "out.h5")
    (read,) = open_action_recordings(tmp_path / "out.h5")
    np.testing.assert_array_equal(read.timestamps, 5 + np.arange(T) / 30)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rate_hz": None}, "give --rate"),
        ({"rate_hz": 0.0}, "expected frames per second"),
        ({"rate_hz": float("nan")}, "expected frames per second"),
        ({"out": Path("out.csv")}, "ends in .h5"),
        ({"out": Path("nowhere/out.h5")}, "no folder nowhere"),
        ({"classes": ("jump",)}, "are not in the list"),
        ({"choice": LabelChoice(rest="rear")}, "already"),
        ({"session_id": "a/b"}, "slash"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pose, labels = files(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    given = {"pose": pose, "labels": labels, "out": Path("out.h5"), "rate_hz": 30.0, **change}
    with pytest.raises(UserError, match=expected):
        import_actions(**given)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_rate_that_contradicts_the_times_is_refused(tmp_path: Path) -> None:
    write_ndx(tmp_path / "s.nwb")
    with pytest.raises(UserError, match="says 30 frames per second, but --rate is 60"):
        import_actions(pose=tmp_path / "s.nwb", out=tmp_path / "out.h5", rate_hz=60.0)


def test_letters_outside_ascii_are_refused_with_a_remedy(tmp_path: Path) -> None:
    pose, labels = files(tmp_path)
    write_one_hot(labels, CLASSES, ("r\u00e4umen", "putzen"))
    with pytest.raises(UserError, match="spell them in ASCII"):
        import_actions(pose=pose, labels=labels, out=tmp_path / "out.h5", rate_hz=30.0)


def command(*words: object) -> str:
    app = typer.Typer()
    app.command("import")(import_recording)
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_command_prints_counts_and_writes(tmp_path: Path) -> None:
    pose, labels = files(tmp_path)
    out = tmp_path / "out.h5"
    said = command("--pose", pose, "--labels", labels, "--out", out, "--rate", 30)
    assert "6 frames at 30 Hz, one animal, 3 keypoints" in said
    assert "4 of 6 frames labelled" in said
    assert "tail base" in said
    segmenter = tmp_path / "segmenter"
    assert f"next: neuroduet actions train --data {out} --out {segmenter}\n" in said
    assert out.is_file()


def test_check_says_what_was_found_and_writes_nothing(tmp_path: Path) -> None:
    pose, labels = files(tmp_path)
    out = tmp_path / "out.h5"
    said = command("--pose", pose, "--labels", labels, "--out", out, "--rate", 30, "--check")
    assert "nothing was written" in said
    assert "next:" not in said
    assert "rear" in said
    assert not out.exists()


def test_the_command_chooses_unit_and_classes(tmp_path: Path) -> None:
    pose, _ = files(tmp_path)
    table = tmp_path / "bouts.csv"
    table.write_text("start,end,label\n1,2,rear\n3,4,sniff\n")
    said = command(
        *("--pose", pose, "--labels", table, "--out", tmp_path / "out.h5", "--rate", 30),
        *("--unit", "frames", "--classes", "rear,other", "--rest", "other"),
    )
    assert "not in the list of classes: sniff (1)" in said
    assert open_action_recordings(tmp_path / "out.h5")[0].labels.tolist() == [1, 0, 0, 1, 1, 1]
    with pytest.raises(UserError, match="unknown unit 'ms'"):
        command("--pose", pose, "--out", tmp_path / "out.h5", "--unit", "ms")


def test_labels_go_into_a_recording_in_place_of_those_it_has(tmp_path: Path) -> None:
    pose, labels = files(tmp_path)
    out = tmp_path / "out.h5"
    import_actions(pose=pose, labels=labels, out=out, rate_hz=30.0)
    before = open_action_recordings(out)[0]
    corrected = np.array([2, 2, 0, -1, -1, 1])
    write_one_hot(tmp_path / "new.csv", corrected, ("groom", "rear", "sniff"))
    found = label_recording(out, tmp_path / "new.csv")
    (after,) = open_action_recordings(out)
    assert found.counts == {"groom": 1, "rear": 1, "sniff": 2}
    assert after.labels.tolist() == corrected.tolist()
    assert after.classes == ("groom", "rear", "sniff")
    np.testing.assert_array_equal(after.frames, before.frames)


def test_labels_of_another_video_leave_a_recording_as_it_was(tmp_path: Path) -> None:
    pose, labels = files(tmp_path)
    out = tmp_path / "out.h5"
    import_actions(pose=pose, labels=labels, out=out, rate_hz=30.0)
    before = out.read_bytes()
    write_one_hot(tmp_path / "long.csv", np.zeros(9, int), NAMES)
    with pytest.raises(UserError, match="frames"):
        label_recording(out, tmp_path / "long.csv")
    label_recording(out, labels, check_only=True)
    assert out.read_bytes() == before
