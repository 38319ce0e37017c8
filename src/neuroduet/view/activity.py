"""Neural activity of one recording, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from torch_brain.data import ArrayDict, Data

from neuroduet.data.columns import column, groups, mapped, scalar
from neuroduet.data.schema import has_activity, neural_kind
from neuroduet.types import NeuralKind
from neuroduet.view.bins import BinnedCounts, count_bins
from neuroduet.view.raster import EventCounts, count_events


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """Neural activity.

    Attributes:
        kind: Spikes, counts or traces.
        ids: Id of every unit.
        regions: Region of every unit; empty where unknown.
        depths_um: Depth of every unit; NaN where unknown.
        rates_hz: Mean rate of every unit; NaN for traces.
        order: Unit of every row of the display: by region, then by depth.
        counts: What is drawn.
        span: Lowest and highest usual value of every row, for traces.
    """

    kind: NeuralKind
    ids: tuple[str, ...]
    regions: tuple[str, ...]
    depths_um: Float[np.ndarray, " N"]
    rates_hz: Float[np.ndarray, " N"]
    order: Int[np.ndarray, " N"]
    counts: EventCounts | BinnedCounts
    span: Float[np.ndarray, "2 N"]


def open_activity(recording: Data, pages: np.memmap) -> Activity | None:
    """Open the neural activity of a checked recording; ``None`` if it has none.

    Args:
        recording: The recording.
        pages: Its mapped file.
    """
    if not has_activity(recording):
        return None
    kind = neural_kind(recording)
    group, units = groups(recording)[kind], groups(recording)["units"]
    ids = texts(units, "id", 0)
    regions = texts(units, "region", len(ids))
    depths_um = np.full(len(ids), np.nan)
    if "depth_um" in units and column(units, "depth_um").dtype.kind in "iuf":
        depths_um = np.array(column(units, "depth_um"), dtype=np.float64)
    order = np.lexsort((np.arange(len(ids)), depths_um, np.array(regions, dtype=np.str_)))
    bin_size_s = None if kind == "spikes" else float(scalar(recording, "bin_size_s") or 1.0)
    counts: EventCounts | BinnedCounts
    rates_hz, usual = np.full(len(ids), np.nan), np.zeros((2, len(ids)))
    if bin_size_s is None:
        counts = _count_spikes(group, np.argsort(order), pages)
        recorded_s = float((group.domain.end - group.domain.start).sum())
        rates_hz[order] = counts.totals[-1][: len(ids)] / max(recorded_s, 1e-9)
    else:
        timestamps, values = (mapped(column(group, k), pages) for k in ("timestamps", "values"))
        traced = kind == "traces"
        counts = count_bins(timestamps, values.__getitem__, order, bin_size_s, traced)
        # The page begins with a picture of all of it.
        counts.blocks.result()
        if kind == "counts":
            rates_hz = counts.mean() / bin_size_s
        elif len(values):
            usual = _usual_values(values)[:, order]
    return Activity(
        kind=kind,
        ids=ids,
        regions=regions,
        depths_um=depths_um,
        rates_hz=rates_hz,
        order=order,
        counts=counts,
        span=usual,
    )


def _count_spikes(
    group: ArrayDict, row_of_unit: Int[np.ndarray, " N"], pages: np.memmap
) -> EventCounts:
    timestamps = mapped(column(group, "timestamps"), pages)
    return count_events(timestamps, mapped(column(group, "unit_index"), pages), row_of_unit)


def _usual_values(values: Shaped[np.ndarray, "R N"]) -> Float[np.ndarray, "2 N"]:
    """Values between which nearly all others of a unit lie."""
    part = values[:: max(1, len(values) // 5000)]
    return np.quantile(part, [0.01, 0.995], axis=0).astype(np.float64)


def texts(table: ArrayDict, name: str, n: int) -> tuple[str, ...]:
    """A column of text; ``n`` empty ones where there is none."""
    if name not in table:
        return ("",) * n
    return tuple(str(value) for value in np.asarray(column(table, name)))
