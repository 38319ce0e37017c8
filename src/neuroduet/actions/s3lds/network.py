"""The networks: inference and generative part together, and the loss of a batch.

Shape letters as in :mod:`~neuroduet.actions.s3lds.generative`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neuroduet.actions.s3lds import loss
from neuroduet.actions.s3lds.generative import Emission, Mixture, SwitchingDynamics, sample
from neuroduet.actions.s3lds.inference import InferenceNetwork, Inferred
from neuroduet.actions.s3lds.options import LatentOptions, SwitchingOptions
from neuroduet.actions.s3lds.windows import Windows
from neuroduet.types import UNLABELLED

Terms = dict[str, Float[Tensor, ""]]
"""Terms of the loss by name, weights included."""

HORIZONS = {2: 0.5, 3: 0.25}
"""Frames ahead that overshooting foretells, and their weights."""


class MixtureNetwork(nn.Module):
    """GM-DGM: classes are drawn afresh in every frame, and each has its Gaussian of latents.

    Attributes:
        options: Its options.
        classes: Number of classes, extra ones included.
        features: Number of features.
        latents: Dimensions of the latents.
        inference: q(y | x) and q(z | x, y).
        prior: p(z | y).
        emission: p(x | z).
    """

    def __init__(self, features: int, classes: int, latents: int, options: LatentOptions) -> None:
        super().__init__()
        self.options, self.classes = options, classes
        self.features, self.latents = features, latents
        self.inference = InferenceNetwork(features, classes, latents, options)
        self.prior = Mixture(classes, latents)
        self.emission = Emission(latents, features, options.decoder_hidden, options.noise)

    def terms(self, batch: Windows, annealed: float) -> Terms:
        """The loss of a batch, term by term.

        Args:
            batch: Windows.
            annealed: Not used: nothing here waits for the latents to form.
        """
        options, seen = self.options, self.inference(batch.x)
        log_q = seen.logits.log_softmax(-1)
        shares = loss.responsibilities(log_q.exp(), batch.labels)
        z = sample(seen.mean, seen.log_variance)
        costs = loss.gaussian_kl(
            seen.mean,
            seen.log_variance,
            self.prior.means.table(),
            self.prior.log_variances.table(),
        )
        surprise = loss.categorical_kl(log_q, torch.zeros_like(log_q).log_softmax(-1))
        return {
            **shared_terms(batch, seen, log_q, shares, z, self.emission, options),
            "classes": options.class_kl * loss.masked_mean(surprise, batch.valid),
            "latents": options.latent_kl * loss.expected(costs, shares, batch.valid),
        }


class SwitchingNetwork(nn.Module):
    """S3LDS: latents follow the dynamics of their class, and classes follow the latents.

    Attributes:
        options: Its options.
        classes: Number of classes, extra ones included.
        features: Number of features.
        latents: Dimensions of the latents.
        inference: q(y | x) and q(z | x, y).
        prior: p(z_t | z_{t-1}, y_t) and p(y_t | z_{t-1}).
        emission: p(x | z).
        trust: How far the dynamics may teach the classifier and overrule it, 0 to 1.
    """

    def __init__(
        self, features: int, classes: int, latents: int, options: SwitchingOptions
    ) -> None:
        super().__init__()
        self.options, self.classes = options, classes
        self.features, self.latents = features, latents
        self.inference = InferenceNetwork(features, classes, latents, options)
        self.prior = SwitchingDynamics(
            classes,
            latents,
            transition_hidden=options.transition_hidden,
            dynamics_hidden=options.dynamics_hidden,
            remember=options.remember,
        )
        self.emission = Emission(latents, features, options.decoder_hidden, options.noise)
        self.trust: Tensor
        self.register_buffer("trust", torch.ones(1))

    def terms(self, batch: Windows, annealed: float) -> Terms:
        """The loss of a batch, term by term.

        Args:
            batch: Windows.
            annealed: Share of transitions and dynamics that counts by now, 0 to 1.
        """
        options, seen = self.options, self.inference(batch.x)
        log_q = seen.logits.log_softmax(-1)
        shares = loss.responsibilities(self._belief(batch, log_q), batch.labels)
        z = sample(seen.mean, seen.log_variance)
        terms = shared_terms(batch, seen, log_q, shares, z, self.emission, options)
        if options.posterior == "smoothed":
            unknown = batch.valid & (batch.labels == UNLABELLED)
            teach = loss.distillation(log_q, batch.posterior, unknown)
            terms["distillation"] = options.distil * self.trust[0] * teach
            log_q = shares.clamp_min(torch.finfo(shares.dtype).tiny).log()
        pairs = batch.valid[:, 1:] & batch.valid[:, :-1]
        weight = annealed * options.latent_kl
        latents = loss.dynamics_kl(
            seen.mean[:, 1:],
            seen.log_variance[:, 1:],
            self.prior.moments(z[:, :-1], shares[:, :-1]),
            self.prior.log_variances.table(),
            shares[:, 1:],
            pairs,
        )
        return {
            **terms,
            **self._transition_terms(batch, z, shares, log_q, annealed),
            "latents": weight * latents,
        }

    def _belief(self, batch: Windows, log_q: Float[Tensor, "B T K"]) -> Float[Tensor, "B T K"]:
        return batch.posterior if self.options.posterior == "smoothed" else log_q.exp()

    def _transition_terms(
        self,
        batch: Windows,
        z: Float[Tensor, "B T K M"],
        shares: Float[Tensor, "B T K"],
        log_q: Float[Tensor, "B T K"],
        annealed: float,
    ) -> Terms:
        """Terms 3 and 4, one frame ahead and, if asked for, more."""
        labelled = unlabelled = z.new_zeros(())
        ahead_z, horizons = z, {1: 1.0, **(HORIZONS if self.options.overshoot else {})}
        for ahead, weight in horizons.items():
            if ahead > 1:
                ahead_z = self._one_further(ahead_z, shares, ahead)
            log_prior = loss.foretold(
                self.prior.log_transitions(ahead_z[:, :-ahead]), shares[:, :-ahead]
            )
            labels = batch.labels[:, ahead:]
            pairs = batch.valid[:, ahead:] & batch.valid[:, :-ahead]
            if ahead == 1:
                labelled = loss.label_transition(log_prior, labels, pairs)
            unknown = pairs & (labels == UNLABELLED)
            kl = loss.transition_kl(log_prior, log_q[:, ahead:], unknown)
            unlabelled = unlabelled + weight * kl
        return {
            "labels": annealed * labelled,
            "classes": annealed * self.options.class_kl * unlabelled,
        }

    def _one_further(
        self, z: Float[Tensor, "B T K M"], shares: Float[Tensor, "B T K"], ahead: int
    ) -> Float[Tensor, "B T K M"]:
        """Latents foretold one frame further, averaged over the class of that frame."""
        coming = torch.cat([shares[:, ahead - 1 :], shares[:, : ahead - 1]], 1)
        return (coming[:, :, None, :, None] * self.prior.next_latents(z)).sum(-2)


Network = MixtureNetwork | SwitchingNetwork


def build(options: LatentOptions, features: int, classes: int, latents: int) -> Network:
    """The network that the options are of, freshly initialised from torch's generator."""
    if isinstance(options, SwitchingOptions):
        return SwitchingNetwork(features, classes, latents, options)
    return MixtureNetwork(features, classes, latents, options)


def shared_terms(
    batch: Windows,
    seen: Inferred,
    log_q: Float[Tensor, "B T K"],
    shares: Float[Tensor, "B T K"],
    z: Float[Tensor, "B T K M"],
    emission: Emission,
    options: LatentOptions,
) -> Terms:
    """The terms that all models have.

    Args:
        batch: Windows.
        seen: What is inferred of them.
        log_q: ``log q(y | x)``.
        shares: Responsibilities of the classes.
        z: Latents drawn from q(z | x, y).
        emission: p(x | z).
        options: Weights.
    """
    pad = options.pad
    x = batch.x[:, pad : batch.x.shape[1] - pad]
    errors = emission.expected_cost(x, z, shares)
    terms = {
        "classification": options.strong * loss.classification(log_q, batch.labels),
        "weak": options.weak * loss.classification(log_q, batch.weak),
        "reconstruction": options.reconstruction * loss.masked_mean(errors, batch.valid),
    }
    if options.balance:
        terms["balance"] = options.balance * loss.balance(seen.logits, batch.valid)
    return terms
