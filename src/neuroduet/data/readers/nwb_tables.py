"""Tables of NWB files: one dataset per column, ragged ones with an index beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import h5py
import numpy as np

from neuroduet.data.readers.hdf5_files import text_of
from neuroduet.data.readers.leave_out import (
    LeftOut,
    NwbLeaveOut,
    leave_out,
    overlap,
    require_some,
)
from neuroduet.data.readers.naming import ascii_text, field_name
from neuroduet.data.readers.nwb_mapping import COLUMNS
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.data.readers.trial_filters import kept_trials
from neuroduet.data.schema import SPLIT_NAMES
from neuroduet.errors import UserError

TRIALS = "intervals/trials"
_ENDINGS = ("_time", "_times")


@dataclass(frozen=True, kw_only=True)
class NwbTrials:
    """The trials that are kept.

    Attributes:
        columns: ``start`` and ``end`` (s), and every plain column under its own name.
        times: Names of the columns that hold times (s).
        every: The same columns with all trials, also those that are not kept.
        notes: How many trials were dropped, with reasons.
        aside: Columns that were left aside, with reasons.
        unmatched: What the mapping leaves out and is not there (:class:`LeftOut`).
    """

    columns: dict[str, np.ndarray]
    times: tuple[str, ...]
    every: dict[str, np.ndarray]
    notes: tuple[str, ...]
    aside: tuple[str, ...]
    unmatched: Mapping[str, str]


def require_dataset(group: h5py.Group, name: str, source: str) -> h5py.Dataset:
    """A dataset that must be there.

    Raises:
        UserError: It is not.
    """
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        held = ", ".join(sorted(group)) or "nothing"
        raise UserError(
            f"{source} lacks {group.name[1:].replace('/', '.')}.{name} (it holds {held}), "
            "expected it by the NWB standard; export the file again"
        )
    return found


def plain_columns(
    table: h5py.Group, rows: int, source: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The columns with one number or word per row.

    Args:
        table: A table of an NWB file.
        rows: How many rows it has.
        source: File, for errors.

    Returns:
        Columns by name, text in ASCII; and those that were left aside, with reasons.

    Raises:
        UserError: A column has another length.
    """
    columns: dict[str, np.ndarray] = {}
    aside = []
    for name, found in table.items():
        indexed = f"{name}_index" in table or name.endswith("_index")
        if name == "id" or indexed or not isinstance(found, h5py.Dataset):
            continue
        if found.ndim != 1 or h5py.check_ref_dtype(found.dtype) or found.dtype.fields:
            aside.append(f"column {name} of {table.name[1:]} (not one value per row)")
            continue
        if len(found) != rows:
            raise UserError(
                f"{source} {table.name[1:].replace('/', '.')}.{name} has {len(found)} rows, but "
                f"id has {rows}, expected equal lengths; export the file again"
            )
        values = found[...]
        if values.dtype.kind in "OS":
            words = [ascii_text(text_of(value)) for value in values]
            values = np.array(words, dtype=np.str_)
        columns[name] = values
    return columns, tuple(aside)


def read_trials(
    file: h5py.File, source: str, options: ReadOptions, given: NwbLeaveOut
) -> NwbTrials | None:
    """Read, check and filter the trials; ``None`` without any.

    Args:
        file: The open file.
        source: Its name, for errors.
        options: What was chosen.
        given: Which trials the mapping leaves out.

    Raises:
        UserError: Times are missing, out of order or doubled, none is kept, or the mapping leaves
            out trials by a column that is not there.
    """
    if TRIALS not in file:
        _require_nothing_to_leave_out(given, source)
        return None
    table, name = file[TRIALS], f"{source} trials"
    rows = len(require_dataset(table, "id", source))
    for needed in ("start_time", "stop_time"):
        require_dataset(table, needed, source)
    columns, aside = plain_columns(table, rows, source)
    start, end = (_seconds(columns.pop(part), f"{name}.{part}")
                  for part in ("start_time", "stop_time"))  # fmt: skip
    timed = np.isfinite(start) & np.isfinite(end)
    keep, reasons = kept_trials({"start": start, **columns}, options.trial_filter, name)
    keep &= timed
    if not keep.any():
        raise UserError(
            f"{name} has {rows} rows, of which the trial filter {options.trial_filter} keeps "
            "none that has times; check start_time and stop_time, or read with --trials none"
        )
    _require_order(start[timed], end[timed], name)
    notes = [f"{int((~timed).sum())} trials (no start_time or stop_time)"] * (not timed.all())
    notes += [f"{count} trials ({why})" for why, count in reasons.items()]
    every = {"start": start, "end": end}
    for column, values in columns.items():
        every[field_name(column, tuple(every))] = values
    left = _left_out(file, every, given, source)
    keep &= left.keep
    require_some(keep, name)
    kept = {column: values[keep] for column, values in every.items()}
    _require_split(kept, name)
    times = ["start", "end", *(one for one in kept if one.endswith(_ENDINGS))]
    numbers = [one for one in times if kept[one].dtype.kind == "f"]
    return NwbTrials(
        columns=kept,
        times=tuple(numbers),
        every=every,
        notes=(*notes, *left.notes),
        aside=aside,
        unmatched=left.unmatched,
    )


