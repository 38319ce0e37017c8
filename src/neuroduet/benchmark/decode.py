"""Behaviour decoded in the test windows of the brain-wide benchmark, in the units it is scored."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, Real
from scipy.special import log_softmax, xlogy
from torch import Tensor
from torch_brain.data import Data

from neuroduet.benchmark.layout import behaviour_windows, has_behaviour
from neuroduet.benchmark.suites import BEHAVIOUR_TASKS, TARGET_BINS
from neuroduet.benchmark.truth import behaviour_truth
from neuroduet.data.session import Session
from neuroduet.errors import UserError
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.collect import Collected, collect
from neuroduet.tasks.task import batches_of
from neuroduet.types import Behaviour, Predictor

SHARES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)
"""How much of a predicted rate may come from the mean rate."""

SMALLEST_RATE = 1e-4
"""Expected count put in place of a prediction at or below 0, as share of the mean."""

NEVER = -20.0
"""Log-probability of a class that no training window holds."""


def decode_behaviour(
    predictor: Predictor, session: Session, recording: Data
) -> dict[str, dict[str, Tensor]]:
    """Predict every behaviour a predictor can decode.

    Args:
        predictor: Who predicts.
        session: The staged recording.
        recording: The recording as published.

    Returns:
        By task: ``predictions`` ``(N, 50, 1)`` or ``(N, 1, K)``, ``trial_id`` and, for values,
        ``timestamps``.

    Raises:
        UserError: A test window of the benchmark is not among the windows of the session.
    """
    found: dict[str, dict[str, Tensor]] = {}
    decoded: dict[tuple[str, str], dict[str, Collected]] = {}
    for behaviour in session.info.behaviours:
        task = BEHAVIOUR_TASKS.get(behaviour.name)
        if task is None or not has_behaviour(recording, task):
            continue
        for split in ("valid", "test") if task.counts else ("test",):
            if (task.window, split) not in decoded:
                rows = _rows(session, task.window, split)
                decoded[task.window, split] = _decode(predictor, session, rows)
        answers = decoded[task.window, "test"].get(behaviour.name)
        wanted = behaviour_windows(recording, behaviour.name, "test").trial
        if answers is None or len(wanted) == 0:
            continue
        order = _order(session, task.window, wanted)
        truth = behaviour_truth(recording, behaviour.name)
        tensors = {"trial_id": truth["trial_id"]}
        if task.classes:
            logits = whole_logits(answers.predicted[order], behaviour, task.classes)
            found[behaviour.name] = tensors | {"predictions": torch.from_numpy(logits[:, None])}
            continue
        bins = session.windows.bins[_rows(session, task.window, "test")]
        values = _last_bins(answers.predicted, bins)[order]
        if task.counts:
            values = _log_rates(values, decoded[task.window, "valid"], behaviour.name, session)
        found[behaviour.name] = tensors | {
            "predictions": torch.from_numpy(values.astype(np.float32)),
            "timestamps": truth["timestamps"],
        }
    return found


def whole_logits(
    logits: Float[np.ndarray, "W J"], behaviour: Behaviour, classes: int
) -> Float[np.ndarray, "W K"]:
    """Log-probabilities of all classes of the benchmark.

    Args:
        logits: Of the classes that the run knows.
        behaviour: Names those classes.
        classes: Number of classes of the benchmark.

    Returns:
        Log-probabilities; very low for classes that the run has never seen.
    """
    whole = np.full((len(logits), classes), NEVER, dtype=np.float32)
    columns = [int(float(value)) for value in behaviour.classes]
    whole[:, columns] = log_softmax(logits.astype(np.float64), axis=1)
    return whole


def mix_rates(
    predicted: Real[np.ndarray, " n"], share: float, mean: float
) -> Float[np.ndarray, " n"]:
    """Expected counts between the predicted ones and their mean.

    Args:
        predicted: Predicted counts, which squared error may have made negative.
        share: Share of the mean, 0 to 1.
        mean: Mean count per bin over training windows.

    Returns:
        Counts above 0.
    """
    rates = np.maximum(predicted.astype(np.float64), SMALLEST_RATE * mean)
    mixed: np.ndarray = (1 - share) * rates + share * mean
    return mixed


def choose_share(
    predicted: Real[np.ndarray, " n"], counts: Real[np.ndarray, " n"], mean: float
) -> float:
    """The share of the mean that makes predicted counts most likely.

    A squared error does not mind a rate of nearly 0 where an event follows; a Poisson
    likelihood does, without bound.

    Args:
        predicted: Predicted counts of validation windows.
        counts: True counts.
        mean: Mean count per bin over training windows, above 0.

    Returns:
        One of :data:`SHARES`; all of the mean where there is nothing to choose by.
    """
    if len(predicted) == 0:
        return SHARES[-1]
    mixed = [mix_rates(predicted, share, mean) for share in SHARES]
    losses = [float((rates - xlogy(counts, rates)).mean()) for rates in mixed]
    return SHARES[int(np.argmin(losses))]


def _log_rates(
    values: np.ndarray, valid: dict[str, Collected], name: str, session: Session
) -> np.ndarray:
    """Log of expected counts, held towards their mean as validation windows ask for."""
    mean = max(float(session.statistics.behaviour_mean[name][0]), 1e-6)
    seen = valid.get(name)
    share = SHARES[-1]
    if seen is not None:
        share = choose_share(seen.predicted[seen.scored][:, 0], seen.true[seen.scored][:, 0], mean)
    return np.log(mix_rates(values.reshape(-1), share, mean)).reshape(values.shape)


def _decode(
    predictor: Predictor, session: Session, rows: Int[np.ndarray, " W"]
) -> dict[str, Collected]:
    if len(rows) == 0:
        return {}
    task = Decoding()
    batches = list(batches_of(session, rows))
    return collect(predictor, batches, task, task.variants(session.info))


def _rows(session: Session, window: str, split: str) -> Int[np.ndarray, " W"]:
    """Windows of one kind in a split, in the order of the session."""
    indices = session.indices(split)
    if "window" not in session.trials:
        raise UserError(
            f"session '{session.info.id}' has no column trials.window; make it ready with "
            "neuroduet benchmark"
        )
    chosen: np.ndarray = indices[session.trials["window"][indices] == window]
    return chosen


def _order(session: Session, window: str, wanted: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Place of each wanted trial among the test windows of its kind."""
    rows = _rows(session, window, "test")
    trial = np.asarray(session.trials["trial_index"])[rows].astype(np.int64)
    place = {name: row for row, name in enumerate(trial.tolist())}
    missing = [name for name in wanted.tolist() if name not in place]
    if missing:
        raise UserError(
            f"session '{session.info.id}': trial {missing[0]} and {len(missing) - 1} others have "
            f"no whole {window}; the recording is shorter than its trials, so leave it out"
        )
    return np.array([place[name] for name in wanted.tolist()], dtype=np.int64)


def _last_bins(
    values: Float[np.ndarray, "W T C"], bins: Int[np.ndarray, " W"]
) -> Float[np.ndarray, "W 50 C"]:
    """The scored second of every window; windows are padded at their end."""
    rows = (bins - TARGET_BINS)[:, None] + np.arange(TARGET_BINS)
    chosen: np.ndarray = values[np.arange(len(values))[:, None], rows]
    return chosen
