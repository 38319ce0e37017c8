"""Predictions of one session against what happened, as arrays ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuroduet.metrics import bits_per_spike_by_unit, r2_by_unit
from neuroduet.tasks.scoring import FEWEST_TRIALS, averaged
from neuroduet.types import UNLABELLED

MAX_GROUPS = 4
ACTIVITY_KEYS = ("true/counts", "true/traces", "true/activity")


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Predicted and observed activity in test windows.

    Attributes:
        predicted: Rate (Hz), or traces; ``(W, T, N)``.
        observed: Spikes per second in each bin, or traces; ``(W, T, N)``.
        valid: Which bins exist; ``(W, T)``.
        units: Unit ids; ``(N,)``.
        score: Bits per spike (counts) or R2 (traces) of each unit; ``nan`` if undefined.
        is_poisson: Whether the activity is counts.
        bin_size_s: Bin width (s).
        regions: Region of each unit, empty where none is known; ``()`` if nobody said.
    """

    predicted: np.ndarray
    observed: np.ndarray
    valid: np.ndarray
    units: np.ndarray
    score: np.ndarray
    is_poisson: bool
    bin_size_s: float
    regions: tuple[str, ...] = ()

    def ranked(self) -> np.ndarray:
        """Units with a score, best first."""
        known = np.flatnonzero(np.isfinite(self.score))
        return known[np.argsort(-self.score[known], kind="stable")]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """One decoded behaviour in test windows.

    Attributes:
        name: The behaviour.
        true: ``(W, T, C)`` or ``(W, C)`` values, or ``(W, T)`` or ``(W,)`` class indices.
        predicted: Values of the same shape, or class probabilities with a last axis K.
        observed: ``(W, T)`` or ``(W,)``; false where the true value is missing.
        classes: Names of the classes; empty if the behaviour is continuous.
    """

    name: str
    true: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Predictions of one session.

    Attributes:
        session: Session id.
        activity: Activity, if it was predicted and the truth is stored.
        behaviours: Behaviours with a stored truth.
        trial: Trial of each test window, -1 if it is none; ``(W,)``.
        bin_size_s: Bin width (s).
        condition: Condition of each window, -1 if unknown; ``(W,)``.
        condition_names: What the conditions are; ``("all trials",)`` without any.
        split: Split of the windows.
        start_s: Time of the first bin's left edge relative to ``event`` (s).
        event: What time is counted from.
    """

    session: str
    activity: Activity | None
    behaviours: tuple[Decoded, ...]
    trial: np.ndarray
    bin_size_s: float
    condition: np.ndarray
    condition_names: tuple[str, ...]
    split: str
    start_s: float = 0.0
    event: str = "window start"

    @property
    def by_trial(self) -> bool:
        """Whether windows are trials."""
        return bool((self.trial >= 0).any())

    @property
    def step_s(self) -> float:
        """Bin width of time axes (s), 1 where it is unknown."""
        return self.bin_size_s if np.isfinite(self.bin_size_s) else 1.0

    def window_name(self, window: int) -> str:
        """What a reader calls a window."""
        number = int(self.trial[window])
        return f"trial {number}" if number >= 0 else f"window {window}"


def from_arrays(session: str, arrays: Mapping[str, np.ndarray]) -> Predicted:
    """Gather the test windows of a prediction file.

    Args:
        session: Session id.
        arrays: As ``predict`` writes them: ``split``, ``valid``, ``bin_size_s``,
            ``encoding/log_rates`` or ``encoding/traces``, ``decoding/<name>``, ``classes/<name>``,
            ``true/...`` and ``observed/<name>``. Any may be missing.

    Returns:
        Whatever can be compared with a truth; all windows where no split is called ``test``.
    """
    n_windows = max((len(a) for a in arrays.values() if a.ndim), default=0)
    split = arrays.get("split", np.full(n_windows, "all")).astype(str)
    chosen = split == "test" if (split == "test").any() else np.ones(len(split), dtype=bool)
    behaviours = tuple(
        found
        for key in arrays
        if key.startswith("decoding/")
        and (found := _decoded(key.removeprefix("decoding/"), arrays, chosen)) is not None
    )
    bin_size_s = float(arrays.get("bin_size_s", np.nan))
    condition, names = conditions(behaviours, int(chosen.sum()))
    return Predicted(
        session=session,
        activity=_activity(arrays, chosen, bin_size_s),
        behaviours=behaviours,
        trial=arrays.get("trial", np.full(len(split), -1))[chosen],
        bin_size_s=bin_size_s,
        condition=condition,
        condition_names=names,
        split="test" if (split == "test").any() else "all",
    )


def conditions(
    behaviours: tuple[Decoded, ...], n_windows: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Divide windows by the first categorical behaviour given once per trial.

    Args:
        behaviours: Behaviours of the session.
        n_windows: Number of windows W.

    Returns:
        Condition of each window ``(W,)``, -1 if unknown, and the conditions' names. Without a
        behaviour of few enough classes all windows are one condition.
    """
    for behaviour in behaviours:
        if not behaviour.classes or behaviour.true.ndim != 1:
            continue
        index = np.where(behaviour.observed, behaviour.true, -1).astype(np.int64)
        common = [k for k in np.unique(index[index >= 0]) if (index == k).sum() >= FEWEST_TRIALS]
        if 2 <= len(common) <= MAX_GROUPS:
            place = {int(k): i for i, k in enumerate(common)}
            names = tuple(f"{behaviour.name} {behaviour.classes[k]}" for k in common)
            return np.array([place.get(int(k), -1) for k in index], dtype=np.int64), names
    return np.zeros(n_windows, dtype=np.int64), ("all trials",)


