"""The variational posterior of the classes of whole recordings, given latents and dynamics.

With q(z | x, y) fixed, the loss is lowest for one chain of classes: what a step from class j to
class k weighs is what the loss would charge for it. This is coordinate ascent on the same bound
that trains the networks, with the time structure that q(y | x) of a frame alone lacks.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neuroduet.actions.s3lds import loss
from neuroduet.actions.s3lds.chain import smoothed
from neuroduet.actions.s3lds.inference import Inferred
from neuroduet.actions.s3lds.network import SwitchingNetwork
from neuroduet.types import UNLABELLED

IMPOSSIBLE = -1e4
"""Log-weight of a class that the label rules out."""


def class_posterior(
    network: SwitchingNetwork,
    x: Float[Tensor, "T D"],
    seen: Inferred,
    labels: Int[Tensor, " T"],
) -> Float[Tensor, "T K"]:
    """Posterior of the class of every frame of a recording, given its labels.

    Args:
        network: The model.
        x: Its observations.
        seen: What is inferred of them, one window long.
        labels: Labels that the posterior must agree with.
    """
    evidence = -network.emission.negative_log_likelihood(x[None], seen.mean)[0]
    nowhere = torch.zeros_like(evidence)[None]
    ruled_out = (labels != UNLABELLED)[:, None] & (
        loss.responsibilities(nowhere, labels[None])[0] == 0
    )
    return _smooth(network, seen, evidence.masked_fill(ruled_out, IMPOSSIBLE), 1.0)


def decoded(
    network: SwitchingNetwork, x: Float[Tensor, "T D"], seen: Inferred
) -> Float[Tensor, "T K"]:
    """Probabilities of the classes of a recording from classifier, transitions and dynamics.

    Args:
        network: The model.
        x: Its observations.
        seen: What is inferred of them, one window long.
    """
    trust = float(network.trust)
    evidence = -trust * network.emission.negative_log_likelihood(x[None], seen.mean)[0]
    classifier = network.options.classifier_trust * seen.logits[0].log_softmax(-1)
    return _smooth(network, seen, evidence + classifier, trust)


def _smooth(
    network: SwitchingNetwork, seen: Inferred, evidence: Float[Tensor, "T K"], trust: float
) -> Float[Tensor, "T K"]:
    """Add the log-weight of every class given that before it, and smooth."""
    prior, before = network.prior, seen.mean[0, :-1]
    costs = loss.gaussian_kl(
        seen.mean[0, 1:, None],
        seen.log_variance[0, 1:, None],
        prior.next_latents(before),
        prior.log_variances.table(),
    )
    weight = trust * network.options.dynamics_trust
    steps = prior.log_transitions(before) - weight * costs + evidence[1:, None]
    return smoothed(evidence[0], steps)
