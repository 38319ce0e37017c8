"""Scores on validation windows, by which weights are chosen and training may stop early."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neuroduet.config import MaskingConfig
from neuroduet.data.session import Session
from neuroduet.masking import (
    PROMPTS,
    REGION_SCHEMES,
    Draw,
    draw,
    hide,
    region_index,
    to_masks,
)
from neuroduet.masking.activity import last_bins, usual_horizon
from neuroduet.metrics import bits_per_spike, r2
from neuroduet.training.device import batch_to, masks_to
from neuroduet.types import NEURAL, Batch, Behaviour, Masks, Prediction

CHUNK = 64

ACTIVITY_TASKS = {
    "neuron": "co_smoothing",
    "co_smooth": "co_smoothing",
    "forward": "forward",
    "causal": "forward",
}
"""Task whose weights are chosen by the score under a scheme; else the scheme's own name."""

ENCODING_SCHEMES = frozenset({"encoding", "encoding_from", "self_spike", "random_token"})
NOT_DECODING = frozenset(
    {"encoding", "self_spike", "temporal", "causal", "forward", "random", "patch_token"}
)
"""Schemes that ask about activity alone."""

LARGEST_LOG_RATE = 80.0
"""Scores take larger ones for this: infinite rates would have no score, and a target without one
is left out, which would raise the mean."""

REPEATS = {"neuron": 2, "co_smooth": 8, "intra_region": 4, "inter_region": 2}
"""How often each validation window is asked, with other units hidden."""

MASK_SEED = 20_240_714

HIDDEN = 0.3
"""Share of bins or units that validation hides, whatever training does: with fewer hidden every
model scores better, and scores of runs with other ratios could not be compared."""


@torch.inference_mode()
def session_scores(
    model: nn.Module,
    session: Session,
    device: torch.device,
    masking: MaskingConfig,
) -> dict[str, float]:
    """Score every target: encoding under :data:`NEURAL`, decoding under each behaviour's name.

    Questions about activity are scored under their task's name, with masks that are the same at
    every validation (the published MtM draws new ones, and chooses by chance).

    Bits per spike for counts, R2 for traces and continuous behaviours, and for classes the
    fraction of the prior's cross-entropy that is explained: with a few dozen validation windows
    an accuracy moves in steps too coarse to choose weights by.

    Args:
        model: The model, in evaluation mode.
        session: Session to score.
        device: Where the model lives.
        masking: Schemes the model is trained with.

    Returns:
        Score of each target; targets without a score are left out.
    """
    if len(session.indices("valid")) == 0:
        return {}
    scores = _session_scores(model, session, device, masking)
    scores |= _activity_scores(model, session, device, masking)
    return {name: value for name, value in scores.items() if np.isfinite(value)}


