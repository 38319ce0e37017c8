from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_pose_dlc import tracks

from neuroduet.data.readers.action_sets import ACTION_SETS, read_action_set
from neuroduet.data.readers.open_field import CORNERS, majority
from neuroduet.data.readers.pose import PoseTracks
from neuroduet.data.recording import load, save
from neuroduet.data.writers.labels import write_one_hot
from neuroduet.data.writers.pose import write_dlc_csv
from neuroduet.errors import UserError

FLY = "2019_08_07_fly2"


def fly(folder: Path, frames: int = 6, labels: int | None = 6) -> Path:
    (folder / "markers").mkdir(exist_ok=True)
    write_dlc_csv(folder / "markers" / f"{FLY}_labeled.csv", tracks(frames=frames))
    if labels is not None:
        (folder / "labels-hand").mkdir(exist_ok=True)
        classes = np.arange(labels) % 6 - 1
        names = ACTION_SETS["fly"].classes
        write_one_hot(folder / "labels-hand" / f"{FLY}_labels.csv", classes, names)
    return folder


def test_fly_markers_and_labels_become_a_recording_that_survives_the_disk(tmp_path: Path) -> None:
    recording = read_action_set("fly", fly(tmp_path), FLY)
    save(recording, tmp_path / "fly.h5")
    with load(tmp_path / "fly.h5") as read:
        np.testing.assert_array_equal(read.pose.xy, tracks().xy)
        assert read.labels.classes.tolist() == [-1, 0, 1, 2, 3, 4]
        assert read.label_classes.name.tolist() == list(ACTION_SETS["fly"].classes)
        np.testing.assert_allclose(read.pose.timestamps, np.arange(6) / 70)


def test_markers_without_labels_are_an_unlabelled_recording(tmp_path: Path) -> None:
    recording = read_action_set("fly", fly(tmp_path, labels=None), FLY)
    assert not hasattr(recording, "labels")


def test_labels_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="labels of 5 frames, but the video has 6"):
        read_action_set("fly", fly(tmp_path, labels=5), FLY)


def test_paw_features_of_ibl_are_read_as_features(tmp_path: Path) -> None:
    session = ACTION_SETS["ibl"].train[0]
    for name in ("features", "labels"):
        (tmp_path / name).mkdir()
    path = tmp_path / "features" / f"{session}_labeled.csv"
    path.write_text(",paw_x,paw_y,wheel\n0,1,2,3\n1,4,5,6\n")
    write_one_hot(
        tmp_path / "labels" / f"{session}_labels.csv",
        np.array([3, -1]),
        ACTION_SETS["ibl"].classes,
    )
    recording = read_action_set("ibl", tmp_path, session)
    assert recording.features.values.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert recording.labels.classes.tolist() == [3, -1]
    path.write_text(",paw_x,paw_y,wheel\n0,1,,3\n1,4,5,6\n")
    with pytest.raises(UserError, match="line 2: a feature is missing"):
        read_action_set("ibl", tmp_path, session)


ROWS = """file;Experimenter;from;to;type;ID;DLCFile
OFT_5.mp4;Oliver;0.0;0.0;Start;5;OFT_5DLC.csv
OFT_5.mp4;Oliver;1.0;2.0;Supported;5;OFT_5DLC.csv
OFT_5.mp4;Furkan;1.2;2.0;Supported;5;OFT_5DLC.csv
OFT_5.mp4;Jin;1.0;1.4;Supported;5;OFT_5DLC.csv
OFT_5.mp4;Jin;3.0;3.4;Grooming;5;OFT_5DLC.csv
OFT_5.mp4;Jin;2.0;2.4;Jumping;5;OFT_5DLC.csv
OFT_51.mp4;Jin;0.0;4.0;Unsupported;51;OFT_51DLC.csv
"""


def open_field(folder: Path, rows: str = ROWS) -> Path:
    pose = tracks(frames=100)
    with_corner = PoseTracks(
        format="",
        xy=pose.xy,
        likelihood=pose.likelihood,
        keypoints=("nose", CORNERS[0], "tailbase"),
    )
    for number in (5, 51):
        write_dlc_csv(folder / f"OFT_{number}DLC.csv", with_corner)
    (folder / "AllLabDataOFT_final.csv").write_text(rows)
    return folder


def test_most_annotators_of_the_open_field_decide(tmp_path: Path) -> None:
    recording = read_action_set("oft", open_field(tmp_path), "OFT_5")
    expected = np.full(100, -1)
    expected[25:50] = 0  # two of three, from 1.0 or 1.2 s to 1.4 or 2.0 s
    assert recording.labels.classes.tolist() == expected.tolist()
    assert recording.keypoints.name.tolist() == ["nose", "tailbase"]
    assert recording.label_classes.name.tolist() == ["supported", "unsupported", "grooming"]
    other = read_action_set("oft", tmp_path, "OFT_51")
    assert (other.labels.classes == 1).all()


def test_the_majority_is_more_than_half_of_the_annotators() -> None:
    votes = np.array([[0, 0, 0, -1, 1], [0, 1, -1, -1, 0], [0, 1, -1, 2, 2]])
    assert majority(votes, 3).tolist() == [0, 1, -1, -1, -1]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Experimenter", "Who", "no column for the annotator"),
        ("file;", "video name;", "no column for the observation"),
        ("type", "kind", "no column for the behaviour"),
        ("OFT_5.mp4", "OFT_6.mp4", "found 0 videos of 'OFT_5'"),
        (";Supported", ";Rearing", "found 3 videos"),
        ("1.0;2.0", "1.0;soon", "found 'soon', expected a number"),
        ("1.0;2.0", "1.0;NA", "found 'NA', expected a number"),
        ("1.0;2.0", "2.0;1.0", "stops before it starts"),
        ("3.0;3.4", "3.0;340", "the last one ends at frame 8,500"),
        ("Oliver;1.0;", "Oliver;-1.0;", "starts before the video"),
        (";51;OFT_51DLC.csv\n", "\n", "cells, expected 7"),
    ],
)
def test_damage_to_the_table_of_the_open_field_is_named(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    rows = ROWS.replace(old, new)
    if expected == "found 3 videos":
        rows = ROWS.replace("OFT_5.mp4;F", "OFT_5b;F").replace("OFT_5.mp4;J", "OFT_5c;J")
    assert rows != ROWS
    with pytest.raises(UserError) as caught:
        read_action_set("oft", open_field(tmp_path, rows), "OFT_5")
    assert expected in str(caught.value)


def test_unknown_sets_recordings_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="known: fly, ibl, oft, hugadb"):
        read_action_set("mouse", tmp_path, "x")
    with pytest.raises(UserError, match="no folder markers or features"):
        read_action_set("fly", tmp_path, "x")
    with pytest.raises(UserError, match="no DeepLabCut files"):
        read_action_set("oft", tmp_path, "x")
    with pytest.raises(UserError, match=f"known: {FLY}"):
        read_action_set("fly", fly(tmp_path), "x")


def test_sets_train_and_test_on_different_recordings() -> None:
    sizes = {name: (len(one.train), len(one.test)) for name, one in ACTION_SETS.items()}
    assert sizes == {"fly": (5, 5), "ibl": (5, 5), "oft": (10, 10), "hugadb": (5, 5)}
    assert not any(set(one.train) & set(one.test) for one in ACTION_SETS.values())
