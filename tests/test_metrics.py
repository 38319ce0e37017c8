from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from sklearn.metrics import balanced_accuracy_score, d2_tweedie_score, f1_score, r2_score

from neuroduet import metrics
from neuroduet.errors import UserError
from neuroduet.metrics.primary import QUESTION, primary
from neuroduet.types import UNLABELLED

REFERENCE_COUNTS = np.array([[1, 0, 2, 1], [0, 1, 0, 3]])[:, :, None]
REFERENCE_RATES = np.array([[1, 0.5, 1.5, 1.5], [0.5, 0.5, 0.5, 2]])[:, :, None]
REFERENCE_VALID = np.ones((2, 4), dtype=bool)


def random_activity(seed: int = 0, shape: tuple[int, int, int] = (5, 7, 4)):
    generator = np.random.default_rng(seed)
    rates = generator.gamma(2.0, 0.3, size=shape)
    valid = np.ones(shape[:2], dtype=bool)
    valid[1, 4:] = False
    return rates, generator.poisson(rates), valid


def test_bits_per_spike_matches_the_reference_example():
    bits = metrics.bits_per_spike(REFERENCE_RATES, REFERENCE_COUNTS, REFERENCE_VALID)
    assert bits == pytest.approx(2.602690 / (8 * 0.693147), abs=1e-6)
    assert bits == pytest.approx(0.469361, abs=1e-6)


def test_predicting_the_mean_reads_exactly_zero():
    rates, counts, _ = random_activity()
    valid = np.ones(counts.shape[:2], dtype=bool)
    mean = np.broadcast_to(counts.mean(axis=(0, 1)), counts.shape)
    assert (metrics.bits_per_spike_by_unit(mean, counts, valid) == 0.0).all()
    assert metrics.bits_per_spike(mean, counts, valid, average="pooled") == 0.0


def test_a_silent_unit_is_nan_and_skipped():
    counts = np.concatenate([REFERENCE_COUNTS, np.zeros_like(REFERENCE_COUNTS)], axis=2)
    rates = np.concatenate([REFERENCE_RATES, REFERENCE_RATES], axis=2)
    by_unit = metrics.bits_per_spike_by_unit(rates, counts, REFERENCE_VALID)
    assert np.isnan(by_unit[1])
    for average in ("units", "pooled"):
        bits = metrics.bits_per_spike(rates, counts, REFERENCE_VALID, average=average)
        assert bits == pytest.approx(0.469361, abs=1e-6)


def test_no_spike_at_all_is_nan():
    rates, counts, valid = random_activity()
    for average in ("units", "pooled"):
        bits = metrics.bits_per_spike(rates, np.zeros_like(counts), valid, average=average)
        assert np.isnan(bits)


def test_a_rate_of_zero_is_replaced_by_1e_9():
    rates = REFERENCE_RATES.copy()
    rates[1, 1] = 0.0
    raised = REFERENCE_RATES.copy()
    raised[1, 1] = 1e-9
    found = metrics.bits_per_spike(rates, REFERENCE_COUNTS, REFERENCE_VALID)
    assert found == metrics.bits_per_spike(raised, REFERENCE_COUNTS, REFERENCE_VALID)
    # One of 8 spikes falls where 1e-9 instead of 0.5 was expected.
    lost = (np.log(1e-9 / 0.5) + 0.5 - 1e-9) / (8 * np.log(2))
    assert found == pytest.approx(2.602690 / (8 * np.log(2)) + lost, abs=1e-6)


def test_a_unit_that_fired_once_counts_as_one_unit_and_as_one_spike():
    counts = np.array([[1, 0, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0]]).T[None]
    # Twice the mean where the spike falls: 1 bit. The second is its mean: 0. The third is silent.
    rates = np.array([[1 / 2, 1 / 6, 1 / 6, 1 / 6], [0.75] * 4, [0.1] * 4]).T[None]
    valid = np.ones((1, 4), dtype=bool)
    by_unit = metrics.bits_per_spike_by_unit(rates, counts, valid)
    np.testing.assert_allclose(by_unit, [1.0, 0.0, np.nan], atol=1e-12)
    assert metrics.bits_per_spike(rates, counts, valid) == pytest.approx(1 / 2)
    assert metrics.bits_per_spike(rates, counts, valid, "pooled") == pytest.approx(1 / 4)


def test_without_a_scored_bin_every_unit_is_nan():
    rates, counts, valid = random_activity()
    nothing = np.zeros_like(valid)
    assert np.isnan(metrics.bits_per_spike_by_unit(rates, counts, nothing)).tolist() == [True] * 4
    assert np.isnan(metrics.r2_by_unit(counts, rates, nothing)).tolist() == [True] * 4


