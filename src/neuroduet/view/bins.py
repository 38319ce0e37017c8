"""Activity in bins over time: sums, or means, in every column of pixels, for any window.

The bins of a short window are read; for a long one there are sums of neighbouring bins, which are
worked out in the background.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int, Shaped

from neuroduet.data.columns import CHUNK_ROWS
from neuroduet.view.wire import Later

DIRECT = 4_000_000
"""Values that are read at most for one image."""

CELLS = 10_000_000
"""Sums that are kept at most, units times blocks."""

LEAST_BLOCK = 8
"""Bins of a block, at least."""

PATIENCE_S = 1.0
"""Nobody waits longer for what is worked out in the background: others want to be answered."""

Read = Callable[[slice], Shaped[np.ndarray, "R N"]]
"""Gives the values of some successive bins."""

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True, eq=False)
class BinnedCounts:
    """Activity in bins.

    Attributes:
        timestamps: Centre of every bin, sorted (s).
        read: Gives values; they may lie on disk.
        order: Column of ``read`` for every row of the image; -1 where there is none.
        bin_size_s: Width of a bin (s).
        averaged: Whether a column shows the mean of its bins and not their sum.
        block: Bins of a block.
        blocks: Sums of every block, in the columns of ``read``.
    """

    timestamps: Float[np.ndarray, " R"]
    read: Read
    order: Int[np.ndarray, " N"]
    bin_size_s: float
    averaged: bool
    block: int
    blocks: Future[Float[np.ndarray, "Q M"]]

    def image(self, edges_s: Float[np.ndarray, " E"]) -> Float[np.ndarray, "C N"]:
        """Sum, or mean, of the bins whose centre lies in a column; 0 where nothing is known.

        A column narrower than a bin shows the bin in which its middle lies. In a long window the
        bins of a block count as equal.

        Raises:
            Later: The window is long and the blocks are not there yet.
        """
        low, high = self.rows(edges_s)
        few = (high[-1] - low[0]) * len(self.order) <= DIRECT
        if few or (high - low).max() <= 1:
            sums = _sums(self.read(slice(int(low[0]), int(high[-1]))), low - low[0], high - low[0])
        else:
            sums = self._from_blocks(low, high)
        if self.averaged:
            sums = sums / np.maximum(high - low, 1)[:, None]
        known = np.flatnonzero(self.order >= 0)
        found = np.zeros((len(low), len(self.order)), dtype=np.float32)
        found[:, known] = sums[:, self.order[known]]
        return found

    def mean(self) -> Float[np.ndarray, " N"]:
        """Mean over all bins of every column of ``read``."""
        sums = self.blocks.result().sum(axis=0, dtype=np.float64)
        return sums / max(len(self.timestamps), 1)

    def rows(
        self, edges_s: Float[np.ndarray, " E"]
    ) -> tuple[Int[np.ndarray, " C"], Int[np.ndarray, " C"]]:
        """First bin of every column, and the one after its last."""
        if np.diff(edges_s[:2])[0] >= self.bin_size_s:
            found = np.searchsorted(self.timestamps, edges_s)
            return found[:-1], found[1:]
        middle = (edges_s[:-1] + edges_s[1:]) / 2
        low = np.searchsorted(self.timestamps, middle - self.bin_size_s / 2)
        high = np.searchsorted(self.timestamps, middle + self.bin_size_s / 2)
        return low, np.minimum(high, low + 1)

    def _from_blocks(
        self, low: Int[np.ndarray, " C"], high: Int[np.ndarray, " C"]
    ) -> Float[np.ndarray, "C M"]:
        blocks = awaited(self.blocks)
        if blocks is None:
            raise Later("these rates are still being read; wait a moment")
        first = low[0] // self.block
        part = blocks[first : high[-1] // self.block + 1]
        edges = np.append(low, high[-1:])
        place = np.minimum(edges // self.block - first, len(part) - 1)
        begin = (place + first) * self.block
        length = np.minimum(self.block, len(self.timestamps) - begin)
        # Of the block in which an edge lies, what stands before it.
        before = part[place] * ((edges - begin) / length)[:, None].astype(np.float32)
        return _sums(part, place[:-1], place[1:]) + np.diff(before, axis=0)


def count_bins(
    timestamps: Float[np.ndarray, " R"],
    read: Read,
    order: Int[np.ndarray, " N"],
    bin_size_s: float,
    averaged: bool,
) -> BinnedCounts:
    """Go through all bins once, in the background.

    Args:
        timestamps: Centre of every bin, sorted (s).
        read: Gives their values.
        order: Column of ``read`` for every row of the image; -1 where there is none.
        bin_size_s: Width of a bin (s).
        averaged: Whether a column shows the mean of its bins and not their sum.
    """
    n_bins = len(timestamps)
    block = max(LEAST_BLOCK, -(-n_bins * len(order) // CELLS))
    return BinnedCounts(
        timestamps=np.array(timestamps, dtype=np.float64),
        read=read,
        order=order,
        bin_size_s=bin_size_s,
        averaged=averaged,
        block=block,
        blocks=in_background(lambda: _blocks(read, n_bins, block)),
    )


def in_background(work: Callable[[], Found]) -> Future[Found]:
    """What some work finds, or raises, once it is done."""
    found: Future[Found] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except Exception as error:
            found.set_exception(error)

    # The end of the process need not wait for it.
    threading.Thread(target=run, daemon=True).start()
    return found


def awaited(found: Future[Found]) -> Found | None:
    """What was found, or ``None`` if that takes longer."""
    try:
        return found.result(timeout=PATIENCE_S)
    except TimeoutError:
        return None


def _blocks(read: Read, n_bins: int, block: int) -> Float[np.ndarray, "Q M"]:
    n_columns = read(slice(0, 0)).shape[1]
    step = block * max(1, CHUNK_ROWS // (block * max(n_columns, 1)))
    found = np.zeros((-(-n_bins // block), n_columns), dtype=np.float32)
    for begin in range(0, n_bins, step):
        values = read(slice(begin, min(begin + step, n_bins)))
        sums = np.add.reduceat(values, np.arange(0, len(values), block), axis=0, dtype=np.float64)
        found[begin // block : begin // block + len(sums)] = sums
    return found


def _sums(
    values: Shaped[np.ndarray, "R M"], low: Int[np.ndarray, " C"], high: Int[np.ndarray, " C"]
) -> Float[np.ndarray, "C M"]:
    """Sums of rows ``low`` to ``high`` of neighbouring columns, or of one row each."""
    found = np.zeros((len(low), values.shape[1]), dtype=np.float32)
    filled = np.flatnonzero(high > low)
    if not len(filled):
        return found
    if (high - low).max() == 1:
        found[filled] = values[low[filled]]
    else:
        part = values[: high[-1]]
        found[filled] = np.add.reduceat(part, low[filled], axis=0, dtype=np.float32)
    return found
