from __future__ import annotations

from itertools import permutations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from sklearn import metrics as sklearn_metrics

from neuroduet.actions.metrics import clusters
from neuroduet.actions.metrics.frames import accuracy, f1, frame_counts
from neuroduet.types import UNLABELLED

TRUE = np.repeat([0, 1, 2], 4)

partitions = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-1, 3), min_size=n, max_size=n),
        st.lists(st.integers(-1, 4), min_size=n, max_size=n),
    )
)


def digits(text: str) -> np.ndarray:
    return np.array([int(c) for c in text])


def test_the_worked_example_of_the_reference():
    states = digits("222200011111")
    counts = frame_counts(TRUE, states, 3)
    mapping = clusters.match_one_to_one(counts)
    np.testing.assert_array_equal(mapping, [1, 2, 0])
    assert clusters.one_to_one_accuracy(counts) == pytest.approx(11 / 12)
    matched = frame_counts(TRUE, clusters.relabel(states, mapping), 3)
    np.testing.assert_allclose(f1(matched).round(4), [1.0, 0.8571, 0.8889])
    np.testing.assert_array_equal(matched, clusters.matched_counts(counts))
    assert clusters.homogeneity(counts) == pytest.approx(0.8102, abs=5e-5)
    assert clusters.completeness(counts) == pytest.approx(0.8260, abs=5e-5)
    assert clusters.v_measure(counts) == pytest.approx(0.8181, abs=5e-5)
    assert clusters.adjusted_rand(counts) == pytest.approx(0.7372, abs=5e-5)


def test_the_split_cluster_of_the_reference():
    counts = frame_counts(TRUE, digits("003311122222"), 3, 4)
    assert clusters.one_to_one_accuracy(counts) == pytest.approx(0.75)
    assert clusters.many_to_one_accuracy(counts) == pytest.approx(0.9167, abs=5e-5)
    assert clusters.completeness(counts) == pytest.approx(0.6802, abs=5e-5)
    assert clusters.v_measure(counts) == pytest.approx(0.7395, abs=5e-5)
    assert (clusters.match_one_to_one(counts) == UNLABELLED).sum() == 1


@given(partitions)
def test_partitions_are_compared_as_scikit_learn_does(pair):
    true, states = map(np.array, pair)
    known = true != UNLABELLED
    counts = frame_counts(true, states, 4, 5)
    if not known.any():
        assert np.isnan(clusters.v_measure(counts))
        assert np.isnan(clusters.adjusted_rand(counts))
        return
    y, c = true[known], states[known]
    theirs = sklearn_metrics.homogeneity_completeness_v_measure(y, c)
    ours = clusters.homogeneity(counts), clusters.completeness(counts), clusters.v_measure(counts)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    np.testing.assert_allclose(
        clusters.adjusted_rand(counts), sklearn_metrics.adjusted_rand_score(y, c), atol=1e-9
    )
    np.testing.assert_allclose(
        clusters.v_measure(counts), sklearn_metrics.normalized_mutual_info_score(y, c), atol=1e-9
    )


@given(partitions)
def test_the_one_to_one_matching_is_the_best_of_all(pair):
    true, states = map(np.array, pair)
    counts = frame_counts(true, states, 4, 5)
    if not counts.sum():
        return
    best = max(counts[list(range(4)), list(chosen)].sum() for chosen in permutations(range(5), 4))
    assert clusters.one_to_one_accuracy(counts) == pytest.approx(best / counts.sum())
    mapping = clusters.match_one_to_one(counts)
    used = mapping[mapping != UNLABELLED]
    assert len(set(used.tolist())) == len(used)
    again = frame_counts(true, clusters.relabel(states, mapping), 4)
    assert accuracy(again) == pytest.approx(best / counts.sum())


@given(partitions, st.permutations(range(5)))
def test_the_numbering_of_states_does_not_matter(pair, order):
    true, states = map(np.array, pair)
    renumbered = np.where(states < 0, states, np.array(order)[states])
    a, b = (frame_counts(true, s, 4, 5) for s in (states, renumbered))
    for metric in (
        clusters.one_to_one_accuracy,
        clusters.many_to_one_accuracy,
        clusters.v_measure,
        clusters.adjusted_rand,
    ):
        np.testing.assert_allclose(metric(a), metric(b), atol=1e-12)


def test_fewer_states_than_classes_leave_classes_unmatched():
    counts = frame_counts(TRUE, np.repeat([0, 1], 6), 3, 2)
    assert clusters.one_to_one_accuracy(counts) == pytest.approx(8 / 12)
    np.testing.assert_array_equal(clusters.match_one_to_one(counts).shape, (2,))


def test_a_frame_without_a_state_is_a_miss():
    counts = frame_counts(TRUE, np.full(12, UNLABELLED), 3, 2)
    assert clusters.one_to_one_accuracy(counts) == 0.0
    assert clusters.many_to_one_accuracy(counts) == 0.0


def test_states_outside_the_mapping_become_unlabelled():
    mapped = clusters.relabel(np.array([0, 1, 2, -1]), np.array([5, 4]))
    np.testing.assert_array_equal(mapped, [5, 4, UNLABELLED, UNLABELLED])


def test_many_matrices_at_once_are_scored_one_by_one():
    generator = np.random.default_rng(0)
    stack = generator.integers(0, 9, (2, 3, 4, 6))
    for metric in (clusters.one_to_one_accuracy, clusters.v_measure, clusters.adjusted_rand):
        one_by_one = [[metric(matrix) for matrix in row] for row in stack]
        np.testing.assert_allclose(metric(stack), one_by_one)
