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
    labels: Int[Tensor, " T"] | None = None,
) -> Float[Tensor, "T K"]:
    """Posterior of the class of every frame of a recording.

    Args:
        network: The model.
        x: Its observations.
        seen: What is inferred of them, one window long.
        labels: Labels that the posterior must agree with.
    """
    emission = -network.emission.negative_log_likelihood(x[None], seen.mean)[0]
    if labels is not None:
        known = labels != UNLABELLED
        allowed = loss.responsibilities(torch.ones_like(emission)[None], labels[None])[0] > 0
        emission = torch.where(known[:, None] & ~allowed, IMPOSSIBLE, emission)
    steps = _log_steps(network, seen) + emission[1:, None]
    return smoothed(emission[0], steps).float()


def _log_steps(network: SwitchingNetwork, seen: Inferred) -> Float[Tensor, "S K K"]:
    """Log-weight of every class (columns) given that before it (rows), without observations."""
    options, dynamics = network.options, network.prior
    before = seen.mean[0, :-1]
    costs = loss.gaussian_kl(
        seen.mean[0, 1:, None],
        seen.log_variance[0, 1:, None],
        dynamics.next_latents(before),
        dynamics.log_variances.table(),
    )
    return dynamics.log_transitions(before) - options.dynamics_trust * costs
