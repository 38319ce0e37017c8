"""Columns of rows of trials: units, trials to keep, behaviours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from neuroduet.data.behaviour_arrays import BehaviourArray
from neuroduet.data.readers.assembly import region_columns, require_unit_ids
from neuroduet.data.readers.naming import ascii_text, field_name
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.data.readers.row_spikes import SPIKES, RowSpikes
from neuroduet.data.readers.trial_columns import kind_of
from neuroduet.data.readers.trial_filters import kept_trials
from neuroduet.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

UNIT_COLUMNS = ("cluster_regions", "cluster_depths", "cluster_uuids", "good_clusters")
ABOUT_SESSION = ("binsize", "interval_len", "eid", "subject")
NOT_BEHAVIOUR = {
    *SPIKES, *UNIT_COLUMNS, *ABOUT_SESSION, "cluster_channels", "cluster_qc", "probe_name", "lab",
    "sampling_freq",
}  # fmt: skip


ENOUGH_SPIKES = 20
"""Trials with fewer may be equal by chance."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one session.

    Attributes:
        source: Folder or file, for errors.
        table: Rows of all splits.
        splits: Split of each row.
        session: Its id.
    """

    source: str
    table: pa.Table
    splits: list[str]
    session: str


def first_value(rows: Rows, name: str) -> Any:
    """What the first row holds of a column that repeats in all rows."""
    return rows.table[name][0].as_py()


def bin_size(rows: Rows, spikes: RowSpikes) -> float:
    """Width of a bin (s), which must agree with the length of a trial."""
    widths = np.unique(rows.table["binsize"].to_numpy())
    if len(widths) > 1 or not (np.isfinite(widths[0]) and widths[0] > 0):
        raise UserError(
            f"{rows.source} column binsize holds {', '.join(map(str, widths[:3]))}, expected one "
            "width in seconds; correct the column"
        )
    width = float(widths[0])
    if "interval_len" in rows.table.column_names:
        length = float(first_value(rows, "interval_len"))
        bins = len(spikes.counts[0])
        if abs(width * bins - length) > width:
            raise UserError(
                f"{rows.source} column binsize is {width:g}, but {bins} bins last interval_len = "
                f"{length:g} s, expected seconds in both; correct the column"
            )
    if width > 10:
        raise UserError(
            f"{rows.source} column binsize is {width:g}, expected seconds (milliseconds?); "
            "correct the column"
        )
    return width


def unit_columns(rows: Rows, n_units: int, options: ReadOptions) -> dict[str, np.ndarray]:
    """The unit table, from the first row: it is repeated in all of them."""
    found = {
        name: first_value(rows, name) for name in UNIT_COLUMNS if name in rows.table.column_names
    }
    for name, values in found.items():
        if values is None or len(values) != n_units:
            length = 0 if values is None else len(values)
            raise UserError(
                f"{rows.source} column {name} has {length} entries per row, but "
                f"spikes_sparse_shape names {n_units} units, expected one for each; download it "
                "again"
            )
    ids = found.get("cluster_uuids") or [f"unit{number:03d}" for number in range(n_units)]
    table = {"id": np.array([str(one) for one in ids], dtype=np.str_)}
    require_unit_ids(table["id"], f"{rows.source} column cluster_uuids")
    if "cluster_regions" in found:
        names = [str(one) for one in found["cluster_regions"]]
        table |= region_columns(names, options.regions)
    if "cluster_depths" in found:
        table["depth_um"] = np.array(found["cluster_depths"], dtype=np.float64)
    if "good_clusters" in found:
        table["label"] = np.array(found["good_clusters"], dtype=np.float64)
    return table


def trials_to_keep(rows: Rows, options: ReadOptions) -> Bool[np.ndarray, " W"]:
    """Which rows the trial filter keeps."""
    if options.trial_filter == "none":
        return np.ones(len(rows.table), dtype=bool)
    numbers = {
        name: rows.table[name].to_numpy().astype(np.float64)
        for name in rows.table.column_names
        if _is_number(rows.table[name])
    }
    keep, _ = kept_trials(numbers, options.trial_filter, rows.source)
    if not keep.any():
        raise UserError(
            f"{rows.source} has {len(keep)} rows, of which the trial filter "
            f"{options.trial_filter} keeps none; read with --trials none"
        )
    return keep


def _is_number(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    kind = column.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def behaviour_columns(rows: Rows) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the columns that are behaviours, and of those that are not, with reasons."""
    import pyarrow as pa

    kept, dropped = [], []
    for name in rows.table.column_names:
        if name in NOT_BEHAVIOUR:
            continue
        kind = rows.table[name].type
        listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        inner = kind.value_type if listed else kind
        if name.endswith(("_time", "_times")):
            dropped.append(f"column {name} (trials lie one after the other, on a clock of ours)")
        elif pa.types.is_floating(inner) or (not listed and _is_class(inner)):
            kept.append(name)
        else:
            dropped.append(f"column {name} (of type {kind})")
    return tuple(kept), tuple(dropped)


