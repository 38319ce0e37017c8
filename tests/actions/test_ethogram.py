from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.errors import UserError
from neuroduet.simulate.bodies import ACTIONS, ARENA_PX, BODY_PX
from neuroduet.simulate.bouts import STAGES, bout_chain, draw_chain, stationary
from neuroduet.simulate.ethogram import (
    LOST_FRAMES,
    Ethogram,
    lost_points,
    simulate_pose,
    swap_animals,
)

CENTRE, NOSE, TAIL = 3, 0, 6


@pytest.fixture(scope="module")
def pair() -> Ethogram:
    return simulate_pose(2, 6000, n_animals=2, n_classes=6, missing=0.0)


def _bouts(states: np.ndarray) -> np.ndarray:
    """Lengths of the bouts that neither begin nor end the recording."""
    return np.diff(np.flatnonzero(np.diff(states)))


def test_one_animal_has_no_axis_of_animals_and_two_have_one() -> None:
    for n_animals, shape in ((1, (200, 7, 3)), (2, (200, 2, 7, 3))):
        world = simulate_pose(3, 200, n_animals=n_animals, n_classes=3)
        assert [pose.shape for pose in world.pose] == [shape] * 3
        assert world.names == ("rest", "walk", "groom")
        assert len(world.keypoints) == 7
        assert set(np.concatenate(world.states)) <= {0, 1, 2}


def test_more_recordings_leave_the_others_as_they_are() -> None:
    few, many = simulate_pose(1, 100), simulate_pose(3, 100)
    np.testing.assert_array_equal(few.pose[0], many.pose[0])
    np.testing.assert_array_equal(few.states[0], many.states[0])
    assert not np.array_equal(many.states[0], many.states[1])
    assert not np.array_equal(few.pose[0], simulate_pose(1, 100, seed=1).pose[0])


def test_losing_points_changes_nothing_but_the_lost_ones() -> None:
    whole, holed = (simulate_pose(1, 500, missing=m) for m in (0.0, 0.3))
    lost = np.isnan(holed.pose[0][..., 0])
    assert not np.isnan(whole.pose[0]).any()
    assert 0.2 < lost.mean() < 0.4
    np.testing.assert_array_equal(holed.pose[0][~lost][:, :2], whole.pose[0][~lost][:, :2])
    np.testing.assert_array_equal(holed.states[0], whole.states[0])
    likelihood = holed.pose[0][..., 2]
    assert likelihood[lost].max() < 0.5 < likelihood[~lost].min()


def test_points_are_lost_as_often_and_as_long_as_asked() -> None:
    lost = lost_points((20_000, 2, 7), 0.1, np.random.default_rng(0))
    assert lost.mean() == pytest.approx(0.1, abs=0.005)
    begins = (lost[1:] & ~lost[:-1]).sum()
    assert lost.sum() / begins == pytest.approx(LOST_FRAMES, rel=0.05)


def test_swapped_animals_are_the_same_animals_in_another_order() -> None:
    settings_of = {"n_animals": 2, "missing": 0.0, "seed": 3}
    right = simulate_pose(1, 3000, **settings_of).pose[0]
    told = simulate_pose(1, 3000, swaps_per_minute=10.0, **settings_of).pose[0]
    same = (told == right).all(axis=(1, 2, 3))
    assert 0.2 < same.mean() < 0.8
    np.testing.assert_array_equal(told[~same], right[~same][:, ::-1])
    assert 8 <= np.count_nonzero(np.diff(same)) <= 40