def mean_scores(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of each target's score over the sessions that have it.

    Args:
        found: Scores of each session.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for scores in found:
        for name, value in scores.items():
            values[name].append(value)
    return {name: float(np.mean(each)) for name, each in values.items()}


def scores_encoding(masking: MaskingConfig) -> bool:
    """Whether some scheme of a training teaches to predict activity from behaviour."""
    return any(masking.schemes.get(name, 0.0) > 0 for name in ENCODING_SCHEMES)


def scores_decoding(masking: MaskingConfig) -> bool:
    """Whether some scheme of a training teaches to predict behaviour.

    What no scheme teaches has no place in the mean, which would follow the scores of guesses.
    """
    return any(weight > 0 and name not in NOT_DECODING for name, weight in masking.schemes.items())


def scored_tasks(masking: MaskingConfig) -> dict[str, str]:
    """Tasks of activity that a training is scored in, each with the scheme it is asked under.

    Where several trained schemes stand for one task, the first of
    :data:`~neuroduet.masking.PROMPTS` is the exam.
    """
    found: dict[str, str] = {}
    for scheme in PROMPTS:
        if masking.schemes.get(scheme, 0.0) > 0:
            found.setdefault(ACTIVITY_TASKS.get(scheme, scheme), scheme)
    return found


def _activity_scores(
    model: nn.Module, session: Session, device: torch.device, masking: MaskingConfig
) -> dict[str, float]:
    """Bits per spike (or R2) of the units and bins that each trained scheme hides."""
    regions = region_index(session.info.regions)
    scores: dict[str, float] = {}
    for task, scheme in scored_tasks(masking).items():
        if scheme in REGION_SCHEMES and regions is None:
            continue
        source = Draw(
            generator=torch.Generator().manual_seed(MASK_SEED),
            ratio=HIDDEN,
            unit_ratio=HIDDEN,
            regions=regions,
        )
        sums = _UnitSums(len(session.info.units))
        for batch in _batches(session):
            for _ in range(REPEATS.get(scheme, 1)):
                masks = _activity_masks(batch, scheme, task, source)
                activity = _predict(model, batch, masks, device).activity
                if activity is None:
                    return {}
                sums.add(activity.float().cpu(), batch.activity, masks.scored[NEURAL])
        scores[task] = sums.bits() if session.info.is_poisson else sums.r2()
    return scores


def _activity_masks(batch: Batch, scheme: str, task: str, source: Draw) -> Masks:
    """Masks of a scheme with all behaviours hidden, as the activity tasks ask."""
    if task == "forward":
        horizon = torch.full((len(batch.windows), 1), usual_horizon(batch.valid.shape[1]))
        hidden = hide(batch, {}) | {NEURAL: last_bins(batch, horizon)}
        prompt = torch.full((len(batch.windows),), PROMPTS.index(scheme))
        masks = to_masks(batch, hidden, None, prompt)
    else:
        masks = draw(batch, {scheme: 1.0}, source)
    unseen = {name: torch.zeros_like(seen) for name, seen in batch.observed.items()}
    return replace(masks, visible={**unseen, NEURAL: masks.visible[NEURAL]})


class _UnitSums:
    """Running sums over scored entries, per unit."""

    def __init__(self, units: int) -> None:
        self.entries, self.counts, self.gain, self.expected, self.squares, self.error = (
            torch.zeros(units, dtype=torch.float64) for _ in range(6)
        )

    def add(self, predicted: Tensor, true: Tensor, scored: Tensor) -> None:
        """Take in predictions ``(B, T, N)``."""
        scored = scored.expand(true.shape)
        true, predicted = true.double(), predicted.double()

        def total(x: Tensor) -> Tensor:
            return torch.where(scored, x, 0.0).sum((0, 1), dtype=torch.float64)

        self.entries += total(torch.ones_like(true))
        self.counts += total(true)
        self.gain += total(true * predicted)
        self.expected += total(predicted.clamp(max=LARGEST_LOG_RATE).exp())
        self.squares += total(true.square())
        self.error += total((true - predicted).square())

    def bits(self) -> float:
        """Bits per spike over each unit's mean on the scored entries, all spikes alike.

        The mean over units, by which models are compared, is ruled by units with a handful of
        spikes in the hidden bins: too noisy to choose weights by.
        """
        kept = self.counts > 0
        if not kept.any():
            return float("nan")
        k, n = self.counts[kept], self.entries[kept]
        null = k * (k / n).log() - k
        gain = (self.gain[kept] - self.expected[kept] - null).sum()
        return float(gain / k.sum() / np.log(2.0))

    def r2(self) -> float:
        """R2 of traces, averaged over units."""
        total = self.squares - self.counts.square() / self.entries.clamp(min=1.0)
        # Rounding leaves a constant trace a trace of variance.
        kept = total > 1e-9 * self.squares
        return float((1.0 - self.error[kept] / total[kept]).mean()) if kept.any() else float("nan")


def _session_scores(
    model: nn.Module, session: Session, device: torch.device, masking: MaskingConfig
) -> dict[str, float]:
    encode, decode = scores_encoding(masking), scores_decoding(masking)
    rates: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    decoded: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for batch in _batches(session):
        if encode:
            encoded = _predict(model, batch, _hiding(batch, [NEURAL]), device)
            if encoded.activity is not None:
                rates.append(encoded.activity[batch.valid].float().cpu().numpy())
                counts.append(batch.activity[batch.valid].numpy())
        if decode:
            answer = _predict(model, batch, _hiding(batch, list(batch.behaviours)), device)
            for name, predicted in answer.behaviours.items():
                seen = batch.observed[name]
                decoded[name].append((predicted.cpu()[seen], batch.behaviours[name][seen]))
    scores = {}
    if rates:
        expected, recorded = np.concatenate(rates)[None], np.concatenate(counts)[None]
        valid = np.ones(recorded.shape[:2], dtype=bool)
        scores[NEURAL] = (
            bits_per_spike(np.exp(expected.clip(max=LARGEST_LOG_RATE)), recorded, valid)
            if session.info.is_poisson
            else r2(recorded[0], expected[0])
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
        return r2(true.numpy(), predicted.numpy())
    counts = torch.as_tensor(session.statistics.class_counts[behaviour.name]).float() + 1.0
    prior = functional.cross_entropy(counts.log().expand(len(true), -1), true)
    return float(1.0 - functional.cross_entropy(predicted, true) / prior)


def _hiding(batch: Batch, names: list[str]) -> Masks:
    return to_masks(batch, hide(batch, dict.fromkeys(names, True)))


def _predict(model: nn.Module, batch: Batch, masks: Masks, device: torch.device) -> Prediction:
    masks = masks_to(masks, device)
    return model([batch_to(batch, device)], [masks.visible], [masks.prompt])[0]


def _batches(session: Session) -> Iterator[Batch]:
    windows = session.indices("valid")
    for start in range(0, len(windows), CHUNK):
        yield session.batch(windows[start : start + CHUNK])
