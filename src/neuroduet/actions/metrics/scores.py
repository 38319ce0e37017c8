"""Score tables of predicted classes and of unsupervised states, with intervals and nulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from neuroduet.actions.metrics.frames import mean_of_present
from neuroduet.actions.metrics.inputs import (
    Labels,
    Probabilities,
    Scored,
    class_names,
    scored_recordings,
)
from neuroduet.actions.metrics.intervals import Interval, bootstrap, paired_difference
from neuroduet.actions.metrics.measures import (
    MEASURES,
    PROBABILITY_MEASURES,
    STATE_MEASURES,
    Measure,
    Statistics,
    class_statistics,
    probability_statistics,
    state_statistics,
)
from neuroduet.actions.metrics.nulls import constant_probabilities, shuffled_bouts
from neuroduet.types import UNLABELLED

COLUMNS = [
    "metric",
    "class",
    "value",
    "low",
    "high",
    "null_shuffled",
    "null_constant",
    "n",
    "definition",
]
"""Columns of a score table, in order."""

EVERY_CLASS = "all"
"""Entry of the column ``class`` of a metric that has one number for all classes."""

SHUFFLES = 5
"""Permutations of the bouts over which the shuffled null is averaged."""


def score_actions(
    truth: Labels,
    predicted: Labels,
    names: Sequence[str] | None = None,
    probabilities: Probabilities | None = None,
    *,
    intervals: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """Score predicted classes against labels.

    Frames are pooled over recordings; unlabelled ones, and recordings without a labelled frame,
    are not scored. Predicting no class, or one that is not among the names, is a miss.

    Args:
        truth: True classes of each recording, 0 to K-1 or unlabelled.
        predicted: Predicted classes of each recording.
        names: Names of the K classes; their numbers if ``None``.
        probabilities: Class probabilities of each recording, ``(T, K)``; adds their metrics.
        intervals: Whether to resample recordings for intervals; else ``low`` and ``high`` are nan.
        seed: Seed of the resampling and of the shuffled null.

    Returns:
        Rows with the columns :data:`COLUMNS`: each metric of each class, or of ``all``; ``low``
        and ``high`` of its 95 % bootstrap interval over recordings (nan with fewer than two);
        what it reads for the same predictions with their bouts in another order (as many, of the
        same durations), and for always the most frequent class of the scored frames (for
        probabilities: always the frequencies of their classes); the frames, true segments
        (``f1@``) or recordings (``edit``) it rests on; and its definition.

    Raises:
        UserError: If the inputs do not fit together or no frame is labelled.

    Example:
        >>> truth = [np.array([0, 0, 0, 1, 1]), np.array([1, 1, -1, 0])]
        >>> scores = score_actions(truth, truth, names=["still", "walk"])
        >>> scores.set_index(["metric", "class"]).loc[("f1", "walk"), "value"]
        np.float64(1.0)
    """
    scored = scored_recordings(truth, predicted, probabilities)
    names = class_names(scored, names)
    generator = np.random.default_rng(seed)
    shuffled = [
        _shuffle(scored, [shuffled_bouts(p, generator) for p in scored.predicted])
        for _ in range(SHUFFLES)
    ]
    sums = _statistics(scored, len(names))
    nulls = [_statistics(one, len(names)) for one in shuffled]
    constant = _statistics(_constant(scored, len(names)), len(names))
    measures = MEASURES if probabilities is None else {**MEASURES, **PROBABILITY_MEASURES}
    return _table(measures, sums, nulls, constant, names, seed if intervals else None)


def score_states(
    truth: Labels,
    states: Labels,
    names: Sequence[str] | None = None,
    *,
    intervals: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """Score states found without labels against labels.

    States are matched to classes on the frames that are scored, and again in every resample and
    for the nulls, so the nulls read what matching alone achieves.

    Args:
        truth: True classes of each recording, 0 to K-1 or unlabelled.
        states: State of every frame of each recording, from 0; their number may differ from K.
        names: Names of the K classes; their numbers if ``None``.
        intervals: Whether to resample recordings for intervals.
        seed: Seed of the resampling and of the shuffled null.

    Returns:
        Rows with the columns :data:`COLUMNS`, as :func:`score_actions` gives them; the constant
        null is a single state for all frames.

    Raises:
        UserError: If the inputs do not fit together or no frame is labelled.
    """
    scored = scored_recordings(truth, states, None)
    names = class_names(scored._replace(predicted=[]), names)
    n_states = 1 + max(int(s.max()) for s in scored.predicted)
    generator = np.random.default_rng(seed)

    def count(given: Labels) -> Statistics:
        return state_statistics(scored.truth, given, len(names), max(n_states, 1))

    nulls = [
        count([s[shuffled_bouts(s, generator)] for s in scored.predicted]) for _ in range(SHUFFLES)
    ]
    constant = count([np.zeros_like(s) for s in scored.predicted])
    sums = count(scored.predicted)
    return _table(STATE_MEASURES, sums, nulls, constant, names, seed if intervals else None)


def compare_actions(
    truth: Labels,
    first: Labels,
    second: Labels,
    names: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """How much better one model is than another on the same recordings.

    Args:
        truth: True classes of each recording, 0 to K-1 or unlabelled.
        first: Predicted classes of the first model.
        second: Predicted classes of the second model.
        names: Names of the K classes; their numbers if ``None``.
        seed: Seed of the resampling, which draws the same recordings for both.

    Returns:
        ``metric``, ``class``, ``value`` (first minus second), and ``low`` and ``high`` of the
        95 % bootstrap interval of that difference over recordings.

    Raises:
        UserError: If the inputs do not fit together or no frame is labelled.
    """
    one, other = scored_recordings(truth, first, None), scored_recordings(truth, second, None)
    names = class_names(one._replace(predicted=[*one.predicted, *other.predicted]), names)
    a, b = (_statistics(scored, len(names)) for scored in (one, other))
    rows: list[dict[str, object]] = []
    for metric, measure in MEASURES.items():
        pair = a[measure.statistic], b[measure.statistic]
        found = paired_difference(*pair, measure.metric, seed=seed)
        columns = zip(*(np.atleast_1d(x) for x in found), strict=True)
        for label, (value, low, high) in zip(_classes(measure, names), columns, strict=True):
            rows.append(
                {"metric": metric, "class": label, "value": value, "low": low, "high": high}
            )
    return pd.DataFrame(rows)


def _statistics(scored: Scored, n_classes: int) -> Statistics:
    found = dict(class_statistics(scored.truth, scored.predicted, n_classes))
    if scored.probabilities is not None:
        found.update(probability_statistics(scored.truth, scored.probabilities))
    return found


def _shuffle(scored: Scored, orders: Sequence[np.ndarray]) -> Scored:
    predicted = [p[order] for p, order in zip(scored.predicted, orders, strict=True)]
    if scored.probabilities is None:
        return scored._replace(predicted=predicted)
    shuffled = [p[order] for p, order in zip(scored.probabilities, orders, strict=True)]
    return scored._replace(predicted=predicted, probabilities=shuffled)


def _constant(scored: Scored, n_classes: int) -> Scored:
    """The most frequent class everywhere, and the frequencies of the classes as probabilities."""
    labels = np.concatenate(scored.truth)
    share = np.bincount(labels[labels != UNLABELLED], minlength=n_classes).astype(float)
    predicted = [np.full(len(p), share.argmax()) for p in scored.predicted]
    if scored.probabilities is None:
        return scored._replace(predicted=predicted)
    same = [constant_probabilities(len(p), share / share.sum()) for p in scored.probabilities]
    return scored._replace(predicted=predicted, probabilities=same)


def _table(
    measures: Mapping[str, Measure],
    statistics: Statistics,
    shuffled: Sequence[Statistics],
    constant: Statistics,
    names: Sequence[str],
    seed: int | None,
) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for metric, measure in measures.items():
        own = statistics[measure.statistic]
        found = _interval(own, measure, seed)
        draws = np.stack([measure.metric(s[measure.statistic].sum(0)) for s in shuffled])
        columns = {
            **found._asdict(),
            "null_shuffled": mean_of_present(np.moveaxis(draws, 0, -1)),
            "null_constant": measure.metric(constant[measure.statistic].sum(0)),
            "n": measure.size(own.sum(0)).astype(int),
        }
        for k, label in enumerate(_classes(measure, names)):
            values = {name: np.atleast_1d(column)[k] for name, column in columns.items()}
            rows.append(
                {"metric": metric, "class": label, **values, "definition": measure.definition}
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _interval(statistics: np.ndarray, measure: Measure, seed: int | None) -> Interval:
    if seed is not None:
        return bootstrap(statistics, measure.metric, seed=seed)
    value = measure.metric(statistics.sum(0))
    return Interval(value, np.full_like(value, np.nan), np.full_like(value, np.nan))


def _classes(measure: Measure, names: Sequence[str]) -> Sequence[str]:
    return names if measure.per_class else (EVERY_CLASS,)
