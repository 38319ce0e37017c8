from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuroduet.data.readers.pose import PoseTracks, load_pose, missing_fractions
from neuroduet.data.writers.pose import write_dlc_csv
from neuroduet.errors import UserError

HEADER = "scorer,net,net,net,net,net,net\nbodyparts,nose,nose,nose,tail,tail,tail\n"
COORDS = "coords,x,y,likelihood,x,y,likelihood\n"
ROWS = ["0,1.5,2.5,0.9,3,4,1", "1,2.5,3.5,0.8,,,0", "2,3.5,4.5,0.7,5,6,0.5"]
GOOD = HEADER + COORDS + "\n".join(ROWS) + "\n"


def tracks(animals: int = 1, frames: int = 6, seed: int = 0) -> PoseTracks:
    rng = np.random.default_rng(seed)
    shape = (frames, animals, 3) if animals > 1 else (frames, 3)
    xy = rng.normal(300, 100, (*shape, 2))
    xy[1, ..., 2, :] = np.nan
    likelihood = np.where(np.isfinite(xy).all(-1), rng.random(shape), 0.0)
    names = tuple(f"mouse{number}" for number in range(animals)) if animals > 1 else ()
    return PoseTracks(
        format="",
        xy=xy,
        likelihood=likelihood,
        keypoints=("nose", "body", "tail base"),
        animals=names,
    )


def written(folder: Path, text: str) -> Path:
    path = folder / "video1DLC.csv"
    path.write_bytes(text.encode())
    return path


