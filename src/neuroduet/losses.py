"""Training losses: every one a mean over scored entries, zero where nothing is scored.

The loss of the activity is first averaged within each sample: a sample that is asked about one
region then weighs as much as one that is asked about every unit (the published MtM sums, so that
its schemes differ tenfold in gradient).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from neuroduet.config import LossConfig
from neuroduet.types import NEURAL, Batch, Behaviour, Masks, Prediction, Scales

SMALLEST_SHARE = 0.05
"""Samples that are asked about less of their window than this weigh less."""


def masked_mean(
    values: Float[Tensor, "*shape"], scored: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Mean of the scored values; exactly 0 (with a zero gradient) if none is scored."""
    return torch.where(scored, values, 0.0).sum() / scored.sum().clamp(min=1)


def poisson_nll(
    log_rates: Float[Tensor, "*shape"], counts: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Poisson negative log-likelihood without its constant: ``exp(x) - k x`` (NEDS and MtM, 5).

    Args:
        log_rates: Natural log of the expected count per bin.
        counts: Spike counts.

    Returns:
        Nats per entry.
    """
    return log_rates.exp() - counts * log_rates


def mean_of_samples(
    errors: Float[Tensor, "B T N"], scored: Bool[Tensor, "B #T #N"], share: Float[Tensor, " N"]
) -> Float[Tensor, ""]:
    """Errors per scored share of each sample, averaged over the samples that score anything.

    Args:
        errors: Error of every entry.
        scored: Which entries count.
        share: What an entry of each unit counts for: 1 gives a mean over entries, the expected
            count a mean over expected spikes.

    Returns:
        The mean; exactly 0 if nothing is scored.
    """
    # A mask that is the same for all units is applied after summing them: N times fewer products.
    if scored.shape[-1] == 1:
        total = torch.where(scored[..., 0], errors.sum(-1), 0.0).sum(1)
        shares = scored[..., 0].sum(1) * share.sum()
    else:
        total = torch.where(scored, errors, 0.0).sum((1, 2))
        shares = (scored.expand(errors.shape).sum(1) * share).sum(1)
    # A handful of entries must not speak as loudly as a whole window.
    least = SMALLEST_SHARE * errors.shape[1] * share.sum()
    asked = shares > 0
    return torch.where(asked, total / shares.clamp(min=least), 0.0).sum() / asked.sum().clamp(
        min=1
    )


def squared_error(
    predicted: Float[Tensor, "*B C"],
    true: Float[Tensor, "*B C"],
    scored: Bool[Tensor, "*B"],
    scale: Float[Tensor, " C"],
) -> Float[Tensor, ""]:
    """Mean squared error in units of the training standard deviation."""
    return masked_mean(((predicted - true) / scale).square().mean(-1), scored)


def cross_entropy(
    logits: Float[Tensor, "*B K"],
    labels: Int[Tensor, "*B"],
    scored: Bool[Tensor, "*B"],
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the scored samples (nats).

    The published code divides by the number of masked tokens and lets visible samples count
    (NEDS, defect D3); here only scored samples do, each once.
    """
    flat = functional.cross_entropy(
        logits.flatten(0, -2),
        labels.flatten(),
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return masked_mean(flat, scored.flatten())


def modality_losses(
    prediction: Prediction,
    batch: Batch,
    masks: Masks,
    behaviours: tuple[Behaviour, ...],
    scales: Scales,
    config: LossConfig,
) -> dict[str, Float[Tensor, ""]]:
    """Weighted loss of every modality that is both predicted and scored.

    Args:
        prediction: What the model said.
        batch: True values.
        masks: ``scored`` decides what counts.
        behaviours: Descriptions of the behaviours.
        scales: Training statistics of the session.
        config: Weights.

    Returns:
        Loss per modality; their sum is what training minimises.
    """
    losses: dict[str, Tensor] = {}
    if prediction.activity is not None and NEURAL in masks.scored:
        losses[NEURAL] = config.activity * _activity_loss(prediction, batch, masks, scales, config)
    for behaviour in behaviours:
        name = behaviour.name
        if name not in prediction.behaviours or name not in masks.scored:
            continue
        predicted, true, scored = (
            prediction.behaviours[name],
            batch.behaviours[name],
            masks.scored[name],
        )
        if behaviour.kind == "continuous":
            error = squared_error(predicted, true, scored, scales.behaviours[name])
            losses[name] = config.continuous * error
        else:
            entropy = cross_entropy(predicted, true, scored, config.label_smoothing)
            losses[name] = config.categorical * entropy
    return losses


def _activity_loss(
    prediction: Prediction,
    batch: Batch,
    masks: Masks,
    scales: Scales,
    config: LossConfig,
) -> Tensor:
    assert prediction.activity is not None
    scored, predicted = masks.scored[NEURAL], prediction.activity
    if not scales.is_poisson:
        errors = ((predicted - batch.activity) / scales.activity).square()
        return mean_of_samples(errors, scored, torch.ones_like(scales.activity))
    weights = _unit_weights(scales.activity, config.unit_balance)
    # 0.1 bits per spike is 0.004 nats per bin at 3 Hz: otherwise behaviours own the trunk.
    # Divided by the weighted mean count, the loss is in nats per spike.
    share = scales.activity * weights if config.activity_unit == "spike" else weights
    return mean_of_samples(poisson_nll(predicted, batch.activity) * weights, scored, share)


def _unit_weights(mean_counts: Float[Tensor, " N"], balance: float) -> Float[Tensor, " N"]:
    """Weight of each unit: 1 at ``balance`` 0, inverse to its rate at 1 (every unit alike)."""
    # A unit with a handful of spikes must not dominate: its rate is taken as a tenth of the mean.
    floored = mean_counts.clamp(min=0.1 * float(mean_counts.mean()))
    weights = (floored / floored.mean()) ** -balance
    return weights / weights.mean()
