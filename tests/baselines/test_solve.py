from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import given, settings
from sklearn.linear_model import Ridge

from neuroduet.baselines.solve import LaggedRows, lagged_ridge_path, ridge_path


def written_out(signal: torch.Tensor, max_lag: int) -> torch.Tensor:
    """Every lagged column, ``(B, T, N * L)``, by a loop."""
    windows, bins, units = signal.shape
    columns = torch.zeros(windows, bins, units, 2 * max_lag + 1, dtype=signal.dtype)
    for lag in range(-max_lag, max_lag + 1):
        for t in range(bins):
            if 0 <= t + lag < bins:
                columns[:, t, :, lag + max_lag] = signal[:, t + lag]
    return columns.flatten(2)


def test_ridge_path_equals_scikit_learn():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(50, 7)), generator.normal(size=(50, 3))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    penalties = [0.1, 2.0, 50.0]
    gram, moment = torch.from_numpy(x.T @ x), torch.from_numpy(x.T @ y)
    path = ridge_path(gram, moment, torch.tensor(penalties, dtype=torch.float64))
    for penalty, weights in zip(penalties, path, strict=True):
        np.testing.assert_allclose(weights.T, Ridge(alpha=penalty).fit(x, y).coef_, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(bins=st.integers(1, 7), max_lag=st.integers(0, 6), seed=st.integers(0, 99))
def test_lagged_products_equal_the_matrix_written_out(bins: int, max_lag: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randn(3, bins, 2, generator=generator, dtype=torch.float64)
    weights = torch.randn(2, 2 * max_lag + 1, 4, generator=generator, dtype=torch.float64)
    numbers = torch.randn(3, bins, 4, generator=generator, dtype=torch.float64)
    rows, matrix = LaggedRows(signal=signal, max_lag=max_lag), written_out(signal, max_lag)
    torch.testing.assert_close(rows.times(weights), matrix @ weights.flatten(0, 1))
    moments = torch.einsum("btf,btq->fq", matrix, numbers)
    torch.testing.assert_close(rows.transposed_times(numbers).flatten(0, 1), moments)


def test_lagged_ridge_equals_scikit_learn_where_targets_are_missing():
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(12, 9, 4, generator=generator, dtype=torch.float64) + 0.5
    targets = torch.randn(12, 9, 2, generator=generator, dtype=torch.float64) + 3
    scored = torch.rand(12, 9, 2, generator=generator) > 0.3
    rows = LaggedRows(signal=signal, max_lag=2)
    penalties = (0.01, 1.0)
    weights, offsets = lagged_ridge_path(rows, targets, scored, penalties, steps=20)
    matrix, energy = written_out(signal, 2), float((signal**2).mean())
    for index, penalty in enumerate(penalties):
        for q in range(2):
            kept = scored[..., q]
            model = Ridge(alpha=penalty * energy * int(kept.sum()))
            model.fit(matrix[kept].numpy(), targets[kept][:, q].numpy())
            found = weights[index, :, :, q].flatten()
            np.testing.assert_allclose(found, model.coef_, atol=1e-6)
            np.testing.assert_allclose(offsets[index, q], model.intercept_, atol=1e-6)


def test_few_lanczos_steps_in_single_precision_come_close():
    generator = torch.Generator().manual_seed(1)
    signal = torch.randn(40, 30, 25, generator=generator)
    targets = signal[..., :1].roll(1, dims=1) + torch.randn(40, 30, 1, generator=generator)
    scored = torch.ones_like(targets, dtype=torch.bool)
    rows = LaggedRows(signal=signal, max_lag=3)
    few, _ = lagged_ridge_path(rows, targets, scored, (0.1,), steps=30)
    exact, _ = lagged_ridge_path(
        LaggedRows(signal=signal.double(), max_lag=3), targets.double(), scored, (0.1,), steps=175
    )
    assert (few.double() - exact).norm() < 1e-4 * exact.norm()


def test_a_constant_target_gets_no_weights():
    rows = LaggedRows(signal=torch.randn(5, 6, 3), max_lag=1)
    targets = torch.full((5, 6, 1), 2.0)
    scored = torch.ones(5, 6, 1, dtype=torch.bool)
    weights, offsets = lagged_ridge_path(rows, targets, scored, (1.0,), steps=5)
    assert weights.abs().max() < 1e-6
    torch.testing.assert_close(offsets, torch.tensor([[2.0]]))
