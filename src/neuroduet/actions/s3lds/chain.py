"""The posterior of a chain of classes whose steps each have their own weights.

Unlike in a hidden Markov model with one transition matrix, what a class weighs depends on the
class before it and on the frame: the dynamics tell from where to where the latents went. All
arithmetic is on logarithms; messages are combined in pairs, so that a recording of ``T`` frames
takes about ``2 log2 T`` batched operations and no loop over frames.

Shape letters: ``T`` frames, ``K`` classes (``J`` those of the frame before).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

FAINT = 1e-200
"""A sum of probabilities below this may lack terms that were too small for floating point."""


def log_product(
    left: Float[Tensor, "*#N I J"], right: Float[Tensor, "*#N J K"]
) -> Float[Tensor, "*N I K"]:
    """Logarithm of the product of matrices given by their logarithms."""
    rows, columns = left.amax(-1, keepdim=True), right.amax(-2, keepdim=True)
    product = (left - rows).exp() @ (right - columns).exp()
    logs = product.log() + rows + columns
    lost = (product < FAINT).flatten(-2).any(-1)
    if lost.any():
        pair = (one.expand(*lost.shape, *one.shape[-2:])[lost] for one in (left, right))
        logs[lost] = _log_product_term_by_term(*pair)
    return logs


def _log_product_term_by_term(
    left: Float[Tensor, "N I J"], right: Float[Tensor, "N J K"]
) -> Float[Tensor, "N I K"]:
    """The same, however far apart the logarithms are; much slower."""
    total = left[..., :1] + right[:, :1]
    for j in range(1, left.shape[-1]):
        total = torch.logaddexp(total, left[..., j : j + 1] + right[:, j : j + 1])
    return total


def running_products(log_steps: Float[Tensor, "T K K"]) -> Float[Tensor, "T K K"]:
    """Logarithms of the products of the first 1, 2, ..., T matrices, each up to a factor.

    Args:
        log_steps: Logarithms of the matrices.
    """
    if len(log_steps) <= 1:
        return log_steps
    even = len(log_steps) // 2 * 2
    pairs = running_products(_relative(log_product(log_steps[0:even:2], log_steps[1:even:2])))
    between = log_product(pairs[: len(log_steps[2::2])], log_steps[2::2])
    products = torch.empty_like(log_steps)
    products[0], products[1::2], products[2::2] = log_steps[0], pairs, _relative(between)
    return products


def _relative(logs: Float[Tensor, "N I K"]) -> Float[Tensor, "N I K"]:
    """Logarithms with the largest of each matrix set to 0."""
    return logs - logs.amax((-2, -1), keepdim=True)


def smoothed(first: Float[Tensor, " K"], steps: Float[Tensor, "S K K"]) -> Float[Tensor, "T K"]:
    """Posterior of the class of every frame, given the whole chain.

    Args:
        first: Log-weights of the class of the first frame, up to a constant.
        steps: Log-weights of the class of every later frame (columns) given the class before it
            (rows), up to a constant each; one fewer than there are frames.

    Returns:
        Probabilities; rows sum to 1.
    """
    first, steps = first.double(), steps.double()
    forward, backward = first[None], torch.zeros_like(first)[None]
    if len(steps):
        later = log_product(first[None, None], running_products(steps))[:, 0]
        forward = torch.cat([forward, later])
        reversed_ = running_products(steps.flip(0).transpose(1, 2)).flip(0)
        backward = torch.cat([reversed_.transpose(1, 2).logsumexp(-1), backward])
    return (forward + backward).softmax(-1)