def complaint(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_pose(path)
    said = str(caught.value)
    assert path.name in said
    assert "\n" not in said
    assert ";" in said or ":" in said
    return said


@pytest.mark.parametrize("animals", [1, 2, 3])
def test_a_csv_gives_back_exactly_the_pose_that_was_written(tmp_path: Path, animals: int) -> None:
    pose = tracks(animals)
    path = tmp_path / "pose.csv"
    write_dlc_csv(path, pose)
    read = load_pose(path)
    np.testing.assert_array_equal(read.xy, pose.xy)
    np.testing.assert_array_equal(read.likelihood, pose.likelihood)
    assert (read.keypoints, read.animals) == (pose.keypoints, pose.animals)
    assert read.format.startswith("DeepLabCut csv of")


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.just(2)),
        elements=st.floats(-1e9, 1e9),
    )
)
def test_any_finite_pose_survives_the_csv_to_the_last_bit(xy: np.ndarray) -> None:
    import tempfile

    pose = PoseTracks(
        format="",
        xy=xy,
        likelihood=np.ones(xy.shape[:-1]),
        keypoints=tuple(f"k{number}" for number in range(xy.shape[1])),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pose.csv"
        write_dlc_csv(path, pose)
        np.testing.assert_array_equal(load_pose(path).xy, xy)


def test_header_rows_empty_cells_and_numbers_are_read_as_they_stand(tmp_path: Path) -> None:
    read = load_pose(written(tmp_path, GOOD))
    assert read.keypoints == ("nose", "tail")
    np.testing.assert_array_equal(read.xy[0], [[1.5, 2.5], [3, 4]])
    assert np.isnan(read.xy[1, 1]).all()
    assert read.likelihood.tolist() == [[0.9, 1.0], [0.8, 0.0], [0.7, 0.5]]
    assert missing_fractions(read) == {"nose": 0.0, "tail": 1 / 3}


def test_windows_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff" + GOOD.replace("\n", "\r\n"))
    np.testing.assert_array_equal(load_pose(path).xy[2], [[3.5, 4.5], [5, 6]])


def test_lightning_pose_is_named_and_its_further_columns_are_left_aside(tmp_path: Path) -> None:
    names = ["x", "y", "likelihood", "x_ens_var", "zscore"]
    text = "\n".join(
        [
            "scorer," + ",".join(["heatmap_tracker"] * 6),
            "bodyparts," + ",".join(["paw_l"] * 5) + ",set",
            "coords," + ",".join(names) + ",",
            "0,1,2,0.5,0.1,3,",
            "1,2,3,0.6,0.1,3,",
        ]
    )
    read = load_pose(written(tmp_path, text))
    assert read.format == "Lightning Pose csv of one animal"
    assert read.keypoints == ("paw_l",)
    assert any("x_ens_var, zscore" in note for note in read.notes)


def test_points_of_no_animal_are_left_aside_by_name(tmp_path: Path) -> None:
    text = "\n".join(
        [
            "scorer,s,s,s,s,s,s,s,s,s",
            "individuals,a,a,a,b,b,b,single,single,single",
            "bodyparts,nose,nose,nose,nose,nose,nose,corner,corner,corner",
            "coords,x,y,likelihood,x,y,likelihood,x,y,likelihood",
            "0,1,2,1,3,4,1,9,9,1",
        ]
    )
    read = load_pose(written(tmp_path, text))
    assert read.animals == ("a", "b")
    assert read.xy.tolist() == [[[[1, 2]], [[3, 4]]]]
    assert "left aside the points of no animal: corner" in read.notes


def test_without_likelihood_every_found_point_is_certain(tmp_path: Path) -> None:
    text = "scorer,s,s\nbodyparts,nose,nose\ncoords,x,y\n0,1,2\n1,,\n"
    read = load_pose(written(tmp_path, text))
    assert read.likelihood.tolist() == [[1.0], [0.0]]
    assert "no likelihood" in read.notes[0]


def test_a_keypoint_that_was_never_found_is_named(tmp_path: Path) -> None:
    text = HEADER + COORDS + "0,1,2,1,,,\n1,1,2,1,,,\n"
    assert "never found in any frame: tail" in load_pose(written(tmp_path, text)).notes


def swap_rows(text: str) -> str:
    return text.replace("\n1,", "\n@,").replace("\n2,", "\n1,").replace("\n@,", "\n2,")


DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda text: "", "is empty"),
    "blank": (lambda text: " \n\n", "is empty"),
    "another table": (lambda text: "a,b\n1,2\n", "no pose file"),
    "header only": (lambda text: HEADER + COORDS, "a header and no rows"),
    "no coords": (lambda text: text.replace(COORDS, ""), "header row 'coords'"),
    "no bodyparts": (lambda text: text.replace("bodyparts", "points"), "header row 'bodyparts'"),
    "cut in a row": (lambda text: text[:-6], "found 6 cells, expected 7"),
    "short header": (lambda text: text.replace("net,net\n", "net\n"), "differ in length"),
    "a word": (lambda text: text.replace("2.5,3.5", "2.5,oops"), "line 5, column 3: found 'oops'"),
    "out of order": (swap_rows, "frame 2 where frame 1 was expected"),
    "doubled": (lambda text: text.replace("\n2,", "\n1,"), "frame 1 where frame 2 was expected"),
    "lost row": (lambda text: text.replace(ROWS[1] + "\n", ""), "frame 2 where frame 1"),
    "starts late": (lambda text: text.replace("\n0,", "\n7,"), "frame 7 where frame 0"),
    "all missing": (
        lambda text: HEADER + COORDS + "0,,,,,,\n1,NaN,NaN,,,,\n",
        "missing in all 2 frames",
    ),
    "percent": (lambda text: text.replace(",0.9,", ",90,"), "divide it by 100"),
    "negative": (lambda text: text.replace(",0.9,", ",-0.9,"), "likelihood of 'nose' is -0.9"),
    "infinite": (lambda text: text.replace("2.5,3.5", "inf,3.5"), "an infinite coordinate"),
    "half a point": (lambda text: text.replace("2.5,3.5", ",3.5"), "one coordinate without"),
    "no y": (lambda text: text.replace("coords,x,y", "coords,x,z"), "no column y"),
    "doubled point": (lambda text: text.replace("tail", "nose"), "two columns nose x"),
    "images": (lambda text: text.replace("\n0,", "\nlabeled-data/v/img0.png,"), "single images"),
    "binary": (lambda text: text.replace("2.5,3.5", "2.5,\0"), "no text"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_to_a_csv_is_named_with_its_place(tmp_path: Path, name: str) -> None:
    spoil, expected = DAMAGE[name]
    spoiled = spoil(GOOD)
    assert spoiled != GOOD
    assert expected in complaint(written(tmp_path, spoiled))


def test_a_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pose.csv"
    path.write_bytes(b"scorer,\xff\xfe\n")
    assert "no text in UTF-8" in complaint(path)


def test_animals_with_different_keypoints_are_refused(tmp_path: Path) -> None:
    text = (
        "scorer,s,s,s,s\nindividuals,a,a,b,b\nbodyparts,nose,nose,tail,tail\n"
        "coords,x,y,x,y\n0,1,2,3,4\n"
    )
    assert "'b' has the keypoints tail" in complaint(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "there is no file" in complaint(tmp_path / "nowhere.csv")


@given(st.integers(0, len(GOOD) - 1))
def test_a_csv_cut_anywhere_is_read_or_refused_without_a_crash(length: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), GOOD[:length])
        with suppress(UserError):  # anything else would be a crash
            assert 0 < len(load_pose(path).xy) <= len(ROWS)
