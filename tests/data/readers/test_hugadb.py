from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_labels_frames import complaint

from neuroduet.data.readers.action_sets import read_action_set
from neuroduet.data.readers.hugadb import (
    CLASSES,
    RATE_HZ,
    find_participants,
    read_hugadb_file,
    read_participant,
    study_classes,
)
from neuroduet.data.readers.labels import load_labels
from neuroduet.errors import UserError

SENSORS = [
    f"{kind}_{side}{place}_{axis}"
    for side in "rl"
    for place in "fst"
    for kind in ("acc", "gyro")
    for axis in "xyz"
]
HEADER = "\t".join([*SENSORS, "EMG_r", "EMG_l", "act"])


def text(activities: list[int], start: int = 1) -> str:
    rows = [
        "\t".join(str(value) for value in [*range(start + n, start + n + 38), activity])
        for n, activity in enumerate(activities)
    ]
    return "\n".join(["#Activity\tx", "#ActivityID\t1", "#Date 1", HEADER, *rows]) + "\n"


def folder_of(folder: Path, files: dict[str, list[int]]) -> Path:
    for number, (name, activities) in enumerate(files.items()):
        path = folder / f"HuGaDB_v2_various_{name}.txt"
        path.write_text(text(activities, 1000 * (number + 1)))
    return folder


def test_the_true_file_has_its_samples_and_activities(shared_data: Path) -> None:
    path = shared_data / "hugadb_one" / "HuGaDB_v2_various_01_00.txt"
    gait = read_hugadb_file(path)
    assert gait.sensors.shape == (3142, 36)
    assert gait.sensors[0, :6].tolist() == [-7684, -1200, 13444, 16, 11, -22]
    counts = {n: int((gait.activities == n).sum()) for n in range(1, 13)}
    assert {n: c for n, c in counts.items() if c} == {5: 1192, 6: 431, 7: 459, 8: 1060}
    track = load_labels(path)
    assert track.names == CLASSES
    assert track.report.counts["sitting"] == 1192
    assert track.report.bouts["sitting"] == 5


def test_files_are_joined_in_order_and_parted_by_unlabelled_zeros(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"05_01": [5, 6], "05_00": [1, 2, 8], "05_02": [7]})
    gait = read_participant(folder, "05")
    padding = [0] * 100
    assert gait.activities.tolist() == [1, 2, 8, 5, 6, *padding, 7, *padding]
    assert (gait.sensors[gait.activities == 0] == 0).all()
    assert gait.sensors[0, 0] == 2000
    assert gait.sensors[3, 35] == 1035


def test_files_with_an_elevator_are_left_out_and_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"05_00": [1, 10], "05_01": [2, 3], "05_02": [11], "05_03": [4]})
    gait = read_participant(folder, "05")
    assert gait.activities.tolist() == [2, 3, 4, *[0] * 100]
    assert [note.split(":")[0] for note in gait.notes] == [
        "left out HuGaDB_v2_various_05_00.txt",
        "left out HuGaDB_v2_various_05_02.txt",
    ]


@pytest.mark.parametrize(("participant", "skipped"), [("10", 5), ("11", 4), ("12", 1), ("16", 2)])
def test_first_files_that_the_study_leaves_out_are_left_out(
    tmp_path: Path, participant: str, skipped: int
) -> None:
    files = {f"{participant}_{n:02d}": [n + 1] for n in range(skipped + 1)}
    gait = read_participant(folder_of(tmp_path, files), participant)
    assert gait.activities.tolist() == [skipped + 1]
    assert len(gait.notes) == skipped


def test_classes_of_the_study_count_from_zero_and_skip_the_rest() -> None:
    assert study_classes(np.array([0, 1, 8, 9, 12])).tolist() == [-1, 0, 7, -1, -1]


def test_the_rate_is_that_of_the_whole_database() -> None:
    assert round(RATE_HZ, 2) == 58.82


def test_a_participant_becomes_a_recording_with_labels(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"07_00": [1, 1, 5], "07_01": [8]})
    assert list(find_participants(folder)) == ["07"]
    recording = read_action_set("hugadb", folder, "07")
    assert recording.features.values.shape == (104, 36)
    assert recording.labels.classes[:5].tolist() == [0, 0, 4, 7, -1]
    assert tuple(recording.label_classes.name) == CLASSES
    np.testing.assert_allclose(np.diff(recording.labels.timestamps), 1 / RATE_HZ)


def test_clipped_gyroscopes_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "HuGaDB_v2_various_03_00.txt"
    values = [0] * 38
    values[3] = 32767
    path.write_text(f"#c\n{HEADER}\n" + "\t".join(map(str, [*values, 1])) + "\n")
    assert read_hugadb_file(path).notes == (f"{path.name}: clipped values in gyro_rf_x",)


GOOD = text([5, 6, 7])
DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "header only": (lambda good: good.split("\n1\t")[0] + "\n", "a header and no rows"),
    "cut in a row": (lambda good: good[:-30], "cells, expected 39"),
    "a column less": (lambda good: good.replace("\tEMG_l", ""), "lacks EMG_l"),
    "columns swapped": (
        lambda good: good.replace("acc_rf_y\tacc_rf_z", "acc_rf_z\tacc_rf_y"),
        "in another order",
    ),
    "a word": (lambda good: good.replace("\t6\n", "\tsix\n"), "line 6, column 39: found 'six'"),
    "activity 13": (lambda good: good.replace("\t6\n", "\t13\n"), "line 6, column act: found 13"),
    "activity 0": (lambda good: good.replace("\t6\n", "\t0\n"), "an activity from 1 to 12"),
    "a fraction": (lambda good: good.replace("\t6\n", "\t6.5\n"), "expected a whole number"),
    "missing": (lambda good: good.replace("\t20\t", "\t\t", 1), "found nan, expected a whole"),
    "infinite": (lambda good: good.replace("\t20\t", "\tinf\t", 1), "found inf, expected"),
    "commas": (lambda good: good.replace("\t", ","), "no file of labels"),
    "empty": (lambda good: "", "is empty"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_to_a_file_is_named_with_its_place(tmp_path: Path, name: str) -> None:
    spoil, expected = DAMAGE[name]
    spoiled = spoil(GOOD)
    assert spoiled != GOOD
    path = tmp_path / "HuGaDB_v2_various_01_00.txt"
    path.write_text(spoiled)
    assert expected in complaint(path)


def test_a_folder_without_files_or_with_another_participant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no HuGaDB_v2_various"):
        find_participants(tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        find_participants(tmp_path / "none")
    folder = folder_of(tmp_path, {"05_00": [10]})
    with pytest.raises(UserError, match="no files of participant '06', but of 05"):
        read_participant(folder, "06")
    with pytest.raises(UserError, match="no file of participant '05' in .* remains"):
        read_participant(folder, "05")
