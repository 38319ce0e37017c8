from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neuroduet.metrics.paired import compare_folds, compare_sessions, holm, signed_rank

SMALL = st.lists(st.integers(-6, 6), min_size=1, max_size=9)


def test_sessions_are_compared_as_scipy_does() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 12))
    found, expected = compare_sessions(one - other), stats.ttest_rel(one, other)
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.mean == pytest.approx((one - other).mean())
    assert found.wilcoxon == pytest.approx(stats.wilcoxon(one, other, method="exact").pvalue)
    assert (found.n, found.test) == (12, "paired t over sessions")


def test_the_corrected_test_is_that_of_the_paper_by_hand() -> None:
    # Mean 0.03, variance 2.5e-4; (1/5 + 1/4) * 2.5e-4 = 1.125e-4; t = 0.03 / sqrt(1.125e-4).
    found = compare_folds(np.array([0.01, 0.02, 0.03, 0.04, 0.05]), 0.25)
    error = math.sqrt(1.125e-4)
    assert found.mean == pytest.approx(0.03)
    # 2.776445 is the 97.5 % point of Student's t with 4 degrees of freedom, from a table.
    assert found.high - found.mean == pytest.approx(2.776445 * error, rel=1e-6)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.03 / error, 4))
    assert math.isnan(found.wilcoxon)


def test_without_shared_training_windows_the_correction_vanishes() -> None:
    differences = np.random.default_rng(1).normal(0.2, 1.0, 10)
    found = compare_folds(differences, 0.0)
    assert found.p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert compare_folds(differences, 0.25).p_value > found.p_value


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_differences_are_not_tested_and_say_so(n: int) -> None:
    for found in (compare_folds(np.ones(n), 0.25), compare_sessions(np.arange(n) + 1.0)):
        assert all(map(math.isnan, (found.p_value, found.low, found.high, found.wilcoxon)))
        assert found.test in (
            f"none: {n} of the 3 folds needed",
            f"none: {n} of the 3 sessions needed",
        )
        assert math.isnan(found.mean) == (n == 0)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_equal_differences_are_not_tested(value: float) -> None:
    found = compare_sessions(np.full(7, value))
    assert math.isnan(found.p_value)
    assert found.mean == pytest.approx(value)
    assert found.test == "none: all 7 sessions differ alike"


@given(SMALL)
def test_signed_rank_counts_all_patterns_of_signs(values: list[int]) -> None:
    differences = np.array([v for v in values if v != 0], dtype=float)
    ranks = stats.rankdata(np.abs(differences))
    observed = abs((np.sign(differences) * ranks).sum())
    patterns = itertools.product([-1, 1], repeat=len(ranks))
    away = [abs(np.dot(signs, ranks)) >= observed - 1e-9 for signs in patterns]
    assert signed_rank(np.array(values, dtype=float)) == pytest.approx(np.mean(away))


def test_signed_rank_of_many_differences_is_that_of_scipy() -> None:
    differences = np.random.default_rng(2).normal(0.2, 1.0, 40)
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert signed_rank(differences) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    # Sorted: 0.005 x 4, 0.011 x 3, 0.02 x 2, 0.04 x 1, each at least the one before.
    found = holm(np.array([0.02, 0.005, np.nan, 0.04, 0.011]))
    np.testing.assert_allclose(found, [0.04, 0.02, np.nan, 0.04, 0.033])
    np.testing.assert_allclose(holm(np.array([0.9, 0.6])), [1.0, 1.0])
    assert holm(np.array([])).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.2))
def test_holm_rejects_what_its_procedure_rejects(p_values: list[float], level: float) -> None:
    rejected = 0
    for step, p in enumerate(sorted(p_values)):
        if p * (len(p_values) - step) > level:
            break
        rejected += 1
    assert (holm(np.array(p_values)) <= level).sum() == rejected


def test_intervals_over_sessions_cover_the_truth_and_nothing_is_found_where_nothing_is() -> None:
    draws = np.random.default_rng(3).normal(0.5, 1.0, (800, 8))
    found = [compare_sessions(row) for row in draws]
    covered = np.mean([one.low <= 0.5 <= one.high for one in found])
    assert covered == pytest.approx(0.95, abs=0.02)
    false = np.mean([compare_sessions(row - 0.5).p_value < 0.05 for row in draws])
    assert false == pytest.approx(0.05, abs=0.02)


def test_the_correction_holds_its_level_where_folds_share_their_training_windows() -> None:
    """Two regressions on 15 useless variables each, over five folds of 40 trials."""
    generator = np.random.default_rng(0)
    fold = np.arange(40) % 5
    plain, corrected = [], []
    for _ in range(600):
        inputs, target = generator.normal(size=(2, 40, 15)), generator.normal(size=40)
        errors = np.zeros((5, 2))
        for k, model in itertools.product(range(5), range(2)):
            x, train = inputs[model], fold != k
            weights = np.linalg.lstsq(x[train], target[train], rcond=None)[0]
            errors[k, model] = ((target - x @ weights)[~train] ** 2).mean()
        differences = errors[:, 1] - errors[:, 0]
        plain.append(compare_folds(differences, 0.0).p_value < 0.05)
        corrected.append(compare_folds(differences, 0.25).p_value < 0.05)
    assert np.mean(plain) > 0.06
    assert 0.01 < np.mean(corrected) < 0.05
