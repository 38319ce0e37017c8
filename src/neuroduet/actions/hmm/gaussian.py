"""States that are linear-Gaussian: what a state expects of a frame is linear in its regressors.

With the constant 1 as the only regressor this is the Gaussian HMM; with earlier frames besides,
the autoregressive one. Both are estimated from the same sums of squares and products.

Shape letters: ``T`` frames, ``K`` states, ``P`` components of a frame, ``Q`` regressors, ``Z`` =
Q + P: a row of regressors and frame together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

ROWS_AT_ONCE = 1024
"""Frames whose products are held at once, so that they stay in a processor's cache."""

SMALLEST_VARIANCE = 1e-12
"""Below this a covariance is rounding error."""


class Emissions(NamedTuple):
    """What the states expect.

    Attributes:
        weights: Of the regressors; ``(K, P, Q)``.
        covariances: Of what is left; ``(K, P, P)``.
    """

    weights: Float[np.ndarray, "K P Q"]
    covariances: Float[np.ndarray, "K P P"]


class Moments(NamedTuple):
    """Sums over frames, each weighted by the posterior of a state.

    Attributes:
        frames: Number of frames; ``(K,)``.
        products: Sum of outer products of regressors and frame together; ``(K, Z, Z)``.
    """

    frames: Float[np.ndarray, " K"]
    products: Float[np.ndarray, "K Z Z"]

    def __add__(self, other: object) -> Moments:
        """Moments of both sets of frames."""
        if not isinstance(other, Moments):
            return NotImplemented
        return Moments(self.frames + other.frames, self.products + other.products)


def moments(rows: Float[np.ndarray, "T Z"], weights: Float[np.ndarray, "T K"]) -> Moments:
    """Sums over frames.

    Args:
        rows: Regressors and frame together.
        weights: Posterior of every state.
    """
    n_states, size = weights.shape[1], rows.shape[1]
    products = np.zeros((n_states, size, size))
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        part = np.ascontiguousarray(rows[begin : begin + ROWS_AT_ONCE].T)
        shares = np.ascontiguousarray(weights[begin : begin + ROWS_AT_ONCE].T)
        for state in range(n_states):
            products[state] += (part * shares[state]) @ part.T
    return Moments(frames=weights.sum(0), products=products)


def prior_moments(
    total: Moments, components: int, frames: float, ridge: float, floor: float
) -> Moments:
    """Moments that every state is given before it has seen a frame.

    Args:
        total: Moments of all frames under a single state.
        components: Number of components P.
        frames: Number of average frames.
        ridge: Added to the sum of squares of every regressor.
        floor: Added to the sum of squares of every component.
    """
    average = total.products / np.maximum(total.frames, 1.0)[:, None, None]
    size = average.shape[1]
    extra = np.repeat([ridge, floor], [size - components, components])
    return Moments(np.array([frames]), frames * average + np.diag(extra))


def maximise(found: Moments, prior: Moments, components: int) -> Emissions:
    """Weights and covariances that make the frames of each state, and the prior's, most probable.

    Args:
        found: Moments of the states.
        prior: Moments to be added to each of them.
        components: Number of components P.
    """
    frames, products = found + prior
    q = products.shape[1] - components
    crossed = products[:, q:, :q]
    weights = crossed @ np.linalg.pinv(products[:, :q, :q], hermitian=True)
    left = _left_over(products, weights)
    covariances = left / np.maximum(frames, SMALLEST_VARIANCE)[:, None, None]
    return Emissions(weights=weights, covariances=_positive(covariances))


def _left_over(
    products: Float[np.ndarray, "K Z Z"], weights: Float[np.ndarray, "K P Q"]
) -> Float[np.ndarray, "K P P"]:
    """Sums of squares and products of what the weights leave unexplained."""
    components = weights.shape[1]
    identity = np.broadcast_to(np.eye(components), (len(weights), components, components))
    rest = np.concatenate([-weights, identity], axis=2)
    return rest @ products @ rest.transpose(0, 2, 1)


def _positive(covariances: Float[np.ndarray, "K P P"]) -> Float[np.ndarray, "K P P"]:
    """The same, symmetric and without variances that are rounding error."""
    values, vectors = np.linalg.eigh((covariances + covariances.transpose(0, 2, 1)) / 2)
    if values.min() >= SMALLEST_VARIANCE:
        return (covariances + covariances.transpose(0, 2, 1)) / 2
    raised = np.maximum(values, SMALLEST_VARIANCE)
    return (vectors * raised[:, None, :]) @ vectors.transpose(0, 2, 1)


def log_density(emissions: Emissions, rows: Float[np.ndarray, "T Z"]) -> Float[np.ndarray, "T K"]:
    """Log of the probability density of every frame under every state.

    Args:
        emissions: The states.
        rows: Regressors and frame together.
    """
    n_states, components, _ = emissions.weights.shape
    whitening, constants = _whitening(emissions)
    to_residuals = np.concatenate([-whitening @ emissions.weights, whitening], axis=2)
    flat = to_residuals.reshape(n_states * components, -1).T
    density = np.empty((len(rows), n_states))
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        residuals = (rows[begin : begin + ROWS_AT_ONCE] @ flat).reshape(-1, n_states, components)
        density[begin : begin + len(residuals)] = np.einsum("tkp,tkp->tk", residuals, residuals)
    return constants - 0.5 * density


def _whitening(
    emissions: Emissions,
) -> tuple[Float[np.ndarray, "K P P"], Float[np.ndarray, " K"]]:
    """Matrices that turn residuals into unit noise, and the log-density of no residual."""
    roots = np.linalg.cholesky(emissions.covariances)
    identity = np.eye(roots.shape[1])
    whitening = np.stack([solve_triangular(root, identity, lower=True) for root in roots])
    spreads = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(1)
    return whitening, -spreads - 0.5 * roots.shape[1] * math.log(2 * math.pi)


def log_prior(emissions: Emissions, prior: Moments) -> float:
    """Log-density of the prior's frames under every state, summed."""
    whitening, constants = _whitening(emissions)
    shape = (len(constants), *prior.products.shape[1:])
    left = _left_over(np.broadcast_to(prior.products, shape), emissions.weights)
    squares = np.einsum("kij,kjl,kil->k", whitening, left, whitening)
    return float((prior.frames[0] * constants - 0.5 * squares).sum())
