from __future__ import annotations

import os

import h5py
import numpy as np
import pytest
from torch_brain.data import ArrayDict, Data, IrregularTimeSeries, RegularTimeSeries

from neuroduet.config import DataConfig
from neuroduet.data.arrays import from_arrays
from neuroduet.data.columns import column, groups, mapped, pieces
from neuroduet.data.recording import describe, find_recordings, load, save
from neuroduet.data.schema import check
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError


@pytest.fixture
def recording():
    generator = np.random.default_rng(0)
    speed = generator.normal(size=(6, 10))
    speed[2] = np.nan
    return from_arrays(
        session_id="s1",
        subject_id="mouse",
        counts=generator.poisson(2.0, (6, 10, 3)) * np.array([1, 1, 0]),
        bin_size_s=0.1,
        behaviours={
            "speed": speed,
            "choice": ["left", "right"] * 3,
            "state": np.tile([0, -1], (6, 5)),
            "phase": np.tile(["go", ""], (6, 5)),
        },
        units={"region": ["A", "B", "A"]},
    )


def assert_same(one, other):
    # torch_brain leaves out what is None.
    keys = [key for key in one.keys() if getattr(one, key) is not None]  # noqa: SIM118
    assert sorted(keys) == sorted(other.keys())
    for key in keys:
        mine, yours = getattr(one, key), getattr(other, key)
        if isinstance(mine, Data | ArrayDict):
            assert_same(mine, yours)
        else:
            np.testing.assert_array_equal(mine, yours)


@pytest.mark.parametrize("lazy", [True, False])
def test_what_is_saved_comes_back(recording, tmp_path, lazy):
    save(recording, tmp_path / "s1.h5")
    with load(tmp_path / "s1.h5", lazy=lazy) as again:
        check(again)
        assert_same(recording, again)
        np.testing.assert_array_equal(again.domain.start, recording.domain.start)


def test_torch_brain_opens_and_slices_the_file(recording, tmp_path):
    save(recording, tmp_path / "s1.h5")
    with Data.load(tmp_path / "s1.h5") as again:
        second_trial = again.slice(2.0, 3.0)
        np.testing.assert_array_equal(second_trial.counts.values, recording.counts.values[10:20])
        assert second_trial.state.values.tolist() == [0, -1] * 5


def test_unknown_groups_survive_a_round_trip(recording, tmp_path):
    recording.video = RegularTimeSeries(frame=np.zeros((5, 2, 2)), sampling_rate=30.0)
    recording.licks = IrregularTimeSeries(timestamps=np.array([0.1, 0.2]))
    recording.note = "kept"
    recording.matrix = np.eye(2)
    recording.extra = Data(inner=ArrayDict(x=np.arange(3)), depth=2)
    save(recording, tmp_path / "one.h5")
    with load(tmp_path / "one.h5") as lazy:
        save(lazy, tmp_path / "two.h5")
    with load(tmp_path / "two.h5", lazy=False) as again:
        assert_same(recording, again)
        assert again.video.sampling_rate == 30.0


def test_a_file_can_be_saved_over_itself_while_it_is_open(recording, tmp_path):
    path = tmp_path / "s1.h5"
    save(recording, path)
    with load(path) as lazy:
        save(lazy, path)
    with load(path) as again:
        assert_same(recording, again)


def test_saving_does_not_change_the_recording(recording, tmp_path):
    save(recording, tmp_path / "s1.h5")
    with load(tmp_path / "s1.h5") as lazy:
        save(lazy, tmp_path / "s2.h5")
        assert isinstance(lazy.__dict__["counts"].__dict__["values"], h5py.Dataset)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("h5")])
def test_a_failed_write_leaves_the_old_file(recording, tmp_path, monkeypatch, error):
    path = tmp_path / "s1.h5"
    save(recording, path)
    before = path.read_bytes()

    def fail(self, file):
        file.create_dataset("half", data=np.zeros(100))
        raise error

    monkeypatch.setattr(Data, "to_hdf5", fail)
    with pytest.raises(UserError, match="could not write"):
        save(recording, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["s1.h5"]


def test_letters_that_cannot_be_stored_leave_the_old_file(recording, tmp_path):
    path = tmp_path / "s1.h5"
    save(recording, path)
    before = path.read_bytes()
    recording.notes = ArrayDict(text=np.array(["naïve"]))
    with pytest.raises(UserError, match=r"notes.text.*ASCII"):
        save(recording, path)
    assert path.read_bytes() == before


def test_values_that_cannot_be_stored_are_one_sentence(recording, tmp_path):
    recording.setting = object()
    with pytest.raises(UserError, match="could not write"):
        save(recording, tmp_path / "s1.h5")
    assert os.listdir(tmp_path) == []


def test_saved_files_have_ordinary_permissions(recording, tmp_path):
    save(recording, tmp_path / "s1.h5")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "s1.h5").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_saving_into_a_missing_folder_is_refused(recording, tmp_path):
    with pytest.raises(UserError, match="no folder"):
        save(recording, tmp_path / "nowhere" / "s1.h5")


def test_what_is_no_recording_is_said(recording, tmp_path):
    text, other, short = (tmp_path / name for name in ("a.h5", "b.h5", "c.h5"))
    text.write_text("hello")
    with h5py.File(other, "w") as file:
        file.create_group("spikes")
    save(recording, short)
    short.write_bytes(short.read_bytes()[:-2000])
    for path, message in (
        (tmp_path / "none.h5", "no recording at"),
        (tmp_path, "no recording at"),
        (text, "not an HDF5 file"),
        (other, "not a torch_brain recording"),
        (short, "damaged or incomplete"),
    ):
        with pytest.raises(UserError, match=message):
            load(path)


