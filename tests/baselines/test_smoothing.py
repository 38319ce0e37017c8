from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from neuroduet.baselines.smoothing import lagged, smooth, window_means

VALID = torch.tensor([[True, True, True, True], [True, True, False, False]])


@pytest.mark.parametrize("sigma_bins", [0.0, 0.7, 3.0])
def test_smoothing_keeps_a_constant_up_to_the_edges(sigma_bins: float):
    found = smooth(torch.full((2, 4, 1), 3.0), VALID, sigma_bins)
    torch.testing.assert_close(found[VALID], torch.full((6, 1), 3.0))
    assert (found[~VALID] == 0).all()


def test_smoothing_averages_neighbours_by_a_gaussian():
    values = torch.tensor([0.0, 1.0, 0.0])[None, :, None]
    found = smooth(values, torch.ones(1, 3, dtype=torch.bool), 1.0)[0, :, 0]
    w1, w2 = torch.exp(torch.tensor(-0.5)), torch.exp(torch.tensor(-2.0))
    expected = torch.stack([w1 / (1 + w1 + w2), 1 / (1 + 2 * w1), w1 / (1 + w1 + w2)])
    torch.testing.assert_close(found, expected)


def test_bins_that_do_not_exist_change_nothing():
    values = torch.arange(8.0).reshape(2, 4, 1)
    other = torch.where(VALID[..., None], values, 99.0)
    for function in (
        lambda x: smooth(x, VALID, 1.0),
        lambda x: lagged(x, VALID, (-2, 0, 2))[VALID],
        lambda x: window_means(x, VALID, 2),
    ):
        torch.testing.assert_close(function(values), function(other))


def test_lags_repeat_the_first_and_last_value_of_a_window():
    values = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 0.0, 0.0]])[..., None]
    found = lagged(values, VALID, (-1, 0, 2))[..., 0]
    expected = [[1, 1, 3], [1, 2, 4], [2, 3, 4], [3, 4, 4]]
    torch.testing.assert_close(found[0], torch.tensor(expected).float())
    torch.testing.assert_close(found[1, :2], torch.tensor([[5.0, 5, 6], [5, 6, 6]]))


@settings(max_examples=30, deadline=None)
@given(bins=st.integers(1, 12), parts=st.integers(1, 12), padding=st.integers(0, 3))
def test_parts_of_a_window_tile_its_bins(bins: int, parts: int, padding: int):
    valid = torch.arange(bins + padding)[None] < bins
    one_hot = torch.eye(bins + padding)[None]
    means = window_means(one_hot, valid, parts)[0]
    members = (means > 0).sum(dim=0)
    assert (members[:bins] == 1).all()
    assert (members[bins:] == 0).all()


def test_part_means_are_means_per_bin():
    values = torch.tensor([[1.0, 3.0, 5.0, 9.0], [2.0, 4.0, 0.0, 0.0]])[..., None]
    found = window_means(values, VALID, 2)[..., 0]
    torch.testing.assert_close(found, torch.tensor([[2.0, 7.0], [2.0, 4.0]]))
