"""How sure the scores of a run are: an interval for every session, from its windows or units."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from neuroduet.errors import UserError
from neuroduet.metrics.paired import compare_sessions
from neuroduet.report.folder import RunFolder, read_arrays
from neuroduet.report.headlines import Headline
from neuroduet.report.intervals import (
    FEWEST,
    Interval,
    bits_per_spike_draws,
    interval,
    mean_interval,
    r2_draws,
    recall_draws,
    window_weights,
)
from neuroduet.report.predicted import Activity, Decoded, Predicted, from_arrays

log = logging.getLogger(__name__)

SEED = 0
MAX_SESSIONS = 40
"""Sessions whose predictions are resampled: reading those of hundreds would take an hour."""

AGREE = 1e-3
"""Predictions that do not give the score of the table are of another model or split."""

Question = tuple[str, str, str]
"""Task, target and metric."""

Intervals = dict[tuple[str, str, str, str], Interval]
"""By task, target, metric and session."""


def session_intervals(
    folder: RunFolder,
    found: Sequence[Headline],
    names: Sequence[str],
    missing: list[str],
) -> Intervals:
    """Intervals of the primary scores of the run's model.

    Where a session's predictions are stored, windows are resampled; other scores of activity get
    an interval over units.

    Args:
        folder: The run, with scores.
        found: Headlines, whose scores get intervals.
        names: Sessions to resample the windows of.
        missing: A sentence is added for predictions that contradict the scores.

    Returns:
        Intervals of scores that are in the table and that they agree with.
    """
    questions = {(one.task, one.target, one.metric) for one in found}
    if folder.scores is None:
        return {}
    scores = folder.scores
    own = scores[(scores["model"] == folder.main) & (scores["split"].isin(["test", "all"]))]
    keys = own[["task", "target", "metric", "session"]].itertuples(index=False, name=None)
    pairs = zip(keys, own["value"].astype(float), strict=True)
    known = {key: value for key, value in pairs if key[:3] in questions}
    intervals = dict(_over_units(folder.own_units, known))
    for name in names:
        if name not in folder.predictions:
            continue
        try:
            arrays = read_arrays(folder.predictions[name])
            windows = question_intervals(from_arrays(name, arrays))
        except UserError:
            continue  # said where its predictions are drawn
        except Exception as error:  # arrays of any type and shape
            log.debug("no intervals of %s", name, exc_info=error)
            continue
        agreeing = _agreeing(windows, name, known)
        if len(agreeing) < len([q for q in windows if (*q, name) in known]):
            missing.append(
                f"predictions/{folder.predictions[name].name} does not give the scores of the "
                "table, so that these have no intervals over windows; run predict and evaluate "
                "again"
            )
        intervals |= agreeing
    return intervals


def question_intervals(found: Predicted) -> dict[Question, Interval]:
    """Intervals over the test windows of one session.

    Args:
        found: Its predictions.

    Returns:
        By task, target and metric, for encoding and decoding.
    """
    n_windows = len(found.trial)
    if n_windows < FEWEST:
        return {}
    weights = window_weights(n_windows, SEED)
    intervals: dict[Question, Interval] = {}
    if found.activity is not None:
        intervals |= _of_activity(found.activity, weights)
    for behaviour in found.behaviours:
        intervals |= _of_behaviour(behaviour, weights)
    return intervals


def _of_activity(activity: Activity, weights: np.ndarray) -> dict[Question, Interval]:
    predicted, observed = activity.predicted, activity.observed
    if activity.is_poisson and not np.isfinite(activity.bin_size_s):
        return {}
    if activity.is_poisson:
        bin_s = activity.bin_size_s
        draws = bits_per_spike_draws(predicted * bin_s, observed * bin_s, activity.valid, weights)
        question = ("encoding", "spikes", "bits_per_spike")
    else:
        draws = r2_draws(observed, predicted, activity.valid, weights)
        question = ("encoding", "traces", "r2")
    n = int(activity.valid.any(axis=1).sum())
    return {question: interval(draws, n, "test windows")}


def _of_behaviour(behaviour: Decoded, weights: np.ndarray) -> dict[Question, Interval]:
    seen = behaviour.observed
    n = int(seen.reshape(len(seen), -1).any(axis=1).sum())
    if not seen.any():
        return {}
    if not behaviour.classes:
        true, predicted = behaviour.true, behaviour.predicted
        if true.ndim == 2:  # one value per trial: a window of one bin
            true, predicted, seen = true[:, None], predicted[:, None], seen[:, None]
        draws = r2_draws(true, predicted, seen, weights)
        return {("decoding", behaviour.name, "r2"): interval(draws, n, "test windows")}
    labels = behaviour.true[seen].astype(np.int64)
    guesses = behaviour.predicted[seen].argmax(axis=-1).astype(np.int64)
    balanced, plain = recall_draws(labels, guesses, np.nonzero(seen)[0], weights)
    return {
        ("decoding", behaviour.name, "balanced_accuracy"): interval(balanced, n, "test windows"),
        ("decoding", behaviour.name, "accuracy"): interval(plain, n, "test windows"),
    }


def _agreeing(
    windows: Mapping[Question, Interval], session: str, known: Mapping[tuple[str, ...], float]
) -> Intervals:
    return {
        (*question, session): found
        for question, found in windows.items()
        if (*question, session) in known
        and abs(found.value - known[(*question, session)]) <= AGREE
    }


def _over_units(
    units: pd.DataFrame | None, known: Mapping[tuple[str, ...], float]
) -> Iterator[tuple[tuple[str, str, str, str], Interval]]:
    """Intervals of scores that are means over units, and of no others."""
    needed = {"task", "target", "metric", "session", "value"}
    if units is None or not needed <= set(units.columns):
        return
    for key, rows in units.groupby(["task", "target", "metric", "session"], sort=False):
        task, target, metric, session = (str(part) for part in key)
        if (task, target, metric, session) not in known:
            continue
        found = mean_interval(pd.to_numeric(rows["value"], errors="coerce").to_numpy(float), SEED)
        if abs(found.value - known[(task, target, metric, session)]) <= AGREE:
            yield (task, target, metric, session), found


def over_sessions(values: np.ndarray) -> tuple[float, float, str]:
    """What the scores of several sessions say about the mean.

    Args:
        values: Score of each session, ``(S,)``.

    Returns:
        Both ends and what they are: Student's 95 % interval with three sessions or more, the
        two scores with two; ``nan`` with fewer.
    """
    known = values[np.isfinite(values)].astype(np.float64)
    if len(known) >= 3:
        found = compare_sessions(known)
        return found.low, found.high, f"95 % interval over {len(known)} sessions"
    if len(known) == 2:
        return float(known.min()), float(known.max()), "the 2 sessions"
    return float("nan"), float("nan"), ""