def test_every_swap_lasts_until_the_next() -> None:
    pose = np.arange(8.0).reshape(4, 2, 1, 1) + np.zeros(3)
    always = swap_animals(pose, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(always[:, 0, 0, 0], [1, 2, 5, 6])
    np.testing.assert_array_equal(swap_animals(pose, 0.0, np.random.default_rng(0)), pose)


@given(n_classes=st.integers(2, 6), mean=st.floats(3.5, 200), seed=st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_a_chain_of_bouts_is_one_and_has_its_long_run_probabilities(
    n_classes: int, mean: float, seed: int
) -> None:
    chain = bout_chain(n_classes, mean, np.random.default_rng(seed))
    np.testing.assert_allclose(chain.sum(axis=1), 1)
    assert (chain >= 0).all()
    long_run = stationary(chain)
    assert long_run.sum() == pytest.approx(1)
    np.testing.assert_allclose(long_run @ chain, long_run, atol=1e-9)


def test_bouts_last_as_long_as_asked_and_are_never_very_short() -> None:
    chain = bout_chain(4, 30.0, np.random.default_rng(0))
    states = draw_chain(chain, 60_000, np.random.default_rng(1)) // STAGES
    lengths = _bouts(states)
    assert lengths.mean() == pytest.approx(30, rel=0.05)
    assert lengths.min() >= STAGES
    # A sum of three geometric lengths varies much less than one of them.
    assert lengths.std() / lengths.mean() == pytest.approx(1 / np.sqrt(3), abs=0.05)


def test_a_drawn_path_has_the_frequencies_of_its_chain() -> None:
    chain = np.array([[0.6, 0.4, 0.0], [0.0, 0.5, 0.5], [0.9, 0.0, 0.1]])
    path = draw_chain(chain, 40_000, np.random.default_rng(0))
    pairs = np.zeros((3, 3))
    np.add.at(pairs, (path[:-1], path[1:]), 1)
    np.testing.assert_allclose(pairs / pairs.sum(axis=1, keepdims=True), chain, atol=0.02)


def test_actions_differ_in_speed_stretch_and_distance(pair: Ethogram) -> None:
    speed, stretch, gap = np.zeros((3, 6))
    pose, states = np.concatenate(pair.pose), np.concatenate(pair.states)
    told = np.concatenate(pair.speed)
    for k in range(6):
        mine = pose[states == k][..., :2] / BODY_PX
        speed[k] = np.median(told[states == k])
        stretch[k] = np.median(np.linalg.norm(mine[:, 0, NOSE] - mine[:, 0, TAIL], axis=-1))
        gap[k] = np.median(np.linalg.norm(mine[:, 0, CENTRE] - mine[:, 1, CENTRE], axis=-1))
    looks = np.array([[a.speed, a.stretch, a.gap] for a in ACTIONS]).T
    np.testing.assert_allclose(np.log(speed), np.log(looks[0]), atol=0.5)
    np.testing.assert_allclose(stretch, 1.05 * looks[1], atol=0.12)
    assert gap[[3, 4]].max() < 1.7 < 2.3 < gap[[0, 1, 2, 5]].min()


def test_the_path_is_continuous_inside_the_arena_and_as_fast_as_said(pair: Ethogram) -> None:
    centre = pair.pose[0][:, 0, CENTRE, :2]
    margin = 5 * 0.03 * BODY_PX
    assert (-margin < centre).all()
    assert (centre < ARENA_PX + margin).all()
    smooth = np.stack([np.convolve(x, np.ones(5) / 5, "valid") for x in centre.T], axis=1)
    step = np.linalg.norm(np.diff(smooth, axis=0), axis=1) * pair.fps / BODY_PX
    fast = pair.speed[0][3:-2] > 2
    ratio = step[fast] / pair.speed[0][3:-2][fast]
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    assert ratio.max() < 1.8


def test_actions_can_be_told_from_pose_but_not_perfectly() -> None:
    from sklearn.ensemble import RandomForestClassifier

    world = simulate_pose(2, 2500, missing=0.0)
    train, test = (_looks(pose) for pose in world.pose)
    forest = RandomForestClassifier(30, min_samples_leaf=10, random_state=0)
    accuracy = forest.fit(train, world.states[0]).score(test, world.states[1])
    assert 0.7 < accuracy < 0.97


def _looks(pose: np.ndarray) -> np.ndarray:
    """Smoothed speed, length and sideways place of the nose."""
    xy = pose[..., :2] / BODY_PX
    ahead = xy[:, CENTRE] - xy[:, TAIL]
    nose = xy[:, NOSE] - xy[:, CENTRE]
    speed = np.linalg.norm(np.gradient(xy[:, CENTRE], axis=0), axis=1)
    bend = np.abs(nose[:, 0] * ahead[:, 1] - nose[:, 1] * ahead[:, 0])
    columns = [speed, np.linalg.norm(xy[:, NOSE] - xy[:, TAIL], axis=1), bend]
    return np.stack([np.convolve(c, np.ones(15) / 15, "same") for c in columns], axis=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_recordings": 0}, "at least one of each"),
        ({"seed": -1}, "seed from 0 on"),
        ({"n_animals": 3}, "1 or 2"),
        ({"n_classes": 7}, "2 to 6 classes"),
        ({"missing": 0.9}, "from 0"),
        ({"swaps_per_minute": -1.0}, "rate from 0 on"),
        ({"bout_s": 0.1}, "too short"),
    ],
)
def test_impossible_worlds_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        simulate_pose(**{"n_recordings": 1, "n_frames": 10, **changes})
