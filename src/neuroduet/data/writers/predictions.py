"""What was predicted of one recording, on its clock, ready to be written in any format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped

from neuroduet.data.binning import typical_step

Kind = Literal["rates", "traces", "continuous", "classes"]
_SAME_S = 1e-6
"""Times that differ by less are the same bin, seen by overlapping windows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictedSeries:
    """One predicted modality.

    Attributes:
        name: ``rates``, ``traces``, or the name of the behaviour.
        kind: What the values are: rates (Hz), traces, expected values of a continuous behaviour,
            or probabilities of classes.
        times_s: Ascending times (s).
        values: One row per time.
        columns: Name of each column: units, channels or classes.
        unit: Unit of the values.
    """

    name: str
    kind: Kind
    times_s: Float[np.ndarray, " R"]
    values: Float[np.ndarray, "R C"]
    columns: tuple[str, ...]
    unit: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictedSession:
    """Everything that was predicted of one recording.

    Attributes:
        session: Session id.
        subject: Id of the animal.
        series: The predictions.
        windows: ``start`` and ``end`` (s) and ``split`` of the windows they were made in; empty
            if the whole recording was one.
    """

    session: str
    subject: str
    series: tuple[PredictedSeries, ...]
    windows: dict[str, np.ndarray] | None = None


@dataclass(frozen=True, kw_only=True)
class Bout:
    """A stretch of time in which one class is the most likely.

    Attributes:
        start_s: When it starts (s).
        end_s: When the next one starts (s).
        name: Name of the class.
    """

    start_s: float
    end_s: float
    name: str


def on_one_clock(
    times_s: Float[np.ndarray, "W T"],
    values: Shaped[np.ndarray, "W T C"],
    valid: Bool[np.ndarray, "W T"],
) -> tuple[Float[np.ndarray, " R"], Float[np.ndarray, "R C"]]:
    """Bins of all windows in the order of time; where windows overlap, their mean.

    Args:
        times_s: Time of every bin (s).
        values: Predictions.
        valid: Which bins exist.

    Returns:
        Times, and one row of values for each.
    """
    times, rows = times_s[valid], values[valid].astype(np.float64)
    order = np.argsort(times, kind="stable")
    times, rows = times[order], rows[order]
    if not len(times):
        return times, rows
    first = np.append(True, np.diff(times) > _SAME_S)
    starts = np.flatnonzero(first)
    counts = np.diff(np.append(starts, len(times)))
    return times[first], np.add.reduceat(rows, starts, axis=0) / counts[:, None]


def bouts_of(series: PredictedSeries) -> tuple[Bout, ...]:
    """Stretches of equal classes; a pause of more than three steps ends one.

    Args:
        series: Probabilities of classes.
    """
    if not len(series.times_s):
        return ()
    best, times = series.values.argmax(axis=1), series.times_s
    step_s = typical_step(times)
    breaks = (np.diff(best) != 0) | (np.diff(times) > 3 * step_s)
    starts = np.append(0, np.flatnonzero(breaks) + 1)
    last = np.append(starts[1:] - 1, len(times) - 1)
    return tuple(
        Bout(start_s=float(times[a]), end_s=float(times[b] + step_s), name=series.columns[best[a]])
        for a, b in zip(starts, last, strict=True)
    )