def test_a_prediction_of_nan_is_not_hidden():
    rates, counts, valid = random_activity()
    rates[0, 0, 0] = np.nan
    assert np.isnan(metrics.bits_per_spike(rates, counts, valid))
    assert np.isnan(metrics.bits_per_spike(rates, counts, valid, average="pooled"))
    assert np.isnan(metrics.r2_per_trial(counts, rates, valid))
    assert np.isnan(metrics.psth_r2(rates, counts, valid, np.array([0, 0, 1, 1, 1])))


def test_bits_do_not_depend_on_bins_that_do_not_exist():
    rates, counts, valid = random_activity()
    other_rates, other_counts = rates.copy(), counts.copy()
    other_rates[~valid], other_counts[~valid] = 99.0, 99
    np.testing.assert_array_equal(
        metrics.bits_per_spike_by_unit(rates, counts, valid),
        metrics.bits_per_spike_by_unit(other_rates, other_counts, valid),
    )


def test_pooled_bits_match_the_brain_wide_benchmark_formula():
    rates, counts, valid = random_activity()
    x, y = np.log(rates[valid]), counts[valid]
    spikes, bins = y.sum(axis=0), len(y)
    null = (spikes * (1 - np.log(spikes / bins))).sum()
    expected = (null - (np.exp(x) - x * y).sum()) / (np.log(2) * spikes.sum())
    found = metrics.bits_per_spike(rates, counts, valid, average="pooled")
    assert found == pytest.approx(expected, abs=1e-12)


def test_bits_per_unit_order_like_the_poisson_deviance_of_scikit_learn():
    rates, counts, valid = random_activity()
    y, rate = counts[valid][:, 0], rates[valid][:, 0]
    spikes = y.sum()
    log = np.log(np.maximum(y, 1))
    saturated = (y * log).sum() - spikes * np.log(spikes / len(y))
    expected = d2_tweedie_score(y, rate, power=1) * saturated / (np.log(2) * spikes)
    found = metrics.bits_per_spike_by_unit(rates, counts, valid)[0]
    assert found == pytest.approx(expected, abs=1e-10)


def test_an_unknown_average_lists_the_known_ones():
    with pytest.raises(UserError, match="units, pooled"):
        metrics.bits_per_spike(REFERENCE_RATES, REFERENCE_COUNTS, REFERENCE_VALID, "unit")


def test_r2_matches_the_reference_example():
    y = np.array([[0, 1, 2, 1], [2, 2, 3, 1]])
    p = np.array([[0.5, 1, 1.5, 1], [1.5, 2.5, 2.5, 1.5]])
    assert metrics.r2(y.ravel(), p.ravel()) == pytest.approx(0.75)
    seen = np.ones((2, 4), dtype=bool)
    assert metrics.r2_per_trial(y[:, :, None], p[:, :, None], seen) == pytest.approx(0.625)


def test_r2_matches_scikit_learn():
    generator = np.random.default_rng(0)
    y, p = generator.normal(size=(2, 30, 3))
    assert metrics.r2(y[:, 0], p[:, 0]) == pytest.approx(r2_score(y[:, 0], p[:, 0]))
    assert metrics.r2(y, p) == pytest.approx(r2_score(y, p))


def test_r2_of_a_constant_or_empty_target_is_nan():
    constant = np.full(7, 0.1)
    assert np.isnan(metrics.r2(constant, np.arange(7.0)))
    assert np.isnan(metrics.r2(np.zeros(0), np.zeros(0)))
    y = np.stack([constant, np.arange(7.0)], axis=1)
    assert metrics.r2(y, y) == 1.0


def test_r2_per_trial_skips_constant_trials_and_missing_bins():
    true = np.array([[0.0, 1.0, 5.0], [3.0, 3.0, 3.0], [0.0, 2.0, 4.0]])[:, :, None]
    predicted = np.array([[0.0, 1.0, -9.0], [0.0, 0.0, 0.0], [0.0, 2.0, 2.0]])[:, :, None]
    observed = np.array([[True, True, False], [True, True, True], [True, True, True]])
    assert metrics.r2_per_trial(true, predicted, observed) == pytest.approx(0.75)
    nothing = np.zeros_like(observed)
    assert np.isnan(metrics.r2_per_trial(true, predicted, nothing))


