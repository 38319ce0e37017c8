from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from neuroduet.actions import ensemble
from neuroduet.actions.metrics.calibration import log_loss, penalties
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

FIRST, SECOND = np.array([[0.9, 0.1]]), np.array([[0.6, 0.4]])


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def test_the_plain_mean_of_the_reference():
    (found,) = ensemble.average([[FIRST], [SECOND]])
    np.testing.assert_allclose(found, [[0.75, 0.25]])


def test_the_entropy_weights_of_the_reference_and_they_sum_to_1():
    inverse = [1 / ensemble.entropy(p)[0] for p in (FIRST, SECOND)]
    np.testing.assert_allclose(np.array(inverse) / sum(inverse), [0.6743, 0.3257], atol=5e-5)
    (found,) = ensemble.average([[FIRST], [SECOND]], "entropy")
    np.testing.assert_allclose(found, [[0.80229, 0.19771]], atol=5e-6)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)


def test_members_of_no_entropy_share_the_weight():
    sure, opposite = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    (found,) = ensemble.average([[sure], [SECOND]], "entropy")
    np.testing.assert_allclose(found, sure, atol=1e-6)
    (found,) = ensemble.average([[sure], [opposite], [SECOND]], "entropy")
    np.testing.assert_allclose(found, [[0.5, 0.5]], atol=1e-6)


def test_logits_are_averaged_before_the_softmax():
    logits = np.random.default_rng(0).normal(size=(2, 7, 3))
    members = [[softmax(one)] for one in logits]
    (found,) = ensemble.average(members, "logits")
    np.testing.assert_allclose(found, softmax(logits.mean(0)))
    (found,) = ensemble.average(members, "logits", weights=[3.0, 1.0])
    np.testing.assert_allclose(found, softmax(0.75 * logits[0] + 0.25 * logits[1]))


def test_weights_are_shares():
    (found,) = ensemble.average([[FIRST], [SECOND]], weights=[2.0, 6.0])
    np.testing.assert_allclose(found, 0.25 * FIRST + 0.75 * SECOND)
    (found,) = ensemble.average([[FIRST], [SECOND]], "entropy", weights=[0.0, 1.0])
    np.testing.assert_allclose(found, SECOND)


@given(
    st.integers(0, 10_000),
    st.sampled_from(sorted(ensemble.AVERAGES)),
    st.integers(1, 4),
    st.sampled_from([np.float32, np.float64]),
)
def test_averages_are_probabilities_and_equal_members_change_nothing(seed, how, n, dtype):
    generator = np.random.default_rng(seed)
    members = [
        [generator.dirichlet(np.full(3, 0.3), frames).astype(dtype) for frames in (5, 1)]
        for _ in range(n)
    ]
    for found in ensemble.average(members, how):
        np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-6)
        assert (found >= 0).all()
    same = ensemble.average([members[0]] * n, how)
    np.testing.assert_allclose(same[0], members[0][0], atol=1e-6)
    order = generator.permutation(n)
    swapped = ensemble.average([members[i] for i in order], how)
    np.testing.assert_allclose(swapped[0], ensemble.average(members, how)[0], atol=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoilt_the_probabilities_is_found(temperature):
    generator = np.random.default_rng(0)
    right = softmax(2 * generator.normal(size=(20_000, 4)))
    labels = (generator.random((20_000, 1)) > right.cumsum(1)).sum(1).clip(0, 3)
    labels[::7] = UNLABELLED
    spoilt = ensemble.temper(right, 1 / temperature)
    found = ensemble.fit_temperature(
        [spoilt[:9000], spoilt[9000:]], [labels[:9000], labels[9000:]]
    )
    assert found == pytest.approx(temperature, rel=0.05)
    best, *others = (
        float(log_loss(penalties(ensemble.temper(spoilt, t), labels)))
        for t in (found, found * 1.1, found / 1.1)
    )
    assert best < min(others)


def test_frames_that_are_all_right_stop_at_the_lowest_temperature():
    found = ensemble.fit_temperature([FIRST, FIRST], [np.array([0]), np.array([0])])
    assert found == pytest.approx(ensemble.TEMPERATURES[0], rel=1e-3)


def test_each_member_is_calibrated_before_the_average():
    members, labels = [[FIRST], [SECOND]], [np.array([1])]
    temperatures = ensemble.fit_temperatures(members, labels)
    assert len(temperatures) == 2
    (found,) = ensemble.average(members, temperatures=[2.0, 1.0])
    np.testing.assert_allclose(found, [[(0.75 + 0.6) / 2, (0.25 + 0.4) / 2]])


def test_a_temperature_keeps_the_order_and_1_changes_nothing():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    np.testing.assert_allclose(ensemble.temper(probabilities, 1.0), probabilities)
    for temperature in (0.2, 5.0):
        tempered = ensemble.temper(probabilities, temperature)
        np.testing.assert_array_equal(tempered.argsort(1), probabilities.argsort(1))
    assert (ensemble.entropy(ensemble.temper(probabilities, 5.0)) > 1).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ensemble.average([]), "no model"),
        (lambda: ensemble.average([[FIRST], [FIRST, FIRST]]), "shapes"),
        (lambda: ensemble.average([[FIRST], [np.ones((1, 3)) / 3]]), "shapes"),
        (lambda: ensemble.average([[FIRST]], weights=[1.0, 1.0]), "weights"),
        (lambda: ensemble.average([[FIRST], [SECOND]], weights=[0.0, 0.0]), "weights"),
        (lambda: ensemble.average([[FIRST], [SECOND]], temperatures=[1.0]), "temperatures"),
        (lambda: ensemble.temper(FIRST, 0.0), "above 0"),
        (lambda: ensemble.fit_temperature([FIRST], [np.array([-1])]), "no held-out frame"),
    ],
)
def test_what_cannot_be_averaged_is_said(call, message):
    with pytest.raises(UserError, match=message):
        call()
