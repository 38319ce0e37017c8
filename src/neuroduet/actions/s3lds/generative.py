"""How classes make latents and latents make observations.

Shape letters: ``B`` windows, ``T`` frames, ``K`` classes (``J`` those of the frame before), ``D``
features, ``M`` latents.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neuroduet.actions.networks.backbones import SLOPE


class Moments(NamedTuple):
    """A latent as its class before it foretells, over the classes of the frame before.

    Attributes:
        mean: Expected latent under each class; ``(B, T, K, M)``.
        spread: Variance that the unknown class of the frame before adds; the same shape.
    """

    mean: Float[Tensor, "B T K M"]
    spread: Float[Tensor, "B T K M"]


def map_between(inputs: int, outputs: int, hidden: int) -> nn.Module:
    """A linear map, or one with a hidden layer."""
    if hidden == 0:
        return nn.Linear(inputs, outputs)
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, outputs)
    )


class PerClass(nn.Linear):
    """One vector for every class: a linear map of the class's indicator."""

    def table(self) -> Float[Tensor, "K M"]:
        """One row per class."""
        return self.weight.T + self.bias


class Mixture(nn.Module):
    """Static part of GM-DGM: every class has its own Gaussian of latents, classes are alike.

    Attributes:
        means: Mean of each class.
        log_variances: Log-variances of each class.
    """

    def __init__(self, classes: int, latents: int) -> None:
        super().__init__()
        self.means = PerClass(classes, latents)
        self.log_variances = PerClass(classes, latents)


class SwitchingDynamics(nn.Module):
    """Latents that follow the dynamics of their class, and classes that follow the latents.

    ``p(y_t | z_{t-1}) = softmax(R z_{t-1} + r)``, plus a row that the class before chooses if it
    is remembered, and ``p(z_t | z_{t-1}, y_t = k) = N(A_k z_{t-1} + b_k, diag exp(s_k))``;
    ``A_k`` and ``R`` may have a hidden layer.

    Attributes:
        transition: Latents to logits of the next class.
        memory: What the class before (rows) adds to these logits; ``None``: nothing.
        step: Latents to the next ones, those of all classes side by side.
        log_variances: Log-variances of each class.
        classes: Number of classes.
        linear: Whether ``step`` is linear.
    """

    def __init__(
        self,
        classes: int,
        latents: int,
        *,
        transition_hidden: int,
        dynamics_hidden: int,
        remember: bool,
    ) -> None:
        super().__init__()
        self.classes, self.linear = classes, dynamics_hidden == 0
        self.memory = nn.Parameter(torch.zeros(classes, classes)) if remember else None
        self.transition = map_between(latents, classes, transition_hidden)
        self.step = map_between(latents, classes * latents, dynamics_hidden)
        self.log_variances = PerClass(classes, latents)

    def log_transitions(self, before: Float[Tensor, "*N J M"]) -> Float[Tensor, "*N J K"]:
        """Log-probability of the next class (K), from the latents under each class before (J)."""
        logits = self.transition(before)
        return (logits if self.memory is None else logits + self.memory).log_softmax(-1)

    def next_latents(self, latents: Float[Tensor, "*N M"]) -> Float[Tensor, "*N K M"]:
        """Expected latents one frame on, under every class."""
        return self.step(latents).unflatten(-1, (self.classes, -1))

    def moments(self, before: Float[Tensor, "B T J M"], shares: Float[Tensor, "B T J"]) -> Moments:
        """Mean and spread of the next latent over the classes of the frame before.

        Args:
            before: Latents of the frame before, one per class.
            shares: Responsibilities of these classes; they sum to 1.
        """
        if not self.linear:
            expected = self.next_latents(before)
            weights = shares[..., None, None]
            mean = (weights * expected).sum(2)
            return Moments(mean, (weights * (expected - mean[:, :, None]).square()).sum(2))
        average = (shares[..., None] * before).sum(2)
        away = before - average[:, :, None]
        covariance = (shares[..., None] * away).transpose(2, 3) @ away
        maps = self.step.get_parameter("weight").unflatten(0, (self.classes, -1))
        pairs = (maps[..., :, None] * maps[..., None, :]).flatten(2)
        spread = covariance.flatten(2) @ pairs.flatten(0, 1).T
        return Moments(self.next_latents(average), spread.unflatten(-1, (self.classes, -1)))


class Emission(nn.Module):
    """Observations as a linear map of the latents, or with a hidden layer, plus noise.

    Attributes:
        mean: Latents to expected observations.
        noise: Standard deviation of the observations.
    """

    def __init__(self, latents: int, features: int, hidden: int, noise: float) -> None:
        super().__init__()
        self.mean = map_between(latents, features, hidden)
        self.noise = noise

    def negative_log_likelihood(
        self, x: Float[Tensor, "B T D"], latents: Float[Tensor, "B T K M"]
    ) -> Float[Tensor, "B T K"]:
        """``-log N(x; mean(z), noise^2)`` of every frame, under the latents of every class."""
        return self._cost((x[:, :, None] - self.mean(latents)).square().sum(-1), x.shape[-1])

    def expected_cost(
        self,
        x: Float[Tensor, "B T D"],
        latents: Float[Tensor, "B T K M"],
        shares: Float[Tensor, "B T K"],
    ) -> Float[Tensor, "B T"]:
        """Mean of that over the classes.

        Where observations are linear in the latents, it needs their mean and their spread only,
        and not one set of observations per class.

        Args:
            x: Observations.
            latents: One per class.
            shares: Responsibilities of the classes; they sum to 1.
        """
        if not isinstance(self.mean, nn.Linear):
            return (shares * self.negative_log_likelihood(x, latents)).sum(-1)
        average = (shares[..., None] * latents).sum(2)
        away = latents - average[:, :, None]
        gram = self.mean.weight.T @ self.mean.weight
        spread = (shares * (away @ gram * away).sum(-1)).sum(-1)
        return self._cost((x - self.mean(average)).square().sum(-1) + spread, x.shape[-1])

    def _cost(self, error: Float[Tensor, "*B"], features: int) -> Float[Tensor, "*B"]:
        """Negative log-likelihood of a squared error, summed over features."""
        constant = math.log(self.noise) + 0.5 * math.log(2 * math.pi)
        return features * constant + error / (2 * self.noise**2)


def sample(mean: Float[Tensor, "..."], log_variance: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """A draw of a Gaussian that passes gradients on to mean and variance."""
    return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