def _require_nothing_to_leave_out(given: NwbLeaveOut, source: str) -> None:
    if given != NwbLeaveOut():
        raise UserError(
            f"{source} has no trials, expected some by leave_out in the mapping file; remove it "
            "there"
        )


def _left_out(
    file: h5py.File, every: dict[str, np.ndarray], given: NwbLeaveOut, source: str
) -> LeftOut:
    """Which trials the mapping leaves out; its tables are read here."""
    known = [name for name, table in file["intervals"].items()
             if f"intervals/{name}" != TRIALS and isinstance(table, h5py.Group)]  # fmt: skip
    during: dict[str, np.ndarray | str] = {}
    for name in given.during:
        if name in known:
            from_s, to_s = _interval_times(file["intervals"][name], source)
            during[name] = overlap(every["start"], every["end"], from_s, to_s)
        else:
            during[name] = f"the tables of intervals are: {', '.join(known) or 'none'}"
    columns = {f"{COLUMNS}{name}": values for name, values in every.items()}
    return leave_out(given, columns, len(every["start"]), source, during)


def _interval_times(table: h5py.Group, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of each interval (s)."""
    name = table.name[1:].replace("/", ".")
    from_s, to_s = (_seconds(require_dataset(table, part, source)[...], f"{source} {name}.{part}")
                    for part in ("start_time", "stop_time"))  # fmt: skip
    wrong = np.flatnonzero(~(from_s <= to_s))
    if len(wrong):
        raise UserError(
            f"{source} {name} does not say when the interval of row {wrong[0]} starts and ends, "
            "expected seconds, by leave_out in the mapping file; correct the row or remove it"
        )
    return from_s, to_s


def _seconds(values: np.ndarray, source: str) -> np.ndarray:
    if values.dtype.kind not in "iuf":
        raise UserError(
            f"{source} is of type {values.dtype}, expected seconds; export the file again"
        )
    return values.astype(np.float64)


def _require_order(start: np.ndarray, end: np.ndarray, name: str) -> None:
    falls = np.flatnonzero(np.diff(start) < 0)
    if len(falls):
        raise UserError(
            f"{name}.start_time is not sorted (row {falls[0] + 1}), expected trials in the order "
            "of time; sort the table and export it again"
        )
    doubled = np.flatnonzero(np.diff(start) == 0)
    if len(doubled):
        raise UserError(
            f"{name}.start_time is the same in rows {doubled[0]} and {doubled[0] + 1}, expected "
            "each trial once; remove the duplicate"
        )
    wrong = np.flatnonzero(end <= start)
    if len(wrong):
        raise UserError(
            f"{name}.stop_time of row {wrong[0]} is not after its start_time, expected seconds; "
            "correct the row or remove it"
        )


def _require_split(columns: dict[str, np.ndarray], name: str) -> None:
    if "split" in columns:
        strange = sorted(set(columns["split"].astype(np.str_)) - set(SPLIT_NAMES))
        if strange:
            raise UserError(
                f"{name}.split holds '{strange[0]}', expected train, valid or test; rename the "
                "column or its values"
            )
