"""Spikes of rows of trials: one sparse matrix (CSR, a row per time bin) in every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Integer, Shaped

from neuroduet.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

SPIKES = (
    "spikes_sparse_data",
    "spikes_sparse_indices",
    "spikes_sparse_indptr",
    "spikes_sparse_shape",
)


@dataclass(frozen=True, kw_only=True)
class RowSpikes:
    """Counts of every trial.

    Attributes:
        counts: ``(bins, units)`` of each.
        n_units: Number of units, the same in all.
    """

    counts: list[Integer[np.ndarray, "T N"]]
    n_units: int


def read_counts(table: pa.Table, source: str) -> RowSpikes:
    """Counts of all rows.

    Args:
        table: Rows with the columns :data:`SPIKES`.
        source: Where they come from, for errors.

    Raises:
        UserError: A matrix is damaged, or two differ in their shape.
    """
    columns = [_lists(table[name], f"{source} column {name}") for name in SPIKES]
    shapes = np.unique([tuple(shape.tolist()) for shape in columns[3]], axis=0)
    if shapes.shape[1] != 2 or len(np.unique(shapes[:, 1])) > 1:
        said = ", ".join(str(shape.tolist()) for shape in shapes[:3])
        raise UserError(
            f"{source} column spikes_sparse_shape holds {said}, expected (bins, units) with the "
            "same units in every row; download it again"
        )
    n_units = int(shapes[0, 1])
    rows = enumerate(zip(*columns, strict=True))
    counts = [
        dense(data, indices, indptr, shape, f"{source} row {number}")
        for number, (data, indices, indptr, shape) in rows
    ]
    return RowSpikes(counts=counts, n_units=n_units)


def dense(
    data: Shaped[np.ndarray, " E"],
    indices: Shaped[np.ndarray, " E2"],
    indptr: Shaped[np.ndarray, " P"],
    shape: Shaped[np.ndarray, "2"],
    source: str,
) -> Integer[np.ndarray, "T N"]:
    """One sparse matrix as an array of counts.

    Args:
        data: Counts that are not 0.
        indices: Unit of each.
        indptr: Where each bin starts in them, and the end.
        shape: Bins and units.
        source: File and row, for errors.

    Raises:
        UserError: The parts do not fit each other, or counts are no counts.

    Example:
        >>> one, shape = np.array([1]), np.array([2, 3])
        >>> dense(one, np.array([2]), np.array([0, 0, 1]), shape, "x").tolist()
        [[0, 0, 0], [0, 0, 1]]
    """
    bins, units = (int(size) for size in shape)
    _require_starts(data, indices, indptr, bins, source)
    if len(indices) and (indices.min() < 0 or indices.max() >= units):
        raise UserError(
            f"{source}: spikes_sparse_indices runs from {indices.min()} to {indices.max()}, but "
            f"there are {units} units; if units and bins are swapped, transpose the matrices"
        )
    if not np.isfinite(data).all() or (data < 0).any() or (data != np.round(data)).any():
        raise UserError(
            f"{source}: spikes_sparse_data holds negative, fractional or missing numbers, "
            "expected counts; export it again"
        )
    counts = np.zeros((bins, units), dtype=np.int64)
    times = np.repeat(np.arange(bins), np.diff(indptr))
    # Two entries of one bin and unit add up, as everywhere with sparse matrices.
    np.add.at(counts, (times, indices), data.astype(np.int64))
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def _require_starts(
    data: Shaped[np.ndarray, " E"],
    indices: Shaped[np.ndarray, " E2"],
    indptr: Shaped[np.ndarray, " P"],
    bins: int,
    source: str,
) -> None:
    """Every count has a unit, and every bin a start."""
    if len(data) != len(indices):
        raise UserError(
            f"{source}: spikes_sparse_data has {len(data)} entries but spikes_sparse_indices "
            f"{len(indices)}, expected equal lengths; download it again"
        )
    if len(indptr) != bins + 1 or indptr[0] != 0 or indptr[-1] != len(data):
        ends = f"{indptr[0]} to {indptr[-1]}" if len(indptr) else "nothing"
        raise UserError(
            f"{source}: spikes_sparse_indptr has {len(indptr)} entries from {ends}, expected "
            f"{bins + 1} from 0 to {len(data)}; download it again"
        )
    if (np.diff(indptr) < 0).any():
        raise UserError(
            f"{source}: spikes_sparse_indptr is not ascending, expected the start of each bin; "
            "download it again"
        )


def _lists(column: pa.ChunkedArray, source: str) -> list[np.ndarray]:
    """A column of lists of numbers, as arrays."""
    import pyarrow as pa

    kind = column.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    number = listed and (
        pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
    )
    if not number:
        raise UserError(
            f"{source} is of type {kind}, expected lists of numbers; download it again"
        )
    if column.null_count:
        raise UserError(
            f"{source} is empty in {column.null_count} rows, expected a list in each; download "
            "it again"
        )
    parts = []
    for chunk in column.chunks:
        values = chunk.flatten().to_numpy(zero_copy_only=False)
        lengths = chunk.value_lengths().to_numpy(zero_copy_only=False)
        parts += np.split(values, np.cumsum(lengths)[:-1]) if len(lengths) else []
    return parts
