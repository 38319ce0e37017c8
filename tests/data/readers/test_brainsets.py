"""torch_brain files of others: what they leave out is filled in, what is wrong is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries

from neuroduet.data.readers.brainsets import BrainsetsReader
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.data.recording import save
from neuroduet.errors import UserError
from neuroduet.simulate import simulate_session
from neuroduet.simulate.brainwide import simulate_recording

READER = BrainsetsReader()


def read(path: Path, **chosen: object) -> Data:
    return READER.read(path, ReadOptions(**chosen))


def bare(path: Path, **columns: np.ndarray) -> Path:
    """Spikes and wheel without session, behaviours or ids."""
    data = Data(
        spikes=IrregularTimeSeries(
            timestamps=np.arange(40) / 10, unit_index=np.arange(40) % 3, domain="auto"
        ),
        wheel=IrregularTimeSeries(timestamps=np.arange(40) / 10, speed=np.ones(40)),
        units=ArrayDict(**(columns or {"brain_area": np.array(["VISp5", "CA1", "M1"])})),
        domain=Interval(0.0, 4.0),
    )
    with h5py.File(path, "w") as file:
        data.to_hdf5(file)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "mouse.h5"
    save(simulate_session(seed=3, index=0, size="tiny"), path)
    return path


def test_a_recording_comes_back_as_it_was(saved: Path) -> None:
    simulated, found = simulate_session(seed=3, index=0, size="tiny"), read(saved)
    for group, name in (("spikes", "timestamps"), ("spikes", "unit_index"), ("trials", "choice")):
        np.testing.assert_array_equal(
            getattr(getattr(found, group), name), getattr(getattr(simulated, group), name)
        )
    assert found.session.id == simulated.session.id
    assert found.behaviours.name.tolist() == simulated.behaviours.name.tolist()


def test_a_benchmark_recording_is_read_with_its_regions(tmp_path: Path) -> None:
    simulated = simulate_recording(seed=0, index=0, units=8)
    save(simulated, tmp_path / "a.h5")
    found = read(tmp_path / "a.h5", regions="cosmos")
    assert found.units.region.tolist() == simulated.units.region_cosmos.tolist()
    assert "wheel" in found.behaviours.name


def test_what_a_file_leaves_out_is_filled_in(tmp_path: Path) -> None:
    found = read(bare(tmp_path / "plain.h5"))
    assert found.session.id == "plain"
    assert found.units.id.tolist() == ["0", "1", "2"]
    assert found.units.region.tolist() == ["VISp", "CA1", "M1"]
    assert found.behaviours.source.tolist() == ["wheel.speed"]
    save(found, tmp_path / "again.h5")


def test_ids_come_from_a_column_that_tells_units_apart(tmp_path: Path) -> None:
    same = np.array(["a", "a", "b"])
    path = bare(tmp_path / "plain.h5", unit_name=same, uuid=np.array(["x", "y", "z"]))
    assert read(path).units.id.tolist() == ["x", "y", "z"]


def test_units_that_fire_rarely_can_be_dropped_with_their_truth(saved: Path) -> None:
    everything = read(saved)
    seconds = float((everything.domain.end - everything.domain.start).sum())
    rates = np.bincount(everything.spikes.unit_index, minlength=len(everything.units.id)) / seconds
    found = read(saved, min_rate_hz=2.0)
    kept = rates >= 2.0
    assert 0 < kept.sum() < len(kept)
    assert found.units.id.tolist() == everything.units.id[kept].tolist()
    np.testing.assert_array_equal(
        np.bincount(found.spikes.unit_index),
        np.bincount(everything.spikes.unit_index, minlength=len(kept))[kept],
    )
    np.testing.assert_array_equal(found.truth.log_rates_hz, everything.truth.log_rates_hz[:, kept])


def test_looking_says_what_there_is(saved: Path) -> None:
    found = READER.inspect(saved, ReadOptions(session_id="other"))
    assert found.session == "other"
    assert found.items["trials"].startswith("60 rows of ")


def test_files_are_recognised_by_what_they_hold(saved: Path, tmp_path: Path) -> None:
    h5py.File(tmp_path / "else.h5", "w").close()
    assert READER.recognises(saved)
    assert not READER.recognises(tmp_path / "else.h5")
    assert READER.sessions(tmp_path) == [saved]


def put(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        values = change(file[name][...])
        del file[name]
        file[name] = values

    return damage


def remove(name: str) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        del file[name]

    return damage


DAMAGES: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no spikes": (remove("spikes"), "found none of the neural groups"),
    "no units": (remove("units"), "found no unit table"),
    "no index": (remove("spikes/unit_index"), r"found no spikes\.unit_index"),
    "no domain": (remove("domain"), "must have a domain"),
    "units astray": (put("spikes/unit_index", lambda v: v + 500), "unit_index runs from"),
    "negative units": (put("spikes/unit_index", lambda v: v - 1), "unit_index runs from -1"),
    "index of floats": (put("spikes/unit_index", np.float32), "expected 1-D integers"),
    "unsorted": (put("spikes/timestamps", lambda v: v[::-1]), r"spikes\.timestamps is not sorted"),
    "missing times": (
        put("spikes/timestamps", lambda v: v * np.nan),
        "not finite|cannot contain NaNs",
    ),
    "integer times": (put("spikes/timestamps", np.int64), "expected float64 seconds"),
    "trial of no length": (put("trials/end", lambda v: v - 100), "do not end after they start"),
    "behaviour gone": (remove("wheel/wheel_speed"), r"found no wheel\.wheel_speed"),
    "wheel unsorted": (put("wheel/timestamps", lambda v: v[::-1]), r"wheel\.timestamps is not"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_with_its_place_and_remedy(saved: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    with h5py.File(saved, "a") as file:
        damage(file)
    for look in (READER.read, READER.inspect):
        with pytest.raises(UserError, match=message) as caught:
            look(saved, ReadOptions())
        assert "mouse.h5" in str(caught.value)


@pytest.mark.parametrize("kept", [0, 50, 3000])
def test_a_truncated_file_is_refused(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"mouse\.h5 is (damaged|not an HDF5)"):
        read(saved)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no torch_brain files"):
        READER.sessions(tmp_path)
