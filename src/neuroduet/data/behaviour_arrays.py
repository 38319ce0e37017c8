"""Which kind of behaviour a plain array is: continuous or classes, per bin or per trial."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from neuroduet.data.layout import Layout
from neuroduet.data.tables import numbers, plain
from neuroduet.errors import UserError
from neuroduet.types import BehaviourKind, Per

MAX_FLOAT_CLASSES = 20
"""Whole numbers stored as floats and given once per trial are classes up to this many distinct
values; more integers than this are probably a continuous behaviour."""

MANY_CLASSES = 50
"""The same for integers given per bin."""


@dataclass(frozen=True, kw_only=True)
class BehaviourArray:
    """One behaviour, understood.

    Attributes:
        kind: Continuous or categorical.
        per: Per bin or per trial.
        values: One row per sample or trial.
        timestamps: Times of the samples (s); ``None`` per trial.
        half_bin_s: Time each sample stands for, before and after it (s).
    """

    kind: BehaviourKind
    per: Per
    values: Shaped[np.ndarray, "R *C"]
    timestamps: Float[np.ndarray, " R"] | None = None
    half_bin_s: float = 0.0


def read_behaviour(name: str, given: Any, layout: Layout) -> BehaviourArray:
    """Understand one entry of ``behaviours``.

    Args:
        name: Its name, for errors.
        given: Array, list of arrays, or tuple ``(times_s, values)``; or what a reader has
            understood already.
        layout: When bins and trials happened.

    Returns:
        The behaviour.

    Raises:
        UserError: The shape fits neither trials nor bins, or the values are no numbers or text.
    """
    if isinstance(given, BehaviourArray):
        return given
    if isinstance(given, tuple) and len(given) == 2 and np.ndim(given[0]) == 1:
        return _sampled(name, *given)
    if isinstance(given, list) and len(given) and np.ndim(given[0]) >= 1:
        return _ragged(name, given, layout)
    values = _plain(name, np.asarray(given))
    if layout.n_trials and values.shape == (layout.n_trials,):
        return _per_trial(name, values)
    if _fits_trials(values, layout):
        flat = values.reshape(-1, *values.shape[2:])
        return _per_bin(name, flat, layout.trial_centres(), layout)
    if _fits_time(values, layout):
        times = layout.trial_centres() if layout.by_trial else layout.time_centres(len(values))
        return _per_bin(name, values, times, layout)
    raise UserError(f"behaviour '{name}' has shape {values.shape}, expected {_expected(layout)}")


def _sampled(name: str, times_s: Any, values: Any) -> BehaviourArray:
    times = numbers(times_s, f"times of behaviour '{name}'").astype(np.float64)
    samples = _plain(name, np.asarray(values))
    if samples.ndim == 0 or len(times) != len(samples):
        raise UserError(
            f"behaviour '{name}' has {len(times)} times but values of shape {samples.shape}; "
            "give one value per time"
        )
    if not np.isfinite(times).all():
        raise UserError(f"behaviour '{name}' has missing times; leave those samples out")
    order = np.argsort(times, kind="stable")
    kind, samples = _kind_per_bin(name, samples[order])
    return BehaviourArray(kind=kind, per="bin", values=samples, timestamps=times[order])


def _ragged(name: str, given: list[Any], layout: Layout) -> BehaviourArray:
    trials = [_plain(name, np.asarray(trial)) for trial in given]
    lengths = [len(trial) for trial in trials]
    if layout.bins is None:
        raise UserError(f"behaviour '{name}' is given per bin; give bin_size_s (s) as well")
    if len(trials) != layout.n_trials:
        raise UserError(
            f"behaviour '{name}' has {len(trials)} trials, but there are {layout.n_trials}; give "
            "one array per trial"
        )
    wrong = np.flatnonzero(np.array(lengths) != layout.bins)
    if len(wrong):
        raise UserError(
            f"behaviour '{name}' has {lengths[wrong[0]]} bins in trial {wrong[0]}, but the trial "
            f"has {layout.bins[wrong[0]]}; give one value per bin"
        )
    return _per_bin(name, np.concatenate(trials), layout.trial_centres(), layout)


def _plain(name: str, values: np.ndarray) -> np.ndarray:
    """Numbers, or text; booleans become 0 and 1."""
    values = plain(values)
    if values.dtype.kind == "S":
        return values.astype(np.str_)
    if values.dtype.kind == "b":
        return values.astype(np.int64)
    if values.dtype.kind not in "iufU":
        raise UserError(
            f"behaviour '{name}' is of type {values.dtype}, expected numbers, booleans or text"
        )
    return values


def _per_trial(name: str, values: np.ndarray) -> BehaviourArray:
    if values.dtype.kind == "f" and not _are_classes(values):
        return BehaviourArray(kind="continuous", per="trial", values=values)
    _warn_of_many(name, values, MAX_FLOAT_CLASSES)
    return BehaviourArray(kind="categorical", per="trial", values=values)


def _are_classes(values: Float[np.ndarray, " K"]) -> bool:
    """Whether floats are a few whole numbers, some of them repeated.

    A fraction makes numbers of all of them, as in ``type_of_target`` of scikit-learn.
    """
    finite = values[np.isfinite(values)]
    distinct = np.unique(finite)
    whole = bool((distinct == np.round(distinct)).all())
    return whole and len(distinct) <= MAX_FLOAT_CLASSES and len(distinct) < len(finite)


def _per_bin(
    name: str, values: np.ndarray, timestamps: np.ndarray, layout: Layout
) -> BehaviourArray:
    kind, samples = _kind_per_bin(name, values)
    half_bin_s = (layout.bin_size_s or 0.0) / 2
    return BehaviourArray(
        kind=kind, per="bin", values=samples, timestamps=timestamps, half_bin_s=half_bin_s
    )


def _kind_per_bin(name: str, values: np.ndarray) -> tuple[BehaviourKind, np.ndarray]:
    if values.dtype.kind == "f":
        if values.ndim > 2:
            raise UserError(
                f"behaviour '{name}' has {values.ndim - 1} axes after time, expected channels "
                "only; flatten them into one axis"
            )
        return "continuous", values
    if values.ndim > 1 and values.shape[1:] == (1,):
        values = values[:, 0]
    if values.ndim > 1:
        raise UserError(
            f"behaviour '{name}' is of type {values.dtype} (classes) with {values.shape[1]} "
            "channels, expected one class per bin; give floats if it is continuous"
        )
    _warn_of_many(name, values, MANY_CLASSES)
    return "categorical", values


def _warn_of_many(name: str, values: np.ndarray, limit: int) -> None:
    """Warn of integers that are more classes than anybody has; text is meant as it is given."""
    many = len(np.unique(values)) if values.dtype.kind in "iu" else 0
    if many > limit:
        warnings.warn(
            f"behaviour '{name}' has {many} distinct integers, read as classes; give floats if it "
            "is continuous, and text if they are names",
            stacklevel=6,
        )


def _fits_trials(values: np.ndarray, layout: Layout) -> bool:
    if layout.bins is None or layout.n_trials == 0 or values.ndim < 2:
        return False
    same = (layout.bins == layout.bins[0]).all()
    return bool(same) and values.shape[:2] == (layout.n_trials, int(layout.bins[0]))


def _fits_time(values: np.ndarray, layout: Layout) -> bool:
    if values.ndim not in (1, 2) or layout.bin_size_s is None:
        return False
    if layout.by_trial and layout.bins is not None:
        return len(values) == int(layout.bins.sum())
    if layout.time_bins is not None:
        return len(values) == layout.time_bins
    # Events alone do not say how long a series is, but one row per trial is not a series.
    return not (values.ndim == 2 and len(values) == layout.n_trials)


def _expected(layout: Layout) -> str:
    n, bins = layout.n_trials, layout.bins
    shapes = [f"({n},) for one value per trial"] if n else []
    if bins is None or layout.bin_size_s is None:
        shapes.append("bin_size_s to be given for values per bin, or a tuple (times_s, values)")
    elif n and (bins == bins[0]).all():
        shapes.append(f"({n}, {bins[0]}[, C]) for one per bin")
    elif n:
        shapes.append(f"a list of {n} arrays with the bins of each trial")
    if layout.time_bins is not None:
        shapes.append(f"({layout.time_bins}[, C]) for one per bin")
    return ", or ".join(shapes) + " (are the axes transposed?)"
