"""How much of a recording a behaviour covers: gaps without samples are missing, as is NaN."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from torch_brain.data import Data

from neuroduet.config import WindowConfig
from neuroduet.data.binning import overlaps, sample_series, typical_step
from neuroduet.data.columns import column, groups, intervals, scalar
from neuroduet.data.schema import has_activity, neural_kind
from neuroduet.data.windows import DEFAULT_BIN_S, trial_times

MOST_BINS = 1 << 22
"""Bins that are looked at; of a longer recording, bins that are apart."""


def missing_share(
    timestamps: Float[np.ndarray, " R"],
    known: Bool[np.ndarray, " R"],
    kind: str,
    bins_s: Float[np.ndarray, " T"],
) -> float:
    """Share of the bins at which a behaviour has no value, as models read it.

    Args:
        timestamps: Times of its samples, sorted (s).
        known: Which of them hold a value.
        kind: ``continuous`` (interpolated between samples) or ``categorical`` (the nearest).
        bins_s: Centres of the bins, at least one (s).

    Returns:
        0 to 1. A sample further away than ``data.windows.max_gap_s`` leaves a bin without a value.
    """
    limit_s = max(WindowConfig().max_gap_s, 1.01 * typical_step(timestamps))
    values = np.where(known, 0, -1) if kind == "categorical" else np.where(known, 0.0, np.nan)
    _, observed = sample_series(timestamps, values, bins_s, limit_s)
    return float(1 - observed.mean())


def recorded_bins(recording: Data) -> Float[np.ndarray, " T"]:
    """Centres of the bins in which a model may see behaviour (s).

    Those in which activity was recorded (the whole time where there is none), and that lie in a
    trial where there are trials.
    """
    bin_size_s = float(scalar(recording, "bin_size_s") or DEFAULT_BIN_S)
    trial_s = trial_times(recording)
    if has_activity(recording) and neural_kind(recording) != "spikes":
        bins_s = np.asarray(column(groups(recording)[neural_kind(recording)], "timestamps")[...])
    else:
        series = groups(recording)["spikes"] if has_activity(recording) else recording
        spans_s = intervals(series)
        length_s = float((spans_s[:, 1] - spans_s[:, 0]).sum())
        step_s = max(bin_size_s, length_s / MOST_BINS)
        parts_s = [np.arange(start + step_s / 2, end, step_s) for start, end in spans_s]
        bins_s = np.concatenate(parts_s)
    if len(trial_s):
        bins_s = bins_s[overlaps(trial_s, bins_s, bins_s)]
    return bins_s.astype(np.float64)
