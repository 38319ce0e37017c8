from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroduet.config import DataConfig
from neuroduet.data.arrays import from_arrays
from neuroduet.data.batch import plan_epoch
from neuroduet.data.recording import save
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError

TRAINING = {"a": 40, "b": 7, "c": 23}


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for name, n in TRAINING.items():
        recording = from_arrays(
            session_id=name, counts=np.ones((n + 1, 3, 2), int), bin_size_s=0.1,
            split=["train"] * n + ["test"],
        )  # fmt: skip
        save(recording, folder / f"{name}.h5")
    return open_sessions(folder, DataConfig())


def flat(steps):
    return [(place, tuple(windows)) for step in steps for place, windows in step]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 20), st.integers(1, 4), st.integers(0, 5), st.integers(0, 5))
def test_every_window_comes_exactly_once(sessions, batch_size, together, seed, epoch):
    if together > batch_size:
        return
    steps = plan_epoch(sessions, "train", batch_size, together, seed, epoch)
    for place, session in enumerate(sessions):
        own = [windows for step in steps for where, windows in step if where == place]
        np.testing.assert_array_equal(np.sort(np.concatenate(own)), session.indices("train"))
    for step in steps:
        assert 1 <= sum(len(windows) for _, windows in step) <= batch_size
        assert len({place for place, _ in step}) == len(step)


def test_the_plan_is_fixed_by_seed_and_epoch(sessions):
    plan = flat(plan_epoch(sessions, "train", 8, 2, 0, 0))
    assert flat(plan_epoch(sessions, "train", 8, 2, 0, 0)) == plan
    assert flat(plan_epoch(sessions, "train", 8, 2, 1, 0)) != plan
    assert flat(plan_epoch(sessions, "train", 8, 2, 0, 1)) != plan


def test_sessions_are_spread_evenly_over_the_epoch(sessions):
    steps = plan_epoch(sessions, "train", 2, 1, 0, 0)
    half = len(steps) // 2
    for place, session in enumerate(sessions):
        early = sum(step[0][0] == place for step in steps[:half])
        assert abs(early - len(session.indices("train")) / 4) <= 1


def test_one_session_can_be_planned_as_several_pieces(sessions):
    steps = plan_epoch(sessions[:1], "train", 8, 2, 0, 0)
    assert [[(place, len(windows)) for place, windows in step] for step in steps] == [
        [(0, 8)]] * 5  # fmt: skip


def test_empty_splits_make_no_steps(sessions):
    assert plan_epoch(sessions, "valid", 8, 1, 0, 0) == []


def test_more_sessions_than_windows_in_a_step_are_refused(sessions):
    with pytest.raises(UserError, match="sessions_per_batch is 9, expected 1 to"):
        plan_epoch(sessions, "train", 8, 9, 0, 0)
