"""Activity of all units over time: how many spikes in every column of pixels, for any window.

Running totals at regular times make the counts of a long window cheap; what lies between such a
time and the edge of a column is counted spike by spike, so that the counts are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Integer, UInt32

from neuroduet.data.columns import CHUNK_ROWS

MOST_EVENTS = 60_000
"""Spikes that are sent one by one; of more, an image is sent."""

EVENTS, IMAGE = 1, 2
"""First word of an answer."""

BIN_S = 0.1
CELLS = 20_000_000
"""Running totals that are kept at most, units times bins."""

DIRECT = 1_500_000
"""Events that are counted one by one at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EventCounts:
    """Spikes with running totals.

    Attributes:
        timestamps: Time of every spike, sorted (s); may lie on disk.
        unit_index: Unit of every spike; may lie on disk.
        row_of_unit: Row in the image of every unit.
        start_s: Time of the first spike (s).
        per_s: Bins per second.
        first: First spike of every bin, ``(B + 1,)``.
        totals: Spikes of every row before every bin, ``(B + 1, N)``.
    """

    timestamps: Float[np.ndarray, " S"]
    unit_index: Integer[np.ndarray, " S"]
    row_of_unit: Int[np.ndarray, " N"]
    start_s: float
    per_s: float
    first: Int[np.ndarray, " B1"]
    totals: UInt32[np.ndarray, "B1 N"]

    def between(self, start_s: float, end_s: float) -> slice:
        """The spikes of ``[start_s, end_s)``."""
        low, high = (self._index(np.array([edge]))[0] for edge in (start_s, end_s))
        return slice(int(low), int(high))

    def events(self, found: slice) -> tuple[Float[np.ndarray, " E"], Int[np.ndarray, " E"]]:
        """Times (s) and rows of some spikes."""
        times = np.array(self.timestamps[found], dtype=np.float64)
        return times, self.row_of_unit[self.unit_index[found]]

    def image(self, edges_s: Float[np.ndarray, " E"]) -> Float[np.ndarray, "C N"]:
        """Spikes of every row between every two edges, exactly unless there are very many."""
        found = self.between(edges_s[0], edges_s[-1])
        if found.stop - found.start <= DIRECT:
            return self._counted(found, edges_s)
        return np.diff(self._before(edges_s), axis=0).astype(np.float32)

    def _counted(self, found: slice, edges_s: Float[np.ndarray, " E"]) -> Float[np.ndarray, "C N"]:
        times, rows = self.events(found)
        per_column = np.diff(np.searchsorted(times, edges_s))
        n_columns, n_rows = len(per_column), len(self.row_of_unit)
        column = np.repeat(np.arange(n_columns), per_column)
        flat = np.bincount(column * n_rows + rows, minlength=n_columns * n_rows)
        return flat.reshape(n_columns, n_rows).astype(np.float32)

    def _before(self, edges_s: Float[np.ndarray, " E"]) -> Int[np.ndarray, "E N"]:
        """Spikes of every row before every edge."""
        bins = self._bin(edges_s)
        before = self.totals[bins].astype(np.int64)
        length = self._index(edges_s) - self.first[bins]
        if length.sum() > DIRECT:
            return before
        edge = np.repeat(np.arange(len(edges_s)), length)
        offset = np.arange(len(edge)) - np.repeat(np.cumsum(length) - length, length)
        event = self.first[bins][edge] + offset
        rows, n_rows = self.row_of_unit[self.unit_index[event]], len(self.row_of_unit)
        rest = np.bincount(edge * n_rows + rows, minlength=before.size)
        return before + rest.reshape(before.shape)

    def _index(self, edges_s: Float[np.ndarray, " E"]) -> Int[np.ndarray, " E"]:
        """Number of spikes before every edge."""
        bins = self._bin(edges_s)
        low, high = self.first[bins], np.append(self.first[1:], self.first[-1])[bins]
        # Bisects for all edges at once; numpy's own search would copy a column that lies on disk.
        while (seeking := low < high).any():
            middle = (low + high) // 2
            later = self.timestamps[np.where(seeking, middle, 0)] < edges_s
            low = np.where(seeking & later, middle + 1, low)
            high = np.where(seeking & ~later, middle, high)
        return low

    def _bin(self, times_s: Float[np.ndarray, " E"]) -> Int[np.ndarray, " E"]:
        return _bins(times_s, self.start_s, self.per_s, len(self.first) - 1)


def count_events(
    timestamps: Float[np.ndarray, " S"],
    unit_index: Integer[np.ndarray, " S"],
    row_of_unit: Int[np.ndarray, " N"],
) -> EventCounts:
    """Go through all spikes once.

    Args:
        timestamps: Time of every spike, sorted (s).
        unit_index: Unit of every spike.
        row_of_unit: Row in the image of every unit.
    """
    n_rows, n_events = max(len(row_of_unit), 1), len(timestamps)
    start_s = float(timestamps[0]) if n_events else 0.0
    length_s = float(timestamps[-1]) - start_s if n_events else 0.0
    n_bins = int(max(1, min(length_s / BIN_S, CELLS / n_rows, n_events / 20)))
    per_s = n_bins / (length_s * (1 + 1e-9) + 1e-9)
    totals = np.zeros((n_bins + 1, n_rows), dtype=np.uint32)
    for begin in range(0, n_events, CHUNK_ROWS):
        part = slice(begin, begin + CHUNK_ROWS)
        bins = _bins(np.asarray(timestamps[part]), start_s, per_s, n_bins)
        low, high = int(bins[0]), int(bins[-1]) + 1
        cells = (bins - low) * n_rows + row_of_unit[unit_index[part]]
        counts = np.bincount(cells, minlength=(high - low) * n_rows)
        totals[low + 1 : high + 1] += counts.reshape(high - low, n_rows).astype(np.uint32)
    np.cumsum(totals, axis=0, out=totals)
    return EventCounts(
        timestamps=timestamps,
        unit_index=unit_index,
        row_of_unit=row_of_unit,
        start_s=start_s,
        per_s=per_s,
        first=totals.sum(axis=1, dtype=np.int64),
        totals=totals,
    )


def encode_events(
    times_s: Float[np.ndarray, " E"], rows: Int[np.ndarray, " E"], start_s: float, n_rows: int
) -> bytes:
    """Spikes as the page reads them: times after ``start_s``, then rows."""
    head = np.array([EVENTS, n_rows, 0, len(times_s)], dtype="<u4")
    relative = (times_s - start_s).astype("<f4")
    return head.tobytes() + relative.tobytes() + rows.astype("<u2").tobytes()


def encode_image(image: Float[np.ndarray, "C N"]) -> bytes:
    """Image as the page reads it: the value that 255 means, then one byte per row and column."""
    top = float(image.max(initial=0.0)) or 1.0
    head = np.array([IMAGE, image.shape[1], image.shape[0], 0], dtype="<u4")
    pixels = np.round(np.clip(image, 0, None) * (255 / top)).astype(np.uint8)
    return head.tobytes() + np.array([top], dtype="<f4").tobytes() + pixels.T.tobytes()


def _bins(
    times_s: Float[np.ndarray, " E"], start_s: float, per_s: float, n_bins: int
) -> Int[np.ndarray, " E"]:
    """Bin of every time; times before the first bin are in it, those behind the last in none."""
    return np.clip((times_s - start_s) * per_s, 0, n_bins).astype(np.int64)
