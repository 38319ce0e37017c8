from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_pose_dlc import complaint, tracks

from neuroduet.data.readers.pandas_hdf import plain_data
from neuroduet.data.readers.pose import load_pose, pose_format
from neuroduet.data.writers.pose import write_dlc_hdf, write_sleap
from neuroduet.errors import UserError

T = 8


@pytest.mark.parametrize("animals", [1, 2])
def test_an_hdf_of_deeplabcut_gives_back_exactly_the_pose(tmp_path: Path, animals: int) -> None:
    pose, path = tracks(animals), tmp_path / "pose.h5"
    write_dlc_hdf(path, pose)
    read = load_pose(path)
    np.testing.assert_array_equal(read.xy, pose.xy)
    np.testing.assert_array_equal(read.likelihood, pose.likelihood)
    assert (read.keypoints, read.animals) == (pose.keypoints, pose.animals)
    assert read.format.startswith("DeepLabCut HDF5")


def write_table(path: Path, protocol: int = 0, header: object = None) -> list[tuple[str, ...]]:
    """The layout ``table`` of pandas, as PyTables stores it: names in a pickled attribute."""
    columns = list(product(("net",), ("nose", "tail"), ("x", "y", "likelihood")))
    row = np.dtype([("index", "<i8"), ("values_block_0", "<f8", (len(columns),))])
    rows = np.zeros(T, dtype=row)
    rows["index"] = np.arange(T)
    rows["values_block_0"] = np.linspace(0.1, 0.9, T)[:, None]
    pickled = pickle.dumps(columns, protocol) if header is None else header
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        group["table"] = rows
        group["table"].attrs["values_block_0_kind"] = np.void(pickled) if protocol else pickled
    return columns


def test_the_table_layout_is_read_without_unpickling(tmp_path: Path) -> None:
    path = tmp_path / "pose.h5"
    write_table(path)
    read = load_pose(path)
    assert read.keypoints == ("nose", "tail")
    np.testing.assert_array_equal(read.likelihood[:, 1], np.linspace(0.1, 0.9, T))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_names_of_columns_are_the_same_in_every_version_of_pickle(protocol: int) -> None:
    columns = [("s", "nose", "x"), ("s", "nose", "y"), ("s", "Schwanz \u00e4", "x")]
    assert plain_data(Path("f"), pickle.dumps(columns, protocol)) == columns


class Intruder:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, ("intruder.txt", "w")


def test_code_in_a_file_is_refused_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pose.h5"
    write_table(path, header=pickle.dumps([Intruder()], 0))
    assert "cannot be read without running code" in complaint(path)
    assert not (tmp_path / "intruder.txt").exists()


