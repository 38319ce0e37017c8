"""Training losses: every one a mean over scored entries, zero where nothing is scored."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from neuroduet.config import LossConfig
from neuroduet.types import NEURAL, Batch, Behaviour, Masks, Prediction, Scales


def masked_mean(
    values: Float[Tensor, "*shape"], scored: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Mean of the scored values; exactly 0 (with a zero gradient) if none is scored."""
    return torch.where(scored, values, 0.0).sum() / scored.sum().clamp(min=1)


def poisson_nll(
    log_rates: Float[Tensor, "*B T N"],
    counts: Float[Tensor, "*B T N"],
    scored: Bool[Tensor, "*B #T #N"],
    unit_weights: Float[Tensor, " N"] | None = None,
) -> Float[Tensor, ""]:
    """Poisson negative log-likelihood without its constant: mean of ``exp(x) - k x`` (NEDS, 5).

    Args:
        log_rates: Natural log of the expected count per bin.
        counts: Spike counts.
        scored: Entries that count; broadcasts over units or bins.
        unit_weights: Weight of each unit; ``None`` weighs all alike.

    Returns:
        Nats per scored entry.
    """
    nll = log_rates.exp() - counts * log_rates
    if unit_weights is not None:
        nll = nll * unit_weights
    # A mask that is the same for all units is applied after summing them: N times fewer products.
    if scored.shape[-1] == 1:
        n_units = nll.shape[-1]
        return masked_mean(nll.sum(-1, keepdim=True), scored) / n_units
    return masked_mean(nll, scored.expand(nll.shape))


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
    scored = masks.scored[NEURAL]
    if scales.is_poisson:
        weights = _unit_weights(scales.activity, config.unit_balance)
        nll = poisson_nll(prediction.activity, batch.activity, scored, weights)
        # 0.1 bits per spike is 0.004 nats per bin at 3 Hz: otherwise behaviours own the trunk.
        # Divided by the weighted mean count, the loss is in nats per spike.
        return nll / (scales.activity * weights).mean() if config.activity_unit == "spike" else nll
    error = ((prediction.activity - batch.activity) / scales.activity).square()
    return masked_mean(error, scored.expand(error.shape))


def _unit_weights(mean_counts: Float[Tensor, " N"], balance: float) -> Float[Tensor, " N"]:
    """Weight of each unit: 1 at ``balance`` 0, inverse to its rate at 1 (every unit alike)."""
    # A unit with a handful of spikes must not dominate: its rate is taken as a tenth of the mean.
    floored = mean_counts.clamp(min=0.1 * float(mean_counts.mean()))
    weights = (floored / floored.mean()) ** -balance
    return weights / weights.mean()
