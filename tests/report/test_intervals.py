from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats

from neuroduet.metrics import accuracy, balanced_accuracy, bits_per_spike, r2
from neuroduet.report.intervals import (
    FEWEST,
    bits_per_spike_draws,
    interval,
    mean_interval,
    r2_draws,
    recall_draws,
    window_weights,
)

AS_THEY_ARE = np.ones((1, 12))


def activity(seed: int):
    """Rates, counts and valid bins of 12 windows and 5 units, one of them silent."""
    generator = np.random.default_rng(seed)
    rates = generator.gamma(4.0, 0.2, size=(12, 8, 5))
    counts = generator.poisson(rates)
    counts[:, :, 2] = 0
    valid = generator.random((12, 8)) < 0.8
    return rates, counts, valid


@given(st.integers(0, 2**16))
@settings(max_examples=20)
def test_windows_as_they_are_give_the_scores_of_the_metrics(seed):
    rates, counts, valid = activity(seed)
    (bits,) = bits_per_spike_draws(rates, counts, valid, AS_THEY_ARE)
    assert bits == pytest.approx(bits_per_spike(rates, counts, valid))
    (score,) = r2_draws(counts, rates, valid, AS_THEY_ARE)
    assert score == pytest.approx(r2(counts[valid], rates[valid]))
    labels, guesses = counts[:, 0, 0] % 3, counts[:, 1, 0] % 3
    balanced, plain = recall_draws(labels, guesses, np.arange(12), AS_THEY_ARE)
    assert balanced[0] == pytest.approx(balanced_accuracy(labels, guesses))
    assert plain[0] == pytest.approx(accuracy(labels, guesses))


def bits_against(null, rates, counts):
    """Mean bits per spike of units that fired, from the two log-likelihoods; bins by units."""
    gained = stats.poisson.logpmf(counts, rates) - stats.poisson.logpmf(counts, null)
    fired = counts.sum(0) > 0
    return np.mean(gained.sum(0)[fired] / np.log(2) / counts.sum(0)[fired])


@given(st.integers(0, 2**16))
@settings(max_examples=20)
def test_a_resample_scores_like_the_windows_written_out(seed):
    rates, counts, valid = activity(seed)
    drawn = np.random.default_rng(seed).integers(0, 12, 12)
    weights = np.bincount(drawn, minlength=12)[None].astype(np.float64)
    null = np.where(valid[:, :, None], counts, 0).sum(axis=(0, 1)) / valid.sum()
    expected = bits_against(null, rates[drawn][valid[drawn]], counts[drawn][valid[drawn]])
    assert bits_per_spike_draws(rates, counts, valid, weights)[0] == pytest.approx(expected)
    expected = r2(counts[drawn][valid[drawn]], rates[drawn][valid[drawn]])
    assert r2_draws(counts, rates, valid, weights)[0] == pytest.approx(expected)
    labels, guesses = counts[:, :, 0] % 3, counts[:, :, 1] % 3
    window = np.nonzero(valid)[0]
    found, _ = recall_draws(labels[valid], guesses[valid], window, weights)
    expected = balanced_accuracy(labels[drawn][valid[drawn]], guesses[drawn][valid[drawn]])
    assert found[0] == pytest.approx(expected)


def test_windows_are_drawn_with_replacement_and_counted():
    weights = window_weights(20, seed=3, resamples=500)
    assert weights.shape == (501, 20)
    assert (weights.sum(axis=1) == 20).all()
    assert (weights[0] == 1).all()
    assert (weights[1:].std(axis=1) > 0).all()
    np.testing.assert_array_equal(weights, window_weights(20, seed=3, resamples=500))
    assert (weights != window_weights(20, seed=4, resamples=500)).any()


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(0).normal(2.0, 1.0, size=400)
    found = mean_interval(values, seed=1)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + error, abs=0.1 * error)
    assert (found.n, found.over) == (400, "units")


def test_intervals_cover_the_truth_as_often_as_they_say():
    """R2 of a noisy linear prediction, whose expected value is known, in 200 small sessions."""
    covered = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        truth = generator.normal(size=(40, 10, 1))
        guess = truth + generator.normal(0, np.sqrt(0.5), size=truth.shape)
        seen = np.ones((40, 10), dtype=bool)
        draws = r2_draws(truth, guess, seen, window_weights(40, seed, resamples=300))
        found = interval(draws, 40, "test windows")
        covered += found.low <= 0.5 <= found.high
    assert 0.90 <= covered / 200 <= 0.985


def test_bits_per_spike_lie_within_their_interval_not_at_its_edge():
    rates, counts, valid = activity(0)
    draws = bits_per_spike_draws(rates, counts, valid, window_weights(12, seed=0))
    found = interval(draws, 12, "test windows")
    place = (found.value - found.low) / (found.high - found.low)
    assert 0.25 < place < 0.75


def test_too_few_windows_or_an_undefined_score_have_no_interval():
    draws = np.linspace(0, 1, 1001)
    assert np.isnan(interval(draws, FEWEST - 1, "test windows").low)
    assert np.isfinite(interval(draws, FEWEST, "test windows").low)
    undefined = np.concatenate([[np.nan], draws])
    assert np.isnan(interval(undefined, 30, "test windows").high)
    assert np.isnan(mean_interval(np.full(9, np.nan), seed=0).value)


def test_units_without_a_score_are_no_units():
    values = np.array([np.nan, *np.linspace(0, 1, 9)])
    assert mean_interval(values, 0) == mean_interval(values[1:], 0)
