"""The losses of NEDS and of MtM as published, defects included.

MtM: a plain sum over scored entries, so that schemes and sessions differ tenfold in gradient.

NEDS (its defect D3): the cross-entropy of a behaviour given once per trial is summed over all
samples, also those that saw the label, and divided by the number of hidden *tokens*, one hundred
per window; it therefore weighs a hundredth of a mean.

:mod:`neuroduet.losses` holds the corrected losses.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from neuroduet.types import NEURAL, Batch, Masks, Prediction, Scales

Part = tuple[Float[Tensor, ""], Int[Tensor, ""]]
"""A sum and what it is divided by."""


def published_losses(
    predictions: Sequence[Prediction],
    batches: Sequence[Batch],
    masks: Sequence[Masks],
    scales: Sequence[Scales] | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """Loss of every modality over the micro-batches of one step, as if they were one batch.

    Args:
        predictions: What the model said of each micro-batch.
        batches: True values.
        masks: ``scored`` decides what counts; per-trial behaviours may be ``(B,)`` or ``(B, T)``.
        scales: Of each micro-batch, the ranges of the continuous behaviours, whose error is that
            of values scaled to [0, 1], and whether activity is counts; default: unscaled, counts.

    Returns:
        Loss per modality, exactly 0 where nothing is scored; training minimises their plain sum.
    """
    given: Sequence[Scales | None] = scales if scales is not None else [None] * len(batches)
    parts: dict[str, list[Part]] = {}
    for prediction, batch, mask, scale in zip(predictions, batches, masks, given, strict=True):
        if prediction.activity is not None and NEURAL in mask.scored:
            part = _activity(prediction.activity, batch, mask.scored[NEURAL], scale)
            parts.setdefault(NEURAL, []).append(part)
        for name, predicted in prediction.behaviours.items():
            if name in mask.scored and name in batch.behaviours:
                span = None if scale is None else scale.behaviours.get(name)
                part = _behaviour(name, predicted, batch, mask.scored[name], span)
                parts.setdefault(name, []).append(part)
    return {name: _ratio(found) for name, found in parts.items()}


def published_loss(
    prediction: Prediction, batch: Batch, masks: Masks, scales: Scales | None = None
) -> Float[Tensor, ""]:
    """The plain sum of :func:`published_losses` for a step of one micro-batch."""
    losses = published_losses([prediction], [batch], [masks], None if scales is None else [scales])
    return sum(losses.values(), torch.zeros((), device=batch.activity.device))


def published_mtm_losses(
    predictions: Sequence[Prediction],
    batches: Sequence[Batch],
    masks: Sequence[Masks],
    scales: Sequence[Scales] | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """Sum of ``exp(x) - y x`` over all scored entries of a step: not a mean (MtM, section 5).

    Args:
        predictions: What the model said of each micro-batch.
        batches: True values.
        masks: ``scored`` decides what counts.
        scales: Of each micro-batch, whether its activity is counts; the sum of traces is that of
            squared errors. Default: counts.

    Returns:
        Loss of the activity, exactly 0 where nothing is scored.
    """
    given: Sequence[Scales | None] = scales if scales is not None else [None] * len(batches)
    sums = [
        _activity(prediction.activity, batch, mask.scored[NEURAL], scale)[0]
        for prediction, batch, mask, scale in zip(predictions, batches, masks, given, strict=True)
        if prediction.activity is not None
    ]
    return {NEURAL: torch.stack(sums).sum()}


def _ratio(parts: list[Part]) -> Float[Tensor, ""]:
    total, divisor = (torch.stack(column).sum() for column in zip(*parts, strict=True))
    # Samples that see everything contribute to the cross-entropy only if another hides something.
    return total / divisor.clamp(min=1) * (divisor > 0)


def _activity(predicted: Tensor, batch: Batch, scored: Tensor, scales: Scales | None) -> Part:
    """Poisson negative log-likelihood without its constant, or squared error for traces."""
    if scales is None or scales.is_poisson:
        errors = predicted.exp() - batch.activity * predicted
    else:
        errors = ((predicted - batch.activity) / scales.activity).square()
    if scored.shape[-1] > 1:
        kept = scored.expand(errors.shape)
        return torch.where(kept, errors, 0.0).sum(), kept.sum()
    kept = scored[..., 0].expand(errors.shape[:2])
    return torch.where(kept, errors.sum(-1), 0.0).sum(), kept.sum() * errors.shape[-1]


def _behaviour(
    name: str, predicted: Tensor, batch: Batch, scored: Tensor, span: Tensor | None
) -> Part:
    """Squared error or cross-entropy; per trial with the published divisor."""
    true, observed = batch.behaviours[name], batch.observed[name]
    if true.is_floating_point():
        scaled = predicted - true if span is None else (predicted - true) / span
        errors = scaled.square().mean(-1)
    else:
        errors = functional.cross_entropy(
            predicted.flatten(0, -2), true.flatten(), reduction="none"
        ).view(true.shape)
    if observed.ndim > 1:
        return torch.where(scored, errors, 0.0).sum(), scored.sum()
    tokens = scored.sum() if scored.ndim > 1 else scored.sum() * batch.activity.shape[1]
    return torch.where(observed, errors, 0.0).sum(), tokens
