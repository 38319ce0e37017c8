"""Ridge regression at many penalties from one decomposition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


def ridge_path(
    gram: Float[Tensor, "P P"], moment: Float[Tensor, "P Q"], penalties: Float[Tensor, " A"]
) -> Float[Tensor, "A P Q"]:
    """Solve ``(gram + penalty I) weights = moment`` for every penalty by one eigendecomposition.

    Args:
        gram: ``X'X`` of centred columns, ``(P, P)``.
        moment: ``X'Y``, ``(P, Q)``.
        penalties: Ridge penalties, positive, ``(A,)``.

    Returns:
        Weights, ``(A, P, Q)``.
    """
    values, vectors = torch.linalg.eigh(gram)
    rotated = vectors.T @ moment
    shrunk = rotated / (values.clamp_min(0)[None, :, None] + penalties[:, None, None])
    return vectors @ shrunk


@dataclass(frozen=True, kw_only=True)
class LaggedRows:
    """The matrix of a signal at lags -k..+k, never written out.

    A row is a bin of a window; its columns are the units at every lag, 0 beyond the window's
    edge. Written out, 420 units at 17 lags in 24,400 bins take 0.7 GB; products with it need only
    the signal.

    Attributes:
        signal: ``(B, T, N)``, 0 where a bin does not exist.
        max_lag: Largest lag k to either side (bins).
    """

    signal: Float[Tensor, "B T N"]
    max_lag: int

    def times(self, weights: Float[Tensor, "N L Q"]) -> Float[Tensor, "B T Q"]:
        """Row times weights: the prediction of every bin, ``(B, T, Q)``."""
        bins, k = self.signal.shape[1], self.max_lag
        spread = (self.signal @ weights.flatten(1)).unflatten(2, weights.shape[1:])
        padded = functional.pad(spread, (0, 0, 0, 0, k, k))
        shifted = [padded[:, lag : lag + bins, lag] for lag in range(2 * k + 1)]
        return torch.stack(shifted).sum(dim=0)

    def transposed_times(self, rows: Float[Tensor, "B T Q"]) -> Float[Tensor, "N L Q"]:
        """Transposed rows times one number per bin: the moments of every column."""
        bins, k = self.signal.shape[1], self.max_lag
        padded = functional.pad(rows, (0, 0, k, k))
        shifted = [padded[:, 2 * k - lag : 2 * k - lag + bins] for lag in range(2 * k + 1)]
        stacked = torch.stack(shifted, dim=2)
        moments = self.signal.flatten(0, 1).T @ stacked.flatten(0, 1).flatten(1)
        return moments.unflatten(1, stacked.shape[2:])


def lagged_ridge_path(
    rows: LaggedRows,
    targets: Float[Tensor, "B T Q"],
    scored: Bool[Tensor, "B T Q"],
    relative_penalties: tuple[float, ...],
    steps: int,
) -> tuple[Float[Tensor, "A N L Q"], Float[Tensor, "A Q"]]:
    """Ridge regression on lagged columns for all penalties and targets at once.

    The normal equations are reduced to a tridiagonal matrix by ``steps`` Lanczos steps with full
    reorthogonalisation, one recursion per target; in that basis every penalty costs nothing. With
    as many steps as columns it is exact, with fewer it is the conjugate-gradient solution, which
    at the penalties that noisy counts ask for agrees long before.

    Args:
        rows: The columns.
        targets: ``(B, T, Q)``.
        scored: Which entries of ``targets`` count, ``(B, T, Q)``.
        relative_penalties: Penalties over the mean variance of a column times the number of rows.
        steps: Lanczos steps.

    Returns:
        Weights ``(A, N, L, Q)`` and intercepts ``(A, Q)`` (not penalised).
    """
    weight = scored.to(rows.signal.dtype)
    total = weight.sum(dim=(0, 1)).clamp_min(1.0)
    means = (targets * weight).sum(dim=(0, 1)) / total
    start = rows.transposed_times((targets - means) * weight)

    def gram_times(vector: Tensor) -> Tensor:
        image = rows.times(vector)
        centred = image - (image * weight).sum(dim=(0, 1)) / total
        return rows.transposed_times(centred * weight)

    basis, tridiagonal, norm = _lanczos(gram_times, start, steps)
    energy = (rows.signal**2).sum() / rows.signal[..., 0].numel() / rows.signal.shape[2]
    first = functional.one_hot(torch.tensor(0), len(basis)).to(norm.dtype) * norm[:, None]
    weights = []
    for penalty in relative_penalties:
        ridge = (penalty * energy * total)[:, None, None] * torch.eye(len(basis)).to(norm.dtype)
        mix = torch.linalg.solve(tridiagonal + ridge, first)
        weights.append(torch.einsum("snlq,qs->nlq", basis, mix))
    path = torch.stack(weights)
    images = torch.stack([(rows.times(w) * weight).sum(dim=(0, 1)) / total for w in weights])
    return path, means - images


def _lanczos(
    gram_times: Callable[[Tensor], Tensor], start: Tensor, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Krylov bases ``(S, N, L, Q)``, tridiagonals ``(Q, S, S)`` and the norms of ``start``."""
    columns, targets = start[..., 0].numel(), start.shape[-1]
    steps = min(steps, columns)
    norm = start.flatten(0, 1).norm(dim=0)
    vector = start / norm.clamp_min(1e-30)
    basis = start.new_zeros(steps, *start.shape)
    tridiagonal = start.new_zeros(targets, steps, steps)
    for step in range(steps):
        basis[step] = vector
        image = gram_times(vector)
        scale = image.flatten(0, 1).norm(dim=0)
        tridiagonal[:, step, step] = (image * vector).sum(dim=(0, 1))
        done = basis[: step + 1]
        for _ in range(2):  # once is not enough in single precision
            image = image - torch.einsum("snlq,sq->nlq", done, _inner(done, image))
        beta = image.flatten(0, 1).norm(dim=0)
        # The space is exhausted: what is left is rounding, and must not be blown up to norm 1.
        beta = torch.where(beta > 10 * torch.finfo(beta.dtype).eps * scale, beta, 0.0)
        vector = torch.where(beta > 0, image / beta.clamp_min(1e-30), 0.0)
        if step + 1 < steps:
            tridiagonal[:, step, step + 1] = tridiagonal[:, step + 1, step] = beta
    return basis, tridiagonal, norm


def _inner(basis: Tensor, image: Tensor) -> Tensor:
    return torch.einsum("snlq,nlq->sq", basis, image)
