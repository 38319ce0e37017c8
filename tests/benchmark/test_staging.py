"""Recordings made ready for training: what stands in their windows."""

from __future__ import annotations

import numpy as np
import pytest

from neuroduet.benchmark.layout import find_benchmark, split_domain
from neuroduet.benchmark.staging import stage, stage_benchmark
from neuroduet.benchmark.suites import BEHAVIOUR_TASKS, TARGET_BINS
from neuroduet.benchmark.truth import behaviour_truth
from neuroduet.config import Config
from neuroduet.data.recording import load, save
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError


def opened(recording, tmp_path, suite, context_s=1.0):
    """A recording made ready and opened with the usual configuration."""
    path = tmp_path / "ready.h5"
    save(stage(recording, suite, context_s), path)
    return open_sessions(path, Config().data)[0]


@pytest.mark.parametrize("name", BEHAVIOUR_TASKS)
@pytest.mark.parametrize("context_s", [1.0, 6.0])
def test_a_window_ends_with_exactly_the_values_that_are_scored(
    recording, tmp_path, name, context_s
):
    session, truth = (
        opened(recording, tmp_path, "ts1", context_s),
        behaviour_truth(recording, name),
    )
    task = BEHAVIOUR_TASKS[name]
    test = session.indices("test")
    rows = test[session.trials["window"][test] == task.window]
    trial = session.trials["trial_index"][rows].astype(int)
    rows = rows[[trial.tolist().index(one) for one in truth["trial_id"].tolist()]]
    batch = session.batch(rows)
    if task.classes:
        behaviour = next(b for b in session.info.behaviours if b.name == name)
        classes = np.array(behaviour.classes)[batch.behaviours[name].numpy()]
        np.testing.assert_array_equal(classes, truth["values"][:, 0].numpy())
        assert batch.observed[name].all()
        return
    last = batch.valid.sum(1).numpy()[:, None] - TARGET_BINS + np.arange(TARGET_BINS)
    each = np.arange(len(rows))[:, None]
    values = batch.behaviours[name].numpy()[each, last]
    scored = truth["mask"].numpy() if "mask" in truth else np.ones(values.shape[:2], bool)
    np.testing.assert_allclose(
        values[scored], truth["values"].numpy()[scored], rtol=1e-4, atol=1e-5
    )
    assert batch.observed[name].numpy()[each, last][scored].all()


def test_no_bin_of_a_window_reaches_beyond_the_second_that_is_scored(recording, tmp_path):
    session = opened(recording, tmp_path, "ts1")
    ends = session.windows.end_s(0.02)
    for name, task in BEHAVIOUR_TASKS.items():
        table = getattr(recording.task_aligned_intervals, task.window)
        rows = np.flatnonzero(session.trials["window"] == task.window)
        own = np.asarray(table.end)[session.trials["trial_index"][rows].astype(int)]
        assert (ends[rows] <= own + 1e-6).all(), name
        assert (ends[rows] > own - 0.02 - 1e-6).all(), name


def test_a_label_stands_in_the_rows_of_its_own_window_only(recording, tmp_path):
    session = opened(recording, tmp_path, "ts1")
    batch = session.batch(np.arange(len(session.windows)))
    for name, task in BEHAVIOUR_TASKS.items():
        if task.classes:
            own = session.trials["window"] == task.window
            np.testing.assert_array_equal(batch.observed[name].numpy(), own)


def test_context_lengthens_windows_but_reaches_no_other_split(recording, tmp_path):
    session = opened(recording, tmp_path, "ts1", 20.0)
    assert session.info.max_bins == 1000
    assert int(session.windows.bins.min()) >= TARGET_BINS
    for split in ("train", "valid", "test"):
        mine = session.indices(split)
        for other in {"train", "valid", "test"} - {split}:
            domain = split_domain(recording, "ts1", other)
            start, end = session.windows.start_s[mine], session.windows.end_s(0.02)[mine]
            overlap = (start < domain.end[0] - 0.02) & (end > domain.start[0] + 0.02)
            assert not overlap.any(), (split, other)


def test_activity_windows_lie_in_task_time_of_their_split(recording, tmp_path):
    session = opened(recording, tmp_path, "ts2")
    task_time = recording.task_aligned_intervals.domain
    for split in ("train", "valid", "test"):
        domain = split_domain(recording, "ts2", split)
        for row in session.indices(split):
            start, end = session.windows.start_s[row], session.windows.start_s[row] + 1
            assert ((domain.start <= start + 1e-6) & (end <= domain.end + 1e-6)).any()
            assert ((task_time.start <= start + 1e-6) & (end <= task_time.end + 1e-6)).any()
    assert session.info.regions is not None
    assert session.info.behaviours == ()


def test_regions_are_not_told_to_a_run_that_will_be_asked_for_them(recording, tmp_path):
    assert opened(recording, tmp_path, "ts3").info.regions is None


def test_pretraining_recordings_have_training_and_validation_windows(published, tmp_path):
    stage_benchmark(published, "ts1", tmp_path / "out", regimes=("pretrain",))
    for session in open_sessions(tmp_path / "out", Config().data):
        assert len(session.indices("train")) > len(session.indices("valid")) > 0
        assert len(session.indices("test")) == 0


def test_a_behaviour_that_was_not_recorded_is_left_out(recording, tmp_path):
    del recording.paws
    names = [b.name for b in opened(recording, tmp_path, "ts1").info.behaviours]
    assert "wheel_speed" in names
    assert "left_paw_speed" not in names


def test_staging_twice_writes_the_same_recording(published, tmp_path):
    file = find_benchmark(published, "eval")[0]
    with load(file) as recording:
        one, two = stage(recording, "ts1"), stage(recording, "ts1")
        np.testing.assert_array_equal(one.trials.start, two.trials.start)
        np.testing.assert_array_equal(one.wheel_speed.values, two.wheel_speed.values)


@pytest.mark.parametrize("context_s", [0.5, 20.5])
def test_a_context_beyond_the_gap_or_below_the_target_is_refused(recording, context_s):
    with pytest.raises(UserError, match="give 1 to 20 s"):
        stage(recording, "ts2", context_s)


def test_wrong_suites_and_empty_folders_are_refused(published, tmp_path):
    with pytest.raises(UserError, match="unknown suite 'ts4'"):
        stage_benchmark(published, "ts4", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no recordings"):
        stage_benchmark(tmp_path / "empty", "ts1", tmp_path / "out")
    with pytest.raises(UserError, match="nothing at"):
        stage_benchmark(tmp_path / "missing", "ts1", tmp_path / "out")
    assert not (tmp_path / "out").exists()