def combinations(found: Predicted) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The conditions that ``psth_r2`` averages over, which may be finer than those drawn.

    Args:
        found: Predictions of a session.

    Returns:
        Names of the categorical behaviours given once per trial, and the number of test trials of
        each of their combinations that has :data:`~neuroduet.tasks.scoring.FEWEST_TRIALS`.
    """
    labels = [one for one in found.behaviours if one.classes and one.true.ndim == 1]
    stacked = np.array([np.zeros(len(found.trial)), *(one.true for one in labels)], dtype=np.int64)
    known = np.all([np.ones(len(found.trial), bool), *(one.observed for one in labels)], axis=0)
    place = np.unique(stacked, axis=1, return_inverse=True)[1].reshape(-1)
    kept = averaged(np.where(known, place, UNLABELLED).astype(np.int64))
    counts = np.unique(kept[kept != UNLABELLED], return_counts=True)[1]
    return tuple(one.name for one in labels), tuple(int(n) for n in counts)


def _activity(
    arrays: Mapping[str, np.ndarray], chosen: np.ndarray, bin_size_s: float
) -> Activity | None:
    key = "encoding/log_rates" if "encoding/log_rates" in arrays else "encoding/traces"
    true_key = next((name for name in ACTIVITY_KEYS if name in arrays), None)
    if key not in arrays or true_key is None:
        return None
    predicted = arrays[key][chosen].astype(np.float64)
    true = arrays[true_key][chosen].astype(np.float64)
    if predicted.shape != true.shape or predicted.size == 0:
        return None
    valid = arrays.get("valid", np.ones(arrays[key].shape[:2], dtype=bool))[chosen]
    units = arrays.get("units", np.arange(true.shape[2])).astype(str)
    is_poisson = key.endswith("log_rates")
    per_second = 1.0 / bin_size_s if is_poisson and np.isfinite(bin_size_s) else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.exp(predicted) if is_poisson else predicted
        if is_poisson:
            score = bits_per_spike_by_unit(expected, true, valid)
        else:
            score = r2_by_unit(true, expected, valid)
    return Activity(
        # A diverged model predicts infinite rates; its scores say so, no axis could.
        predicted=np.where(np.isfinite(expected), expected, np.nan) * per_second,
        observed=true * per_second,
        valid=valid,
        units=units,
        score=score,
        is_poisson=is_poisson,
        bin_size_s=bin_size_s,
    )


def _decoded(name: str, arrays: Mapping[str, np.ndarray], chosen: np.ndarray) -> Decoded | None:
    if f"true/{name}" not in arrays:
        return None
    true, predicted = arrays[f"true/{name}"], arrays[f"decoding/{name}"]
    is_class = true.ndim == predicted.ndim - 1
    shape = true.shape if is_class else true.shape[:-1]
    observed = arrays.get(f"observed/{name}", np.ones(shape, dtype=bool)) & _exists(arrays, shape)
    default = np.arange(predicted.shape[-1]) if is_class else np.zeros(0)
    names = arrays.get(f"classes/{name}", default) if is_class else default
    return Decoded(
        name=name,
        true=true[chosen],
        predicted=predicted[chosen].astype(np.float64),
        observed=observed[chosen],
        classes=tuple(str(label) for label in names.tolist()),
    )


def _exists(arrays: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Bins that exist, for values per bin; true for values per trial."""
    valid = arrays.get("valid")
    return valid if len(shape) == 2 and valid is not None else np.ones(shape, dtype=bool)
