"""What a session reads its windows from: events, recorded bins, behaviour series, trial columns.

Each is opened once and then asked for any windows; the arrays behind large ones stay on disk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Shaped
from torch_brain.data import ArrayDict, Data

from neuroduet.data.binning import (
    EDGE,
    bin_events,
    bin_grid,
    finite_rows,
    finite_samples,
    interpolate,
    nearest,
    overlaps,
    sample_series,
    select_bins,
    typical_step,
)
from neuroduet.data.columns import column, groups, intervals, joined, mapped, rows_between
from neuroduet.data.schema import neural_kind
from neuroduet.types import UNLABELLED

Value = str | int | float


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """Spikes as events, sorted by time.

    Attributes:
        timestamps: Time of each spike (s).
        unit_index: Unit of each spike.
        n_units: Number of units.
        recorded_s: Start and end of every interval in which spikes were recorded (s).
    """

    timestamps: Float[np.ndarray, " E"]
    unit_index: Integer[np.ndarray, " E"]
    n_units: int
    recorded_s: Float[np.ndarray, "I 2"]

    def read(
        self, starts_s: Float[np.ndarray, " W"], n_bins: int, bin_size_s: float
    ) -> tuple[Float[np.ndarray, "W T N"], Bool[np.ndarray, "W T"]]:
        """Counts of the windows, and which bins were recorded: those whose centre was."""
        parts = rows_between(
            self.timestamps, starts_s - bin_size_s, starts_s + n_bins * bin_size_s
        )
        counts = bin_events(
            joined(self.timestamps, parts),
            joined(self.unit_index, parts),
            starts_s,
            n_bins,
            bin_size_s,
            self.n_units,
        )
        centres_s, slack_s = bin_grid(starts_s, n_bins, bin_size_s), EDGE * bin_size_s
        exists = overlaps(self.recorded_s, centres_s - slack_s, centres_s + slack_s)
        if not exists.all():
            counts[~exists] = 0
        return counts, exists


@dataclass(frozen=True, kw_only=True, eq=False)
class Binned:
    """Activity that was recorded in bins.

    Attributes:
        timestamps: Centre of each bin (s).
        values: Counts or traces.
    """

    timestamps: Float[np.ndarray, " R"]
    values: Shaped[np.ndarray, "R N"]

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.values.shape[1])

    def read(
        self, starts_s: Float[np.ndarray, " W"], n_bins: int, bin_size_s: float
    ) -> tuple[Float[np.ndarray, "W T N"], Bool[np.ndarray, "W T"]]:
        """Activity of the windows, zero where no bin was recorded, and where one was."""
        parts = rows_between(self.timestamps, starts_s, starts_s + n_bins * bin_size_s)
        row = select_bins(joined(self.timestamps, parts), starts_s, n_bins, bin_size_s)
        exists = row >= 0
        values = joined(self.values, parts)
        if len(values) == 0:
            return np.zeros((*row.shape, self.n_units), np.float32), exists
        activity = values[row].astype(np.float32)
        if not exists.all():
            activity[~exists] = 0
        return activity, exists


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A behaviour sampled in time.

    Attributes:
        timestamps: Time of each sample (s).
        values: Finite floats ``(R, C)``, or class indices ``(R,)`` with ``UNLABELLED``.
        max_gap_s: A bin this far from the samples around it has no value (s).
    """

    timestamps: Float[np.ndarray, " R"]
    values: Shaped[np.ndarray, "R *C"]
    max_gap_s: float

    def read(
        self, grid: Float[np.ndarray, "W T"]
    ) -> tuple[Shaped[np.ndarray, "W T *C"], Bool[np.ndarray, "W T"]]:
        """Values on a grid of times, zero where not observed, and where they are observed."""
        parts = rows_between(self.timestamps, grid[:, 0], grid[:, -1])
        timestamps, values = joined(self.timestamps, parts), joined(self.values, parts)
        if values.dtype.kind == "f":
            return interpolate(timestamps, values, grid, self.max_gap_s)
        return sample_series(timestamps, values, grid, self.max_gap_s)


