from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_brain.data import Interval

from neuroduet.config import WindowConfig
from neuroduet.data.arrays import from_arrays
from neuroduet.data.windows import choose_bin_size, make_windows
from neuroduet.errors import UserError


def events(trials=None, until=10.0):
    return from_arrays(
        session_id="s",
        spike_times=np.array([0.0, until]),
        spike_units=np.array([0, 1]),
        trials=trials,
    )


TRIALS = {"start": [0.0, 2.0, 5.0], "end": [1.0, 3.5, 6.0], "go": [0.5, np.nan, 5.5]}


def test_whole_trials_may_differ_in_length():
    windows = make_windows(events(TRIALS), WindowConfig(), 0.1)
    np.testing.assert_allclose(windows.start_s, [0, 2, 5])
    np.testing.assert_array_equal(windows.bins, [10, 15, 10])
    np.testing.assert_array_equal(windows.trial, [0, 1, 2])


def test_trials_without_the_event_are_left_out_and_counted(caplog):
    config = WindowConfig(event="go", pre_s=0.2, post_s=0.4)
    with caplog.at_level(logging.WARNING):
        windows = make_windows(events(TRIALS), config, 0.02)
    np.testing.assert_allclose(windows.start_s, [0.3, 5.3])
    np.testing.assert_array_equal(windows.bins, [30, 30])
    np.testing.assert_array_equal(windows.trial, [0, 2])
    assert "left out 1 of 3 trials because go is missing" in caplog.text


def test_an_event_without_end_runs_to_the_end_of_the_trial():
    windows = make_windows(events(TRIALS), WindowConfig(event="go"), 0.1)
    np.testing.assert_array_equal(windows.bins, [5, 5])


def test_without_event_the_window_is_around_the_start():
    windows = make_windows(events(TRIALS), WindowConfig(post_s=0.5), 0.1)
    np.testing.assert_array_equal(windows.bins, [5, 5, 5])


def test_windows_outside_the_recording_are_left_out(caplog):
    config = WindowConfig(event="go", pre_s=1.0, post_s=1.0)
    with caplog.at_level(logging.WARNING):
        windows = make_windows(events(TRIALS), config, 0.1)
    np.testing.assert_array_equal(windows.trial, [2])
    assert "leave the recording" in caplog.text


def test_the_published_window_has_one_hundred_bins():
    trials = {"start": [5.0], "end": [8.0], "stim": [6.0]}
    config = WindowConfig(event="stim", pre_s=0.5, post_s=1.5)
    assert make_windows(events(trials), config, 0.02).bins.tolist() == [100]


def test_unknown_event_names_the_known_ones():
    with pytest.raises(UserError, match="did you mean 'go'"):
        make_windows(events(TRIALS), WindowConfig(event="goo"), 0.1)


@pytest.mark.parametrize("config", [WindowConfig(), WindowConfig(event="go", post_s=1.5)])
def test_a_bin_longer_than_every_window_is_what_is_wrong(config):
    said = "bin_size_s is 20, but the longest window of session s lasts 1.5 s.*such as 0.02"
    with pytest.raises(UserError, match=said):
        make_windows(events(TRIALS), config, 20.0)
    assert len(make_windows(events(TRIALS), config, 1.5))


def test_a_bin_longer_than_continuous_windows_is_what_is_wrong():
    said = "bin_size_s is 20, but the longest window of session s lasts 2 s.*such as 0.02"
    with pytest.raises(UserError, match=said):
        make_windows(events(until=100.0), WindowConfig(length_s=2.0), 20.0)


def test_bins_of_more_than_a_second_are_suspected(caplog):
    assert choose_bin_size(events(), WindowConfig(bin_size_s=1.0)) == 1.0
    assert not caplog.records
    assert choose_bin_size(events(), WindowConfig(bin_size_s=20.0)) == 20.0
    assert "20 s, as if it were in milliseconds; give seconds, such as 0.02" in caplog.text


