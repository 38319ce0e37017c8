from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.actions.hmm.inference import smooth, smooth_pieces, viterbi


def random_chain(seed, states):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(states), size=states)
    return rng.dirichlet(np.ones(states)), transition, rng


def enumerated(initial, transition, log_likelihoods):
    """Evidence, posteriors, pairwise sums and best path by listing every path."""
    frames, states = log_likelihoods.shape
    single, pairs = np.zeros((frames, states)), np.zeros((states, states))
    best, best_path, evidence = -np.inf, None, 0.0
    for path in product(range(states), repeat=frames):
        weight = initial[path[0]] * np.exp(log_likelihoods[0, path[0]])
        for t in range(1, frames):
            weight *= transition[path[t - 1], path[t]] * np.exp(log_likelihoods[t, path[t]])
        evidence += weight
        for t, state in enumerate(path):
            single[t, state] += weight
            if t:
                pairs[path[t - 1], state] += weight
        if weight > best:
            best, best_path = weight, path
    return np.log(evidence), single / evidence, pairs / evidence, best_path, np.log(best)


def plain(initial, transition, log_likelihoods):
    """Forward-backward in log space, frame by frame."""
    log_a, alpha = np.log(transition), [np.log(initial) + log_likelihoods[0]]
    for row in log_likelihoods[1:]:
        alpha.append(np.logaddexp.reduce(alpha[-1][:, None] + log_a, axis=0) + row)
    beta = [np.zeros(len(initial))]
    for row in log_likelihoods[:0:-1]:
        beta.insert(0, np.logaddexp.reduce(log_a + row + beta[0], axis=1))
    total = np.logaddexp.reduce(alpha[-1])
    return np.exp(np.array(alpha) + np.array(beta) - total), total


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), states=st.integers(1, 3), frames=st.integers(1, 6))
def test_posteriors_pairs_and_evidence_equal_the_enumeration_of_all_paths(seed, states, frames):
    initial, transition, rng = random_chain(seed, states)
    scores = rng.normal(0, 2, (frames, states))
    evidence, single, pairs, path, best = enumerated(initial, transition, scores)
    for block in (1, 2, 100):
        parts = list(smooth_pieces(initial, transition, lambda i, j: scores[i:j], [frames], block))
        assert sum(part.log_likelihood for part in parts) == pytest.approx(evidence)
        assert np.concatenate([part.states for part in parts]) == pytest.approx(single)
        assert sum(part.pairs for part in parts) == pytest.approx(pairs, abs=1e-12)
        assert sum(part.opening for part in parts) == pytest.approx(single[0])
    found, probability = viterbi(initial, transition, scores)
    assert tuple(found) == path
    assert probability == pytest.approx(best)


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_the_length_of_blocks_changes_nothing(block):
    initial, transition, rng = random_chain(1, 4)
    scores = rng.normal(0, 5, (1000, 4))
    expected, evidence = plain(initial, transition, scores)
    parts = list(smooth_pieces(initial, transition, lambda i, j: scores[i:j], [1000], block))
    assert sum(part.log_likelihood for part in parts) == pytest.approx(evidence)
    assert np.abs(np.concatenate([p.states for p in parts]) - expected).max() < 1e-9
    assert sum(part.pairs.sum() for part in parts) == pytest.approx(999)


def test_a_batch_of_recordings_equals_its_recordings_one_by_one():
    initial, transition, rng = random_chain(2, 3)
    lengths = [1, 300, 2, 129, 128]
    scores = rng.normal(0, 3, (sum(lengths), 3))
    together = smooth(initial, transition, scores, lengths)
    ends = np.cumsum([0, *lengths])
    alone = [
        smooth(initial, transition, scores[i:j]) for i, j in zip(ends, ends[1:], strict=False)
    ]
    assert together.states == pytest.approx(np.concatenate([one.states for one in alone]))
    assert together.pairs == pytest.approx(sum(one.pairs for one in alone))
    assert together.opening == pytest.approx(sum(one.opening for one in alone))
    assert together.log_likelihood == pytest.approx(sum(one.log_likelihood for one in alone))


def test_likelihoods_thousands_of_nats_apart_stay_exact():
    initial, transition, rng = random_chain(3, 3)
    scores = rng.normal(0, 4000, (400, 3))
    expected, evidence = plain(initial, transition, scores)
    found = smooth(initial, transition, scores)
    assert found.log_likelihood == pytest.approx(evidence)
    assert np.abs(found.states - expected).max() < 1e-7


def test_a_forbidden_state_has_no_posterior_and_binds_its_neighbours():
    initial = np.array([0.5, 0.5])
    transition = np.array([[1.0, 0.0], [0.0, 1.0]])
    scores = np.zeros((300, 2))
    scores[250, 0] = -np.inf
    found = smooth(initial, transition, scores)
    assert found.states[:, 1] == pytest.approx(np.ones(300))
    assert found.log_likelihood == pytest.approx(np.log(0.5))


def test_an_impossible_recording_has_no_likelihood():
    scores = np.array([[0.0, -np.inf], [-np.inf, 0.0]])
    assert smooth(np.array([0.5, 0.5]), np.eye(2), scores).log_likelihood == -np.inf


def test_pieces_are_asked_for_in_bounded_portions():
    initial, transition, rng = random_chain(4, 2)
    frames = 100_000
    scores = rng.normal(size=(frames, 2))
    asked = []

    def source(begin, stop):
        asked.append(stop - begin)
        return scores[begin:stop]

    parts = list(smooth_pieces(initial, transition, source, [frames]))
    assert max(asked) <= 33_000
    assert parts[-1].begin == sum(len(part.states) for part in parts[:-1])
    assert sum(len(part.states) for part in parts) == frames


def test_the_viterbi_path_of_a_sticky_chain_ignores_a_single_odd_frame():
    transition = np.array([[0.99, 0.01], [0.01, 0.99]])
    scores = np.zeros((21, 2))
    scores[:, 1] = -1.0
    scores[10] = [-2.0, 0.0]
    path, _ = viterbi(np.array([0.5, 0.5]), transition, scores)
    assert path.tolist() == [0] * 21
