"""What of a behaviour is missing: gaps count as NaN does."""

import numpy as np
import pytest

from neuroduet.config import DataConfig
from neuroduet.data.arrays import from_arrays
from neuroduet.data.coverage import missing_share, recorded_bins
from neuroduet.data.recording import describe, save
from neuroduet.data.session import open_sessions

TIMES = np.arange(0, 100, 0.02)
BINS = np.arange(0.01, 99.9, 0.02)
TRIALS = {"start": np.arange(0.0, 90, 5), "end": np.arange(3.0, 93, 5)}


@pytest.mark.parametrize("kind", ["continuous", "categorical"])
def test_a_gap_is_as_missing_as_its_samples_would_be(kind):
    known = np.ones(len(TIMES), dtype=bool)
    assert missing_share(TIMES, known, kind, BINS) == 0
    inside = (TIMES > 40) & (TIMES < 60)
    gap = missing_share(TIMES[~inside], known[~inside], kind, BINS)
    unknown = missing_share(TIMES, ~inside, kind, BINS)
    assert gap == pytest.approx(0.2, abs=0.003)
    assert unknown == pytest.approx(0.2, abs=0.003)


def test_a_slow_series_is_read_between_its_samples_and_an_empty_one_nowhere():
    slow = np.arange(0, 100, 0.5)
    assert missing_share(slow, np.ones(len(slow), dtype=bool), "continuous", BINS[:-30]) == 0
    assert missing_share(slow, np.zeros(len(slow), dtype=bool), "continuous", BINS) == 1
    assert missing_share(slow[:0], np.zeros(0, dtype=bool), "continuous", BINS) == 1


def recording_with(pupil_times, trials=None):
    draw = np.random.default_rng(0)
    spikes = np.r_[0.0, np.sort(draw.uniform(0, 100, 300)), 100.0]
    return from_arrays(
        session_id="a",
        spike_times=spikes,
        spike_units=np.arange(len(spikes)) % 4,
        behaviours={"pupil": (pupil_times, np.sin(pupil_times))},
        trials=trials,
    )


@pytest.mark.parametrize("trials", [None, TRIALS], ids=["tiles", "trials"])
def test_what_is_told_is_what_windows_lack(trials, tmp_path):
    times = TIMES[(TIMES < 20) | (TIMES > 52)]
    save(recording_with(times, trials), tmp_path / "a.h5")
    (told,) = describe(tmp_path / "a.h5")["behaviours"]
    (session,) = open_sessions(tmp_path, DataConfig())
    batch = session.batch(np.arange(len(session.windows.start_s)))
    lacking = 1 - batch.observed["pupil"].numpy()[batch.valid.numpy()].mean()
    assert told["missing"] == pytest.approx(lacking, abs=0.005)
    assert told["missing"] > 0.25


def test_behaviour_between_trials_is_not_missed():
    starts = np.arange(0.0, 90, 10)
    inside = np.concatenate([np.arange(start, start + 2, 0.02) for start in starts])
    bins = recorded_bins(recording_with(inside, {"start": starts, "end": starts + 2}))
    assert ((bins % 10) < 2.001).all()
    # Of each trial the last half bin lies behind its last sample.
    share = missing_share(inside, np.ones(len(inside), dtype=bool), "continuous", bins)
    assert share == pytest.approx(0.01, abs=0.002)


def test_binned_activity_is_asked_at_its_own_bins():
    recording = from_arrays(session_id="a", counts=np.ones((4, 10, 2), dtype=int), bin_size_s=0.1)
    np.testing.assert_allclose(recorded_bins(recording), recording.counts.timestamps)
