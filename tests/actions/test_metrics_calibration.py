from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from sklearn.metrics import log_loss as sklearn_log_loss

from neuroduet.actions.metrics import calibration
from neuroduet.types import UNLABELLED


def drawn(seed: int, frames: int = 50) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.ones(3), frames), generator.integers(-1, 3, frames)


@given(st.integers(0, 1000))
def test_penalties_are_those_of_their_definitions(seed):
    probabilities, truth = drawn(seed)
    sums = calibration.penalties(probabilities, truth)
    known = truth != UNLABELLED
    p, y = probabilities[known], truth[known]
    assert calibration.log_loss(sums) == pytest.approx(sklearn_log_loss(y, p, labels=range(3)))
    wanted = ((p - np.eye(3)[y]) ** 2).sum(1).mean()
    assert calibration.brier(sums) == pytest.approx(wanted)
    assert sums[0] == known.sum()


def test_one_certain_mistake_costs_a_finite_loss():
    sums = calibration.penalties(np.array([[1.0, 0.0]]), np.array([1]))
    assert calibration.log_loss(sums) == pytest.approx(-np.log(calibration.LOWEST_PROBABILITY))
    assert calibration.brier(sums) == pytest.approx(2.0)


def test_the_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.5, 0.5]])
    counts = calibration.confidence_counts(probabilities, np.array([0, 1, 1, UNLABELLED]), 5)
    # Two frames at confidence .9 of which one is right, one at .7 that is right.
    error = calibration.expected_calibration_error(counts)
    assert error == pytest.approx((2 * 0.4 + 1 * 0.3) / 3)
    curve = calibration.reliability(counts)
    np.testing.assert_array_equal(curve.frames, [0, 0, 0, 1, 2])
    np.testing.assert_allclose(curve.confidence, [np.nan, np.nan, np.nan, 0.7, 0.9])
    np.testing.assert_allclose(curve.accuracy, [np.nan, np.nan, np.nan, 1.0, 0.5])


def test_labels_drawn_from_the_probabilities_are_calibrated_and_sharpened_ones_are_not():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(3), 20_000)
    truth = (generator.random((20_000, 1)) > probabilities.cumsum(1)).sum(1).clip(0, 2)
    sharp = probabilities**3 / (probabilities**3).sum(1, keepdims=True)
    errors = [
        float(calibration.expected_calibration_error(calibration.confidence_counts(p, truth)))
        for p in (probabilities, sharp)
    ]
    assert errors[0] < 0.02
    assert errors[1] > 0.1


def test_certainty_falls_into_the_last_bin():
    counts = calibration.confidence_counts(np.array([[1.0, 0.0]]), np.array([0]), 10)
    assert counts[-1].tolist() == [1.0, 1.0, 1.0]


def test_sums_of_parts_add_up_and_nothing_labelled_is_nan():
    probabilities, truth = drawn(3)
    for statistic in (calibration.penalties, calibration.confidence_counts):
        parts = statistic(probabilities[:20], truth[:20]) + statistic(
            probabilities[20:], truth[20:]
        )
        np.testing.assert_allclose(statistic(probabilities, truth), parts)
    nothing = np.full(50, UNLABELLED)
    assert np.isnan(calibration.log_loss(calibration.penalties(probabilities, nothing)))
    counts = calibration.confidence_counts(probabilities, nothing)
    assert np.isnan(calibration.expected_calibration_error(counts))
