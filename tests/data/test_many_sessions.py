from __future__ import annotations

import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.config import Config, DataConfig, WindowConfig, override
from neuroduet.data.arrays import from_arrays
from neuroduet.data.binning import bin_events, bin_grid, sample_series, select_bins
from neuroduet.data.opened import OPEN_RECORDINGS, Opened, OpenRecordings, open_data
from neuroduet.data.recording import save
from neuroduet.data.session import Session, open_sessions
from neuroduet.data.sources import Binned, Events, Series
from neuroduet.errors import UserError
from neuroduet.training.module import Steps

TRIALS, BINS, UNITS = 20, 10, 5

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def record(folder: Path, name: str, seed: int) -> None:
    """Events, a behaviour stored as it is used, one with gaps, and one per trial."""
    generator = np.random.default_rng(seed)
    times = np.arange(0, 41, 0.05)
    gaps = generator.normal(size=len(times))
    gaps[::7] = gaps[1::7] = np.nan
    recording = from_arrays(
        session_id=name,
        spike_times=generator.uniform(0, 41, 2000),
        spike_units=generator.integers(0, UNITS, 2000),
        units={"region": ["A"] * UNITS},
        trials={"start": np.arange(TRIALS) * 2.0, "end": np.arange(TRIALS) * 2.0 + 1},
        behaviours={
            "speed": (times, generator.normal(size=len(times)).astype(np.float32)),
            "gaps": (times, gaps),
            "choice": generator.integers(0, 2, TRIALS),
        },
    )
    save(recording, folder / f"{name}.h5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(5):
        record(tmp_path, f"s{number}", number)
    return tmp_path


def configured(limit: int, **changes: float) -> DataConfig:
    windows = WindowConfig(bin_size_s=0.1)
    return DataConfig(windows=windows, open_recordings=limit, **changes)


def held(folder: Path) -> tuple[int, int]:
    """How many descriptors and how many maps of files in a folder this process holds."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        # The folder is listed through a descriptor that is gone by now.
        if entry.is_symlink():
            links.append(os.readlink(entry))
    maps = Path("/proc/self/maps").read_text().splitlines()
    return sum(str(folder) in x for x in links), sum(str(folder) in x for x in maps)


def steps(sessions: list[Session], limit: int) -> list:
    """Batches and masks of some training steps of two sessions each."""
    settings = [f"data.open_recordings={limit}", "training.sessions_per_batch=2"]
    return list(Steps(sessions, override(Config(), settings), 0, 8))


def assert_equal_parts(one, other) -> None:
    """Same structure, same bits."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            assert_equal_parts(value, other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal_parts(a, b)
    elif hasattr(one, "__dataclass_fields__"):
        assert_equal_parts(vars(one), vars(other))
    else:
        assert one == other


def test_training_steps_are_the_same_bits_whatever_the_limit(folder: Path) -> None:
    few, all_open = (open_sessions(folder, configured(limit)) for limit in (1, 100))
    assert_equal_parts(steps(few, 1), steps(all_open, 100))
    for one, other in zip(few, all_open, strict=True):
        assert one.info == other.info
        np.testing.assert_array_equal(
            one.statistics.scale_activity, other.statistics.scale_activity
        )


def test_left_out_units_are_the_same_whatever_the_limit(folder: Path) -> None:
    few, all_open = (open_sessions(folder, configured(limit, min_rate_hz=10)) for limit in (1, 9))
    assert len({len(session.info.units) for session in few}) > 1
    for one, other in zip(few, all_open, strict=True):
        assert one.info.units == other.info.units
        assert_equal_parts(one.batch(np.arange(TRIALS)), other.batch(np.arange(TRIALS)))


@on_linux
@pytest.mark.parametrize("limit", [1, 2, 4])
def test_no_more_recordings_are_open_than_configured(folder: Path, limit: int) -> None:
    sessions = open_sessions(folder, configured(limit))
    assert held(folder) == (0, 0)
    for place in np.random.default_rng(0).integers(0, 5, 20):
        sessions[place].batch(np.arange(3))
        sessions[place].truth(np.arange(3))
        descriptors, maps = held(folder)
        assert 1 <= descriptors <= limit
        assert 1 <= maps <= limit
    assert held(folder) == (limit, limit)
    del sessions
    assert held(folder) == (0, 0)


def test_the_recording_not_read_for_longest_is_closed(tmp_path: Path) -> None:
    class Reader:
        pass

    def opening() -> Opened:
        opened.append(place)
        nothing = np.zeros(0)
        events = Events(
            timestamps=nothing,
            unit_index=nothing.astype(int),
            n_units=0,
            recorded_s=np.zeros((0, 2)),
        )
        pages = np.memmap(tmp_path / "file", mode="w+", shape=1)
        return Opened(neural=events, behaviours={}, truth=None, pages=pages)

    readers, opened = [Reader() for _ in range(3)], []
    recordings = OpenRecordings()
    for place in (0, 1, 0, 2, 0, 1):
        with recordings.reading(readers[place], 2, opening):
            assert len(recordings) <= 2
    assert opened == [0, 1, 2, 1]
    assert len(recordings) == 2
    del readers
    assert len(recordings) == 0


def test_a_lower_limit_closes_all_that_are_too_many(folder: Path) -> None:
    many = open_sessions(folder, configured(100))
    for session in many:
        session.batch(np.arange(2))
    before = len(OPEN_RECORDINGS)
    (one,) = open_sessions(folder, configured(1), ["s0"])
    one.batch(np.arange(2))
    assert before >= 5
    assert len(OPEN_RECORDINGS) == 1


def test_sessions_of_one_file_with_other_settings_do_not_mix(folder: Path) -> None:
    narrow = DataConfig(windows=WindowConfig(bin_size_s=0.1, max_gap_s=0.01), open_recordings=1)
    (wide,) = open_sessions(folder, configured(1), ["s1"])
    (strict,) = open_sessions(folder, narrow, ["s1"])
    (bare,) = open_sessions(folder, configured(1), ["s1"], wide.info.behaviours[:1])
    seen = [s.batch(np.arange(4)).observed for s in (wide, strict, bare, wide, strict, bare)]
    assert_equal_parts(seen[:3], seen[3:])
    assert int(seen[0]["gaps"].sum()) > int(seen[1]["gaps"].sum())
    assert list(seen[2]) == [wide.info.behaviours[0].name]


def test_a_sent_session_reads_the_same_and_takes_its_statistics_along(folder: Path) -> None:
    (session,) = open_sessions(folder, configured(1, min_rate_hz=5), ["s2"])
    expected, statistics = session.batch(np.arange(6)), session.statistics
    stored = pickle.dumps(session)
    assert len(stored) < (folder / "s2.h5").stat().st_size / 4
    again = pickle.loads(stored)
    assert_equal_parts(again.batch(np.arange(6)), expected)
    np.testing.assert_array_equal(
        vars(again)["statistics"].mean_activity, statistics.mean_activity
    )


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, 4096)


