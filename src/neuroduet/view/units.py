"""One unit at a time: intervals between its spikes, its rate over trials and over the session."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from neuroduet.view.activity import Activity
from neuroduet.view.bins import BinnedCounts, awaited
from neuroduet.view.psth import Aligned
from neuroduet.view.raster import EventCounts
from neuroduet.view.recordings import Opened
from neuroduet.view.wire import Json, number

ISI_EDGES_MS = np.linspace(0, 100, 51)
RATE_BINS = 300


def describe_unit(
    opened: Opened,
    activity: Activity,
    aligned: Aligned | None,
    scores: dict[str, float],
    unit: int,
) -> dict[str, Json]:
    """Everything about one unit; see ``/api/unit``.

    Args:
        opened: The recording.
        activity: Its activity.
        aligned: The trials to average over, if there are any.
        scores: Score by unit id.
        unit: Number of the unit.
    """
    recorded = _recorded(activity, unit)
    edges_s = np.linspace(opened.start_s, opened.end_s, RATE_BINS + 1)
    middle_s = (edges_s[:-1] + edges_s[1:]) / 2
    hz = recorded.between(edges_s[None])[0]
    if recorded.bins is None:
        share = _share(opened.recorded, edges_s)
        # One spike in a sliver would be a rate of thousands.
        hz = np.where(share > 0.05, hz / np.maximum(share, 0.05), np.nan)
    return {
        "id": activity.ids[unit],
        "region": activity.regions[unit],
        "depth_um": number(activity.depths_um[unit]),
        "rate_hz": number(activity.rates_hz[unit]),
        "score": number(scores.get(activity.ids[unit], np.nan)),
        "isi_ms": None if recorded.bins is not None else _intervals(recorded.times_s),
        "psth": None if aligned is None else _psth(aligned, recorded, activity, unit),
        "rate_over_time": {
            "time_s": middle_s.tolist(),
            "hz": [number(x) for x in hz],
        },
    }


def _share(
    recorded: Float[np.ndarray, "I 2"], edges_s: Float[np.ndarray, " E"]
) -> Float[np.ndarray, " C"]:
    """Which part of the time between every two edges was recorded."""
    length_s = np.diff(recorded, axis=1)
    until_s = np.cumsum(np.concatenate([np.zeros_like(length_s), length_s], axis=1))
    return np.diff(np.interp(edges_s, recorded.ravel(), until_s)) / np.diff(edges_s)


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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Unit:
    """Spikes, or bins, of one unit.

    Attributes:
        times_s: Times of the spikes, or centres of the bins.
        bins: The bins whose values they are; ``None`` for spikes.
        values: Rate (Hz), or trace, in every bin.
    """

    times_s: Float[np.ndarray, " R"]
    bins: BinnedCounts | None = None
    values: Float[np.ndarray, " R"] = field(default_factory=lambda: np.zeros(0))

    def between(self, edges_s: Float[np.ndarray, "J E"]) -> Float[np.ndarray, "J C"]:
        """Rate (Hz), or mean trace, between every two edges; NaN where no bin says."""
        if self.bins is None:
            return np.diff(np.searchsorted(self.times_s, edges_s)) / np.diff(edges_s)
        low, high = (np.stack(ends) for ends in zip(*map(self.bins.rows, edges_s), strict=True))
        total = np.append(0.0, np.cumsum(self.values))
        return np.where(high > low, (total[high] - total[low]) / np.maximum(high - low, 1), np.nan)


def _recorded(activity: Activity, unit: int) -> _Unit:
    counts = activity.counts
    if isinstance(counts, EventCounts):
        own = np.flatnonzero(counts.unit_index == unit)
        return _Unit(times_s=np.array(counts.timestamps[own], dtype=np.float64))
    per_bin = 1.0 if activity.kind == "traces" else counts.bin_size_s
    values = np.array(counts.read(slice(None))[:, unit], dtype=np.float64) / per_bin
    return _Unit(times_s=counts.timestamps, bins=counts, values=values)


def _intervals(times_s: Float[np.ndarray, " S"]) -> Json:
    counts = np.histogram(1e3 * np.diff(times_s), ISI_EDGES_MS)[0]
    edges: list[Json] = ISI_EDGES_MS.tolist()
    return {"edges": edges, "counts": counts.tolist()}


def _psth(aligned: Aligned, recorded: _Unit, activity: Activity, unit: int) -> Json:
    means = None if aligned.predicted is None else awaited(aligned.predicted)
    predicted = None
    if means is not None:
        row = int(np.flatnonzero(activity.order == unit)[0])
        predicted = [number(x) for x in means[:, row]]
    return {
        "time_s": [number(t) for t in aligned.middle_s],
        "true": _mean(recorded.between(aligned.edges_s)),
        "predicted": predicted,
        "waiting": aligned.predicted is not None and means is None,
        "n_trials": len(aligned.edges_s),
        "split": aligned.split,
    }


def _mean(values: Float[np.ndarray, "J C"]) -> Json:
    seen = np.isfinite(values)
    total = np.where(seen, values, 0).sum(axis=0)
    mean = np.where(seen.any(axis=0), total / np.maximum(seen.sum(axis=0), 1), np.nan)
    return [number(x) for x in mean]
