"""MATLAB and numpy files with a mapping file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from torch_brain.data import Data

from neuroduet.data.readers.mat_files import read_mat
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.data.readers.speed import speed_of
from neuroduet.data.readers.tables import MatReader, NpzReader
from neuroduet.errors import UserError

NPZ, MAT = NpzReader(), MatReader()
Arrays = dict[str, Any]
Mapping = dict[str, Any]


def binned() -> tuple[Arrays, Mapping]:
    """Counts by trial, and a mapping that needs nothing else."""
    draw = np.random.default_rng(0)
    arrays = {
        "x": draw.poisson(2.0, size=(6, 10, 4)),
        "speed": draw.normal(size=(6, 10)),
        "side": np.array([0, 1] * 3),
        "area": np.array(["VISp5", "CA1", "CA1", "VISp5"]),
        "part": np.array(["train"] * 4 + ["test"] * 2),
    }
    mapping: Mapping = {
        "session": "s1",
        "bin_size_s": 0.02,
        "counts": "x",
        "units": {"region": "area"},
        "behaviours": {"speed": "speed", "choice": "side"},
        "split": "part",
    }
    return arrays, mapping


def events() -> tuple[Arrays, Mapping]:
    """Spikes in samples and trials in milliseconds."""
    draw = np.random.default_rng(1)
    arrays = {
        "t": np.sort(draw.integers(0, 3_000_000, 500)),
        "u": draw.integers(1, 5, 500),
        "on": np.arange(0, 90_000, 10_000),
        "off": np.arange(0, 90_000, 10_000) + 5_000,
        "when": np.linspace(0, 90, 900),
        "speed": draw.normal(size=900),
        "name": np.array(["a", "b", "c", "d"]),
    }
    mapping: Mapping = {
        "spikes": {
            "times": {"array": "t", "unit": "samples", "rate_hz": 30000.0},
            "units": "u",
            "first_unit": 1,
        },
        "units": {"id": "name"},
        "trials": {
            "start": {"array": "on", "unit": "ms"},
            "end": {"array": "off", "unit": "ms"},
        },
        "behaviours": {"speed": {"array": "speed", "times": "when"}},
    }
    return arrays, mapping


def write_npz(folder: Path, arrays: Arrays) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def write_mat(folder: Path, arrays: Arrays) -> Path:
    path = folder / "data.mat"
    cells = {name: values.astype(object) if values.dtype.kind == "U" else values
             for name, values in arrays.items()}  # fmt: skip
    savemat(path, cells)
    return path


def write_hdf_mat(folder: Path, arrays: Arrays) -> Path:
    """As MATLAB 7.3 does: axes in reverse, text as codes behind references."""
    path = folder / "data.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            if values.dtype.kind != "U":
                file[name] = np.atleast_2d(values).T
                continue
            cell = file.create_dataset(name, (len(values), 1), dtype=h5py.ref_dtype)
            for row, word in enumerate(values):
                codes = np.array([[ord(letter)] for letter in word], dtype=np.uint16)
                one = file.create_dataset(f"#refs#/{name}{row}", data=codes)
                one.attrs["MATLAB_class"] = np.bytes_("char")
                cell[row, 0] = one.ref
    return path


WRITERS = {"npz": (write_npz, NPZ), "mat v5": (write_mat, MAT), "mat v7.3": (write_hdf_mat, MAT)}


def read(writer: str, folder: Path, arrays: Arrays, mapping: Mapping, **chosen: object) -> Data:
    write, reader = WRITERS[writer]
    path = folder / "map.yaml"
    path.write_text(yaml.safe_dump(mapping))
    return reader.read(write(folder, arrays), ReadOptions(mapping=path, **chosen))


@pytest.mark.parametrize("writer", WRITERS)
def test_counts_by_trial_come_back_as_they_were(tmp_path: Path, writer: str) -> None:
    arrays, mapping = binned()
    found = read(writer, tmp_path, arrays, mapping)
    np.testing.assert_array_equal(found.counts.values, arrays["x"].reshape(60, 4))
    np.testing.assert_allclose(found.speed.values, arrays["speed"].ravel(), rtol=1e-6)
    np.testing.assert_array_equal(found.trials.choice, arrays["side"])
    assert found.trials.split.tolist() == arrays["part"].tolist()
    assert found.units.region.tolist() == ["VISp", "CA1", "CA1", "VISp"]
    assert found.session.id == "s1"


@pytest.mark.parametrize("writer", WRITERS)
def test_events_come_back_in_seconds(tmp_path: Path, writer: str) -> None:
    arrays, mapping = events()
    found = read(writer, tmp_path, arrays, mapping)
    np.testing.assert_allclose(found.spikes.timestamps, arrays["t"] / 30000)
    np.testing.assert_array_equal(found.spikes.unit_index, arrays["u"] - 1)
    np.testing.assert_allclose(found.trials.start, np.arange(9) * 10.0)
    np.testing.assert_allclose(found.speed.timestamps, arrays["when"])
    assert found.units.id.tolist() == ["a", "b", "c", "d"]
    assert found.session.id == "data"


def test_axes_in_another_order_are_turned(tmp_path: Path) -> None:
    arrays, mapping = binned()
    turned = arrays | {"x": np.transpose(arrays["x"], (2, 0, 1)), "speed": arrays["speed"].T}
    mapping["counts"] = {"array": "x", "axes": ["units", "trials", "bins"]}
    mapping["behaviours"]["speed"] = {"array": "speed", "axes": ["bins", "trials"]}
    found = read("npz", tmp_path, turned, mapping)
    np.testing.assert_array_equal(found.counts.values, arrays["x"].reshape(60, 4))
    np.testing.assert_allclose(found.speed.values, arrays["speed"].ravel(), rtol=1e-6)


def test_a_cell_of_spike_times_has_a_unit_in_each(tmp_path: Path) -> None:
    cell = np.empty(3, dtype=object)
    cell[:] = [np.array([0.5, 1.5]), np.array([]), np.array([1.0, 2.0, 3.0])]
    path = tmp_path / "data.mat"
    savemat(path, {"session": {"spikes": {"times": cell}}})
    mapping = tmp_path / "map.yaml"
    mapping.write_text("spikes: {times: session.spikes.times}\n")
    found = MAT.read(path, ReadOptions(mapping=mapping))
    assert found.spikes.timestamps.tolist() == [0.5, 1.0, 1.5, 2.0, 3.0]
    assert found.spikes.unit_index.tolist() == [0, 2, 0, 2, 2]
    assert len(found.units.id) == 3


def cell_of(values: list[Any]) -> np.ndarray:
    cell = np.empty(len(values), dtype=object)
    cell[:] = values
    return cell


def test_a_struct_array_of_trials_has_a_number_or_word_in_each(tmp_path: Path) -> None:
    trials = np.zeros((1, 4), dtype=[("on", object), ("off", object), ("side", object)])
    for row, side in enumerate(["left", "", "right", "left"]):
        trials[0, row] = (2.0 * row, 2.0 * row + 1, side)
    path, mapping = tmp_path / "data.mat", tmp_path / "map.yaml"
    savemat(path, {"trial": trials, "spikes": cell_of([np.arange(9.0), np.arange(3.0)])})
    mapping.write_text(
        "spikes: {times: spikes}\ntrials: {start: trial.on, end: trial.off}\n"
        "behaviours: {choice: trial.side}\n"
    )
    found = MAT.read(path, ReadOptions(mapping=mapping))
    assert found.trials.start.tolist() == [0, 2, 4, 6]
    assert found.trials.end.tolist() == [1, 3, 5, 7]
    assert found.trials.choice.tolist() == ["left", "", "right", "left"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["CA1", "", "VISp"], ["CA1", "", "VISp"]),
        ([1.5, np.zeros((0, 0)), 2.5], [1.5, np.nan, 2.5]),
        ([True, False], [1, 0]),
    ],
    ids=["words", "numbers", "truth"],
)
def test_a_cell_with_one_value_each_is_an_array(
    tmp_path: Path, values: list[Any], expected: list[Any]
) -> None:
    savemat(tmp_path / "data.mat", {"x": cell_of(values)})
    np.testing.assert_array_equal(read_mat(tmp_path / "data.mat", "x"), expected)


def test_a_cell_of_longer_arrays_keeps_them_apart(tmp_path: Path) -> None:
    savemat(tmp_path / "data.mat", {"x": cell_of([np.arange(3.0), 1.0, np.zeros(0)])})
    found = read_mat(tmp_path / "data.mat", "x")
    assert isinstance(found, list)
    assert [one.size for one in found] == [3, 1, 0]


def test_a_matrix_of_letters_has_a_word_in_each_row(tmp_path: Path) -> None:
    words = ["CA1 ", "VISp"]
    with h5py.File(tmp_path / "data.mat", "w") as file:
        file["x"] = np.array([[ord(letter) for letter in word] for word in words], np.uint16).T
        file["x"].attrs["MATLAB_class"] = np.bytes_("char")
    assert np.asarray(read_mat(tmp_path / "data.mat", "x")).tolist() == ["CA1", "VISp"]


def test_trials_of_different_length_follow_each_other(shared_data: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "map.yaml"
    mapping.write_text(
        "bin_size_s: 0.1\ncounts: {array: counts, lengths: trial_len}\n"
        "behaviours:\n  velocity: {array: velocity, lengths: trial_len}\n  target: target\n"
    )
    path = shared_data / "monkey_reach" / "chewie_20131003.npz"
    found = NPZ.read(path, ReadOptions(mapping=mapping))
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(found.counts.values, arrays["counts"])
        bins = np.round((found.trials.end - found.trials.start) / 0.1)
        np.testing.assert_array_equal(bins, arrays["trial_len"])


def test_units_can_be_chosen(tmp_path: Path) -> None:
    arrays, mapping = events()
    found = read("npz", tmp_path, arrays, mapping, units=("b", "d"))
    mine = np.isin(arrays["u"], (2, 4))
    np.testing.assert_allclose(found.spikes.timestamps, arrays["t"][mine] / 30000)
    assert found.units.id.tolist() == ["b", "d"]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_behaviour_can_be_the_speed_of_an_array(tmp_path: Path, writer: str) -> None:
    arrays, mapping = events()
    times = arrays["when"] = np.arange(0, 90, 0.01)
    arrays["speed"] = 100 + 2 / np.pi * np.sin(np.pi * times)
    mapping["behaviours"]["speed"] |= {"speed": True}
    found = read(writer, tmp_path, arrays, mapping)
    (source,) = found.behaviours.source.tolist()
    group, _, field = source.partition(".")
    series = getattr(found, group)
    expected = 2 * np.abs(np.cos(np.pi * series.timestamps))
    inner = slice(500, -500)
    np.testing.assert_allclose(getattr(series, field)[inner], expected[inner], atol=0.02)


def test_speed_is_missing_beside_what_is_missing() -> None:
    times = np.arange(0, 10, 0.1)
    position = np.where((times > 4.05) & (times < 4.95), np.nan, times)
    grid, speed = speed_of(times, position, "x")
    lost = np.isnan(speed)
    assert lost[(grid > 4.1) & (grid < 4.9)].all()
    assert not lost[(grid < 3.9) | (grid > 5.1)].any()
    np.testing.assert_allclose(speed[(grid > 1) & (grid < 3.5)], 1.0, rtol=1e-3)


def test_looking_says_what_is_used_and_what_is_not(tmp_path: Path) -> None:
    arrays, mapping = binned()
    path = tmp_path / "map.yaml"
    path.write_text(yaml.safe_dump(mapping))
    file = write_npz(tmp_path, arrays | {"other": np.zeros(3)})
    found = NPZ.inspect(file, ReadOptions(mapping=path))
    assert found.items["counts"] == "x, (6, 10, 4) of type int64"
    assert found.dropped == ("array other (not in the mapping)",)
    assert NPZ.sessions(tmp_path) == [file]
    assert not MAT.recognises(tmp_path)


def look(folder: Path, arrays: Arrays, mapping: Mapping) -> Found:
    path = folder / "map.yaml"
    path.write_text(yaml.safe_dump(mapping))
    return NPZ.inspect(write_npz(folder, arrays), ReadOptions(mapping=path))


def test_an_array_with_a_dot_in_its_name_is_used(tmp_path: Path) -> None:
    arrays, mapping = binned()
    arrays["part.x"] = arrays.pop("x")
    found = look(tmp_path, arrays, mapping | {"counts": "part.x"})
    assert found.dropped == ()


def test_looking_finds_what_reading_would_refuse(tmp_path: Path) -> None:
    arrays, mapping = events()
    arrays["on"] = np.where(np.arange(9) == 3, np.nan, arrays["on"])
    with pytest.raises(UserError, match=r"on \(unit: ms\) holds 1 times that are not finite"):
        look(tmp_path, arrays, mapping)


def test_looking_suspects_times_that_are_in_milliseconds(tmp_path: Path) -> None:
    arrays, mapping = events()
    arrays["t"] = np.sort(np.random.default_rng(0).uniform(0, 90_000, 500))
    mapping["spikes"]["times"] = "t"
    found = look(tmp_path, arrays, mapping)
    assert any("as if the times of spikes were in milliseconds" in one for one in found.warnings)


def test_units_that_count_from_one_are_suspected(tmp_path: Path) -> None:
    arrays, mapping = events()
    assert look(tmp_path, arrays, mapping).warnings == ()
    del mapping["units"], mapping["spikes"]["first_unit"]
    (said,) = look(tmp_path, arrays, mapping).warnings
    assert said.startswith("u begins with 1, so that the first unit has no spikes")


def test_trials_inside_each_other_keep_their_ends(tmp_path: Path) -> None:
    arrays, mapping = events()
    arrays["off"] = np.where(np.arange(9) == 3, arrays["off"] + 20_000, arrays["off"])
    found = read("npz", tmp_path, arrays, mapping)
    np.testing.assert_allclose(found.trials.end, arrays["off"] / 1000)


def test_behaviours_whose_names_become_the_same_are_both_kept(tmp_path: Path) -> None:
    arrays, mapping = binned()
    mapping["behaviours"] = {"x é": "speed", "x è": "speed"}
    found = read("npz", tmp_path, arrays, mapping)
    assert found.behaviours.name.tolist() == ["x", "x_2"]


def test_words_outside_ascii_are_spelt_in_it(tmp_path: Path) -> None:
    arrays, mapping = binned()
    arrays["side"] = np.array(["links", "größer"] * 3)
    found = read("npz", tmp_path, arrays, mapping)
    assert set(found.trials.choice) == {"links", "gr\\xf6\\xdfer"}


def test_a_name_that_yaml_takes_for_true_is_to_be_quoted(tmp_path: Path) -> None:
    arrays, _ = events()
    mapping = tmp_path / "map.yaml"
    mapping.write_text("spikes: {times: t, units: u}\ntrials: {start: on, end: off}\n")
    with pytest.raises(UserError, match=r"trials\.start = True, as YAML reads on.*in quotes"):
        NPZ.read(write_npz(tmp_path, arrays), ReadOptions(mapping=mapping))


def without(name: str) -> Callable[[Arrays, Mapping], object]:
    return lambda arrays, mapping: arrays.pop(name)


def change(name: str, value: Callable[[Any], Any]) -> Callable[[Arrays, Mapping], object]:
    return lambda arrays, mapping: arrays.update({name: value(arrays[name])})


def say(key: str, value: Any) -> Callable[[Arrays, Mapping], object]:
    return lambda arrays, mapping: mapping.update({key: value})


BINNED: dict[str, tuple[Callable[[Arrays, Mapping], object], str]] = {
    "no counts": (without("x"), "unknown (array|variable) of .* 'x'"),
    "no activity": (say("counts", None), "give one of spikes, counts and traces"),
    "two activities": (say("traces", "x"), "found counts and traces"),
    "unknown key": (say("bins", 3), "unknown key in .*did you mean 'bin_size_s'.*known: session"),
    "no width": (say("bin_size_s", None), "bin_size_s is missing"),
    "negative width": (say("bin_size_s", -1), "says bin_size_s"),
    "transposed": (change("x", lambda v: v.T), "if it is transposed, state its axes"),
    "wrong axes": (say("counts", {"array": "x", "axes": ["time", "units"]}), "correct the map"),
    "flat counts": (change("x", np.ravel), r"expected \(trials, bins, units\)"),
    "fractions": (change("x", lambda v: v + 0.5), "store them as traces"),
    "missing counts": (change("x", lambda v: np.full(v.shape, np.nan)), "not finite"),
    "negative counts": (change("x", lambda v: -1 - v), "negative or fractional"),
    "regions too short": (change("area", lambda v: v[:-1]), "3 entries|has 3|axes"),
    "short behaviour": (change("speed", lambda v: v[:, :-1]), "behaviour 'speed' has shape"),
    "few splits": (change("part", lambda v: v[:-1]), "split has 5 entries"),
    "unknown split": (change("part", lambda v: np.array(["dev"] * 6)), r"trials\.split holds"),
}
EVENTS: dict[str, tuple[Callable[[Arrays, Mapping], object], str]] = {
    "samples said to be seconds": (say("spikes", {"times": "t", "units": "u"}), r"samples\?"),
    "samples without rate": (
        say("spikes", {"times": {"array": "t", "unit": "samples"}, "units": "u"}),
        "samples need it",
    ),
    "no units": (say("spikes", {"times": {"array": "t", "unit": "us"}}), "name it in the mapping"),
    "counts from 1": (
        say("spikes", {"times": {"array": "t", "unit": "us"}, "units": "u"}),
        "set spikes.first_unit: 1",
    ),
    "one unit short": (change("u", lambda v: v[:-1]), "expected one unit per spike"),
    "half units": (change("u", lambda v: v + 0.5), "expected whole numbers"),
    "missing times": (change("t", lambda v: v * np.nan), "not finite"),
    "id twice": (change("name", lambda v: np.array(["a"] * 4)), "one id per unit"),
    "trials unsorted": (change("on", lambda v: v[::-1]), "is not sorted"),
    "trial twice": (change("on", lambda v: np.append(v[0], v[:-1])), "same in rows 0 and 1"),
    "trials end first": (change("off", lambda v: v - 9_000), "do not end after they start"),
    "no trial": (
        lambda arrays, mapping: arrays.update(on=np.zeros(0), off=np.zeros(0)),
        "on is empty, expected the start of each trial",
    ),
    "ends too few": (change("off", lambda v: v[:-1]), "expected one per trial"),
    "behaviour unsorted": (change("when", lambda v: v[::-1]), "is not sorted"),
    "speed of bins": (
        say("behaviours", {"speed": {"array": "speed", "speed": True}}),
        "needs the times",
    ),
    "speed of text": (
        say("behaviours", {"speed": {"array": "name", "times": "when", "speed": True}}),
        "expected numbers",
    ),
    "speed of nothing": (
        say("behaviours", {"speed": {"array": "t", "times": "when", "speed": True}}),
        "500 samples but 900 times",
    ),
    "behaviour too short": (change("speed", lambda v: v[:-1]), "one value per time"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", [*BINNED, *EVENTS])
def test_damage_is_named_with_its_place_and_remedy(tmp_path: Path, name: str, writer: str) -> None:
    arrays, mapping = binned() if name in BINNED else events()
    damage, message = (BINNED | EVENTS)[name]
    damage(arrays, mapping)
    with pytest.raises(UserError, match=message) as caught:
        read(writer, tmp_path, arrays, mapping)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kept", [0, 60, 700])
def test_a_truncated_file_is_refused(tmp_path: Path, writer: str, kept: int) -> None:
    arrays, mapping = binned()
    write, reader = WRITERS[writer]
    path, said = write(tmp_path, arrays), tmp_path / "map.yaml"
    said.write_text(yaml.safe_dump(mapping))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"data\.(npz|mat)"):
        reader.read(path, ReadOptions(mapping=said))


def test_text_is_no_activity(tmp_path: Path) -> None:
    arrays, mapping = binned()
    arrays["x"] = arrays["x"].astype(str)
    with pytest.raises(UserError, match=r"data\.npz x is of type <U1, expected numbers"):
        read("npz", tmp_path, arrays, mapping)


def test_a_struct_is_answered_with_its_fields(tmp_path: Path) -> None:
    path, mapping = tmp_path / "data.mat", tmp_path / "map.yaml"
    savemat(path, {"session": {"x": np.ones((2, 2)), "y": 1.0}})
    mapping.write_text("bin_size_s: 0.1\ncounts: session\n")
    with pytest.raises(UserError, match=r"session is a struct \(x, y\).*session\.x"):
        MAT.read(path, ReadOptions(mapping=mapping))
    mapping.write_text("bin_size_s: 0.1\ncounts: session.z\n")
    with pytest.raises(UserError, match="unknown field 'z' of session.z"):
        MAT.read(path, ReadOptions(mapping=mapping))


def test_pickled_objects_are_never_opened(tmp_path: Path) -> None:
    arrays, mapping = binned()
    arrays["x"] = np.array([{"a": 1}], dtype=object)
    with pytest.raises(UserError, match="write plain arrays"):
        read("npz", tmp_path, arrays, mapping)


@pytest.mark.parametrize(
    ("text", "message"),
    [("counts: [", "is no YAML"), ("- a", "holds list"), ("", "holds NoneType")],
)
def test_a_damaged_mapping_is_refused(tmp_path: Path, text: str, message: str) -> None:
    mapping = tmp_path / "map.yaml"
    mapping.write_text(text)
    path = write_npz(tmp_path, binned()[0])
    with pytest.raises(UserError, match=message):
        NPZ.read(path, ReadOptions(mapping=mapping))
    with pytest.raises(UserError, match="--mapping"):
        NPZ.read(path, ReadOptions())
    with pytest.raises(UserError, match="no mapping file"):
        NPZ.read(path, ReadOptions(mapping=tmp_path / "none.yaml"))


@settings(max_examples=20)
@given(st.permutations(["trials", "bins", "units"]))
def test_any_order_of_axes_gives_the_same_recording(
    tmp_path_factory: pytest.TempPathFactory, order: list[str]
) -> None:
    arrays, mapping = binned()
    axes = [("trials", "bins", "units").index(axis) for axis in order]
    turned = arrays | {"x": np.transpose(arrays["x"], axes)}
    mapping["counts"] = {"array": "x", "axes": list(order)}
    found = read("npz", tmp_path_factory.mktemp("axes"), turned, mapping)
    np.testing.assert_array_equal(found.counts.values, arrays["x"].reshape(60, 4))
