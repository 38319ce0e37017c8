from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.optimize import lsq_linear

from neuroduet.actions.denoising import total_variation

signals = st.lists(st.floats(-5, 5), min_size=2, max_size=25).map(np.array)


def by_the_dual(values: np.ndarray, weight: float) -> np.ndarray:
    """The same minimum from its dual problem, a bounded least-squares fit."""
    differences = np.diff(np.eye(len(values)), axis=0)
    found = lsq_linear(differences.T, values, (-weight, weight), method="bvls", tol=1e-14)
    return values - differences.T @ found.x


@given(signals, st.floats(0.01, 3))
def test_the_minimum_is_that_of_the_dual_problem(values, weight):
    np.testing.assert_allclose(
        total_variation(values, weight), by_the_dual(values, weight), atol=1e-6
    )


@given(signals)
def test_no_weight_changes_nothing_and_a_large_one_leaves_the_mean(values):
    np.testing.assert_allclose(total_variation(values, 0.0), values, atol=1e-9)
    np.testing.assert_allclose(total_variation(values, 1e4), values.mean(), atol=1e-9)


@given(signals, st.floats(0.01, 3))
def test_the_mean_stays_and_variation_never_grows(values, weight):
    smooth = total_variation(values, weight)
    assert smooth.mean() == pytest.approx(values.mean(), abs=1e-9)
    assert np.abs(np.diff(smooth)).sum() <= np.abs(np.diff(values)).sum() + 1e-9


def test_a_noisy_step_becomes_two_levels():
    noise = np.random.default_rng(0).normal(0, 0.1, 200)
    smooth = total_variation(np.repeat([0.0, 1.0], 100) + noise, 2.0)
    assert len(np.unique(smooth.round(9))) <= 4
    assert np.abs(smooth - np.repeat([0.0, 1.0], 100)).max() < 0.1


def test_signals_of_no_or_one_frame_are_left_alone():
    assert total_variation(np.zeros(0), 1.0).shape == (0,)
    assert total_variation(np.array([3.0]), 1.0).tolist() == [3.0]
