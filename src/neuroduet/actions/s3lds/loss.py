"""The terms of the loss of S3LDS and GM-DGM, each a function of tensors.

A mean over no frame at all is exactly 0. Shape letters as in
:mod:`~neuroduet.actions.s3lds.generative`; ``shares`` are responsibilities, the indicator of the
label where there is one. Frames and the ones before them are paired within a window only.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neuroduet.actions.s3lds.generative import Moments
from neuroduet.types import UNLABELLED


def masked_mean(values: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean over the frames of the mask; 0 if there is none."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp_min(1)


def responsibilities(
    probabilities: Float[Tensor, "B T K"], labels: Int[Tensor, "B T"]
) -> Float[Tensor, "B T K"]:
    """The label's indicator where there is one, else the probabilities, without gradient."""
    classes = torch.arange(probabilities.shape[-1], device=labels.device)
    known = (labels[..., None] == classes).to(probabilities.dtype)
    return torch.where((labels != UNLABELLED)[..., None], known, probabilities.detach())


def classification(
    log_probabilities: Float[Tensor, "B T K"], labels: Int[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy (nats) of the labelled frames."""
    chosen = log_probabilities.gather(2, labels.clamp_min(0)[..., None])[..., 0]
    return masked_mean(-chosen, labels != UNLABELLED)


def distillation(
    log_probabilities: Float[Tensor, "B T K"],
    targets: Float[Tensor, "B T K"],
    mask: Bool[Tensor, "B T"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy (nats) against probabilities, over the frames of the mask."""
    return masked_mean(-(targets * log_probabilities).sum(-1), mask)


def expected(
    costs: Float[Tensor, "B T K"], shares: Float[Tensor, "B T K"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Mean over frames of a cost per class, weighted by the responsibilities."""
    return masked_mean((shares * costs).sum(-1), mask)


def gaussian_kl(
    mean: Float[Tensor, "*#B M"],
    log_variance: Float[Tensor, "*#B M"],
    prior_mean: Float[Tensor, "*#B M"],
    prior_log_variance: Float[Tensor, "*#B M"],
    prior_spread: Float[Tensor, "*#B M"] | float = 0.0,
) -> Float[Tensor, "*B"]:
    """KL divergence (nats) between diagonal Gaussians, summed over the latents.

    Args:
        mean: Of the first one.
        log_variance: Of the first one.
        prior_mean: Of the second one; its own mean, where it varies.
        prior_log_variance: Of the second one.
        prior_spread: Variance of ``prior_mean``, where it varies: the KL is then the mean over
            it, exactly, because the KL is quadratic in the mean. That turns a sum over pairs of
            classes into one over classes.
    """
    distance = log_variance.exp() + (mean - prior_mean).square() + prior_spread
    difference = prior_log_variance - log_variance
    return 0.5 * (difference + distance * (-prior_log_variance).exp() - 1).sum(-1)


def dynamics_kl(
    mean: Float[Tensor, "B T K M"],
    log_variance: Float[Tensor, "B T K M"],
    moments: Moments,
    prior_log_variance: Float[Tensor, "K M"],
    shares: Float[Tensor, "B T K"],
    mask: Bool[Tensor, "B T"],
) -> Float[Tensor, ""]:
    """Term 5: mean KL between latents and what the dynamics foretell from the frame before.

    Args:
        mean: Of q(z | x, y = k), of each frame that has one before it.
        log_variance: The same.
        moments: What the dynamics foretell, over the classes of the frame before.
        prior_log_variance: Of the dynamics of every class.
        shares: Responsibilities of each frame.
        mask: Frames that count.
    """
    costs = gaussian_kl(mean, log_variance, moments.mean, prior_log_variance, moments.spread)
    return expected(costs, shares, mask)


def foretold(
    log_prior: Float[Tensor, "B T J K"], before: Float[Tensor, "B T J"]
) -> Float[Tensor, "B T K"]:
    """Mean ``log p(y_t = k | z_{t-1})`` over the classes of the frame before.

    Both transition terms are linear in it, so that K terms remain of K * K.

    Args:
        log_prior: Given the latent of each class before.
        before: Responsibilities of the frame before.
    """
    return (before[:, :, None] @ log_prior)[:, :, 0]


def label_transition(
    log_prior: Float[Tensor, "B T K"], labels: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Term 3: mean ``-log p(label | latent before)`` of the labelled frames.

    Args:
        log_prior: What :func:`foretold` gives.
        labels: Labels of the frames.
        mask: Frames that count.
    """
    return classification(log_prior, torch.where(mask, labels, UNLABELLED))


def transition_kl(
    log_prior: Float[Tensor, "B T K"],
    log_probabilities: Float[Tensor, "B T K"],
    mask: Bool[Tensor, "B T"],
) -> Float[Tensor, ""]:
    """Term 4: mean KL between q(y | x) and what the latent before foretells.

    Args:
        log_prior: What :func:`foretold` gives.
        log_probabilities: ``log q(y | x)``.
        mask: Frames that count: those without label.
    """
    return masked_mean(categorical_kl(log_probabilities, log_prior), mask)


def categorical_kl(
    log_p: Float[Tensor, "*B K"], log_q: Float[Tensor, "*#B K"]
) -> Float[Tensor, "*B"]:
    """KL divergence (nats) between categorical distributions."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def balance(logits: Float[Tensor, "B T K"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Term 6: KL between the softmax of the mean logits and equal shares of all classes."""
    weights = mask[..., None].to(logits.dtype)
    mean = (logits * weights).sum((0, 1)) / weights.sum().clamp_min(1)
    log_shares = mean.log_softmax(0)
    return categorical_kl(log_shares, torch.zeros_like(log_shares).log_softmax(0))
