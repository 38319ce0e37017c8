"""Differences, speeds, turning and wavelet amplitudes."""

from __future__ import annotations

import numpy as np
import pytest

from neuroduet.actions.features.motion import (
    compute_acceleration,
    compute_speed,
    compute_turning,
    compute_velocity,
    compute_wavelet_amplitudes,
)

REFERENCE = np.array([[1.0], [4.0], [2.0]])
FRAMES = np.arange(400)


def test_velocity_is_that_of_the_reference() -> None:
    assert compute_velocity(REFERENCE)[:, 0].tolist() == [0.0, 3.0, -2.0]


def test_acceleration_is_the_difference_of_the_difference() -> None:
    assert compute_acceleration(REFERENCE)[:, 0].tolist() == [0.0, 3.0, -5.0]


@pytest.mark.parametrize("span", [1, 4, 15])
def test_a_steady_walk_has_its_speed_over_every_span(span: int) -> None:
    points = np.outer(np.arange(20.0), [3.0, 4.0])
    assert np.allclose(compute_speed(points, span)[1:], 5.0)


def test_a_missing_value_hides_its_own_change_and_the_next() -> None:
    velocity = compute_velocity(np.array([0.0, np.nan, 2.0, 3.0]))
    assert np.isnan(velocity).tolist() == [False, True, True, False]


def test_one_frame_and_no_frame_have_no_motion() -> None:
    assert compute_velocity(np.ones((1, 2)), 5).tolist() == [[0.0, 0.0]]
    assert compute_velocity(np.ones((0, 2))).shape == (0, 2)


def test_turning_is_signed_and_does_not_jump_at_half_a_turn() -> None:
    angles = np.pi - 0.1 + 0.2 * np.arange(3)
    headings = np.stack([np.cos(angles), np.sin(angles)], -1)
    assert np.allclose(compute_turning(headings), [0.0, 0.2, 0.2])
    assert np.allclose(compute_turning(headings[::-1]), [0.0, -0.2, -0.2])


def test_a_wavelet_reads_the_amplitude_of_a_sine_at_its_period_and_of_no_other() -> None:
    sine = 3.0 * np.sin(2 * np.pi * FRAMES / 20)[:, None]
    amplitude = compute_wavelet_amplitudes(sine, (5, 20, 80))[100:300, :, 0]
    assert np.allclose(amplitude[:, 1], 3.0, rtol=0.02)
    assert amplitude[:, [0, 2]].max() < 0.1


def test_a_wavelet_follows_the_moment_a_rhythm_starts() -> None:
    sine = np.where(FRAMES < 200, 0.0, np.sin(2 * np.pi * FRAMES / 10))[:, None]
    amplitude = compute_wavelet_amplitudes(sine, (10,))[:, 0, 0]
    assert amplitude[:150].max() < 0.05
    assert amplitude[250:350].min() > 0.95


def test_the_end_of_a_recording_is_not_felt_at_its_start() -> None:
    sine = np.where(FRAMES < 300, 0.0, np.sin(2 * np.pi * FRAMES / 10))[:, None]
    assert compute_wavelet_amplitudes(sine, (10,))[:100].max() < 0.02


def test_wavelets_leave_missing_values_missing_and_survive_nothing_but_them() -> None:
    values = np.stack([np.sin(FRAMES / 3), np.full(400, np.nan)], 1)
    values[50] = np.nan
    amplitude = compute_wavelet_amplitudes(values, (20,))[:, 0]
    assert np.isnan(amplitude).sum(0).tolist() == [1, 400]
