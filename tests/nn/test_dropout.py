from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.errors import UserError
from neuroduet.nn.dropout import Dropout


def test_evaluation_returns_the_input_itself():
    x = torch.randn(3, 5)
    assert Dropout(0.4).eval()(x) is x


def test_zero_probability_returns_the_input_itself_in_training():
    x = torch.randn(3, 5)
    assert Dropout(0.0)(x) is x


@pytest.mark.parametrize("p", [0.01, 0.2, 0.4, 0.9])
def test_the_dropped_fraction_is_p_and_the_expectation_is_kept(p):
    torch.manual_seed(0)
    n = 400_000
    y = Dropout(p)(torch.ones(n))
    spread = (p * (1 - p) / n) ** 0.5
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=5 * spread + 2**-16)
    assert y.mean().item() == pytest.approx(1.0, abs=5 * spread / (1 - p))


def test_kept_elements_are_scaled_by_the_kept_share():
    y = Dropout(0.25)(torch.ones(1000))
    assert y.unique().tolist() == pytest.approx([0.0, 4 / 3])


def test_the_gradient_uses_the_mask_of_the_forward_pass():
    x = torch.full((50, 7), 2.0, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach() / 2)


def test_the_same_seed_drops_the_same_elements_and_the_next_call_drops_others():
    drop, x = Dropout(0.5), torch.ones(64, 9)
    torch.manual_seed(3)
    first, second = drop(x), drop(x)
    torch.manual_seed(3)
    assert torch.equal(drop(x), first)
    assert not torch.equal(first, second)


def test_neighbours_that_share_a_draw_are_dropped_independently():
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(100_000, 4)) > 0).float()
    assert (torch.corrcoef(kept.T) - torch.eye(4)).abs().max() < 0.02


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=0, max_size=4), st.sampled_from(["float32", "bfloat16"])
)
def test_shape_and_type_are_kept_whatever_the_size(shape, dtype):
    x = torch.ones(shape, dtype=getattr(torch, dtype))
    y = Dropout(0.3)(x)
    assert y.shape == x.shape
    assert y.dtype == x.dtype


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_an_impossible_probability_is_refused(p):
    with pytest.raises(UserError, match="outside"):
        Dropout(p)
