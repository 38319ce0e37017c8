"""The forms in which arrays are given, and given back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from neuroduet.data.layout import stack
from neuroduet.errors import UserError

ONLY = "behaviour"
"""Name of a behaviour that was given as one array."""


def trial_bins(name: str, activity: Any) -> Int[np.ndarray, " W"]:
    """Number of bins of every trial.

    Args:
        name: What to call the array in an error.
        activity: ``(trials, bins, units)``, or a list of ``(bins, units)``.

    Raises:
        UserError: It is neither.
    """
    bins = stack(name, activity)[1]
    if bins is None:
        raise UserError(
            f"{name} has shape {np.shape(activity)}, expected (trials, bins, units) or a list of "
            "(bins, units); cut it into trials first"
        )
    return bins


def require_activity(name: str, kind: str, activity: Any) -> None:
    """Refuse activity without trials, with missing values, or without counts if expected.

    Args:
        name: What to call the array in an error.
        kind: ``counts`` or ``traces``.
        activity: ``(trials, bins, units)``, or a list of ``(bins, units)``.

    Raises:
        UserError: It holds no trial, missing values, or fractions where counts are expected.
    """
    if isinstance(activity, Sized):
        require_trials(name, len(activity))
    values = stack(name, activity)[0]
    if not np.isfinite(values).all():
        raise UserError(f"{name} holds values that are not finite; leave those trials or bins out")
    if kind == "counts" and ((values < 0).any() or (values != np.round(values)).any()):
        raise UserError(
            f"{name} holds negative or fractional numbers, expected counts of spikes; give "
            'activity="traces" for calcium or LFP'
        )


def require_trials(name: str, count: int) -> None:
    """Refuse an array without trials.

    Raises:
        UserError: It has none.
    """
    if count == 0:
        raise UserError(f"{name} holds no trial, expected at least one; give some trials")


def is_single(given: Any) -> bool:
    """Whether behaviour was given as one array, and not by name."""
    by_trial = isinstance(given, list | tuple) and len(given) > 0 and isinstance(given[0], Mapping)
    return not (isinstance(given, Mapping) or by_trial)


def by_name(given: Any) -> dict[str, Any]:
    """Behaviours by name, from one array, a dict of arrays, or a list with one dict per trial.

    Args:
        given: Behaviours.

    Returns:
        Arrays of all trials, or lists with one array per trial.

    Raises:
        UserError: A trial lacks a behaviour that another has.
    """
    if isinstance(given, Mapping):
        return {str(name): values for name, values in given.items()}
    if is_single(given):
        return {ONLY: given}
    names = {str(name): None for trial in given for name in trial}
    for index, trial in enumerate(given):
        missing = [name for name in names if name not in trial]
        if missing:
            raise UserError(
                f"trial {index} lacks the behaviour '{missing[0]}', expected every trial to have "
                f"{', '.join(names)}; give nan where it is missing"
            )
    return {name: _gathered([trial[name] for trial in given]) for name in names}


def _gathered(values: Sequence[Any]) -> Any:
    """One array if every trial has one value, else one array per trial."""
    scalar = all(np.ndim(value) == 0 for value in values)
    return np.asarray(values) if scalar else [np.asarray(value) for value in values]


def bins_of(values: Any) -> Int[np.ndarray, " W"]:
    """Number of bins of every trial of a behaviour with one value per bin.

    Raises:
        UserError: It is no array of trials.
    """
    if not isinstance(values, list | tuple) and np.ndim(values) == 0:
        raise UserError(
            f"found {values!r} as behaviour, expected (trials, bins); give one row for each trial"
        )
    return np.array([np.shape(trial)[0] if np.ndim(trial) else 0 for trial in values], dtype=int)


def in_form_of(
    values: Shaped[np.ndarray, "W T *rest"], bins: Int[np.ndarray, " W"], ragged: bool
) -> Any:
    """Values per bin as they were asked for: one array, or one per trial without padding."""
    return [row[:n] for row, n in zip(values, bins, strict=True)] if ragged else values
