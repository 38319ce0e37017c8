from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from sklearn import metrics as sklearn_metrics

from neuroduet.actions.metrics import frames
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

labellings = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-1, 3), min_size=n, max_size=n),
        st.lists(st.integers(-1, 3), min_size=n, max_size=n),
    )
)


def coded(digits: str) -> np.ndarray:
    """Published coding, 0 for background, to ours."""
    return np.array([int(c) for c in digits]) - 1


def test_the_worked_example_of_the_reference():
    counts = frames.frame_counts(coded("0011122220"), coded("1011222022"), 2)
    np.testing.assert_allclose(frames.precision(counts), [1.0, 0.75])
    np.testing.assert_allclose(frames.recall(counts), [2 / 3, 0.75])
    np.testing.assert_allclose(frames.f1(counts), [0.8, 0.75])
    assert frames.mean_f1(counts) == pytest.approx(0.775)
    assert frames.macro_f1([coded("0011122220")], [coded("1011222022")], 2) == pytest.approx(0.775)


def test_scoring_the_background_would_give_the_other_numbers_of_the_reference():
    true, predicted = coded("0011122220") + 1, coded("1011222022") + 1
    counts = frames.frame_counts(true, predicted, 3)
    np.testing.assert_allclose(frames.precision(counts)[1:], [2 / 3, 0.6])
    np.testing.assert_allclose(frames.f1(counts)[1:], [2 / 3, 2 / 3])


def test_the_segment_example_of_the_reference_frame_by_frame():
    true = np.repeat([0, 1, 0, 2], 10)
    predicted = np.repeat([0, 1, 2, 0, 2], [8, 12, 2, 10, 8])
    counts = frames.frame_counts(true, predicted, 3)
    assert frames.accuracy(counts) == pytest.approx(0.85)
    np.testing.assert_allclose(frames.precision(counts), [8 / 9, 5 / 6, 0.8])
    np.testing.assert_allclose(frames.recall(counts), [0.8, 1.0, 0.8])
    np.testing.assert_allclose(frames.f1(counts).round(4), [0.8421, 0.9091, 0.8])
    assert frames.mean_f1(counts) == pytest.approx(0.8504, abs=5e-5)


@given(labellings)
def test_every_metric_agrees_with_scikit_learn(pair):
    true, predicted = map(np.array, pair)
    known = true != UNLABELLED
    y, p = true[known], predicted[known]
    present = np.unique(y)
    counts = frames.frame_counts(true, predicted, 4)
    if not known.any():
        assert np.isnan(frames.accuracy(counts))
        assert np.isnan(frames.mean_f1(counts))
        return
    wanted = {"labels": present, "average": None, "zero_division": np.nan}
    theirs = sklearn_metrics.precision_recall_fscore_support(y, p, **wanted)
    np.testing.assert_allclose(frames.precision(counts)[present], theirs[0])
    np.testing.assert_allclose(frames.recall(counts)[present], theirs[1])
    np.testing.assert_allclose(frames.f1(counts)[present], theirs[2])
    np.testing.assert_allclose(
        frames.iou(counts)[present],
        sklearn_metrics.jaccard_score(y, p, labels=present, average=None, zero_division=0),
    )
    np.testing.assert_allclose(frames.accuracy(counts), sklearn_metrics.accuracy_score(y, p))
    np.testing.assert_allclose(frames.mean_f1(counts), np.nanmean(theirs[2]))
    np.testing.assert_allclose(frames.balanced_accuracy(counts), np.mean(theirs[1]))
    np.testing.assert_array_equal(
        frames.confusion(counts), sklearn_metrics.confusion_matrix(y, p, labels=range(4))
    )


@given(labellings)
def test_counts_of_parts_add_up_to_those_of_the_whole(pair):
    true, predicted = map(np.array, pair)
    half = len(true) // 2
    whole = frames.frame_counts(true, predicted, 4)
    parts = [frames.frame_counts(true[s], predicted[s], 4) for s in np.s_[:half, half:]]
    np.testing.assert_array_equal(whole, sum(parts))
    assert whole.sum() == (true != UNLABELLED).sum()


def test_a_class_that_never_occurs_is_nan_and_left_out_of_the_means():
    counts = frames.frame_counts(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]), 3)
    assert np.isnan(frames.f1(counts)[2])
    assert np.isnan(frames.recall(counts)[2])
    assert frames.precision(counts)[2] == 0.0
    assert frames.mean_f1(counts) == pytest.approx((1 + 2 / 3) / 2)
    assert frames.balanced_accuracy(counts) == pytest.approx(0.75)


def test_predicting_nothing_or_an_unknown_class_misses_but_claims_no_class():
    true = np.array([0, 0, 1, 1])
    for outside in (UNLABELLED, 7):
        counts = frames.frame_counts(true, np.array([0, outside, 1, 1]), 2)
        np.testing.assert_array_equal(frames.precision(counts), [1.0, 1.0])
        np.testing.assert_array_equal(frames.recall(counts), [0.5, 1.0])
        np.testing.assert_array_equal(frames.confusion(counts, normalise=True), [[0.5, 0], [0, 1]])


def test_a_true_label_outside_the_classes_is_refused():
    for wrong in (2, -2):
        with pytest.raises(UserError, match="expected 0 to 1"):
            frames.frame_counts(np.array([0, wrong]), np.array([0, 0]), 2)


def test_a_class_that_is_claimed_but_never_true_has_no_f1_and_no_iou():
    counts = frames.frame_counts(np.array([0, 0, 0]), np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(frames.f1(counts), [0.8, np.nan])
    np.testing.assert_allclose(frames.iou(counts), [2 / 3, np.nan])
    np.testing.assert_array_equal(frames.precision(counts), [1.0, 0.0])


def test_the_confusion_of_a_class_with_a_single_frame_is_a_share_of_it():
    counts = frames.frame_counts(np.array([0, 1, 1]), np.array([1, 1, UNLABELLED]), 3)
    shares = frames.confusion(counts, normalise=True)
    np.testing.assert_array_equal(shares, [[0, 1, 0], [0, 0.5, 0], [0, 0, 0]])
    np.testing.assert_allclose(frames.f1(counts), [0, 0.5, np.nan])
    np.testing.assert_allclose(frames.iou(counts), [0, 1 / 3, np.nan])