def drop(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def put(name: str, values: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = values

    return change


def edit(name: str, place: object, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[name][place] = value

    return change


def attribute(name: str, key: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[name].attrs[key] = value

    return change


def drop_attribute(name: str, key: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name].attrs[key]

    return change


G = "df_with_missing"
DLC_DAMAGE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no values": (drop(f"{G}/block0_values"), "no dataset 'block0_values'"),
    "no index": (drop(f"{G}/axis1"), "no dataset 'axis1'"),
    "no names": (drop(f"{G}/block0_items_level1"), "no dataset 'block0_items_level1'"),
    "no blocks": (attribute(G, "nblocks", 0), "holds no numbers"),
    "no table": (attribute(G, "pandas_type", "series"), "no pose that can be read"),
    "words": (put(f"{G}/block0_values", np.array([b"a"])), "expected numbers with 2 dimensions"),
    "short": (put(f"{G}/block0_values", np.zeros((6, 4))), "9 names of columns"),
    "short index": (put(f"{G}/axis1", np.arange(3)), "3 of rows"),
    "doubled": (put(f"{G}/axis1", np.array([0, 1, 1, 3, 4, 5])), "frame 1 where frame 2"),
    "wild code": (edit(f"{G}/block0_items_label1", 0, 99), "points outside its 3 words"),
    "infinite": (edit(f"{G}/block0_values", (0, 0), np.inf), "an infinite coordinate"),
    "percent": (edit(f"{G}/block0_values", (0, 2), 55.0), "divide it by 100"),
    "ragged header": (
        put(f"{G}/block0_items_label0", np.zeros(4, int)),
        "block0_items differ in length",
    ),
    "no levels": (drop_attribute(G, "block0_items_nlevels"), "0 names of columns"),
    "one header row": (attribute(G, "block0_items_variety", "regular"), "no dataset"),
}


@pytest.mark.parametrize("name", DLC_DAMAGE)
def test_damage_to_an_hdf_of_deeplabcut_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "pose.h5"
    write_dlc_hdf(path, tracks())
    with h5py.File(path, "a") as file:
        if name == "one header row":
            del file[f"{G}/block0_items_level0"]
        DLC_DAMAGE[name][0](file)
    assert DLC_DAMAGE[name][1] in complaint(path)


@pytest.mark.parametrize("pickled", [b"", b"(lp0\n(Vnet\n", b"\x80garbage", b"I1\n."])
def test_damaged_names_of_columns_are_refused(tmp_path: Path, pickled: bytes) -> None:
    path = tmp_path / "pose.h5"
    write_table(path, header=np.bytes_(pickled))
    complaint(path)


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pose.h5"
    write_sleap(path, tracks())
    whole = path.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        complaint(path)


@pytest.mark.parametrize("animals", [1, 2])
def test_an_analysis_file_of_sleap_gives_back_exactly_the_pose(
    tmp_path: Path, animals: int
) -> None:
    pose, path = tracks(animals), tmp_path / "pose.analysis.h5"
    write_sleap(path, pose)
    read = load_pose(path)
    assert pose_format(path) == "sleap"
    np.testing.assert_array_equal(read.xy, pose.xy)
    np.testing.assert_array_equal(read.likelihood, pose.likelihood)
    assert (read.keypoints, read.animals) == (pose.keypoints, pose.animals)


def test_axes_named_by_the_file_are_put_in_order(tmp_path: Path) -> None:
    pose, path = tracks(2), tmp_path / "pose.h5"
    write_sleap(path, pose)
    with h5py.File(path, "a") as file:
        put("tracks", pose.xy)(file)
        put("point_scores", pose.likelihood)(file)
        file["tracks"].attrs["dims"] = json.dumps(["frame", "track", "node", "xy"])
        file["point_scores"].attrs["dims"] = json.dumps(["frame", "track", "node"])
    np.testing.assert_array_equal(load_pose(path).xy, pose.xy)


def test_points_placed_by_hand_have_no_score_and_are_certain(tmp_path: Path) -> None:
    path = tmp_path / "pose.h5"
    write_sleap(path, tracks())
    with h5py.File(path, "a") as file:
        file["point_scores"][0, 0, 0] = np.nan
    read = load_pose(path)
    assert read.likelihood[0, 0] == 1.0
    assert any("without a likelihood" in note for note in read.notes)


SLEAP_DAMAGE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no names": (drop("node_names"), "no pose that can be read"),
    "words": (put("tracks", np.array([b"a"])), "expected numbers with 4 dimensions"),
    "three axes": (put("tracks", np.zeros((2, 3, 6))), "expected numbers with 4 dimensions"),
    "axes swapped": (put("tracks", np.zeros((6, 3, 2, 1))), "expected (tracks, 2, 3 nodes"),
    "a node less": (put("node_names", np.array([b"a", b"b"])), "2 nodes"),
    "a name twice": (put("node_names", np.array([b"a", b"a", b"b"])), "'a' twice"),
    "an empty name": (put("node_names", np.array([b"a", b"", b"b"])), "an empty name"),
    "names are numbers": (put("node_names", np.arange(3)), "expected text"),
    "two names for one track": (put("track_names", np.array([b"a", b"b"])), "2 names"),
    "scores too short": (put("point_scores", np.zeros((1, 3, 5))), "expected one score"),
    "score too high": (edit("point_scores", (0, 0, 0), 90.0), "expected 0 to 2"),
    "nothing found": (put("tracks", np.full((1, 2, 3, 6), np.nan)), "missing in all 6"),
    "no frames": (put("tracks", np.zeros((1, 2, 3, 0))), "point_scores has shape"),
    "half a point": (edit("tracks", (0, 0, 0, 0), np.nan), "one coordinate without"),
    "infinite": (edit("tracks", (0, 0, 0, 0), np.inf), "an infinite coordinate"),
    "unknown axes": (attribute("tracks", "dims", '["a"]'), "dims"),
    "broken axes": (attribute("tracks", "dims", "[frame"), "dims"),
}


@pytest.mark.parametrize("name", SLEAP_DAMAGE)
def test_damage_to_a_file_of_sleap_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "pose.h5"
    write_sleap(path, tracks())
    with h5py.File(path, "a") as file:
        SLEAP_DAMAGE[name][0](file)
    assert SLEAP_DAMAGE[name][1] in complaint(path)


def write_ndx(path: Path, names: tuple[str, ...] = ("Left",), rate: float | None = None) -> None:
    pose = tracks(frames=T)
    with h5py.File(path, "w") as file:
        for name in names:
            group = file.create_group(f"processing/behavior/{name}")
            group.attrs.update({"neurodata_type": "PoseEstimation", "namespace": "ndx-pose"})
            for place, keypoint in enumerate(pose.keypoints):
                series = group.create_group(keypoint)
                series.attrs["neurodata_type"] = "PoseEstimationSeries"
                series["data"] = pose.xy[:, place]
                series["data"].attrs.update({"conversion": 1.0, "unit": "pixels"})
                series["confidence"] = pose.likelihood[:, place]
                if rate is None:
                    series["timestamps"] = 5 + np.arange(T) / 30
                else:
                    series["starting_time"] = 5.0
                    series["starting_time"].attrs.update({"rate": rate, "unit": "seconds"})


def test_ndx_pose_gives_places_confidence_and_times(tmp_path: Path) -> None:
    path, pose = tmp_path / "s.nwb", tracks(frames=T)
    write_ndx(path)
    read = load_pose(path)
    order = [read.keypoints.index(name) for name in pose.keypoints]
    np.testing.assert_array_equal(read.xy[:, order], pose.xy)
    np.testing.assert_array_equal(read.likelihood[:, order], pose.likelihood)
    np.testing.assert_array_equal(read.timestamps, 5 + np.arange(T) / 30)


def test_a_rate_gives_the_same_times_as_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "s.nwb"
    write_ndx(path, rate=30.0)
    read = load_pose(path)
    assert read.rate_hz == 30.0
    np.testing.assert_allclose(read.timestamps, 5 + np.arange(T) / 30)


def test_several_poses_are_named_or_read_as_several_animals(tmp_path: Path) -> None:
    path = tmp_path / "s.nwb"
    write_ndx(path, names=("A", "B"))
    assert "the poses A, B" in complaint(path)
    assert load_pose(path, ["A"]).xy.shape == (T, 3, 2)
    both = load_pose(path, ["A", "B"])
    assert both.xy.shape == (T, 2, 3, 2)
    assert both.animals == ("A", "B")
    with pytest.raises(UserError, match="known: A, B"):
        load_pose(path, ["Right"])


L = "processing/behavior/Left"
NDX_DAMAGE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no pose": (drop(L), "no pose that can be read"),
    "no data": (drop(f"{L}/nose/data"), "no dataset 'data'"),
    "no times": (drop(f"{L}/nose/timestamps"), "neither timestamps nor starting_time"),
    "short times": (put(f"{L}/nose/timestamps", np.arange(3.0)), "3 values for 8 frames"),
    "short data": (put(f"{L}/nose/data", np.zeros((3, 2))), "differ in length"),
    "short confidence": (put(f"{L}/nose/confidence", np.zeros(3)), "3 values for 8 frames"),
    "three dimensions": (put(f"{L}/nose/data", np.zeros((T, 3))), "3 coordinates"),
    "one dimension": (put(f"{L}/nose/data", np.zeros(T)), "expected numbers with 2"),
    "words": (put(f"{L}/nose/confidence", np.array([b"a"] * T)), "expected numbers with 1"),
    "other times": (put(f"{L}/nose/timestamps", np.arange(T) / 30.0), "other times"),
    "percent": (edit(f"{L}/nose/confidence", 0, 90.0), "divide it by 100"),
}


def test_damaged_series_of_ndx_pose_are_named(tmp_path: Path) -> None:
    for name, (spoil, expected) in NDX_DAMAGE.items():
        path = tmp_path / f"{name.replace(' ', '_')}.nwb"
        write_ndx(path)
        with h5py.File(path, "a") as file:
            spoil(file)
            if name == "short data":
                put(f"{L}/nose/confidence", np.zeros(3))(file)
                put(f"{L}/nose/timestamps", np.arange(3.0))(file)
        assert expected in complaint(path), name


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (np.r_[0.0, 0.0, 1:7], "do not grow from frame 0"),
        (np.r_[1.0, 0.0, 2:8], "do not grow from frame 0"),
        (np.r_[np.nan, 1:8], "not finite"),
    ],
)
def test_times_that_are_doubled_unordered_or_missing_are_refused(
    tmp_path: Path, times: np.ndarray, expected: str
) -> None:
    path = tmp_path / "s.nwb"
    write_ndx(path)
    with h5py.File(path, "a") as file:
        for keypoint in list(file[L]):
            if np.isnan(times).any():
                times = np.where(np.isnan(times), np.inf, times)
            put(f"{L}/{keypoint}/timestamps", times)(file)
    assert expected in complaint(path)


@pytest.mark.parametrize("rate", [0.0, -30.0, np.nan])
def test_a_wrong_rate_is_refused(tmp_path: Path, rate: float) -> None:
    path = tmp_path / "s.nwb"
    write_ndx(path, rate=rate)
    assert "expected frames per second" in complaint(path)


def test_an_hdf_without_pose_says_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["spikes"] = np.zeros(3)
    assert "holds spikes" in complaint(path)
