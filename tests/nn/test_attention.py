from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from neuroduet.nn.attention import Attention, rotary_table, rotate, who_attends

WIDTH, HEADS, LENGTH = 16, 4, 7


def make(seed: int = 0) -> tuple[Attention, torch.Tensor]:
    torch.manual_seed(seed)
    return Attention(WIDTH, HEADS), torch.randn(3, LENGTH, WIDTH)


def still() -> torch.Tensor:
    """A table in which no token is rotated."""
    return rotary_table(torch.zeros(LENGTH), WIDTH // HEADS)


def scores(query: torch.Tensor, key: torch.Tensor, at: float, other: float) -> torch.Tensor:
    """Inner product of a query at one position and a key at another."""
    positions = torch.tensor([at, other], dtype=torch.float32)
    turned = rotate(torch.stack([query, key])[None, None], rotary_table(positions, len(query)))
    return turned[0, 0, 0] @ turned[0, 0, 1]


@given(
    at=st.integers(0, 60),
    distance=st.integers(-30, 30),
    shift=st.integers(0, 60),
    seed=st.integers(0, 1000),
)
def test_scores_depend_on_the_distance_alone(
    at: int, distance: int, shift: int, seed: int
) -> None:
    query, key = torch.randn(2, 8, generator=torch.Generator().manual_seed(seed))
    here = scores(query, key, at, at + distance)
    there = scores(query, key, at + shift, at + shift + distance)
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)


def test_scores_do_depend_on_the_distance() -> None:
    query, key = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    near, far = scores(query, key, 3, 4), scores(query, key, 3, 9)
    assert abs(near - far) > 1e-2


def test_a_rotation_is_by_the_angle_of_its_position() -> None:
    # Width 2 has one pair with frequency 1: position 2 turns (1, 0) by two radians.
    table = rotary_table(torch.tensor([2.0]), 2)
    turned = rotate(torch.tensor([[[[1.0, 0.0]]]]), table)
    expected = torch.tensor([2.0]).cos().item(), torch.tensor([2.0]).sin().item()
    assert turned.flatten().tolist() == pytest.approx(expected)


def test_a_rotation_keeps_lengths_and_position_zero_is_none() -> None:
    x = torch.randn(2, 3, 5, 8)
    turned = rotate(x, rotary_table(torch.arange(5.0), 8))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])


def test_without_rotation_it_is_torchs_multi_head_attention() -> None:
    ours, x = make()
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    allowed = torch.ones(3, LENGTH, dtype=torch.bool)
    allowed[1, 4:] = False
    plain = theirs(x, x, x, need_weights=False)[0]
    padded = theirs(x, x, x, key_padding_mask=~allowed, need_weights=False)[0]
    torch.testing.assert_close(ours(x, still()), plain, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours(x, still(), allowed[:, None]), padded, atol=1e-6, rtol=1e-5)


def test_tokens_that_are_not_allowed_have_no_influence() -> None:
    attention, x = make()
    allowed = torch.ones(3, 1, LENGTH, dtype=torch.bool)
    allowed[:, :, 5:] = False
    other = x.clone()
    other[:, 5:] += 10.0
    table = rotary_table(torch.arange(float(LENGTH)), WIDTH // HEADS)
    one, two = attention(x, table, allowed), attention(other, table, allowed)
    assert torch.equal(one[:, :5], two[:, :5])
    assert not torch.allclose(attention(x, table)[:, :5], attention(other, table)[:, :5])


def test_each_token_may_be_given_its_own_view() -> None:
    attention, x = make()
    causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril().expand(3, -1, -1)
    other = x.clone()
    other[:, 4] += 1.0
    change = (attention(x, still(), causal) - attention(other, still(), causal)).abs().amax(-1)
    assert change[:, :4].max() == 0.0
    assert change[:, 4:].min() > 0.0


def test_allowing_everything_is_the_same_as_no_mask() -> None:
    attention, x = make()
    everything = torch.ones(3, 1, LENGTH, dtype=torch.bool)
    torch.testing.assert_close(attention(x, still(), everything), attention(x, still()))


def test_permuting_tokens_with_their_positions_permutes_the_output() -> None:
    attention, x = make()
    positions, order = torch.arange(float(LENGTH)), torch.randperm(LENGTH)
    plain = attention(x, rotary_table(positions, WIDTH // HEADS))
    permuted = attention(x[:, order], rotary_table(positions[order], WIDTH // HEADS))
    torch.testing.assert_close(permuted, plain[:, order], atol=1e-6, rtol=1e-5)


def test_a_rotary_table_is_made_where_the_positions_are() -> None:
    assert rotary_table(torch.zeros(3, device="meta"), 8).device.type == "meta"


def test_nobody_attends_to_padding_and_causal_samples_not_to_the_future() -> None:
    times = torch.tensor([0, 1, 2, 0, 1, 2, -1])  # two streams of bins, and a token of no bin
    known = torch.ones(2, 7, dtype=torch.bool)
    nobody, first = torch.tensor([False, False]), torch.tensor([True, False])
    assert who_attends(times, known, None) is None
    assert who_attends(times, known, nobody) is None
    known[1, [2, 5]] = False
    for allowed in (who_attends(times, known, None), who_attends(times, known, nobody)):
        assert torch.equal(allowed, known[:, None])
    one, other = who_attends(times, known, first)
    for row, time in enumerate(times.tolist()):
        assert one[row].tolist() == [earlier <= time for earlier in times.tolist()]
    assert torch.equal(other, known[1].expand(7, 7))
