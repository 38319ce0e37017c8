"""Fewer frames for the model, every frame for the user."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.actions.pooling import (
    moving_mean,
    pool_labels,
    pool_values,
    typical_bout,
    unpool,
    usual_pool,
)
from neuroduet.types import UNLABELLED


def test_blocks_are_averaged_and_the_last_may_be_shorter() -> None:
    values = np.array([[1.0], [2.0], [6.0], [10.0], [20.0]])
    assert pool_values(values, 3).ravel().tolist() == [3.0, 15.0]


def test_the_label_of_a_block_is_its_most_frequent_one() -> None:
    labels = np.array([0, 2, 2, UNLABELLED, UNLABELLED, 1, UNLABELLED, UNLABELLED])
    assert pool_labels(labels, 3).tolist() == [2, 1, UNLABELLED]


@given(n=st.integers(1, 60), size=st.integers(1, 9))
def test_every_frame_gets_the_value_of_its_own_block(n: int, size: int) -> None:
    frames = np.arange(n, dtype=float)[:, None]
    pooled = unpool(pool_values(np.floor(frames / size), size), size, n)
    assert np.array_equal(pooled, np.floor(frames / size))


@given(n=st.integers(1, 40), size=st.integers(1, 15), seed=st.integers(0, 99))
def test_the_moving_mean_is_the_mean_of_what_is_there(n: int, size: int, seed: int) -> None:
    values = np.random.default_rng(seed).dirichlet(np.ones(3), size=n)
    half = size // 2
    expected = [values[max(t - half, 0) : t + half + 1].mean(0) for t in range(n)]
    found = moving_mean(values, size)
    assert np.allclose(found, expected)
    assert np.allclose(found.sum(1), 1.0)


def test_a_typical_bout_is_the_median_length_of_labelled_runs() -> None:
    labels = [np.array([0, 0, 0, 1, -1, -1, -1, -1, -1]), np.array([1, 1, 1, 1, 1])]
    assert typical_bout(labels) == 3.0
    assert typical_bout([np.full(9, UNLABELLED)]) is None


@pytest.mark.parametrize(("frames", "pool"), [(4, 1), (16, 2), (24, 3), (500, 5)])
def test_typical_bouts_keep_several_pieces(frames: int, pool: int) -> None:
    assert usual_pool([np.repeat([0, 1, 0, 1], frames)]) == pool