def _is_class(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind))


def behaviour_values(
    rows: Rows, trials: Bool[np.ndarray, " W"], grids: Sequence[Float[np.ndarray, " T"]]
) -> dict[str, Any]:
    """Behaviours by name; those per bin stand at the right edges of the bins, as published."""
    found: dict[str, Any] = {}
    for name in behaviour_columns(rows)[0]:
        values = rows.table[name].to_pylist()
        values = [values[row] for row in np.flatnonzero(trials)]
        own = field_name(name, tuple(found))
        if any(isinstance(one, list) for one in values):
            series = _per_bin(rows, name, values, grids)
            if series is not None:
                found[own] = series
        else:
            found[own] = _per_trial(rows, name, values)
    return found


def _per_bin(
    rows: Rows,
    name: str,
    values: Sequence[list[float] | None],
    grids: Sequence[Float[np.ndarray, " T"]],
) -> tuple[np.ndarray, np.ndarray] | None:
    """Times and values; ``None`` if not a single one is known."""
    for row, (one, grid) in enumerate(zip(values, grids, strict=True)):
        if one is not None and len(one) != len(grid):
            raise UserError(
                f"{rows.source} column {name} has {len(one)} values in row {row}, expected one "
                f"for each of {len(grid)} bins; download it again"
            )
    filled = [np.full(len(grid), np.nan) if one is None else np.asarray(one, dtype=float)
              for one, grid in zip(values, grids, strict=True)]  # fmt: skip
    flat = np.concatenate(filled)
    return (np.concatenate(grids), flat) if np.isfinite(flat).any() else None


def _per_trial(rows: Rows, name: str, values: Sequence[Any]) -> np.ndarray | BehaviourArray:
    column = np.array([np.nan if one is None else one for one in values])
    if column.dtype.kind == "U":
        return np.array([ascii_text(str(one)) if one is not None else "" for one in values])
    allowed = {"choice": (-1, 0, 1)}.get(name)
    if allowed is not None:
        strange = np.setdiff1d(column[np.isfinite(column)], allowed)
        if len(strange):
            raise UserError(
                f"{rows.source} column {name} holds {strange[0]:g}, expected "
                f"{', '.join(map(str, allowed))}; recode the column"
            )
    if column.dtype.kind != "f":
        return column
    if name == "choice" and np.isfinite(column).all():
        return column.astype(np.int64)
    # Blocks of .2/.5/.8 are published as floats, and are classes all the same.
    return BehaviourArray(kind=kind_of(column), per="trial", values=column)


def refuse_doubles(spikes: RowSpikes, rows: Rows) -> None:
    """A trial in two splits would be tested on after training on it."""
    seen: dict[bytes, int] = {}
    for row, counts in enumerate(spikes.counts):
        if counts.sum() < ENOUGH_SPIKES:
            continue
        key = counts.tobytes()
        if key in seen:
            raise UserError(
                f"{rows.source} has the same spikes in row {seen[key]} "
                f"({rows.splits[seen[key]]}) and row {row} ({rows.splits[row]}), expected each "
                "trial once; remove the duplicate"
            )
        seen[key] = row
