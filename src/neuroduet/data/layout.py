"""When the bins and trials of plain arrays happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from neuroduet.data.tables import numbers
from neuroduet.errors import UserError, unsuitable

TRIAL_GAP_S = 1.0
"""Pause between trials whose times were not given (s)."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Times of trials and bins.

    Attributes:
        bin_size_s: Width of a bin (s), if known.
        start_s: Start of each trial (s); empty without trials.
        end_s: End of each trial (s).
        bins: Bins of each trial; ``None`` while the width of a bin is unknown.
        time_bins: Bins of an activity array ``(time, units)``; ``None`` otherwise.
        by_trial: Whether the activity was given trial by trial.
    """

    bin_size_s: float | None
    start_s: Float[np.ndarray, " K"]
    end_s: Float[np.ndarray, " K"]
    bins: Int[np.ndarray, " K"] | None
    time_bins: int | None
    by_trial: bool

    @property
    def n_trials(self) -> int:
        """Number of trials; 0 without a trial table."""
        return len(self.start_s)

    def trial_centres(self) -> Float[np.ndarray, " R"]:
        """Centres of the bins of all trials, one trial after the other (s)."""
        if self.bins is None or self.bin_size_s is None:
            raise UserError("bin_size_s is needed to place values per bin; give it in seconds")
        total = int(self.bins.sum())
        within = np.arange(total) - np.repeat(np.cumsum(self.bins) - self.bins, self.bins)
        return np.repeat(self.start_s, self.bins) + (within + 0.5) * self.bin_size_s

    def time_centres(self, n_bins: int) -> Float[np.ndarray, " R"]:
        """Centres of bins that follow each other from 0 s."""
        if self.bin_size_s is None:
            raise UserError("bin_size_s is needed to place values per bin; give it in seconds")
        return (np.arange(n_bins) + 0.5) * self.bin_size_s


def stack(name: str, given: Any) -> tuple[np.ndarray, Int[np.ndarray, " K"] | None]:
    """Bring activity into one array.

    Args:
        name: What to call it in an error.
        given: ``(trials, bins, units)``, list of ``(bins_i, units)``, or ``(time, units)``.

    Returns:
        ``(time, units)``, and the bins of each trial (``None`` if given as ``(time, units)``).
    """
    values, bins = _flat(name, given)
    if 0 in values.shape:
        raise UserError(
            f"{name} has {len(values)} bins of {values.shape[1]} units, expected at least one of "
            "each; give an array that is not empty"
        )
    return values, bins


def _flat(name: str, given: Any) -> tuple[np.ndarray, Int[np.ndarray, " K"] | None]:
    if isinstance(given, list | tuple) and len(given) and np.ndim(given[0]) == 2:
        trials = [numbers(trial, name) for trial in given]
        widths = {trial.shape[1:] for trial in trials}
        if len(widths) > 1:
            raise UserError(
                f"trials of {name} have shapes {sorted(widths)} after their first axis, expected "
                "(bins, units) with the same units in every trial"
            )
        return np.concatenate(trials), np.array([len(trial) for trial in trials])
    values = numbers(given, name)
    if values.ndim == 3:
        n_trials, n_bins, n_units = values.shape
        return values.reshape(n_trials * n_bins, n_units), np.full(n_trials, n_bins)
    if values.ndim == 2:
        return values, None
    raise UserError(
        f"{name} has shape {values.shape}, expected (trials, bins, units), (time, units) or a "
        "list of (bins, units)"
    )


def lay_out(
    bin_size_s: float | None,
    trials: Mapping[str, np.ndarray],
    n_time: int | None,
    bins: Int[np.ndarray, " K"] | None,
) -> Layout:
    """Decide when trials and bins happened.

    Args:
        bin_size_s: Width of a bin (s).
        trials: Columns of the trial table, as given.
        n_time: Length of the activity array; ``None`` for events.
        bins: Bins of each trial; ``None`` unless the activity was given by trial.

    Returns:
        The layout.

    Raises:
        UserError: Columns have different lengths or impossible times.
    """
    if not isinstance(bin_size_s, Real | None):
        raise unsuitable("bin_size_s", bin_size_s, "a number of seconds", "write 0.02 for 20 ms")
    if bin_size_s is not None and not 0 < bin_size_s < float("inf"):
        raise UserError(f"bin_size_s is {bin_size_s}, expected seconds above 0")
    if n_time is not None and bin_size_s is None:
        raise UserError("bin_size_s is missing; binned activity needs the width of a bin (s)")
    n_trials = _common_length(trials, None if bins is None else len(bins))
    start_s, end_s = (_times(trials, name) for name in ("start", "end"))
    by_trial = bins is not None
    if bins is not None and bin_size_s is not None:
        start_s, end_s = _trial_times(bins, bin_size_s, start_s, end_s)
    elif n_trials and (start_s is None or end_s is None):
        raise UserError(
            "trials needs the columns start and end (s), because activity is not given by trial; "
            f"found {', '.join(trials)}"
        )
    if start_s is None or end_s is None:
        start_s = end_s = np.zeros(0)
    if bins is None and bin_size_s is not None:
        bins = np.round((end_s - start_s) / bin_size_s).astype(np.int64)
    return Layout(
        bin_size_s=bin_size_s,
        start_s=start_s,
        end_s=end_s,
        bins=bins,
        time_bins=None if by_trial else n_time,
        by_trial=by_trial,
    )


def _common_length(trials: Mapping[str, np.ndarray], n_trials: int | None) -> int:
    """The number of trials all columns agree on."""
    lengths = {name: len(np.atleast_1d(values)) for name, values in trials.items()}
    expected = n_trials if n_trials is not None else next(iter(lengths.values()), 0)
    wrong = [f"{name} has {length}" for name, length in lengths.items() if length != expected]
    if wrong:
        source = "the activity has" if n_trials is not None else f"{next(iter(lengths))} has"
        raise UserError(
            f"columns of trials differ in length: {', '.join(wrong)}, but {source} {expected} "
            "trials; give every column one entry per trial"
        )
    return expected


def _times(trials: Mapping[str, np.ndarray], name: str) -> Float[np.ndarray, " K"] | None:
    if name not in trials:
        return None
    values = numbers(trials[name], f"trials column {name}").astype(np.float64)
    if not np.isfinite(values).all():
        raise UserError(f"trials column {name} holds missing times; leave those trials out")
    return values


def _trial_times(
    bins: Int[np.ndarray, " K"],
    bin_size_s: float,
    start_s: Float[np.ndarray, " K"] | None,
    end_s: Float[np.ndarray, " K"] | None,
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Start and end of trials of known length."""
    if len(bins) and bins.min() < 1:
        raise UserError(f"trial {int(bins.argmin())} has no bins; leave it out")
    length_s = bins * bin_size_s
    if start_s is None:
        step_s = length_s + TRIAL_GAP_S
        start_s = np.cumsum(step_s) - step_s
    wanted_s = start_s + length_s
    if end_s is not None and (abs(end_s - wanted_s) > bin_size_s / 2).any():
        first = int(np.flatnonzero(abs(end_s - wanted_s) > bin_size_s / 2)[0])
        raise UserError(
            f"trial {first} lasts {end_s[first] - start_s[first]:.4g} s, but has {bins[first]} "
            f"bins of {bin_size_s} s; leave out the column end, or give matching times"
        )
    # Trials that touch would overlap by a rounding error.
    following_s = np.append(start_s[1:], np.inf)
    overlap_s = wanted_s - following_s
    if (overlap_s > bin_size_s / 2).any():
        first = int(np.flatnonzero(overlap_s > bin_size_s / 2)[0])
        raise UserError(
            f"trial {first} ends at {wanted_s[first]:.4g} s, after trial {first + 1} starts at "
            f"{following_s[first]:.4g} s; give trials in the order of time and without overlap"
        )
    return start_s, np.minimum(wanted_s, following_s)
