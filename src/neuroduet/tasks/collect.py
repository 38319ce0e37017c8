"""Predictions of one predictor over the windows of one session, put together for scoring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuroduet.tasks.questions import Notebook, answer
from neuroduet.tasks.task import Task, Variant
from neuroduet.types import NEURAL, Batch, Masks, Prediction, Predictor


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Everything that is needed to score one target; windows in order, bins padded at their end.

    Attributes:
        true: ``(W, T, N)`` activity, ``(W, T, C)``, ``(W, C)`` continuous, ``(W, T)``, ``(W,)``
            class indices.
        predicted: Same shape, float32; classes have a last axis K of logits; counts are log-rates.
        scored: ``(W, T, 1)`` or ``(W, T, N)`` activity, ``(W, T)`` or ``(W,)`` behaviour.
    """

    true: np.ndarray
    predicted: np.ndarray
    scored: np.ndarray


def grouped(variants: Iterable[Variant]) -> list[list[Variant]]:
    """Variants that score the same targets, together: they are parts of one question."""
    groups: dict[tuple[tuple[str, str], ...], list[Variant]] = {}
    for variant in variants:
        groups.setdefault(tuple(sorted(variant.targets.items())), []).append(variant)
    return list(groups.values())


def blinded(batch: Batch, masks: Masks) -> Batch:
    """The batch with zeros where it may not be seen, so that no predictor can cheat by mistake.

    Args:
        batch: Windows holding true values everywhere.
        masks: What may be seen.

    Returns:
        A new batch; hidden behaviours are also not observed.
    """
    observed = {name: seen & masks.visible[name] for name, seen in batch.observed.items()}
    return Batch(
        session=batch.session,
        activity=batch.activity.masked_fill(~masks.visible[NEURAL], 0.0),
        valid=batch.valid,
        behaviours={
            name: torch.where(_like(observed[name], values), values, torch.zeros_like(values))
            for name, values in batch.behaviours.items()
        },
        observed=observed,
        windows=batch.windows,
    )


def collect(
    predictor: Predictor,
    batches: Sequence[Batch],
    task: Task,
    variants: Sequence[Variant],
    blind: bool = True,
    notebook: Notebook | None = None,
) -> dict[str, Collected]:
    """Ask a predictor about every batch.

    Args:
        predictor: Who is asked.
        batches: Windows of one session.
        task: Makes the masks.
        variants: Variants with the same targets; where more than one scores an entry, the last
            one counts.
        blind: Put zeros where the predictor may not look.
        notebook: Where answers to many questions about units are kept meanwhile.

    Returns:
        By modality, for the targets that the predictor answered for every batch and variant.
    """
    parts: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
    notebook = notebook or Notebook()
    for index, batch in enumerate(batches):
        place = f"{predictor.name}/{batch.session}/{task.name}/{index}"
        for name, part in _merged(
            predictor, batch, task, variants, blind, notebook, place
        ).items():
            parts.setdefault(name, []).append(part)
    return {
        name: Collected(
            true=stacked([true for true, _, _ in found]),
            predicted=stacked([predicted for _, predicted, _ in found]),
            scored=stacked([scored for _, _, scored in found]),
        )
        for name, found in parts.items()
        if len(found) == len(batches)
    }


def _merged(
    predictor: Predictor,
    batch: Batch,
    task: Task,
    variants: Sequence[Variant],
    blind: bool,
    notebook: Notebook,
    place: str,
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Per modality the true values, the predictions and what is scored, over all variants."""
    merged: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    answered: dict[str, int] = {}
    show = blinded if blind else _whole
    for variant in variants:
        masks = task.masks(batch, variant)
        with torch.no_grad():
            if variant.questions is None:
                prediction = predictor.predict(show(batch, masks), masks, task.name)
            else:
                prediction = Prediction(
                    activity=answer(
                        predictor,
                        show(batch, masks),
                        masks,
                        variant.questions,
                        task.name,
                        show,
                        notebook,
                        place,
                    )
                )
        for name, scored in masks.scored.items():
            predicted = _answer(prediction, name)
            if predicted is None:
                continue
            predicted = predicted.detach().cpu().float()
            true = batch.activity if name == NEURAL else batch.behaviours[name]
            _check(predictor.name, name, predicted, true)
            answered[name] = answered.get(name, 0) + 1
            if name in merged:
                _, before, already = merged[name]
                predicted = torch.where(_like(scored, predicted), predicted, before)
                scored = already | scored
            merged[name] = true, predicted, scored
    return {name: part for name, part in merged.items() if answered[name] == len(variants)}


def _whole(batch: Batch, masks: Masks) -> Batch:
    return batch


def _answer(prediction: Prediction, name: str) -> Tensor | None:
    return prediction.activity if name == NEURAL else prediction.behaviours.get(name)


def _check(model: str, name: str, predicted: Tensor, true: Tensor) -> None:
    """Class logits have one axis more than the class indices; all else has the same shape."""
    found = predicted.shape if true.is_floating_point() else predicted.shape[:-1]
    if found != true.shape:
        raise ValueError(
            f"'{model}' predicted '{name}' as {tuple(predicted.shape)} for true values of "
            f"{tuple(true.shape)}; a Predictor answers in the shapes of types.Prediction"
        )


def _like(mask: Tensor, values: Tensor) -> Tensor:
    """A mask with trailing axes added, so that it broadcasts over the channels of values."""
    return mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))


def stacked(parts: Sequence[Tensor]) -> np.ndarray:
    """Batches one after the other; shorter ones are padded with zeros (false) at their end."""
    if parts[0].ndim < 2:
        return torch.cat(list(parts)).numpy()
    bins = max(part.shape[1] for part in parts)
    whole = torch.zeros(
        (sum(len(part) for part in parts), bins, *parts[0].shape[2:]), dtype=parts[0].dtype
    )
    start = 0
    for part in parts:
        whole[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return whole.numpy()
