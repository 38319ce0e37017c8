"""The metrics of the brain-wide benchmark, where they differ from :mod:`neuroduet.metrics`.

They are written from the formulas of the benchmark and compared with its scorer in the tests.
Two conventions are its own: a class that is predicted but never true lowers ``bacc`` (its recall
counts as 0), and ``mae`` of licking compares log-rates with counts.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, Real
from scipy.special import xlogy
from sklearn.metrics import average_precision_score

from neuroduet import metrics
from neuroduet.data.brainwide import REGIONS

SMALLEST = 1e-9
"""Rates and deviances below this are none."""


def class_scores(
    logits: Float[np.ndarray, "n K"], labels: Int[np.ndarray, " n"]
) -> dict[str, float]:
    """Scores of predicted classes.

    Args:
        logits: Logits; taken as probabilities if all lie between 0 and 1.
        labels: True classes.

    Returns:
        ``bacc``: recall averaged over classes that are true or predicted; ``f1``: the same average
        of F1; ``ap``: average precision of each class against the others, averaged over true
        classes.
    """
    guesses = logits.argmax(axis=1).astype(np.int64)
    present = np.union1d(labels, guesses)
    true = np.unique(labels)
    recall = {k: float((guesses[labels == k] == k).mean()) for k in true}
    return {
        "bacc": float(np.mean([recall.get(k, 0.0) for k in present])),
        "f1": metrics.macro_f1(labels, guesses),
        "ap": _average_precision(logits, labels, true),
    }


def value_scores(
    predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]
) -> dict[str, float]:
    """Scores of predicted values, all windows and bins together.

    Args:
        predicted: Predictions.
        true: True values.

    Returns:
        ``r2``, ``mae`` and ``pearson`` (nan where a side is constant).
    """
    x, y = predicted.astype(np.float64), true.astype(np.float64)
    varies = x.size > 1 and np.ptp(x) > 0 and np.ptp(y) > 0
    return {
        "r2": metrics.r2(y, x),
        "mae": float(np.abs(x - y).mean()),
        "pearson": float(np.corrcoef(x, y)[0, 1]) if varies else float("nan"),
    }


def count_scores(
    log_rates: Float[np.ndarray, " n"], counts: Real[np.ndarray, " n"]
) -> dict[str, float]:
    """Scores of predicted event counts.

    Args:
        log_rates: Natural log of the expected count per bin.
        counts: Counts.

    Returns:
        ``poisson_d2``, and ``mae`` between the log-rates and the counts, as the benchmark has it.
    """
    return {
        "poisson_d2": poisson_d2(log_rates[:, None], counts[:, None]),
        "mae": float(np.abs(log_rates.astype(np.float64) - counts).mean()),
    }


def activity_scores(
    log_rates: Float[np.ndarray, "n N"], counts: Real[np.ndarray, "n N"]
) -> dict[str, float]:
    """Scores of predicted activity.

    Args:
        log_rates: Natural log of the expected count per bin of each unit.
        counts: Spike counts.

    Returns:
        ``poisson_d2`` and ``bps``.
    """
    return {"poisson_d2": poisson_d2(log_rates, counts), "bps": pooled_bits(log_rates, counts)}


def poisson_d2(log_rates: Float[np.ndarray, "n N"], counts: Real[np.ndarray, "n N"]) -> float:
    """Deviance explained, averaged over units that fired and varied.

    Args:
        log_rates: Natural log of the expected count per bin of each unit.
        counts: Counts.

    Returns:
        1 for a perfect prediction, 0 for each unit's mean count; nan if no unit can be scored.

    Example:
        >>> y = np.array([[0.0], [1.0], [3.0]])
        >>> poisson_d2(np.full((3, 1), np.log(4 / 3)), y).__round__(6)
        0.0
    """
    losses, fired, saturated = _losses(log_rates, counts)
    rate = np.maximum(fired / max(len(counts), 1), SMALLEST)
    deviance = saturated - fired * np.log(rate)
    scored = (fired > 0) & (np.abs(deviance) >= SMALLEST)
    if not scored.any():
        return float("nan")
    return float(1 - ((losses - fired + saturated)[scored] / deviance[scored]).mean())


def pooled_bits(log_rates: Float[np.ndarray, "n N"], counts: Real[np.ndarray, "n N"]) -> float:
    """Bits per spike of all units together (NLB).

    Equal to :func:`neuroduet.metrics.bits_per_spike` with ``average="pooled"``, but computed from
    log-rates, which are not kept above a lowest rate here.

    Args:
        log_rates: Natural log of the expected count per bin of each unit.
        counts: Spike counts.

    Returns:
        Bits per spike; nan if no unit fired.
    """
    losses, fired, _ = _losses(log_rates, counts)
    rate = fired / max(len(counts), 1)
    kept = rate >= SMALLEST
    if not kept.any():
        return float("nan")
    null = fired[kept] * (1 - np.log(rate[kept]))
    return float((null.sum() - losses[kept].sum()) / (np.log(2.0) * fired[kept].sum()))


def region_scores(
    labels: Int[np.ndarray, " U"],
    guesses: Int[np.ndarray, " U"],
    names: tuple[str, ...] = REGIONS,
) -> dict[str, float]:
    """Scores of named regions; a region that is neither true nor named counts as 0.

    Args:
        labels: True regions, as indices into ``names``.
        guesses: Named regions.
        names: All regions.

    Returns:
        ``<region>/precision``, ``<region>/recall``, ``<region>/f1-score``, and ``macro/...``.
    """
    size = len(names)
    hits = np.bincount(labels[labels == guesses], minlength=size).astype(np.float64)
    true, claimed = (np.bincount(x, minlength=size) for x in (labels, guesses))
    scores: dict[str, float] = {}
    for metric, total in (
        ("precision", claimed),
        ("recall", true),
        ("f1-score", (true + claimed) / 2),
    ):
        values = np.divide(hits, total, out=np.zeros(size), where=total > 0)
        scores |= {
            f"{name}/{metric}": float(value) for name, value in zip(names, values, strict=True)
        }
        scores[f"macro/{metric}"] = float(values.mean())
    return scores


def _losses(log_rates: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Per unit: Poisson loss without its constant, number of spikes, and sum of y ln y."""
    x, y = log_rates.astype(np.float64), counts.astype(np.float64)
    # A diverged model predicts infinite rates; its score is then -inf or nan, as it should be.
    with np.errstate(over="ignore", invalid="ignore"):
        losses = np.exp(x).sum(axis=0) - (x * y).sum(axis=0)
    return losses, y.sum(axis=0), xlogy(y, y).sum(axis=0)


def _average_precision(logits: np.ndarray, labels: np.ndarray, true: np.ndarray) -> float:
    values = torch.from_numpy(logits.astype(np.float32))
    if bool((values < 0).any() or (values > 1).any()):
        values = values.softmax(dim=1)
    found = [average_precision_score(labels == k, values[:, int(k)].numpy()) for k in true]
    if not labels.any():  # the scorer leaves absent classes out, except where all are the first
        found += [0.0] * (values.shape[1] - 1)
    return float(np.mean(found))
