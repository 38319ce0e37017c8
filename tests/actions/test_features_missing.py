"""What was seen, and which gaps are filled."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuroduet.actions.features.missing import interpolate, keep_visible

NAN = np.nan


def test_a_short_gap_is_a_straight_line_and_a_long_one_stays_whole() -> None:
    values = np.array([0.0, NAN, NAN, 3.0, NAN, NAN, NAN, 7.0])
    filled = interpolate(values, 2)
    assert np.array_equal(filled, [0, 1, 2, 3, NAN, NAN, NAN, 7], equal_nan=True)


def test_short_gaps_at_the_ends_hold_the_nearest_value() -> None:
    filled = interpolate(np.array([NAN, 2.0, 5.0, NAN, NAN]), 1)
    assert np.array_equal(filled, [2, 2, 5, NAN, NAN], equal_nan=True)


def test_infinite_values_are_missing() -> None:
    filled = interpolate(np.array([1.0, np.inf, 3.0, -np.inf]), 1)
    assert filled.tolist() == [1, 2, 3, 3]


def test_nothing_known_stays_nothing_known() -> None:
    assert np.isnan(interpolate(np.full((4, 2, 3), NAN), 100)).all()


@given(arrays(float, (12, 2), elements=st.sampled_from([NAN, -1.0, 0.5, 4.0])), st.integers(0, 12))
def test_values_that_were_seen_never_change_and_a_larger_limit_fills_no_less(
    values: np.ndarray, limit: int
) -> None:
    before = values.copy()
    filled, more = interpolate(values, limit), interpolate(values, limit + 1)
    known, seen = np.isfinite(values), np.isfinite(filled)
    assert np.array_equal(values, before, equal_nan=True)
    assert np.array_equal(filled[known], values[known])
    assert (seen >= known).all()
    assert (np.isfinite(more) >= seen).all()


def test_a_keypoint_is_missing_if_unlikely_or_half_unknown() -> None:
    pose = np.ones((1, 1, 5, 3))
    pose[0, 0, 1, 2] = 0.2
    pose[0, 0, 2, 2] = NAN
    pose[0, 0, 3, 0] = NAN
    pose[0, 0, 4, 1] = np.inf
    points = keep_visible(pose, 0.5)
    assert points.shape == (1, 1, 5, 2)
    assert np.isnan(points[0, 0, 1:]).all()
    assert points[0, 0, 0].tolist() == [1, 1]


def test_without_likelihoods_every_finite_keypoint_counts() -> None:
    assert np.isfinite(keep_visible(np.zeros((2, 1, 3, 2)), 0.9)).all()