def test_r2_by_unit_matches_scikit_learn_and_marks_constant_traces():
    rates, counts, valid = random_activity()
    true = counts.astype(np.float64)
    true[:, :, 2] = 0.3
    found = metrics.r2_by_unit(true, rates, valid)
    assert np.isnan(found[2])
    assert found[0] == pytest.approx(r2_score(true[valid][:, 0], rates[valid][:, 0]))


def test_psth_averages_the_trials_of_each_condition():
    counts = np.array([[1, 2, 3], [3, 4, 9], [5, 6, 7]])[:, :, None]
    valid = np.array([[True, True, True], [True, True, False], [True, True, False]])
    found = metrics.psth(counts, valid, np.array([4, 4, 7]))[:, :, 0]
    np.testing.assert_array_equal(found, [[2, 3, 3], [5, 6, np.nan]])


def test_psth_leaves_unlabelled_trials_out():
    counts = np.array([[1.0], [9.0], [3.0]])[:, :, None]
    valid = np.ones((3, 1), dtype=bool)
    found = metrics.psth(counts, valid, np.array([0, UNLABELLED, 0]))
    np.testing.assert_array_equal(found, [[[2.0]]])


def test_psth_r2_is_the_r2_of_condition_averages():
    rates, counts, valid = random_activity()
    conditions = np.array([0, 0, 1, 1, 1])
    true = metrics.psth(counts, valid, conditions).reshape(-1, 4)
    predicted = metrics.psth(rates, valid, conditions).reshape(-1, 4)
    expected = [r2_score(true[:, n], predicted[:, n]) for n in range(4)]
    found = metrics.psth_r2_by_unit(rates, counts, valid, conditions)
    np.testing.assert_allclose(found, expected)
    assert metrics.psth_r2(rates, counts, valid, conditions) == pytest.approx(np.mean(expected))
    silent = counts.copy()
    silent[:, :, 0] = 0
    without = metrics.psth_r2(rates, silent, valid, conditions)
    assert without == pytest.approx(np.mean(expected[1:]))


def test_balanced_accuracy_matches_the_reference_example():
    y, p = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert metrics.balanced_accuracy(y, p) == pytest.approx(0.833333, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25))
@pytest.mark.filterwarnings("ignore:.*y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:.*single label was found")
@pytest.mark.filterwarnings("ignore:.*[Nn]umber of (unique )?classes")
def test_class_metrics_match_scikit_learn(pairs: list[tuple[int, int]]):
    y, p = np.array(pairs).T
    assert metrics.accuracy(y, p) == pytest.approx(np.mean(y == p))
    assert metrics.balanced_accuracy(y, p) == pytest.approx(balanced_accuracy_score(y, p))
    assert metrics.macro_f1(y, p) == pytest.approx(f1_score(y, p, average="macro"))


def test_a_class_absent_from_the_truth_is_not_averaged_into_balanced_accuracy():
    y, p = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    assert metrics.balanced_accuracy(y, p) == pytest.approx(0.75)
    assert metrics.macro_f1(y, p) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_unlabelled_entries_never_enter_a_metric():
    y, p = np.array([0, UNLABELLED, 1]), np.array([0, 1, 0])
    assert metrics.accuracy(y, p) == metrics.balanced_accuracy(y, p) == 0.5
    for metric in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1):
        assert np.isnan(metric(np.array([UNLABELLED]), np.array([1])))


def test_every_metric_has_a_definition_that_states_its_null():
    names = set(
        [
            "bits_per_spike",
            "bits_per_spike_pooled",
            "r2",
            "r2_per_trial",
            "psth_r2",
            "accuracy",
            "balanced_accuracy",
            "macro_f1",
        ]
    )
    assert set(metrics.DEFINITIONS) == names
    assert all("null: " in sentence for sentence in metrics.DEFINITIONS.values())


def test_one_metric_of_every_whole_target_stands_for_the_others():
    rows = [
        ("encoding", "spikes", "r2"),
        ("encoding", "spikes", "bits_per_spike"),
        ("encoding_from", "spikes", "bits_per_spike"),
        ("decoding", "paw", "r2"),
        ("decoding", "paw[1]", "r2"),
        ("decoding_by_region", "paw@CA1", "r2"),
        ("decoding", "choice", "accuracy"),
        ("decoding", "choice", "balanced_accuracy"),
        ("decoding", "odd", "macro_f1"),
    ]
    assert primary(pd.DataFrame(rows, columns=QUESTION)) == [
        ("encoding", "spikes", "bits_per_spike"),
        ("decoding", "paw", "r2"),
        ("decoding", "choice", "balanced_accuracy"),
    ]
