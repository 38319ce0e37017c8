"""The posterior of a chain against enumeration and against forward-backward."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.actions.hmm.inference import smooth
from neuroduet.actions.s3lds.chain import running_products, smoothed


@given(frames=st.integers(1, 6), classes=st.integers(1, 3), seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_posterior_equals_enumeration_of_all_paths(frames, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    first = 3 * torch.randn(classes, generator=generator, dtype=torch.float64)
    steps = 3 * torch.randn(frames - 1, classes, classes, generator=generator, dtype=torch.float64)
    weights = torch.zeros(frames, classes, dtype=torch.float64)
    for path in product(range(classes), repeat=frames):
        log_weight = first[path[0]] + sum(
            steps[t, path[t], path[t + 1]] for t in range(frames - 1)
        )
        for t, k in enumerate(path):
            weights[t, k] += log_weight.exp()
    expected = weights / weights.sum(1, keepdim=True)
    torch.testing.assert_close(smoothed(first, steps), expected, rtol=1e-8, atol=1e-10)


def test_with_one_transition_matrix_it_equals_forward_backward():
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(4), size=4)
    evidence = 4 * rng.standard_normal((1001, 4))
    expected = smooth(np.full(4, 0.25), transition, evidence).states
    steps = torch.from_numpy(np.log(transition) + evidence[1:, None])
    found = smoothed(torch.from_numpy(evidence[0]), steps)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def test_evidence_of_thousands_of_nats_stays_finite():
    first, steps = torch.tensor([0.0, -1e4]), torch.zeros(50, 2, 2)
    steps[20, :, 0] = -1e4
    found = smoothed(first, steps)
    assert bool(found.isfinite().all())
    assert float(found[0, 0]) == 1.0
    assert float(found[21, 1]) == 1.0


@pytest.mark.parametrize("scale", [1.0, 300.0, 1000.0, 100_000.0])
def test_weights_may_be_as_far_apart_as_they_like(scale):
    generator = torch.Generator().manual_seed(0)
    first = scale * torch.randn(4, generator=generator, dtype=torch.float64)
    steps = scale * torch.randn(200, 4, 4, generator=generator, dtype=torch.float64)
    forward, backward = [first], [torch.zeros(4, dtype=torch.float64)]
    for step in steps:
        forward.append((forward[-1][:, None] + step).logsumexp(0))
    for step in steps.flip(0):
        backward.append((step + backward[-1]).logsumexp(1))
    expected = (torch.stack(forward) + torch.stack(backward[::-1])).softmax(-1)
    torch.testing.assert_close(smoothed(first, steps), expected, rtol=1e-6, atol=1e-6)


def test_running_products_are_products_of_all_matrices_so_far():
    logs = torch.randn(7, 3, 3, dtype=torch.float64)
    found = running_products(logs)
    product_ = torch.eye(3, dtype=torch.float64)
    for t in range(7):
        product_ = product_ @ logs[t].exp()
        relative = product_.log() - product_.log().amax()
        torch.testing.assert_close(found[t] - found[t].amax(), relative)
