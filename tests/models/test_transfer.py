from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import PoissonRegressor, Ridge
from worlds import make_info

from neuroduet.config import ModelConfig
from neuroduet.models import build
from neuroduet.models.transfer import LoadingPrior, gaussian_map, loading_prior, poisson_map


def flat(rank: int, variance: float) -> LoadingPrior:
    return LoadingPrior(mean=np.zeros(rank), covariance=np.eye(rank) * variance)


def planted(bins: int = 4000, units: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((bins, 4))
    latents -= latents.mean(0)
    loadings = rng.normal(0, 0.4, (units, 4))
    counts = rng.poisson(np.exp(latents @ loadings.T - 0.5)).astype(float)
    return latents, loadings, counts


def test_poisson_loadings_equal_a_penalised_poisson_regression() -> None:
    latents, _, counts = planted()
    strength = 0.01
    found, bias = poisson_map(latents, counts, flat(4, 1 / (strength * len(latents))))
    for unit in range(counts.shape[1]):
        model = PoissonRegressor(alpha=strength, tol=1e-10, max_iter=1000)
        model.fit(latents, counts[:, unit])
        np.testing.assert_allclose(found[unit], model.coef_, atol=2e-4)
        assert bias[unit] == pytest.approx(model.intercept_, abs=2e-4)


def test_a_wide_prior_recovers_planted_loadings() -> None:
    latents, loadings, counts = planted(bins=40_000)
    found, bias = poisson_map(latents, counts, flat(4, 10.0))
    np.testing.assert_allclose(found, loadings, atol=0.03)
    np.testing.assert_allclose(bias, -0.5, atol=0.03)


def test_a_correlated_prior_pulls_silent_units_to_its_mean() -> None:
    latents, _, counts = planted()
    counts[:, 0] = 0
    mean = np.array([0.3, -0.2, 0.1, 0.0])
    covariance = 0.01 * (np.eye(4) + 0.5)
    found, bias = poisson_map(latents, counts, LoadingPrior(mean=mean, covariance=covariance))
    np.testing.assert_allclose(found[0], mean, atol=0.05)
    assert np.isfinite(bias).all()
    assert bias[0] < bias[1]


def test_gaussian_loadings_equal_a_ridge_regression() -> None:
    latents, loadings, _ = planted(bins=500)
    rng = np.random.default_rng(1)
    values = latents @ loadings.T + rng.standard_normal((500, 3))
    found = gaussian_map(latents, values, flat(4, 0.5))
    ridge = Ridge(alpha=2.0).fit(latents, values)
    np.testing.assert_allclose(found, ridge.coef_, atol=1e-8)


def test_units_with_a_few_spikes_do_not_run_away() -> None:
    rng = np.random.default_rng(3)
    latents = rng.standard_normal((2000, 12)) @ rng.standard_normal((12, 30))
    latents -= latents.mean(0)
    counts = np.zeros((2000, 3))
    counts[rng.choice(2000, 3, replace=False), 0] = 1
    counts[np.argsort(latents[:, 0])[-40:], 1] = 1  # all its spikes where one latent is large
    counts[:, 2] = rng.poisson(0.2, 2000)
    prior = flat(30, 0.1)
    found, bias = poisson_map(latents, counts, prior)
    strength = 1 / (0.1 * 2000)
    for unit in range(3):
        model = PoissonRegressor(alpha=strength, tol=1e-8, max_iter=5000)
        model.fit(latents, counts[:, unit])
        best = log_posterior(latents, counts[:, unit], model.coef_, model.intercept_)
        assert log_posterior(latents, counts[:, unit], found[unit], bias[unit]) > best - 0.5


def log_posterior(
    latents: np.ndarray, counts: np.ndarray, loadings: np.ndarray, bias: float
) -> float:
    drive = latents @ loadings + bias
    return float((counts * drive - np.exp(drive)).sum() - 0.5 * (loadings**2).sum() / 0.1)


@pytest.mark.parametrize("units", [1, 2])
def test_the_prior_of_a_few_units_is_finite_and_as_wide_as_their_loadings(units: int) -> None:
    torch.manual_seed(0)
    config = ModelConfig(width=16, layers=1, heads=2, feed_forward=16, output_rank=4)
    model = build(config, [make_info(units=units)])
    (session,) = model.session_infos
    rows = model.loadings(session).detach().double().numpy()
    prior = loading_prior(model)
    spread = rows if units == 1 else np.diff(rows, axis=0) / 2
    np.testing.assert_allclose(np.trace(prior.covariance), 2 * (spread**2).sum(), rtol=2e-3)
    np.testing.assert_allclose(prior.mean, 0.0 if units == 1 else rows.mean(0), atol=1e-12)
    np.linalg.cholesky(prior.covariance)
