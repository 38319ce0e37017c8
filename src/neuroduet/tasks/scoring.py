"""From collected predictions to numbers: which metrics each kind of target gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from neuroduet import metrics
from neuroduet.tasks.collect import Collected
from neuroduet.types import UNLABELLED, Batch, Behaviour, SessionInfo

FEWEST_TRIALS = 5
"""Conditions with fewer trials are left out of ``psth_r2``: the average of a few is noise."""

FAST_HZ = 1.0
"""R2 of counts is averaged over units at or above this rate (NEDS)."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One metric of one target; see :class:`neuroduet.types.Score` for the fields."""

    metric: str
    value: float
    n: int
    null: float = 0.0
    channel: str = ""


@dataclass(frozen=True, kw_only=True)
class ActivityScores:
    """Metrics of the activity, and the same per unit: ``unit``, ``metric``, ``value`` ..."""

    measured: list[Measured]
    units: list[dict[str, Any]]


def conditions(batches: Sequence[Batch], behaviours: Sequence[Behaviour]) -> Int[np.ndarray, " W"]:
    """Condition of every window: its combination of the categorical behaviours given per trial.

    Args:
        batches: All windows in order.
        behaviours: Behaviours of the session; without any such behaviour there is one condition.

    Returns:
        Index of the condition, :data:`~neuroduet.types.UNLABELLED` where a label is missing.
    """
    n_windows = sum(len(batch.windows) for batch in batches)
    known = np.ones(n_windows, dtype=bool)
    labels = [np.zeros(n_windows, dtype=np.int64)]
    for behaviour in behaviours:
        if behaviour.kind == "categorical" and behaviour.per == "trial":
            name = behaviour.name
            labels.append(np.concatenate([b.behaviours[name].numpy() for b in batches]))
            known &= np.concatenate([b.observed[name].numpy() for b in batches])
    index = np.unique(np.stack(labels, axis=1), axis=0, return_inverse=True)[1]
    return np.where(known, index.reshape(-1), UNLABELLED).astype(np.int64)


def averaged(condition: Int[np.ndarray, " W"]) -> Int[np.ndarray, " W"]:
    """The conditions that are averaged: those of at least :data:`FEWEST_TRIALS` trials.

    Args:
        condition: Condition of every window.

    Returns:
        The same, :data:`~neuroduet.types.UNLABELLED` in conditions of fewer trials.

    Example:
        >>> averaged(np.array([0, 0, 0, 1, 0, 0, -1]))
        array([ 0,  0,  0, -1,  0,  0, -1])
    """
    _, place, counts = np.unique(condition, return_inverse=True, return_counts=True)
    return np.where(counts[place] >= FEWEST_TRIALS, condition, UNLABELLED).astype(np.int64)


def score_activity(
    found: Collected, info: SessionInfo, condition: Int[np.ndarray, " W"] | None
) -> ActivityScores:
    """Score predicted activity.

    Counts get bits per spike (``n`` is the number of spikes) and, over units of at least
    :data:`FAST_HZ` on the scored bins, ``r2`` (``n`` bins) and ``psth_r2`` (``n`` windows).
    Traces get ``r2`` and ``psth_r2`` over all units. All nulls are 0 by definition.

    Args:
        found: Log expected counts, or traces, merged over the parts of the task.
        info: The session.
        condition: Condition of every window, see :func:`averaged`, or ``None`` for no
            ``psth_r2``.

    Returns:
        Metrics; those that no unit can be scored on are left out.
    """
    valid, scored = _rectangle(found.scored, found.true.shape[2])
    true, predicted = found.true[:, :, scored], found.predicted[:, :, scored]
    if not valid.any() or not scored.any():
        return ActivityScores(measured=[], units=[])
    rate_hz = np.full(true.shape[2], np.nan)
    varying = np.ones(true.shape[2], dtype=bool)
    measured: list[Measured] = []
    per_unit: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    # A diverged model predicts infinite rates; its scores are then -inf or nan, as they should be.
    with np.errstate(over="ignore", invalid="ignore"):
        if info.is_poisson:
            predicted = np.exp(predicted)
            rate_hz = true[valid].mean(axis=0, dtype=np.float64) / info.bin_size_s
            varying = rate_hz >= FAST_HZ
            measured += _bits(predicted, true, valid)
            bits = metrics.bits_per_spike_by_unit(predicted, true, valid)
            per_unit["bits_per_spike"] = np.arange(len(bits)), bits
        y, p, chosen = true[:, :, varying], predicted[:, :, varying], np.flatnonzero(varying)
        if len(chosen):
            n = int(valid.sum())
            measured.append(Measured(metric="r2", value=metrics.r2(y[valid], p[valid]), n=n))
            per_unit["r2"] = chosen, metrics.r2_by_unit(y, p, valid)
        if len(chosen) and condition is not None and (condition != UNLABELLED).any():
            n = int((valid.any(axis=1) & (condition != UNLABELLED)).sum())
            value = metrics.psth_r2(p, y, valid, condition)
            measured.append(Measured(metric="psth_r2", value=value, n=n))
            per_unit["psth_r2"] = chosen, metrics.psth_r2_by_unit(p, y, valid, condition)
    rows = _unit_rows(per_unit, np.flatnonzero(scored), rate_hz, info)
    return ActivityScores(measured=[m for m in measured if m.n > 0], units=rows)