@dataclass(frozen=True, kw_only=True, eq=False)
class PerTrial:
    """A behaviour with one value per trial.

    Attributes:
        values: Floats ``(J, C)``, or class indices ``(J,)``; zero where not observed.
        observed: Where there is a value.
    """

    values: Shaped[np.ndarray, "J *C"]
    observed: Bool[np.ndarray, " J"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """True rates of a simulated session.

    Attributes:
        timestamps: Centres of the bins they were simulated in (s).
        step_s: Width of those bins (s).
        log_rates_hz: Natural log of rates in Hz, by name; ``(R, N)``.
    """

    timestamps: Float[np.ndarray, " R"]
    step_s: float
    log_rates_hz: dict[str, Shaped[np.ndarray, "R N"]]

    def read(
        self, starts_s: Float[np.ndarray, " W"], n_bins: int, bin_size_s: float
    ) -> dict[str, Float[np.ndarray, "W T N"]]:
        """Expected counts: the mean rate of the simulated bins in each bin, times its width."""
        parts = max(1, round(bin_size_s / self.step_s))
        offset_s = (np.arange(n_bins * parts) + 0.5) * (bin_size_s / parts)
        # A shade before the centre, so that a tie between two bins goes to the same side always.
        row = nearest(self.timestamps, starts_s[:, None] + offset_s - EDGE * self.step_s)
        shape = (len(starts_s), n_bins, parts, -1)
        return {
            name: bin_size_s * np.exp(values[row].astype(np.float32)).reshape(shape).mean(axis=2)
            for name, values in self.log_rates_hz.items()
        }


def open_neural(recording: Data, pages: np.memmap) -> Events | Binned:
    """Open the neural activity of a checked recording, whose file is mapped; nothing is read."""
    kind = neural_kind(recording)
    group = groups(recording)[kind]
    timestamps = mapped(column(group, "timestamps"), pages)
    if kind != "spikes":
        return Binned(timestamps=timestamps, values=mapped(column(group, "values"), pages))
    return Events(
        timestamps=timestamps,
        unit_index=mapped(column(group, "unit_index"), pages),
        n_units=len(column(groups(recording)["units"], "id")),
        recorded_s=intervals(group),
    )


def open_truth(recording: Data, pages: np.memmap) -> Truth | None:
    """Open the true rates of a simulated recording, whose file is mapped."""
    group = groups(recording).get("truth")
    names = {"rates": "log_rates_hz", "rates_from_behaviour": "log_rates_hz_from_behaviour"}
    if group is None or any(field not in group for field in names.values()):
        return None
    rates = {name: mapped(column(group, field), pages) for name, field in names.items()}
    timestamps = mapped(column(group, "timestamps"), pages)
    return Truth(timestamps=timestamps, step_s=typical_step(timestamps, 1.0), log_rates_hz=rates)


def open_series(
    group: ArrayDict, field: str, classes: list[Value], max_gap_s: float, pages: np.memmap
) -> Series:
    """Open a behaviour sampled in time.

    Args:
        group: Its time series.
        field: Its column.
        classes: Values of its classes, in order; empty if it is continuous.
        max_gap_s: Largest distance between a bin and a sample (s). A series that is sampled
            more slowly than this is interpolated between neighbouring samples all the same.
        pages: The mapped file.

    Returns:
        The series: on disk where it is used as it is stored (in single precision, nothing
        missing), else in memory.
    """
    timestamps = mapped(column(group, "timestamps"), pages).astype(np.float64, copy=False)
    limit_s = max(max_gap_s, 1.01 * typical_step(timestamps))
    raw = mapped(column(group, field), pages)
    if classes:
        codes = encode(raw, classes)
        if raw.dtype.kind in "iu":
            codes = np.where(raw == UNLABELLED, UNLABELLED, codes)
        return Series(timestamps=timestamps, values=codes, max_gap_s=limit_s)
    values = _with_channels(raw)
    timestamps, values = finite_samples(timestamps, values)
    return Series(timestamps=timestamps, values=values, max_gap_s=limit_s)


def open_per_trial(raw: np.ndarray, classes: list[Value]) -> PerTrial:
    """Read a trial column.

    Args:
        raw: The column, one row per trial.
        classes: Values of its classes, in order; empty if it is continuous.

    Returns:
        Values by trial.
    """
    if classes:
        codes = encode(raw, classes)
        observed = codes >= 0
        return PerTrial(values=np.where(observed, codes, 0), observed=observed)
    values = _with_channels(raw)
    observed = finite_rows(values)
    return PerTrial(values=np.where(observed[:, None], values, 0), observed=observed)


def is_missing(raw: np.ndarray, per: str) -> Bool[np.ndarray, " R"]:
    """Which values of a categorical column say that nobody knows."""
    if raw.dtype.kind == "f":
        return ~np.isfinite(raw)
    if raw.dtype.kind in "US":
        return raw == np.zeros((), raw.dtype)
    # A trial column may hold -1 as a class (choices to the left, in IBL's words).
    return (raw == UNLABELLED) if per == "bin" else np.zeros(raw.shape, dtype=bool)


def class_values(raw: np.ndarray, per: str) -> list[Value]:
    """The distinct values of a categorical column, sorted, without those that mean missing."""
    return list(np.unique(_plain(raw[~is_missing(raw, per)])).tolist())


def encode(raw: np.ndarray, classes: list[Value]) -> Int[np.ndarray, " R"]:
    """Class index of each value, ``UNLABELLED`` for values that are no class."""
    values, known = _plain(raw), np.array(classes)
    index = np.searchsorted(known, values).clip(max=len(known) - 1)
    return np.where(known[index] == values, index, UNLABELLED).astype(np.int64)


def _plain(raw: np.ndarray) -> np.ndarray:
    """Values that compare equal to those of the same class in another file."""
    if raw.dtype.kind == "S":
        return raw.astype(np.str_)
    if raw.dtype.kind == "b":
        return raw.astype(np.int64)
    if raw.dtype == np.float16:
        raw = raw.astype(np.str_).astype(np.float64)  # its own decimals: 0.2, not 0.19995
    # 0.2 stored in single precision is another number than 0.2 in double precision.
    return raw.astype(np.float64).round(6) if raw.dtype.kind == "f" else raw


def _with_channels(raw: np.ndarray) -> Float[np.ndarray, "R C"]:
    values = raw.astype(np.float32, copy=False)
    return values[:, None] if values.ndim == 1 else values
