"""Terms of the loss against known values, double loops and each other."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.actions.s3lds import loss
from neuroduet.actions.s3lds.generative import Emission, SwitchingDynamics
from neuroduet.types import UNLABELLED


def random_step(seed: int, dynamics_hidden: int = 0, classes: int = 3, latents: int = 2):
    """Dynamics and a random batch of pairs of frames: before, mean, log-variance, shares."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        dynamics = SwitchingDynamics(
            classes, latents, transition_hidden=0, dynamics_hidden=dynamics_hidden, remember=False
        )
        before, mean, log_variance = torch.randn(3, 2, 5, classes, latents)
        earlier, shares = torch.randn(2, 2, 5, classes).softmax(-1)
    return dynamics, before, mean, log_variance, earlier, shares


@pytest.mark.parametrize(("features", "expected"), [(10, 2.25791), (16, 3.61266), (36, 8.12849)])
def test_a_perfect_reconstruction_costs_what_the_noise_does(features, expected):
    emission = Emission(2, features, 0, noise=0.5)
    latents = torch.randn(1, 1, 1, 2)
    x = emission.mean(latents)[:, :, 0]
    cost = emission.negative_log_likelihood(x, latents).detach()
    assert float(cost) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("hidden", [0, 3])
def test_the_expected_reconstruction_is_the_mean_over_classes(hidden):
    emission = Emission(2, 6, hidden, noise=0.5)
    x, latents = torch.randn(2, 5, 6), torch.randn(2, 5, 3, 2)
    shares = torch.randn(2, 5, 3).softmax(-1)
    slow = (shares * emission.negative_log_likelihood(x, latents)).sum(-1)
    torch.testing.assert_close(emission.expected_cost(x, latents, shares), slow)


def test_gaussian_kl_equals_a_value_worked_by_hand():
    mean, other = torch.tensor([0.0]), torch.tensor([1.0])
    kl = loss.gaussian_kl(mean, torch.tensor([0.0]), other, torch.tensor([math.log(4.0)]))
    assert float(kl) == pytest.approx(0.443147, abs=1e-6)


def test_gaussian_kl_is_that_of_torch_summed_over_latents():
    mean, log_variance, prior_mean, prior_log_variance = torch.randn(
        4, 5, 3, generator=torch.Generator().manual_seed(0)
    )
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()),
        torch.distributions.Normal(prior_mean, (prior_log_variance / 2).exp()),
    ).sum(-1)
    found = loss.gaussian_kl(mean, log_variance, prior_mean, prior_log_variance)
    torch.testing.assert_close(found, expected)


def test_distillation_is_the_cross_entropy_of_the_frames_of_the_mask():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, generator=generator)
    targets = torch.rand(2, 4, 3, generator=generator).softmax(-1)
    mask = torch.tensor([[True, False, True, False], [False, False, False, True]])
    expected = torch.nn.functional.cross_entropy(logits[mask], targets[mask])
    torch.testing.assert_close(loss.distillation(logits.log_softmax(-1), targets, mask), expected)


def test_categorical_kl_equals_values_worked_by_hand():
    even, uneven = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    assert float(loss.categorical_kl(even, even)) == 0.0
    assert float(loss.categorical_kl(even, uneven)) == pytest.approx(0.510826, abs=1e-6)


@given(seed=st.integers(0, 10_000), hidden=st.sampled_from([0, 4]))
@settings(max_examples=15, deadline=None)
def test_the_sum_over_classes_equals_the_sum_over_pairs_of_classes(seed, hidden):
    dynamics, before, mean, log_variance, earlier, shares = random_step(seed, hidden)
    table = dynamics.log_variances.table()
    mask = torch.ones(2, 5, dtype=torch.bool)
    quick = loss.dynamics_kl(
        mean, log_variance, dynamics.moments(before, earlier), table, shares, mask
    )
    total = torch.zeros(2, 5)
    for j in range(3):
        foretold = dynamics.next_latents(before[:, :, j])
        for k in range(3):
            kl = loss.gaussian_kl(
                mean[:, :, k], log_variance[:, :, k], foretold[:, :, k], table[k]
            )
            total += earlier[..., j] * shares[..., k] * kl
    assert float(quick.detach()) == pytest.approx(float(total.mean().detach()), rel=1e-4)


