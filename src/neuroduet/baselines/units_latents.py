"""Components that units share, inferred from whichever units are visible."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neuroduet.baselines.smoothing import smooth
from neuroduet.types import Batch


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Activity in the unit of its noise, in which units are alike.

    Attributes:
        mean: Mean count per bin or mean trace of the training bins, ``(N,)``.
        scale: Root of the mean count (the noise of a Poisson count), or standard deviation of a
            trace; 1 for a unit that is silent or constant, ``(N,)``.
    """

    mean: Float[Tensor, " N"]
    scale: Float[Tensor, " N"]

    def of(
        self, activity: Float[Tensor, "B T N"], valid: Bool[Tensor, "B T"], sigma_bins: float
    ) -> Float[Tensor, "B T N"]:
        """Smoothed activity less its mean, over its scale; 0 where a bin does not exist."""
        standard = (smooth(activity.float(), valid, sigma_bins) - self.mean) / self.scale
        return torch.where(valid[:, :, None], standard, 0.0)


def fit_scaling(train: Batch, is_poisson: bool) -> Scaling:
    """Measure mean and scale of each unit on training windows.

    Args:
        train: Training windows.
        is_poisson: Whether the activity is counts.

    Returns:
        The scaling.
    """
    activity = train.activity[train.valid].float()
    mean = activity.mean(dim=0)
    scale = mean.sqrt() if is_poisson else activity.std(dim=0, correction=0)
    return Scaling(mean=mean, scale=torch.where(scale > 0, scale, 1.0))


@dataclass(frozen=True, kw_only=True)
class Components:
    """A low-rank Gaussian model: activity is ``loadings @ latents`` and independent noise.

    Attributes:
        loadings: Of each unit on latents of unit variance, ``(N, R)``.
        noise: Variance of the noise, the same for all units.
    """

    loadings: Float[Tensor, "N R"]
    noise: float


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Principal axes of activity.

    Attributes:
        values: Variances along the axes, ascending, ``(N,)``.
        axes: One per column, ``(N, N)``.
    """

    values: Float[Tensor, " N"]
    axes: Float[Tensor, "N N"]

    def components(self, rank: int) -> Components:
        """Maximum-likelihood components (probabilistic PCA: Tipping and Bishop, 1999).

        Args:
            rank: Number of latents R, from 1 to one less than there are units.

        Returns:
            The components.
        """
        noise = self.values[:-rank].mean().clamp_min(1e-6)
        size = (self.values[-rank:] - noise).clamp_min(1e-6).sqrt()
        return Components(loadings=self.axes[:, -rank:] * size, noise=float(noise))


def fit_spectrum(signal: Float[Tensor, "M N"]) -> Spectrum:
    """Principal axes of rows whose mean is about 0.

    Args:
        signal: Scaled activity of training bins, ``(M, N)``.

    Returns:
        The spectrum.
    """
    values, axes = torch.linalg.eigh(signal.T @ signal / max(len(signal), 1))
    return Spectrum(values=values.clamp_min(0.0), axes=axes)


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Latents given the activity of some units, and given all but one of these, for each of them.

    Without unit n the precision of the latents loses a term of rank one, so that by the identity
    of Sherman and Morrison their mean becomes ``latents + reach_n pull_n (loadings_n . latents -
    signal_n)``. Units that are not shown have no loading here, and nothing changes for them.

    Attributes:
        loadings: 0 for units that are not shown, ``(N, R)``.
        covariance: Of the latents given the shown units, ``(R, R)``.
        pull: Weights of the units in the mean of the latents, ``(N, R)``.
        reach: ``1 / (1 - loadings_n . pull_n)``, ``(N,)``.
        noise: Variance of the noise.
    """

    loadings: Float[Tensor, "N R"]
    covariance: Float[Tensor, "R R"]
    pull: Float[Tensor, "N R"]
    reach: Float[Tensor, " N"]
    noise: float

    def latents(self, signal: Float[Tensor, "M N"]) -> Float[Tensor, "M R"]:
        """Mean of the latents given all shown units, ``(M, R)``."""
        return signal @ self.pull

    def own_share(self, weights: Float[Tensor, "R N"]) -> Float[Tensor, " N"]:
        """What of a readout ``weights_n . latents`` is due to each bin of unit n itself."""
        return (self.pull.T * weights).sum(dim=0) * self.reach

    def readout(
        self,
        signal: Float[Tensor, "M N"],
        latents: Float[Tensor, "M R"],
        weights: Float[Tensor, "R N"],
    ) -> Float[Tensor, "M N"]:
        """``weights_n . latents``, the latents inferred from the shown units other than n.

        Args:
            signal: Scaled activity, ``(M, N)``.
            latents: From :meth:`latents`, ``(M, R)``.
            weights: One column per unit, ``(R, N)``.

        Returns:
            ``(M, N)``.
        """
        own = self.own_share(weights)
        return latents @ (weights + self.loadings.T * own) - signal * own

    def variance(self, weights: Float[Tensor, "R N"]) -> Float[Tensor, " N"]:
        """Variance of ``weights_n . latents`` that the shown units other than n leave."""
        shared = (weights * (self.covariance @ weights)).sum(dim=0)
        own = (self.pull.T * weights).sum(dim=0)
        return shared + self.noise * self.reach * own**2

    def of_units(self, units: Bool[Tensor, " N"]) -> Inference:
        """The same for the readouts of some units only; latents still need all of them."""
        return Inference(
            loadings=self.loadings[units],
            covariance=self.covariance,
            pull=self.pull[units],
            reach=self.reach[units],
            noise=self.noise,
        )


def infer(components: Components, shown: Bool[Tensor, " N"]) -> Inference:
    """Prepare the inference of latents from some units.

    Args:
        components: The model.
        shown: Which units are visible, ``(N,)``.

    Returns:
        The inference; without a visible unit the latents are 0.
    """
    loadings = components.loadings * shown[:, None]
    rank = loadings.shape[1]
    precision = loadings.T @ loadings + components.noise * torch.eye(rank)
    inverse = torch.linalg.inv(precision)
    pull = loadings @ inverse
    share = (loadings * pull).sum(dim=1)
    return Inference(
        loadings=loadings,
        covariance=components.noise * inverse,
        pull=pull,
        reach=1 / (1 - share).clamp_min(1e-6),
        noise=components.noise,
    )
