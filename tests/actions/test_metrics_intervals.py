from __future__ import annotations

import numpy as np
import pytest

from neuroduet.actions.metrics.frames import accuracy, f1, frame_counts
from neuroduet.actions.metrics.intervals import bootstrap, paired_difference
from neuroduet.errors import UserError


def share(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / sums[..., 1])


def recordings(generator: np.random.Generator, n: int, mean: float = 0.7) -> np.ndarray:
    """Right and scored frames of recordings that differ in how hard they are."""
    scored = generator.integers(50, 150, n)
    ease = np.clip(generator.normal(mean, 0.1, n), 0, 1)
    return np.stack([generator.binomial(scored, ease), scored], axis=1)


def test_the_interval_is_that_of_gathering_recordings_again_and_again():
    statistics = recordings(np.random.default_rng(0), 12)
    found = bootstrap(statistics, share, seed=1, resamples=4000)
    generator = np.random.default_rng(2)
    again = [share(statistics[generator.integers(0, 12, 12)].sum(0)) for _ in range(4000)]
    assert found.value == share(statistics.sum(0))
    np.testing.assert_allclose(
        (found.low, found.high), np.quantile(again, [0.025, 0.975]), atol=0.005
    )


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        found = bootstrap(recordings(generator, 20), share, seed=seed, resamples=300)
        inside += int(found.low <= 0.7 <= found.high)
    assert 0.86 <= inside / 200 <= 0.99


def test_equal_seeds_give_equal_intervals_and_other_seeds_others():
    statistics = recordings(np.random.default_rng(0), 8)
    first, second, third = (bootstrap(statistics, share, seed=s) for s in (0, 0, 1))
    assert first == second
    assert first != third


def test_a_metric_of_several_classes_has_an_interval_for_each():
    generator = np.random.default_rng(0)
    counts = np.stack(
        [frame_counts(*generator.integers(0, 3, (2, 60)), n_classes=4) for _ in range(6)]
    )
    found = bootstrap(counts, f1)
    assert found.low.shape == (4,)
    assert (found.low <= found.value)[:3].all()
    assert (found.value <= found.high)[:3].all()
    assert np.isnan([found.value[3], found.low[3], found.high[3]]).all()


def test_one_recording_has_a_value_and_no_interval():
    found = bootstrap(recordings(np.random.default_rng(0), 1), share)
    assert not np.isnan(found.value)
    assert np.isnan([found.low, found.high]).all()


def test_a_paired_difference_is_narrower_than_the_models_apart():
    generator = np.random.default_rng(0)
    better = recordings(generator, 15)
    worse = better - [[2, 0]]
    found = paired_difference(better, worse, share)
    apart = bootstrap(better, share)
    assert found.low > 0
    assert found.value == pytest.approx(share(better.sum(0)) - share(worse.sum(0)))
    assert found.high - found.low < 0.2 * (apart.high - apart.low)


def test_a_model_does_not_differ_from_itself():
    counts = np.stack([frame_counts(np.arange(9) % 3, np.arange(9) % 2, 3)] * 4)
    assert paired_difference(counts, counts, accuracy) == (0.0, 0.0, 0.0)


def test_a_level_outside_0_to_1_is_refused():
    with pytest.raises(UserError, match="between 0 and 1"):
        bootstrap(recordings(np.random.default_rng(0), 3), share, level=95.0)


def test_two_recordings_are_enough_for_an_interval():
    found = bootstrap(np.array([[1.0], [3.0]]), lambda sums: np.asarray(sums[..., 0] / 2))
    assert (found.value, found.low, found.high) == (2.0, 1.0, 3.0)