def test_an_nwb_file_is_said_to_be_one_with_the_command_that_reads_it(tmp_path):
    for name in ("by its suffix.nwb", "by_its_attribute.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_group("acquisition")
            if name.endswith(".h5"):
                file.attrs["nwb_version"] = "2.6.0"
        with pytest.raises(UserError, match=r"is an NWB file.*neuroduet ingest .* OUT$"):
            describe(tmp_path / name)


def test_other_hdf5_files_are_refused_without_the_words_of_the_library(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("spikes")
    with pytest.raises(UserError, match="not a torch_brain recording; ") as caught:
        load(tmp_path / "a.h5")
    assert "attribute" not in str(caught.value)


def test_recordings_are_found_in_the_order_of_their_names(tmp_path):
    for name in ("b.h5", "a.h5", ".hidden.h5", "notes.txt"):
        (tmp_path / name).write_text("")
    assert [path.name for path in find_recordings(tmp_path)] == ["a.h5", "b.h5"]
    assert find_recordings(tmp_path / "b.h5") == [tmp_path / "b.h5"]


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(UserError, match="no recordings"):
        find_recordings(tmp_path)
    with pytest.raises(UserError, match="nothing at"):
        find_recordings(tmp_path / "none")


def test_the_summary_counts_what_is_there(recording, tmp_path):
    save(recording, tmp_path / "s1.h5")
    summary = describe(tmp_path / "s1.h5")
    rates = recording.counts.values.mean(axis=0) / 0.1
    assert summary["session"] == "s1"
    assert summary["subject"] == "mouse"
    assert (summary["neural"], summary["units"], summary["silent_units"]) == ("counts", 3, 1)
    assert summary["regions"] == {"A": 2, "B": 1}
    assert summary["rate_quantiles_hz"][2] == pytest.approx(np.median(rates))
    assert summary["duration_s"] == pytest.approx(6.0)
    assert summary["trials"] == 6
    missing = {b["name"]: b["missing"] for b in summary["behaviours"]}
    assert missing == pytest.approx({"speed": 1 / 6, "choice": 0, "state": 0.5, "phase": 0.5})
    assert summary["problems"] == []


def test_the_summary_leaves_out_units_without_a_known_region(recording, tmp_path):
    recording.units.region = np.array(["A", "unknown", ""])
    save(recording, tmp_path / "s1.h5")
    assert describe(tmp_path / "s1.h5")["regions"] == {"A": 1}


def test_whole_numbers_below_zero_are_missing_only_where_the_model_says_so(recording, tmp_path):
    # Negative positions are positions; of classes only -1 means that nobody said.
    times = recording.counts.timestamps
    recording.wheel = IrregularTimeSeries(timestamps=times, ticks=np.arange(60) - 30)
    recording.task = IrregularTimeSeries(timestamps=times, side=np.tile([-2, -1, 0], 20))
    recording.behaviours = ArrayDict(
        name=np.array(["wheel", "side"]),
        source=np.array(["wheel.ticks", "task.side"]),
        kind=np.array(["continuous", "categorical"]),
        per=np.array(["bin", "bin"]),
    )
    save(recording, tmp_path / "s1.h5")
    found = {b["name"]: b["missing"] for b in describe(tmp_path / "s1.h5")["behaviours"]}
    assert found == pytest.approx({"wheel": 0, "side": 1 / 3})
    (session,) = open_sessions(tmp_path / "s1.h5", DataConfig())
    observed = session.batch(np.arange(len(session.windows))).observed
    assert {name: 1 - float(seen.float().mean()) for name, seen in observed.items()} == (
        pytest.approx(found)
    )


def test_the_summary_of_a_broken_recording_lists_its_problems(recording, tmp_path):
    recording.counts.values[0, 0] = 1
    with h5py.File(tmp_path / "s1.h5", "w") as file:
        del recording.units
        recording.to_hdf5(file)
    assert "no unit table" in describe(tmp_path / "s1.h5")["problems"][0]


def test_columns_are_mapped_from_the_file_or_read_if_compressed(recording, tmp_path):
    path = tmp_path / "s1.h5"
    save(recording, path)
    with load(path) as lazy:
        stored = column(groups(lazy)["counts"], "values")
        assert isinstance(stored, h5py.Dataset)
        values = mapped(stored)
    np.testing.assert_array_equal(values, recording.counts.values)
    assert isinstance(values.base, np.memmap)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        stored = file.create_dataset("x", data=np.arange(100), compression="gzip")
        np.testing.assert_array_equal(mapped(stored), np.arange(100))


def test_pieces_of_a_column_make_the_whole(monkeypatch):
    monkeypatch.setattr("neuroduet.data.columns.CHUNK_ROWS", 4)
    assert [piece.tolist() for piece in pieces(np.arange(9))] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8]]  # fmt: skip
    overlapping = [piece.tolist() for piece in pieces(np.arange(9), overlap=1)]
    assert overlapping == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8]]


def test_a_folder_without_recordings_says_how_to_get_some(recording, tmp_path):
    with pytest.raises(UserError, match="give a folder that holds some"):
        find_recordings(tmp_path)
    (tmp_path / "inner").mkdir()
    save(recording, tmp_path / "inner" / "s1.h5")
    with pytest.raises(UserError, match=r"no recordings .*; give .*inner$"):
        find_recordings(tmp_path)
    (tmp_path / "day1.nwb").write_bytes(b"")
    with pytest.raises(UserError, match=r"make some of day1\.nwb with neuroduet ingest"):
        find_recordings(tmp_path)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_counts_are_whole_numbers_of_any_type(recording, kind):
    values = recording.counts.values
    recording.counts.values = values.astype(kind)
    check(recording)
    recording.counts.values = values + 0.5
    with pytest.raises(UserError, match="negative or fractional"):
        check(recording)
