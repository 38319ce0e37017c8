"""Scores on validation windows, by which weights are chosen and training may stop early."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neuroduet.data.session import Session
from neuroduet.masking import hide, to_masks
from neuroduet.metrics import bits_per_spike, r2
from neuroduet.types import NEURAL, Batch, Behaviour, Masks, Prediction

CHUNK = 64


@torch.inference_mode()
def validate(
    model: nn.Module, sessions: Sequence[Session], device: torch.device, split: str = "valid"
) -> dict[str, float]:
    """Score every target: encoding under :data:`NEURAL`, decoding under each behaviour's name.

    Bits per spike for counts, R2 for traces and continuous behaviours, and for classes the
    fraction of the prior's cross-entropy that is explained: with a few dozen validation windows
    an accuracy moves in steps too coarse to choose weights by.

    Args:
        model: The model, in evaluation mode.
        sessions: Sessions to score.
        device: Where the model lives.
        split: Which windows.

    Returns:
        Mean over sessions of each target's score; targets without a score are left out.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for session in sessions:
        if len(session.indices(split)) == 0:
            continue
        for name, value in _session_scores(model, session, device, split).items():
            if np.isfinite(value):
                found[name].append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _session_scores(
    model: nn.Module, session: Session, device: torch.device, split: str
) -> dict[str, float]:
    rates: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    decoded: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for batch in _batches(session, split):
        encoded = _predict(model, batch, _hiding(batch, [NEURAL]), device)
        if encoded.activity is not None:
            rates.append(encoded.activity[batch.valid].float().cpu().numpy())
            counts.append(batch.activity[batch.valid].numpy())
        answer = _predict(model, batch, _hiding(batch, list(batch.behaviours)), device)
        for name, predicted in answer.behaviours.items():
            seen = batch.observed[name]
            decoded[name].append((predicted.cpu()[seen], batch.behaviours[name][seen]))
    scores = {}
    if rates:
        expected, recorded = np.concatenate(rates)[None], np.concatenate(counts)[None]
        valid = np.ones(recorded.shape[:2], dtype=bool)
        scores[NEURAL] = (
            float(bits_per_spike(np.exp(expected), recorded, valid))
            if session.info.is_poisson
            else float(r2(recorded.ravel(), expected.ravel()))
        )
    for behaviour in session.info.behaviours:
        if decoded.get(behaviour.name):
            predicted, true = (
                torch.cat(parts) for parts in zip(*decoded[behaviour.name], strict=True)
            )
            scores[behaviour.name] = _behaviour_score(behaviour, predicted, true, session)
    return scores


def _behaviour_score(
    behaviour: Behaviour, predicted: Tensor, true: Tensor, session: Session
) -> float:
    if len(true) == 0:
        return float("nan")
    if behaviour.kind == "continuous":
        channels = zip(true.T.numpy(), predicted.T.numpy(), strict=True)
        return float(np.mean([r2(t, p) for t, p in channels]))
    counts = torch.as_tensor(session.statistics.class_counts[behaviour.name]).float() + 1.0
    prior = functional.cross_entropy(counts.log().expand(len(true), -1), true)
    return float(1.0 - functional.cross_entropy(predicted, true) / prior)


def _hiding(batch: Batch, names: list[str]) -> Masks:
    return to_masks(batch, hide(batch, dict.fromkeys(names, True)))


def _predict(model: nn.Module, batch: Batch, masks: Masks, device: torch.device) -> Prediction:
    visible = {name: mask.to(device) for name, mask in masks.visible.items()}
    return model([to_device(batch, device)], [visible])[0]


def _batches(session: Session, split: str) -> Iterator[Batch]:
    windows = session.indices(split)
    for start in range(0, len(windows), CHUNK):
        yield session.batch(windows[start : start + CHUNK])


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch on another device."""
    return Batch(
        session=batch.session,
        activity=batch.activity.to(device),
        valid=batch.valid.to(device),
        behaviours={name: x.to(device) for name, x in batch.behaviours.items()},
        observed={name: x.to(device) for name, x in batch.observed.items()},
        windows=batch.windows.to(device),
    )