def test_the_transition_kl_equals_the_sum_over_pairs_of_classes():
    dynamics, before, _, _, earlier, shares = random_step(3)
    log_prior = dynamics.log_transitions(before)
    mask = torch.ones(2, 5, dtype=torch.bool)
    quick = loss.transition_kl(loss.foretold(log_prior, earlier), shares.log(), mask)
    total = sum(
        earlier[..., j] * (shares * (shares.log() - log_prior[:, :, j])).sum(-1) for j in range(3)
    )
    assert float(quick.detach()) == pytest.approx(float(total.mean().detach()), rel=1e-5)


def test_the_label_term_reads_the_log_probability_of_the_label():
    log_prior = torch.log(torch.tensor([[[[0.7, 0.3], [0.2, 0.8]]]]))
    before, labels = torch.tensor([[[0.25, 0.75]]]), torch.tensor([[1]])
    mask = torch.ones(1, 1, dtype=torch.bool)
    cost = loss.label_transition(loss.foretold(log_prior, before), labels, mask)
    assert float(cost) == pytest.approx(-(0.25 * math.log(0.3) + 0.75 * math.log(0.8)))


def test_renaming_classes_changes_no_term():
    dynamics, before, mean, log_variance, earlier, shares = random_step(5)
    order = torch.tensor([2, 0, 1])
    table, mask = dynamics.log_variances.table(), torch.ones(2, 5, dtype=torch.bool)
    moments = dynamics.moments(before, earlier)
    plain = loss.dynamics_kl(mean, log_variance, moments, table, shares, mask)
    renamed = loss.dynamics_kl(
        mean[:, :, order],
        log_variance[:, :, order],
        type(moments)(*(part[:, :, order] for part in moments)),
        table[order],
        shares[..., order],
        mask,
    )
    torch.testing.assert_close(plain, renamed)
    same = dynamics.moments(before[:, :, order], earlier[..., order])
    torch.testing.assert_close(moments.spread, same.spread, rtol=1e-4, atol=1e-5)
    logits = torch.randn(2, 5, 3)
    torch.testing.assert_close(loss.balance(logits, mask), loss.balance(logits[..., order], mask))


def test_the_balance_term_is_zero_for_equal_shares_and_grows_with_collapse():
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert float(loss.balance(torch.zeros(1, 3, 4), mask)) == pytest.approx(0, abs=1e-6)
    collapsed = torch.tensor([9.0, 0, 0, 0]).expand(1, 3, 4)
    assert float(loss.balance(collapsed, mask)) > 1.0


def test_the_balance_term_is_the_same_however_many_frames_there_are():
    shares = torch.tensor([0.7, 0.2, 0.1])
    mask = torch.tensor([[True, True, False, True]])
    found = loss.balance(shares.log().expand(1, 4, 3), mask)
    entropy = -(shares * shares.log()).sum()
    assert float(found) == pytest.approx(math.log(3) - float(entropy), rel=1e-5)


def test_a_mean_over_no_frame_is_exactly_zero():
    logits = torch.randn(2, 4, 3, requires_grad=True)
    nobody = torch.full((2, 4), UNLABELLED)
    cost = loss.classification(logits.log_softmax(-1), nobody)
    cost.backward()
    assert float(cost.detach()) == 0.0
    assert float(logits.grad.abs().sum()) == 0.0


def test_responsibilities_are_labels_where_known_and_carry_no_gradient():
    probabilities = torch.randn(1, 3, 2).softmax(-1).requires_grad_()
    shares = loss.responsibilities(probabilities, torch.tensor([[1, UNLABELLED, 0]]))
    assert shares[0, 0].tolist() == [0.0, 1.0]
    assert shares[0, 2].tolist() == [1.0, 0.0]
    torch.testing.assert_close(shares[0, 1], probabilities[0, 1].detach())
    assert not shares.requires_grad
