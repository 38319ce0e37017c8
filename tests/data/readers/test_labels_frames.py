from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.data.readers.labels import LabelChoice, label_format, load_labels
from neuroduet.data.writers.labels import write_one_hot
from neuroduet.errors import UserError

NAMES = ("still", "walk", "groom")
GOOD = (
    ",background,still,walk\n0,1,0,0\n1,0,1,0\n2,0,1,0\n3,0,0,1\n4,1,0,0\n5,0,1,0\n"
)  # fmt: skip


def put(folder: Path, text: str, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def complaint(path: Path, *arguments: object, choice: LabelChoice | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_labels(path, *arguments, choice=choice)
    said = str(caught.value)
    assert "\n" not in said
    assert ";" in said or ":" in said
    return said


def test_the_shipped_fly_labels_have_the_published_counts_and_bouts(shared_data: Path) -> None:
    expected = {
        "2019_06_26_fly2": (45_001, (300, 300, 350, 300, 706), (6, 6, 7, 6, 8)),
        "2019_08_07_fly2": (50_001, (300, 300, 100, 300, 591), (6, 6, 1, 6, 7)),
    }
    for name, (frames, counts, bouts) in expected.items():
        track = load_labels(shared_data / "fly_labels" / f"{name}.csv")
        assert track.names == ("still", "walk", "front_groom", "back_groom", "abdomen-move")
        assert track.report.frames == len(track.classes) == frames
        assert tuple(track.report.counts.values()) == counts
        assert tuple(track.report.bouts.values()) == bouts
        assert int((track.classes == -1).sum()) == frames - sum(counts)


@given(st.lists(st.integers(-1, 2), min_size=1, max_size=60).filter(lambda x: max(x) >= 0))
def test_one_hot_labels_come_back_as_they_were_written(classes: list[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        write_one_hot(path, np.array(classes), NAMES)
        track = load_labels(path, len(classes))
    assert track.classes.tolist() == classes
    assert track.names == NAMES
    assert sum(track.report.counts.values()) == track.report.labelled


def test_background_is_unlabelled_and_bouts_are_counted(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, GOOD))
    assert track.classes.tolist() == [-1, 0, 0, 1, -1, 0]
    assert track.report.counts == {"still": 3, "walk": 1}
    assert track.report.bouts == {"still": 2, "walk": 1}
    assert track.report.labelled == 4


def test_classes_are_put_in_the_wanted_order_and_others_are_counted(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, GOOD), classes=("walk", "rear"))
    assert track.classes.tolist() == [-1, -1, -1, 0, -1, -1]
    assert track.names == ("walk", "rear")
    assert track.report.unknown == {"still": 3}


def test_frames_without_behaviour_become_the_class_of_the_rest(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, GOOD), choice=LabelChoice(rest="other"))
    assert track.names == ("other", "still", "walk")
    assert track.classes.tolist() == [0, 1, 1, 2, 0, 1]


def test_without_background_a_row_of_zeros_is_unlabelled(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, "frame,a,b\n0,0,0\n1,1,0\n2,1,1\n"))
    assert track.classes.tolist() == [-1, 0, -1]
    assert track.report.overlapping == 1


def test_numbers_may_be_written_with_a_point_and_columns_with_semicolons(tmp_path: Path) -> None:
    text = GOOD.replace(",0", ",0.0").replace(",1", ",1.0").replace(",", ";")
    assert load_labels(put(tmp_path, text)).classes.tolist() == [-1, 0, 0, 1, -1, 0]


DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda text: "", "is empty"),
    "header only": (lambda text: text.splitlines()[0], "a header and no rows"),
    "cut in a row": (lambda text: text[:-3], "found 3 cells, expected 4"),
    "a word": (lambda text: text.replace("3,0,0,1", "3,0,yes,1"), "column 3: found 'yes'"),
    "half": (lambda text: text.replace("3,0,0,1", "3,0,0,0.5"), "found 0.5, expected 0 or 1"),
    "missing": (lambda text: text.replace("3,0,0,1", "3,0,,1"), "found nan, expected 0 or 1"),
    "index instead": (lambda text: text.replace("3,0,0,1", "3,0,0,4"), "found 4, expected 0"),
    "no one": (lambda text: text.replace("3,0,0,1", "3,0,0,0"), "line 5: found 0 ones"),
    "background too": (lambda text: text.replace("3,0,0,1", "3,1,0,1"), "line 5: found 2 ones"),
    "out of order": (
        lambda text: text.replace("\n2,", "\n9,"),
        "frame 9 where frame 2 was expected",
    ),
    "doubled": (lambda text: text.replace("\n2,", "\n1,"), "frame 1 where frame 2"),
    "lost row": (lambda text: text.replace("2,0,1,0\n", ""), "frame 3 where frame 2"),
    "background last": (
        lambda text: text.replace("background,still,walk", "still,walk,background"),
        "expected it first",
    ),
    "a name twice": (lambda text: text.replace("walk", "still"), "'still' twice"),
    "no name": (lambda text: text.replace("walk", " "), "an empty name"),
    "nothing labelled": (
        lambda text: ",background,a\n0,1,0\n1,1,0\n",
        "labels none of 2 frames",
    ),
    "background only": (lambda text: ",background\n0,1\n", "no class beside background"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_to_one_hot_labels_is_named_with_its_place(tmp_path: Path, name: str) -> None:
    spoil, expected = DAMAGE[name]
    spoiled = spoil(GOOD)
    assert spoiled != GOOD
    said = complaint(put(tmp_path, spoiled))
    assert expected in said
    assert "labels.csv" in said


def test_labels_of_another_video_are_refused(tmp_path: Path) -> None:
    assert "labels of 6 frames, but the video has 7" in complaint(put(tmp_path, GOOD), 7)


def test_labels_that_name_none_of_the_classes_are_refused(tmp_path: Path) -> None:
    said = complaint(put(tmp_path, GOOD), None, None, ("rear", "sniff"))
    assert "its behaviours still, walk are not in the list" in said


def test_wanted_classes_need_names_of_their_own(tmp_path: Path) -> None:
    path = put(tmp_path, GOOD)
    assert "empty or equal names" in complaint(path, None, None, ("walk", "walk"))
    assert "not in the list" in complaint(
        path, None, None, ("walk",), choice=LabelChoice(rest="other")
    )
    assert "has a behaviour 'walk' already" in complaint(path, choice=LabelChoice(rest="walk"))


def table(path: Path, **columns: object) -> Path:
    parquet.write_table(arrow.table(columns), path)
    return path


def test_paw_states_are_the_most_probable_ones(tmp_path: Path) -> None:
    path = table(
        tmp_path / "_ibl_leftCamera.pawstates.pqt",
        background=[0.0, 0.8, np.nan, 0.1],
        still=[0.9, 0.1, np.nan, 0.2],
        move=[0.1, 0.1, np.nan, 0.7],
    )
    track = load_labels(path, 4)
    assert label_format(path) == "states"
    assert track.names == ("still", "move")
    assert track.classes.tolist() == [0, -1, -1, 1]
    assert "1 frames without probabilities" in track.report.notes[0]


def test_states_in_words_are_numbered_by_name(tmp_path: Path) -> None:
    path = table(tmp_path / "states.pqt", state=["still", "move", None, "still"])
    track = load_labels(path)
    assert track.names == ("move", "still")
    assert track.classes.tolist() == [1, 0, -1, 1]


def test_one_of_several_columns_of_words_must_be_chosen(tmp_path: Path) -> None:
    path = table(tmp_path / "states.pqt", left=["still", "move"], right=["move", "move"])
    assert "several values of column: left, right" in complaint(path)
    assert load_labels(path, choice=LabelChoice(annotator="right")).classes.tolist() == [0, 0]


PARQUET: dict[str, tuple[dict[str, object], str]] = {
    "percent": ({"still": [90.0, 10.0], "move": [10.0, 90.0]}, "a value outside 0 to 1"),
    "negative": ({"still": [-0.5, 0.5], "move": [1.0, 0.5]}, "a value outside 0 to 1"),
    "not probabilities": ({"still": [0.2, 0.5], "move": [0.2, 0.5]}, "values that do not add up"),
    "one column": ({"still": [0.2, 0.5]}, "expected one of text or a probability"),
    "times": (
        {"still": [0.5], "when": np.array(["2020-01-01"], "datetime64[ns]")},
        "expected one of text",
    ),
    "no rows": ({"state": np.array([], dtype=str)}, "holds no rows"),
    "all missing": ({"still": [np.nan, np.nan], "move": [np.nan, np.nan]}, "labels none of 2"),
    "no words": ({"state": ["", ""]}, "labels none of 2"),
}


@pytest.mark.parametrize("name", PARQUET)
def test_states_that_make_no_sense_are_refused(tmp_path: Path, name: str) -> None:
    columns, expected = PARQUET[name]
    assert expected in complaint(table(tmp_path / "states.pqt", **columns))


@pytest.mark.parametrize("cut", [4, 30, -1, -9])
def test_a_parquet_file_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    path = table(tmp_path / "states.pqt", still=[0.9, 0.1], move=[0.1, 0.9])
    path.write_bytes(path.read_bytes()[:cut])
    assert "damaged or no parquet" in complaint(path)


def test_a_file_of_something_else_says_what_is_known(tmp_path: Path) -> None:
    said = complaint(put(tmp_path, "hello\nworld\n"))
    assert "first line is 'hello'" in said
    assert "BORIS" in said
