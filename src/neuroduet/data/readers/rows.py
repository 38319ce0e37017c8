"""Rows of trials with sparse spikes: the published ``_aligned`` data sets (MtM, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from torch_brain.data import Data

from neuroduet.data.arrays import from_arrays
from neuroduet.data.layout import TRIAL_GAP_S
from neuroduet.data.readers.assembly import (
    ascii_text,
    field_name,
    kept_units,
    region_columns,
    require_unit_ids,
    require_usable,
)
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.data.readers.row_spikes import SPIKES, RowSpikes, read_counts
from neuroduet.data.readers.row_tables import (
    column_names,
    concatenated,
    data_sets,
    read_rows,
    split_files,
)
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


class RowsReader:
    """Reads folders of parquet or arrow rows."""

    name = "rows"

    def recognises(self, path: Path) -> bool:
        """Whether a path holds files of rows with sparse spikes."""
        try:
            return any(_has_spikes(one) for one in data_sets(path))
        except UserError:
            return False

    def sessions(self, path: Path) -> Sequence[Path]:
        """Every session; where one data set holds several, its path followed by the id of each.

        Raises:
            UserError: There are none.
        """
        found = data_sets(path)
        if not found:
            raise UserError(
                f"{path} holds no rows, expected train-*.parquet, val-*.parquet ... or folders "
                "train, val, test with *.arrow; give the folder of a data set"
            )
        return [session for one in found for session in _sessions(one)]

    def inspect(self, path: Path, options: ReadOptions) -> Found:
        """What a session holds; of the spikes only shapes are read.

        Raises:
            UserError: Files are damaged or do not fit each other.
        """
        rows = _open(path, options, heavy=False)
        width = _first(rows, "spikes_sparse_shape")
        counts = {split: rows.splits.count(split) for split in dict.fromkeys(rows.splits)}
        said = ", ".join(f"{count} {split}" for split, count in counts.items())
        behaviours, dropped = _behaviour_columns(rows)
        items = {
            "spikes": f"{width[1]} units in {width[0]} bins of {_first(rows, 'binsize'):g} s",
            "trials": said,
        }
        if "cluster_regions" in rows.table.column_names:
            items["regions"] = f"{len(set(_first(rows, 'cluster_regions')))} (Allen)"
        if behaviours:
            items["behaviour"] = ", ".join(behaviours)
        return Found(
            source=str(path),
            session=rows.session,
            items=items,
            missing=tuple(one for one in ("regions", "behaviour") if one not in items),
            dropped=dropped,
        )

    def read(self, path: Path, options: ReadOptions) -> Data:
        """One session, its trials one after the other, in the splits of the data set.

        Raises:
            UserError: Files are damaged or do not fit each other, or nothing is left.
        """
        rows = _open(path, options, heavy=True)
        spikes = read_counts(rows.table, rows.source)
        _refuse_doubles(spikes, rows)
        bin_size_s = _bin_size(rows, spikes)
        units = _units(rows, spikes.n_units, options)
        trials = _trials(rows, options)
        counts = [spikes.counts[row] for row in np.flatnonzero(trials)]
        rates_hz = np.sum([part.sum(axis=0) for part in counts], axis=0, dtype=np.float64)
        rates_hz = rates_hz / (sum(map(len, counts)) * bin_size_s)
        keep, _ = kept_units(units, rates_hz, options, rows.source)
        bins = np.array([len(part) for part in counts])
        length_s = bins * bin_size_s
        start_s = np.cumsum(length_s + TRIAL_GAP_S) - length_s - TRIAL_GAP_S
        grids = [start + (np.arange(n) + 1) * bin_size_s
                 for start, n in zip(start_s, bins, strict=True)]  # fmt: skip
        recording = from_arrays(
            session_id=rows.session,
            subject_id=_subject(rows),
            counts=[part[:, keep] for part in counts],
            bin_size_s=bin_size_s,
            units={name: values[keep] for name, values in units.items()},
            trials={"start": start_s, "end": start_s + length_s},
            behaviours=_behaviours(rows, trials, grids),
            split=np.array(rows.splits)[trials],
        )
        require_usable(rows.source, recording)
        return recording


def _has_spikes(path: Path) -> bool:
    first = next(iter(split_files(path).values()))[0]
    return set(SPIKES) <= set(column_names(first))


def _data_set(path: Path) -> tuple[Path, str | None]:
    """The data set of a path, and the session that its last part names."""
    return (path, None) if path.exists() else (path.parent, path.name)


def _ids(path: Path) -> list[str]:
    files = [file for parts in split_files(path).values() for file in parts]
    ids: list[str] = []
    for file in files:
        if "eid" in column_names(file):
            ids += [str(one) for one in read_rows(file, ["eid"])["eid"].unique().to_pylist()]
    return sorted(set(ids))


def _sessions(path: Path) -> list[Path]:
    ids = _ids(path)
    return [path / one for one in ids] if len(ids) > 1 else [path]


def _open(path: Path, options: ReadOptions, heavy: bool) -> Rows:
    """The rows of one session; without ``heavy`` the columns of spikes stay on disk."""
    import pyarrow.compute as compute

    folder, wanted = _data_set(path)
    files = split_files(folder)
    if not files:
        raise UserError(f"nothing at {path}, expected rows of a data set; check the path")
    tables = {split: [_lean(file, heavy) for file in parts] for split, parts in files.items()}
    table, splits = concatenated(tables)
    if wanted is not None:
        mine = compute.equal(table["eid"], wanted)
        splits = [split for split, is_mine in zip(splits, mine.to_pylist(), strict=True)
                  if is_mine]  # fmt: skip
        table = table.filter(mine)
    if not len(table):
        raise UserError(f"{path} holds no rows, expected a row per trial; download it again")
    name = options.session_id or wanted or _only_id(table, str(path)) or folder.stem
    return Rows(source=str(path), table=table, splits=splits, session=ascii_text(name))


def _lean(file: Path, heavy: bool) -> pa.Table:
    """A file without what is repeated in every row and used by nobody."""
    present = column_names(file)
    needed = [name for name in (*SPIKES, "binsize") if name not in present]
    if needed:
        read_rows(file, needed)
    light = SPIKES[:3] if not heavy else ()
    skipped = {"cluster_qc", "cluster_channels", *light}
    return read_rows(file, [name for name in present if name not in skipped])


def _only_id(table: pa.Table, source: str) -> str | None:
    if "eid" not in table.column_names:
        return None
    ids = [str(one) for one in table["eid"].unique().to_pylist()]
    if len(ids) > 1:
        raise UserError(
            f"{source} column eid holds the sessions {ids[0]} and {ids[1]}, expected one; read "
            "them one by one"
        )
    return ids[0]


def _first(rows: Rows, name: str) -> Any:
    return rows.table[name][0].as_py()


def _subject(rows: Rows) -> str | None:
    known = "subject" in rows.table.column_names and _first(rows, "subject")
    return ascii_text(str(known)) if known else None


def _bin_size(rows: Rows, spikes: RowSpikes) -> float:
    """Width of a bin (s), which must agree with the length of a trial."""
    widths = np.unique(rows.table["binsize"].to_numpy())
    if len(widths) > 1 or not (np.isfinite(widths[0]) and widths[0] > 0):
        raise UserError(
            f"{rows.source} column binsize holds {', '.join(map(str, widths[:3]))}, expected one "
            "width in seconds; correct the column"
        )
    width = float(widths[0])
    if "interval_len" in rows.table.column_names:
        length = float(_first(rows, "interval_len"))
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


def _units(rows: Rows, n_units: int, options: ReadOptions) -> dict[str, np.ndarray]:
    """The unit table, from the first row: it is repeated in all of them."""
    found = {name: _first(rows, name) for name in UNIT_COLUMNS if name in rows.table.column_names}
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


def _trials(rows: Rows, options: ReadOptions) -> Bool[np.ndarray, " W"]:
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


def _behaviour_columns(rows: Rows) -> tuple[tuple[str, ...], tuple[str, ...]]:
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

    return bool(
        pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind)
    )


def _behaviours(
    rows: Rows, trials: Bool[np.ndarray, " W"], grids: Sequence[Float[np.ndarray, " T"]]
) -> dict[str, Any]:
    """Behaviours by name; those per bin stand at the right edges of the bins, as published."""
    found: dict[str, Any] = {}
    for name in _behaviour_columns(rows)[0]:
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


def _per_trial(rows: Rows, name: str, values: Sequence[Any]) -> np.ndarray:
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
    whole = column.dtype.kind == "f" and name == "choice" and bool(np.isfinite(column).all())
    return column.astype(np.int64) if whole else column


def _refuse_doubles(spikes: RowSpikes, rows: Rows) -> None:
    """A trial in two splits would be tested on after training on it."""
    seen: dict[bytes, int] = {}
    for row, counts in enumerate(spikes.counts):
        if counts.sum() < ENOUGH_SPIKES:
            continue
        key = counts.tobytes()
        if key in seen:
            raise UserError(
                f"{rows.source} has the same spikes in rows {seen[key]} ({rows.splits[seen[key]]}) "
                f"and {row} ({rows.splits[row]}), expected each trial once; remove the duplicate"
            )
        seen[key] = row