@pytest.mark.parametrize(
    "values",
    [[0, 1, 1], [True, False, True], ["left", "right", "left"], [-0.5, 0.0, 0.25]],
    ids=["0 and 1", "truth", "text", "contrast"],
)
def test_a_column_that_holds_no_times_is_no_event(values):
    trials = {"start": [100.0, 200.0, 300.0], "end": [102.0, 202.0, 302.0], "go": [101.0] * 3}
    trials |= {"go": [101.0, np.nan, 301.0], "reward": values}
    with pytest.raises(UserError, match="'reward', which holds no times.*choose among") as caught:
        make_windows(events(trials, 400.0), WindowConfig(event="reward"), 0.1)
    listed = str(caught.value).partition("among ")[2].split(", ")
    assert sorted(listed) == ["end", "go", "start"]


def test_an_event_somewhat_outside_its_trials_is_one():
    trials = {"start": [100.0, 200.0], "end": [102.0, 202.0], "cue": [90.0, 190.0]}
    config = WindowConfig(event="cue", post_s=1.0)
    np.testing.assert_allclose(make_windows(events(trials, 300.0), config, 0.1).start_s, [90, 190])


def test_trial_alignment_without_trials_is_refused():
    with pytest.raises(UserError, match="no trials to align to.*continuous"):
        make_windows(events(), WindowConfig(align="trial"), 0.1)


def test_a_recording_shorter_than_a_window_is_refused():
    with pytest.raises(UserError, match="no window"):
        make_windows(events(), WindowConfig(length_s=20.0), 0.1)


def test_continuous_windows_tile_the_recording():
    windows = make_windows(events(), WindowConfig(length_s=2.0), 0.1)
    np.testing.assert_allclose(windows.start_s, [0, 2, 4, 6, 8])
    assert (windows.trial == -1).all()


def test_stride_makes_windows_overlap():
    windows = make_windows(events(until=4.0), WindowConfig(length_s=2.0, stride_s=0.5), 0.1)
    np.testing.assert_allclose(windows.start_s, [0, 0.5, 1, 1.5, 2])


def test_continuous_windows_know_the_trial_that_contains_them():
    windows = make_windows(events(TRIALS), WindowConfig(align="continuous", length_s=0.5), 0.1)
    expected = [0, 0, -1, -1, 1, 1, 1, -1, -1, -1, 2, 2, *[-1] * 8]
    np.testing.assert_array_equal(windows.trial, expected)


@given(st.floats(0.3, 3), st.floats(0.1, 3), st.floats(3, 20), st.sampled_from([0.02, 0.1]))
def test_continuous_windows_stay_inside_and_leave_no_room_for_another(
    length, stride, until, bin_size
):
    config = WindowConfig(length_s=length, stride_s=stride)
    windows = make_windows(events(until=until), config, bin_size)
    end = windows.end_s(bin_size)
    assert windows.start_s[0] == 0
    assert (end <= until + 1e-6).all()
    assert end[-1] + stride > until - 1e-6


def test_windows_do_not_cross_gaps_of_the_recording():
    recording = events(until=10.0)
    recording.spikes.domain = Interval(np.array([0.0, 5.0]), np.array([3.0, 9.5]))
    windows = make_windows(recording, WindowConfig(length_s=2.0), 0.1)
    np.testing.assert_allclose(windows.start_s, [0, 5, 7])


def test_bin_size_is_that_of_the_recording_or_20_ms_for_events():
    binned = from_arrays(session_id="s", counts=np.ones((4, 5, 2), int), bin_size_s=0.05)
    assert choose_bin_size(binned, WindowConfig()) == 0.05
    assert choose_bin_size(events(), WindowConfig()) == 0.02
    assert choose_bin_size(events(), WindowConfig(bin_size_s=0.01)) == 0.01
    with pytest.raises(UserError, match=r"0\.02.*recorded in bins of 0\.05"):
        choose_bin_size(binned, WindowConfig(bin_size_s=0.02))
