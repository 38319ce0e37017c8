"""Rows of trials with sparse spikes: the published ``_aligned`` data sets (MtM, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch_brain.data import Data

from neuroduet.data.arrays import from_arrays
from neuroduet.data.layout import TRIAL_GAP_S
from neuroduet.data.readers.assembly import kept_units, regions_said, require_usable
from neuroduet.data.readers.naming import ascii_text
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.data.readers.row_columns import (
    Rows,
    behaviour_columns,
    behaviour_values,
    bin_size,
    first_value,
    refuse_doubles,
    trials_to_keep,
    unit_columns,
)
from neuroduet.data.readers.row_spikes import SPIKES, read_counts
from neuroduet.data.readers.row_tables import (
    column_names,
    concatenated,
    data_sets,
    read_rows,
    split_files,
)
from neuroduet.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


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
        width = first_value(rows, "spikes_sparse_shape")
        counts = {split: rows.splits.count(split) for split in dict.fromkeys(rows.splits)}
        said = ", ".join(f"{count} {split}" for split, count in counts.items())
        behaviours, dropped = behaviour_columns(rows)
        items = {
            "spikes": f"{width[1]} units in {width[0]} bins of {first_value(rows, 'binsize'):g} s",
            "trials": said,
        }
        if "cluster_regions" in rows.table.column_names:
            said = regions_said(list(map(str, first_value(rows, "cluster_regions"))), "Allen")
            items |= {"regions": said} if said else {}
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
        refuse_doubles(spikes, rows)
        bin_size_s = bin_size(rows, spikes)
        units = unit_columns(rows, spikes.n_units, options)
        trials = trials_to_keep(rows, options)
        counts = [spikes.counts[row] for row in np.flatnonzero(trials)]
        rates_hz = np.concatenate(counts).mean(axis=0) / bin_size_s
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
            behaviours=behaviour_values(rows, trials, grids),
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
    table, splits = concatenated(tables, str(folder))
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


def _subject(rows: Rows) -> str | None:
    known = "subject" in rows.table.column_names and first_value(rows, "subject")
    return ascii_text(str(known)) if known else None
