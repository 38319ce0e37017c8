"""NWB files: a round trip, pose, choices, and damage that becomes one sentence."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_brain.data import Data

pytest.importorskip("pynwb", reason="NWB files are written by pynwb")

from neuroduet.data.readers.nwb import NwbReader
from neuroduet.data.readers.nwb_units import ragged_counts
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.data.recording import load, save
from neuroduet.data.writers.nwb import write_nwb
from neuroduet.errors import UserError
from neuroduet.simulate import simulate_session

Damage = Callable[[h5py.File], None]
READER = NwbReader()
WHEEL = "processing/behavior/wheel"


@pytest.fixture(scope="module")
def simulated() -> Data:
    return simulate_session(seed=3, index=0, size="tiny")


@pytest.fixture(scope="module")
def whole(simulated: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nwb(simulated, tmp_path_factory.mktemp("nwb") / "mouse_day1.nwb")


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / whole.name))


def read(path: Path, **chosen: object) -> Data:
    return READER.read(path, ReadOptions(**chosen))


def replace(group: h5py.Group, name: str, values: np.ndarray) -> None:
    """Another array under the same name, with the attributes of the old one."""
    attributes = dict(group[name].attrs)
    del group[name]
    group.create_dataset(name, data=values)
    for key, value in attributes.items():
        group[name].attrs[key] = value


def test_a_recording_comes_back_as_it_was(simulated: Data, whole: Path) -> None:
    found = read(whole)
    for name in ("timestamps", "unit_index"):
        np.testing.assert_array_equal(getattr(found.spikes, name), getattr(simulated.spikes, name))
    for name in ("id", "region", "depth_um"):
        np.testing.assert_array_equal(getattr(found.units, name), getattr(simulated.units, name))
    for name in ("start", "end", "stimOn_times", "choice", "block", "contrast", "reward"):
        np.testing.assert_array_equal(getattr(found.trials, name), getattr(simulated.trials, name))
    np.testing.assert_array_equal(found.wheel.timestamps, simulated.wheel.timestamps)
    np.testing.assert_array_equal(found.wheel.values, simulated.wheel.wheel_speed)
    energy = simulated.whisker.whisker_motion_energy
    np.testing.assert_array_equal(found.whisker.values, energy)
    assert found.subject.id == simulated.subject.id
    assert set(found.behaviours.name) == {"wheel", "whisker", "choice", "block"}


def test_what_was_read_can_be_saved_and_sliced(whole: Path, tmp_path: Path) -> None:
    save(read(whole), tmp_path / "a.h5")
    with load(tmp_path / "a.h5") as found:
        part = found.slice(10.0, 20.0)
        assert (part.trials.stimOn_times <= 10.0).all()


def test_looking_says_what_there_is(whole: Path) -> None:
    found = READER.inspect(whole, ReadOptions())
    assert found.session == "mouse_day1"
    assert "spikes" in found.items["spikes"]
    assert found.items["behaviour"].splitlines() == [
        "wheel: wheel (continuous, per bin)",
        "whisker: whisker (continuous, per bin)",
        "choice: trials.choice (categorical, per trial)",
        "block: trials.block (categorical, per trial)",
    ]
    assert found.missing == ("pose",)


def test_files_are_recognised_by_what_they_hold(whole: Path, tmp_path: Path) -> None:
    plain = tmp_path / "other.h5"
    h5py.File(plain, "w").close()
    assert READER.recognises(whole)
    assert READER.sessions(whole.parent) == [whole]
    assert not READER.recognises(plain)
    assert not READER.recognises(Path("https://example.org/a.nwb"))


def test_units_can_be_chosen(whole: Path, simulated: Data) -> None:
    rates = np.bincount(simulated.spikes.unit_index, minlength=len(simulated.units.id))
    rates = rates / np.ptp(simulated.spikes.timestamps)
    found = read(whole, min_rate_hz=1.0)
    assert found.units.id.tolist() == simulated.units.id[rates >= 1.0].tolist()
    one = read(whole, units=("unit003",))
    mine = simulated.spikes.unit_index == 3
    np.testing.assert_array_equal(one.spikes.timestamps, simulated.spikes.timestamps[mine])


def test_an_unknown_unit_is_refused(whole: Path) -> None:
    with pytest.raises(UserError, match="unknown unit 'unit00x'"):
        read(whole, units=("unit00x",))


def test_regions_come_at_the_level_asked_for(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        places = file["general/extracellular_ephys/electrodes/location"]
        places[...] = np.array([b"VISp5"] * len(places), dtype=object)
    assert set(read(copy, regions="cosmos").units.region) == {"Isocortex"}
    assert set(read(copy, regions="beryl").units.region) == {"VISp"}


@pytest.mark.parametrize(
    ("unknown", "said"),
    [(0, "1 (beryl)"), (1, "1 (beryl); 1 of 39 units in none (unknown)"), (None, None)],
)
def test_units_without_a_known_region_count_as_none(
    copy: Path, unknown: int | None, said: str | None
) -> None:
    with h5py.File(copy, "a") as file:
        places = file["general/extracellular_ephys/electrodes/location"]
        names = np.array([b"VISp5"] * len(places), dtype=object)
        names[:unknown] = b"unknown"
        places[...] = names
    found = READER.inspect(copy, ReadOptions())
    assert found.items.get("regions") == said
    assert ("regions" in found.missing) == (said is None)


def test_looking_names_what_is_there_and_not_read(copy: Path) -> None:
    groups = {
        "processing/behavior/epochs": "BehavioralEpochs",
        "processing/behavior/epochs/running": "IntervalSeries",
        "acquisition/raw": "ElectricalSeries",
        "events/licks": "EventsTable",
        "intervals/rewards": "TimeIntervals",
        "stimulus/presentation/tone": "TimeSeries",
    }
    with h5py.File(copy, "a") as file:
        for name, kind in groups.items():
            file.require_group(name).attrs["neurodata_type"] = kind
        for name in list(groups)[1:]:
            file[name]["timestamps"] = np.arange(3.0)
    assert READER.inspect(copy, ReadOptions()).dropped == (
        "processing/behavior/epochs/running (of type IntervalSeries, which is not read)",
        "acquisition/raw (of type ElectricalSeries, which is not read)",
        "events/licks (of type EventsTable, which is not read)",
        "intervals/rewards (of type TimeIntervals, which is not read)",
        "stimulus/presentation/tone (of type TimeSeries, which is not read)",
    )


def test_looking_says_which_units_the_options_leave_out(whole: Path, simulated: Data) -> None:
    found = READER.inspect(whole, ReadOptions(units=("unit003",)))
    others = len(simulated.units.id) - 1
    assert found.dropped == (f"{others} units (not among the units asked for)",)
    with pytest.raises(UserError, match="unknown unit 'unit00x'"):
        READER.inspect(whole, ReadOptions(units=("unit00x",)))


def test_spikes_in_milliseconds_beside_trials_in_seconds_are_suspected(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        times = file["units/spike_times"][...]
        replace(file["units"], "spike_times", (times - times.min()) * 1000)
    with pytest.warns(UserWarning, match="as if the times of spikes were in milliseconds"):
        read(copy)


def test_a_mapping_chooses_the_behaviours(whole: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "map.yaml"
    mapping.write_text("behaviours: {speed: wheel, side: trials.choice, when: trials.reward}\n")
    found = read(whole, mapping=mapping)
    assert found.behaviours.name.tolist() == ["speed", "side", "when"]
    assert found.behaviours.source.tolist() == ["wheel.values", "trials.choice", "trials.reward"]
    mapping.write_text("behaviours: {speed: weel}\n")
    with pytest.raises(UserError, match=r"map\.yaml 'weel'; did you mean 'wheel'"):
        read(whole, mapping=mapping)


def test_a_mapping_offers_the_speed_of_a_series(copy: Path, tmp_path: Path) -> None:
    times = np.arange(0, 60, 1 / 30)
    with h5py.File(copy, "a") as file:
        series = file[WHEEL]
        replace(series, "timestamps", times)
        replace(series, "data", np.stack([3.0 * times, -4.0 * times], axis=1))
    mapping = tmp_path / "map.yaml"
    mapping.write_text("behaviours: {running: {series: wheel, speed: true}, where: wheel}\n")
    found = read(copy, mapping=mapping)
    assert found.behaviours.name.tolist() == ["running", "where"]
    source = found.behaviours.source.tolist()[0]
    speed = getattr(found, source.partition(".")[0]).values
    np.testing.assert_allclose(speed[1000:-1000], 5.0, rtol=1e-3)
    assert found.wheel.values.shape == (len(times), 2)
    mapping.write_text("behaviours: {running: {series: trials.choice, speed: true}}\n")
    with pytest.raises(UserError, match=r"series of the behaviour 'running'"):
        read(copy, mapping=mapping)


def test_a_series_that_drifts_is_told_unless_its_speed_is_taken(
    copy: Path, tmp_path: Path
) -> None:
    times = np.arange(0, 120, 1 / 30)
    with h5py.File(copy, "a") as file:
        replace(file[WHEEL], "timestamps", times)
        replace(file[WHEEL], "data", 3.0 * times)
    (said,) = READER.inspect(copy, ReadOptions()).warnings
    assert said.startswith("wheel drifts slowly")
    mapping = tmp_path / "map.yaml"
    for series, names in (("wheel", ["where"]), ("{series: wheel, speed: true}", [])):
        mapping.write_text(f"behaviours: {{where: {series}}}\n")
        found = READER.inspect(copy, ReadOptions(mapping=mapping)).warnings
        assert [one.split()[0] for one in found] == names


def test_a_series_with_a_rate_and_a_conversion_is_put_on_the_clock(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        series = file[WHEEL]
        data = np.arange(len(series["data"]), dtype=np.int16)
        replace(series, "data", data)
        series["data"].attrs["conversion"] = 0.5
        del series["timestamps"]
        series["starting_time"] = 2.0
        series["starting_time"].attrs["rate"] = 50.0
    found = read(copy).wheel
    np.testing.assert_allclose(found.timestamps[:3], [2.0, 2.02, 2.04])
    np.testing.assert_allclose(found.values[:3], [0, 0.5, 1])


def test_raw_signals_and_images_are_left_out_with_a_reason(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        for name, shape in (("sync", (100,)), ("video", (100, 8, 8))):
            group = file.create_group(f"acquisition/{name}")
            group.attrs["neurodata_type"] = "TimeSeries"
            group["data"] = np.zeros(shape)
            group["starting_time"] = 0.0
            group["starting_time"].attrs["rate"] = 30000.0 if name == "sync" else 30.0
    dropped = READER.inspect(copy, ReadOptions()).dropped
    assert dropped == (
        "series acquisition/sync (a raw signal at 30000 Hz)",
        "series acquisition/video (of shape (100, 8, 8))",
    )
    assert "sync" not in read(copy).behaviours.name


def test_pose_is_read_with_unsure_points_missing(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        pose = file.create_group("processing/behavior/camera")
        pose.attrs["neurodata_type"] = "PoseEstimation"
        for name in ("nose", "tail"):
            series = pose.create_group(name)
            series.attrs["neurodata_type"] = "PoseEstimationSeries"
            series["data"] = np.ones((30, 2))
            series["confidence"] = np.linspace(0, 1, 30)
            series["timestamps"] = np.arange(30) / 30
    found = read(copy, pose_likelihood=0.5)
    assert found.keypoints.name.tolist() == ["nose", "tail"]
    assert np.isnan(found.pose.xy).all(-1).sum(0).tolist() == [15, 15]
    assert READER.inspect(copy, ReadOptions()).items["pose"] == "camera"


def set_rows(path: str, values: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """Damage that replaces a dataset by a function of it."""

    def damage(file: h5py.File) -> None:
        group, _, name = path.rpartition("/")
        replace(file[group], name, values(file[path][...]))

    return damage


def remove(path: str) -> Damage:
    def damage(file: h5py.File) -> None:
        del file[path]

    return damage


def rate_of_zero(file: h5py.File) -> None:
    del file[WHEEL]["timestamps"]
    file[WHEEL]["starting_time"] = 0.0
    file[WHEEL]["starting_time"].attrs["rate"] = 0.0


def put(at: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        fresh = values.astype(np.float64)
        fresh[at] = value
        return fresh

    return change


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no version": (lambda file: file.attrs.__delitem__("nwb_version"), "has no attribute nwb_ver"),
    "no units": (remove("units"), "holds neither units.spike_times nor a pose"),
    "no index": (remove("units/spike_times_index"), r"lacks units\.spike_times_index"),
    "no ids": (remove("units/id"), r"lacks units\.id"),
    "spikes cut off": (set_rows("units/spike_times", lambda v: v[:-5]), "there are .* spikes"),
    "index out of order": (set_rows("units/spike_times_index", lambda v: v[::-1]), "ascending"),
    "index too short": (set_rows("units/spike_times_index", lambda v: v[:-1]), "one end per unit"),
    "index of floats": (set_rows("units/spike_times_index", np.float32), "expected .* integers"),
    "spikes in samples": (set_rows("units/spike_times", lambda v: v * 3e4), r"samples\?"),
    "spikes as integers": (set_rows("units/spike_times", np.int64), "convert samples"),
    "missing spikes": (set_rows("units/spike_times", put(7, np.nan)), "not finite"),
    "infinite spikes": (set_rows("units/spike_times", put(7, np.inf)), "not finite"),
    "unsorted spikes": (set_rows("units/spike_times", put(1, 1e5)), "of unit 0 is not sorted"),
    "doubled ids": (set_rows("units/id", np.zeros_like), "one id per unit|twice"),
    "electrodes astray": (set_rows("units/electrodes", lambda v: v + 1000), "electrodes runs"),
    "column too short": (set_rows("units/depth_um", lambda v: v[:-1]), r"units\.depth_um has"),
    "trials unsorted": (
        set_rows("intervals/trials/start_time", lambda v: v[::-1]),
        r"trials\.start_time is not sorted",
    ),
    "trial twice": (
        set_rows("intervals/trials/start_time", lambda v: np.append(v[0], v[:-1])),
        "same in rows 0 and 1",
    ),
    "trial without length": (
        set_rows("intervals/trials/stop_time", lambda v: v - 100),
        "not after its start_time",
    ),
    "trials without times": (
        set_rows("intervals/trials/start_time", lambda v: v * np.nan),
        "keeps none",
    ),
    "no stop": (remove("intervals/trials/stop_time"), r"lacks intervals\.trials\.stop_time"),
    "trials on another clock": (
        lambda file: (
            set_rows("intervals/trials/start_time", lambda v: v + 9e4)(file),
            set_rows("intervals/trials/stop_time", lambda v: v + 9e4)(file),
        )[0],
        "times of trials run from",
    ),
    "series too short": (set_rows(f"{WHEEL}/timestamps", lambda v: v[:-3]), "one per row of data"),
    "series unsorted": (set_rows(f"{WHEEL}/timestamps", lambda v: v[::-1]), "is not sorted"),
    "series without time": (remove(f"{WHEEL}/timestamps"), "starting_time"),
    "series with nan times": (set_rows(f"{WHEEL}/timestamps", put(3, np.nan)), "not finite"),
    "series in ms": (set_rows(f"{WHEEL}/timestamps", lambda v: v * 1e3), "one clock|millisec"),
    "rate of zero": (rate_of_zero, "rate 0.0 Hz"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_with_its_place_and_remedy(copy: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    with h5py.File(copy, "a") as file:
        if name == "doubled ids":
            del file["units/unit_name"]
        damage(file)
    with pytest.raises(UserError, match=message) as caught:
        read(copy)
    assert copy.name in str(caught.value)
    assert "; " in str(caught.value)


@pytest.mark.parametrize("kept", [0, 100, 4096, 30_000])
def test_a_truncated_file_is_refused(whole: Path, tmp_path: Path, kept: int) -> None:
    cut = tmp_path / "cut.nwb"
    cut.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"cut\.nwb .*export it again"):
        read(cut)


def test_the_trial_filter_needs_its_columns(whole: Path) -> None:
    with pytest.raises(UserError, match="expected by the trial filter neds"):
        read(whole, trial_filter="neds")


def test_nothing_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no NWB files"):
        READER.sessions(tmp_path)
    with pytest.raises(UserError, match="nothing at"):
        READER.sessions(tmp_path / "none.nwb")


def test_a_url_is_read_as_it_was_given(
    whole: Path, simulated: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    remfile = pytest.importorskip("remfile", reason="it reads files from a URL")
    asked: list[str] = []

    def local(url: str) -> object:
        asked.append(url)
        return io.BytesIO(whole.read_bytes())

    monkeypatch.setattr(remfile, "File", local)
    source = Path("https://example.org/blobs/1.nwb")
    assert READER.sessions(source) == [source]
    found = read(source)
    assert set(asked) == {"https://example.org/blobs/1.nwb"}
    np.testing.assert_array_equal(found.spikes.timestamps, simulated.spikes.timestamps)


def test_a_url_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    remfile = pytest.importorskip("remfile", reason="it reads files from a URL")

    def silent(url: str) -> object:
        raise OSError("no route to host")

    monkeypatch.setattr(remfile, "File", silent)
    with pytest.raises(UserError, match=r"https://example\.org/1\.nwb cannot be read \(no route"):
        read(Path("https://example.org/1.nwb"))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_ragged_rows_have_the_lengths_they_were_written_with(counts: list[int]) -> None:
    ends = np.cumsum(counts).astype(np.uint32)
    found = ragged_counts(ends, int(ends[-1]), len(counts), "x")
    assert found.tolist() == counts


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=6), st.integers(0, 60))
def test_an_index_is_right_or_refused(ends: list[int], length: int) -> None:
    try:
        found = ragged_counts(np.array(ends), length, len(ends), "x")
    except UserError:
        return
    assert (found >= 0).all()
    assert found.sum() == length
