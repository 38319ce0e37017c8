"""One unit at a time: intervals between its spikes, its rate over trials and over the session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from neuroduet.view.activity import Activity
from neuroduet.view.wire import Json, number
from neuroduet.view.predictions import Predictions
from neuroduet.view.raster import BinnedCounts, EventCounts
from neuroduet.view.recordings import Opened

ISI_EDGES_MS = np.linspace(0, 100, 51)
PSTH_BINS = 50
LONGEST_TRIAL_S = 10.0
RATE_BINS = 300
MOST_TRIALS = 2000


def describe_unit(
    opened: Opened,
    activity: Activity,
    predicted: Predictions | None,
    scores: dict[str, float],
    unit: int,
) -> dict[str, Json]:
    """Everything about one unit; see ``/api/unit``.

    Args:
        opened: The recording.
        activity: Its activity.
        predicted: What a run predicted, if it did.
        scores: Score by unit id.
        unit: Number of the unit.
    """
    row = int(np.flatnonzero(activity.order == unit)[0])
    times_s = _spike_times(activity, unit)
    edges_s = np.linspace(opened.start_s, opened.end_s, RATE_BINS + 1)
    hz = _rate(activity, times_s, unit, edges_s)
    return {
        "id": activity.ids[unit],
        "region": activity.regions[unit],
        "depth_um": number(activity.depths_um[unit]),
        "rate_hz": number(activity.rates_hz[unit]),
        "score": number(scores.get(activity.ids[unit], np.nan)),
        "isi_ms": _intervals(times_s),
        "psth": _psth(opened, activity, predicted, times_s, unit, row),
        "rate_over_time": {
            "time_s": [number(t) for t in (edges_s[:-1] + edges_s[1:]) / 2],
            "hz": [number(x) for x in hz],
        },
    }


def read_scores(path: Path | None, session: str) -> dict[str, float]:
    """Score of every unit in the table that ``evaluate`` wrote; empty without one.

    Args:
        path: ``scores_units.parquet``.
        session: Session id.
    """
    if path is None:
        return {}
    import pandas as pd

    from neuroduet.data.boundary import reading

    with reading(path):
        table = pd.read_parquet(path)
        chosen = (table["session"] == session) & (table["task"] == "encoding")
        chosen &= table["metric"].isin(["bits_per_spike", "r2"])
        # Sorted, so that bits per spike stand before R2 where there are both.
        mine = table[chosen].sort_values("metric").drop_duplicates("unit")
        return dict(zip(mine["unit"].astype(str), mine["value"].astype(float), strict=True))


def _spike_times(activity: Activity, unit: int) -> Float[np.ndarray, " S"] | None:
    if not isinstance(activity.counts, EventCounts):
        return None
    counts = activity.counts
    return np.array(counts.timestamps[np.flatnonzero(counts.unit_index == unit)], np.float64)


def _intervals(times_s: Float[np.ndarray, " S"] | None) -> Json:
    if times_s is None:
        return None
    counts = np.histogram(1e3 * np.diff(times_s), ISI_EDGES_MS)[0]
    edges: list[Json] = ISI_EDGES_MS.tolist()
    return {"edges": edges, "counts": counts.tolist()}


def _rate(
    activity: Activity,
    times_s: Float[np.ndarray, " S"] | None,
    unit: int,
    edges_s: Float[np.ndarray, " E"],
) -> Float[np.ndarray, " C"]:
    """Spikes per second, or the mean of traces, between every two edges."""
    if times_s is not None:
        return np.diff(np.searchsorted(times_s, edges_s)) / np.diff(edges_s)
    counts = activity.counts
    assert isinstance(counts, BinnedCounts)
    sampled = _binned(counts, unit, edges_s)
    return sampled if activity.kind == "traces" else sampled / counts.bin_size_s


def _binned(
    counts: BinnedCounts, unit: int, edges_s: Float[np.ndarray, " E"]
) -> Float[np.ndarray, " C"]:
    """Mean over the bins of each column; NaN where there are none."""
    low, high = counts.rows(edges_s)
    found = np.full(len(low), np.nan)
    for column, (first, last) in enumerate(zip(low, high, strict=True)):
        if last > first:
            found[column] = float(np.mean(counts.values[first:last, unit]))
    return found


def _psth(
    opened: Opened,
    activity: Activity,
    predicted: Predictions | None,
    times_s: Float[np.ndarray, " S"] | None,
    unit: int,
    row: int,
) -> Json:
    trials = opened.trials
    if not len(trials.start_s):
        return None
    stride = max(1, -(-len(trials.start_s) // MOST_TRIALS))
    start_s, end_s = trials.start_s[::stride], trials.end_s[::stride]
    rates = None if predicted is None else predicted.rates
    if rates is not None:
        # Both curves stand for the same trials.
        middle = (start_s + end_s) / 2
        index = np.searchsorted(rates.timestamps, middle).clip(max=len(rates.timestamps) - 1)
        left = np.maximum(index - 1, 0)
        near = np.minimum(*(np.abs(rates.timestamps[i] - middle) for i in (index, left)))
        known = near <= rates.bin_size_s
        start_s, end_s = start_s[known], end_s[known]
    if not len(start_s):
        return None
    length_s = min(float(np.median(end_s - start_s)), LONGEST_TRIAL_S)
    edges_s = np.linspace(0, length_s, PSTH_BINS + 1)
    true = np.array([_rate(activity, times_s, unit, start + edges_s) for start in start_s])
    curve = None
    if rates is not None:
        unit_of_model = int(rates.order[row])
        found = np.array([_binned(rates, unit_of_model, start + edges_s) for start in start_s])
        curve = [number(x) for x in _mean(found)]
    return {
        "time_s": [number(t) for t in (edges_s[:-1] + edges_s[1:]) / 2],
        "true": [number(x) for x in _mean(true)],
        "predicted": curve,
        "n_trials": len(start_s),
    }


def _mean(values: Float[np.ndarray, "J C"]) -> Float[np.ndarray, " C"]:
    seen = np.isfinite(values)
    total = np.where(seen, values, 0).sum(axis=0)
    return np.where(seen.any(axis=0), total / np.maximum(seen.sum(axis=0), 1), np.nan)
