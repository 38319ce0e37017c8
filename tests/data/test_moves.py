"""Windows that training moves at random: where they may go, and what they read there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.config import DataConfig, SplitConfig, WindowConfig
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import open_sessions
from neuroduet.data.windows import Windows, containing_trial, draw_moves, room
from neuroduet.errors import UserError

BIN = 0.1


def windows(starts, split, bins=10):
    return Windows(
        start_s=np.asarray(starts, float),
        bins=np.full(len(starts), bins),
        trial=np.full(len(starts), -1),
        split=np.asarray(split, dtype="<U7"),
    )


def test_room_ends_where_another_split_a_dropped_window_or_a_gap_begins():
    names = ["train", "train", "train", "valid", "train", "dropped", "train", "train"]
    made = windows([0, 1, 2, 3, 4, 5, 6, 8], names)
    expected = [[0, 2], [1, 1], [2, 0], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]]
    np.testing.assert_allclose(room(made, BIN), expected, atol=1e-9)


def test_room_knows_overlapping_windows_and_any_order():
    made = windows([1.0, 0.0, 0.5, 3.0], ["train"] * 4)
    np.testing.assert_allclose(room(made, BIN), [[1, 0], [0, 1], [0.5, 0.5], [0, 0]])


@given(
    st.lists(st.sampled_from(["train", "valid", "test", "dropped"]), min_size=1, max_size=20),
    st.floats(0, 5),
    st.sampled_from([None, BIN]),
    st.integers(0, 99),
)
def test_moved_windows_read_nothing_of_another_split(names, jitter, step, seed):
    made = windows(np.arange(len(names)), names)
    moves = draw_moves(room(made, BIN), jitter, step, np.random.default_rng(seed))
    assert (np.abs(moves) <= jitter + 1e-9).all()
    for start, name in zip(made.start_s + moves, names, strict=True):
        touched = range(int(np.floor(start + 1e-6)), int(np.ceil(start + 1 - 1e-6)))
        assert {names[k] for k in touched} == {name}
    if step is not None:
        np.testing.assert_allclose(moves / step, np.round(moves / step), atol=1e-9)


def test_moves_are_spread_evenly_over_the_room():
    room_s = np.tile([1.0, 3.0], (4000, 1))
    moves = draw_moves(room_s, 2.0, None, np.random.default_rng(0))
    counts = np.histogram(moves, bins=6, range=(-1, 2))[0]
    assert counts.min() > 550
    whole = draw_moves(room_s, 2.0, 0.5, np.random.default_rng(0))
    values, counts = np.unique(whole, return_counts=True)
    np.testing.assert_allclose(values, np.arange(-1, 2.1, 0.5))
    assert counts.min() > 480


def test_a_window_belongs_to_the_trial_that_contains_it():
    trial_s = np.array([[5.0, 8.0], [0.0, 2.0]])
    start_s = np.array([0.0, 0.5, 1.5, 5.5, 7.5, 9.0])
    np.testing.assert_array_equal(
        containing_trial(trial_s, start_s, start_s + 1), [1, 1, -1, 0, -1, -1]
    )
    assert (containing_trial(np.zeros((0, 2)), start_s, start_s + 1) == -1).all()


def record(folder, binned=False):
    generator = np.random.default_rng(0)
    times = np.arange(0, 60.001, 0.01)
    given = {
        "session_id": "s",
        "trials": {"start": [0.0, 20.0, 40.0], "end": [15.0, 35.0, 60.0]},
        "behaviours": {"clock": (times, times), "choice": np.array([0, 1, 2])},
    }
    if binned:
        given = {"session_id": "s", "counts": [np.arange(1200).reshape(600, 2)], "bin_size_s": BIN}
    else:
        given["spike_times"] = np.sort(generator.uniform(0, 60, 4000))
        given["spike_units"] = generator.integers(0, 4, 4000)
    save(from_arrays(**given), folder / "s.h5")


def opened(folder, jitter=1.0, **changes):
    window = {"align": "continuous", "length_s": 2.0, "jitter_s": jitter} | changes
    split = SplitConfig(kind="blocked", blocks=2, gap_s=0.5)
    return open_sessions(folder, DataConfig(windows=WindowConfig(**window), split=split))[0]


def test_a_moved_window_reads_what_lies_there(tmp_path):
    record(tmp_path)
    session = opened(tmp_path, bin_size_s=BIN)
    train = session.indices("train")
    moved_s = session.moves(train, np.random.default_rng(0))
    assert np.abs(moved_s).max() > 0.5
    batch = session.batch(train, moved_s)
    start_s = session.windows.start_s[train] + moved_s
    centres = start_s[:, None] + (np.arange(20) + 0.5) * BIN
    np.testing.assert_allclose(batch.behaviours["clock"][:, :, 0], centres, atol=1e-4)
    with session._reading() as reading:
        spikes = np.array(reading.neural.timestamps)
    for row, start in enumerate(start_s):
        assert batch.activity[row].sum() == ((spikes >= start) & (spikes < start + 2)).sum()
    trial = np.array([0, -1, 1, -1, 2])
    for row, start in enumerate(start_s):
        inside = [k for k, (a, b) in enumerate(session.trial_s) if a <= start and start + 2 <= b]
        expected = trial[[0, 2, 4]][inside[0]] if inside else -1
        assert bool(batch.observed["choice"][row]) == (expected >= 0)
        assert int(batch.behaviours["choice"][row]) == max(expected, 0)


def test_moves_of_nothing_read_what_is_read_without(tmp_path):
    record(tmp_path)
    session = opened(tmp_path, bin_size_s=BIN)
    train = session.indices("train")
    one, two = session.batch(train), session.batch(train, np.zeros(len(train)))
    np.testing.assert_array_equal(one.activity, two.activity)
    for name in one.behaviours:
        np.testing.assert_array_equal(one.behaviours[name], two.behaviours[name])
        np.testing.assert_array_equal(one.observed[name], two.observed[name])


def test_recorded_bins_are_moved_whole(tmp_path):
    record(tmp_path, binned=True)
    session = opened(tmp_path)
    train = session.indices("train")
    moved_s = session.moves(train, np.random.default_rng(0))
    shift = np.round(moved_s / BIN).astype(int)
    np.testing.assert_allclose(moved_s, shift * BIN)
    batch = session.batch(train, moved_s)
    first = np.round(session.windows.start_s[train] / BIN).astype(int) + shift
    np.testing.assert_array_equal(batch.activity[:, 0, 0], 2 * first)
    assert batch.valid.all()


def test_without_jitter_nothing_is_moved_or_drawn(tmp_path):
    record(tmp_path)
    session = opened(tmp_path, jitter=0.0)
    generator = np.random.default_rng(0)
    assert session.moves(session.indices("train"), generator) is None
    assert generator.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("align", ["auto", "trial"])
def test_windows_of_trials_are_not_moved(tmp_path, align):
    record(tmp_path)
    with pytest.raises(UserError, match=r"jitter_s is 1\.0.*session s are aligned to trials"):
        opened(tmp_path, align=align)