def score_behaviour(
    found: Collected, behaviour: Behaviour, class_counts: Int[np.ndarray, " K"] | None
) -> list[Measured]:
    """Score one decoded behaviour where it was observed.

    Args:
        found: Values or class logits.
        behaviour: What was decoded.
        class_counts: Training windows or bins of each class (categorical only).

    Returns:
        Continuous: ``r2`` over all bins or trials together, the mean over channels and each
        channel (``n`` values), and ``r2_per_trial`` (``n`` windows). Categorical: accuracy,
        balanced accuracy and macro F1 (``n`` labels). Nothing if it was never observed.
    """
    if not found.scored.any():
        return []
    if behaviour.kind == "categorical":
        return _classes(found, class_counts)
    return _values(found)


def _bits(rates: np.ndarray, counts: np.ndarray, valid: np.ndarray) -> list[Measured]:
    spikes = int(counts[valid].sum(dtype=np.float64))
    by_unit = metrics.bits_per_spike(rates, counts, valid)
    pooled = metrics.bits_per_spike(rates, counts, valid, average="pooled")
    return [
        Measured(metric="bits_per_spike", value=by_unit, n=spikes),
        Measured(metric="bits_per_spike_pooled", value=pooled, n=spikes),
    ]


def _values(found: Collected) -> list[Measured]:
    true, predicted = found.true[found.scored], found.predicted[found.scored]
    n = len(true)
    measured = [Measured(metric="r2", value=metrics.r2(true, predicted), n=n)]
    if true.shape[1] > 1:
        measured += [
            Measured(
                metric="r2",
                value=metrics.r2(true[:, channel], predicted[:, channel]),
                n=n,
                channel=f"[{channel}]",
            )
            for channel in range(true.shape[1])
        ]
    if found.scored.ndim == 2:
        value = metrics.r2_per_trial(found.true, found.predicted, found.scored)
        windows = int(found.scored.any(axis=1).sum())
        measured.append(Measured(metric="r2_per_trial", value=value, n=windows))
    return measured


def _classes(found: Collected, class_counts: np.ndarray | None) -> list[Measured]:
    labels, logits = found.true[found.scored].astype(np.int64), found.predicted[found.scored]
    guesses = logits.argmax(axis=-1).astype(np.int64)
    counted = np.bincount(labels) if class_counts is None else class_counts
    majority = np.full_like(labels, int(np.argmax(counted)))
    # An argmax would turn logits that are not numbers into a class.
    broken = bool(np.isnan(logits).any())
    nulls = {
        "accuracy": metrics.accuracy(labels, majority),
        "balanced_accuracy": 1.0 / len(np.unique(labels)),
        "macro_f1": metrics.macro_f1(labels, majority),
    }
    measures = {
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "macro_f1": metrics.macro_f1,
    }
    return [
        Measured(
            metric=name,
            value=float("nan") if broken else measure(labels, guesses),
            n=len(labels),
            null=nulls[name],
        )
        for name, measure in measures.items()
    ]


def _rectangle(
    scored: Bool[np.ndarray, "W T _"], n_units: int
) -> tuple[Bool[np.ndarray, "W T"], Bool[np.ndarray, " N"]]:
    """Scored bins and scored units; every scored unit must be scored in every scored bin."""
    if scored.shape[2] == 1:
        return scored[:, :, 0], np.ones(n_units, dtype=bool)
    bins, units = np.asarray(scored.any(axis=2)), np.asarray(scored.any(axis=(0, 1)))
    if not (scored == bins[:, :, None] & units).all():
        raise ValueError("a task scored different units in different bins; its parts must tile")
    return bins, units


def _unit_rows(
    per_unit: dict[str, tuple[np.ndarray, np.ndarray]],
    scored: np.ndarray,
    rate_hz: np.ndarray,
    info: SessionInfo,
) -> list[dict[str, Any]]:
    """One row per unit and metric; ``per_unit`` holds positions among the scored units."""
    return [
        {
            "unit": info.units[scored[position]],
            "region": "" if info.regions is None else info.regions[scored[position]],
            "metric": metric,
            "value": float(value),
            "rate_hz": float(rate_hz[position]),
        }
        for metric, (positions, values) in per_unit.items()
        for position, value in zip(positions, values, strict=True)
    ]