def rewrite(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def replace(path: Path) -> None:
    record(path.parent, path.stem, 99)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (delete, "cannot be read"),
        (truncate, "bytes then, 4096 now"),
        (rewrite, "has changed since it was opened"),
        (replace, "has changed since it was opened"),
    ],
)
@pytest.mark.parametrize("is_open", [True, False])
def test_a_recording_that_changes_under_a_training_is_named(
    folder: Path, harm, found: str, is_open: bool
) -> None:
    sessions = open_sessions(folder, configured(5 if is_open else 1))
    for session in sessions:
        session.batch(np.arange(2))
    path = sessions[0].path
    shutil.copy2(path, folder / "backup")
    harm(path)
    with pytest.raises(UserError, match=rf"s0\.h5 .*{found}.*; restore it") as caught:
        list(Steps(sessions, Config(), 0, 30))
    assert str(caught.value).count("\n") == 0
    with pytest.raises(UserError, match="restore it"):
        sessions[0].truth(np.arange(2))
    sessions[1].batch(np.arange(2))
    shutil.copy2(folder / "backup", path)
    sessions[0].batch(np.arange(2))


def test_series_stored_as_they_are_used_stay_on_disk(folder: Path) -> None:
    (session,) = open_sessions(folder, configured(1), ["s0"])
    data = open_data(session.path, session.info.behaviours, session.config)
    speed, gaps = data.behaviours["speed"], data.behaviours["gaps"]
    assert isinstance(speed.values.base.base, np.memmap)
    assert isinstance(speed.timestamps.base, np.memmap)
    assert not isinstance(gaps.values.base, np.memmap)
    assert np.isfinite(gaps.values).all()


@on_linux
def test_pages_that_were_read_leave_memory(folder: Path) -> None:
    (session,) = open_sessions(folder, configured(1), ["s0"])
    data = open_data(session.path, session.info.behaviours, session.config)
    assert data.neural.timestamps.sum() > 0
    assert resident_kb(session.path) > 0
    del data
    session.batch(np.arange(TRIALS))
    assert resident_kb(session.path) == 0
    assert held(folder) == (1, 1)


def resident_kb(path: Path) -> int:
    """Memory of this process that holds pages of a file (kB)."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    found = 0
    for line in lines:
        if line.endswith(str(path)):
            found += int(next(x for x in lines if x.startswith("Rss:")).split()[1])
    return found


def unaligned(values: np.ndarray) -> np.ndarray:
    """The same values at an odd address, as in a file."""
    room = np.zeros(values.nbytes + 1, np.uint8)
    copy = np.ndarray(values.shape, values.dtype, buffer=room, offset=1)
    copy[...] = values
    return copy


times_of_samples = st.lists(st.integers(0, 60), max_size=40).map(
    lambda ticks: unaligned(np.sort(np.array(ticks, dtype=float)) / 10)
)
starts_of_windows = st.lists(st.integers(-20, 80), min_size=1, max_size=6).map(
    lambda ticks: np.array(ticks) / 20
)


@given(times_of_samples, starts_of_windows, st.integers(1, 8))
def test_reading_a_few_rows_equals_searching_whole_columns(
    times: np.ndarray, starts_s: np.ndarray, n_bins: int
) -> None:
    unit = unaligned(np.arange(len(times)) % 3)
    always = np.array([[-np.inf, np.inf]])
    events = Events(timestamps=times, unit_index=unit, n_units=3, recorded_s=always)
    counts, recorded = events.read(starts_s, n_bins, 0.2)
    assert recorded.all()
    np.testing.assert_array_equal(counts, bin_events(times, unit, starts_s, n_bins, 0.2, 3))

    values = unaligned(np.random.default_rng(0).normal(size=(len(times), 2)).astype(np.float32))
    row = select_bins(times, starts_s, n_bins, 0.2)
    activity, exists = Binned(timestamps=times, values=values).read(starts_s, n_bins, 0.2)
    np.testing.assert_array_equal(exists, row >= 0)
    np.testing.assert_array_equal(activity[exists], values[row[exists]])

    grid = bin_grid(starts_s, n_bins, 0.2)
    for column in (values, unit - 1):
        found = Series(timestamps=times, values=column, max_gap_s=0.3).read(grid)
        expected = sample_series(times, column, grid, 0.3)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
