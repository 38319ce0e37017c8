"""Arrays that a mapping file names: times in seconds, axes in order, spikes or counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped

from neuroduet.data.readers.assembly import require_seconds
from neuroduet.data.readers.mat_files import Value
from neuroduet.data.readers.naming import ascii_words
from neuroduet.data.readers.table_mapping import Spikes, TableMapping, Times, Values
from neuroduet.errors import UserError

ORDERS = (
    ("trials", "bins", "units"),
    ("trials", "bins", "channels"),
    ("trials", "bins"),
    ("time", "units"),
    ("time", "channels"),
    ("trials",),
    ("time",),
)
"""Axes as a recording wants them."""

TRANSPOSED = 4
"""So many times more units than bins are rather the bins."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TableArrays:
    """A file, its mapping, and the arrays that the mapping names.

    Attributes:
        path: The file.
        mapping: What is what.
        arrays: By what they are for, e.g. ``trials.start``.
    """

    path: Path
    mapping: TableMapping
    arrays: Mapping[str, Value]

    def place(self, what: str) -> str:
        """File and array, for errors."""
        return f"{self.path} {self.mapping.arrays()[what]}"

    def array(self, what: str) -> np.ndarray:
        """An array that is no cell."""
        value = self.arrays[what]
        if isinstance(value, list):
            raise UserError(
                f"{self.place(what)} is a cell of {len(value)} arrays, expected one array for "
                f"{what}; name another"
            )
        return value

    def vector(self, what: str) -> np.ndarray:
        """A 1-D array, text in ASCII."""
        value = ascii_words(np.atleast_1d(self.array(what)))
        if value.ndim != 1:
            raise UserError(
                f"{self.place(what)} has shape {value.shape}, expected one value each for {what}; "
                "name another array"
            )
        return value

    def seconds(self, what: str, times: Times) -> Float[np.ndarray, " R"]:
        """A 1-D array of ascending times (s)."""
        found = self.in_seconds(what, self.vector(what), times)
        falls = np.flatnonzero(np.diff(found) < 0)
        if len(falls):
            raise UserError(
                f"{self.place(what)} is not sorted (row {falls[0] + 1}), expected ascending times "
                f"for {what}; sort the rows"
            )
        return found

    def in_seconds(self, what: str, values: np.ndarray, times: Times) -> Float[np.ndarray, " R"]:
        """Times in any order (s)."""
        if values.dtype.kind not in "iuf":
            raise UserError(
                f"{self.place(what)} is of type {values.dtype}, expected times for {what}; name "
                "another array"
            )
        found = np.atleast_1d(values).ravel().astype(np.float64) * times.factor
        require_seconds(found, f"{self.place(what)} (unit: {times.unit})")
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class TableActivity:
    """Spikes or binned activity, one of them.

    Attributes:
        n_units: Number of units.
        ids: Their ids, where the spikes name them.
        times_s: Times of the spikes (s).
        index: Unit of each.
        binned: ``(trials, bins, units)``, ``(time, units)`` or ``(bins, units)`` of each trial.
    """

    n_units: int
    ids: np.ndarray | None = None
    times_s: np.ndarray | None = None
    index: np.ndarray | None = None
    binned: np.ndarray | list[np.ndarray] | None = None

    def fewer(self, keep: Bool[np.ndarray, " N"]) -> TableActivity:
        """The same of some of the units, whose ids stand in the unit table."""
        if self.times_s is not None and self.index is not None:
            mine, rows = keep[self.index], np.cumsum(keep) - 1
            return TableActivity(
                n_units=int(keep.sum()),
                times_s=self.times_s[mine],
                index=rows[self.index[mine]],
            )
        parts = self.binned
        chosen = [one[..., keep] for one in parts] if isinstance(parts, list) else (
            None if parts is None else parts[..., keep])  # fmt: skip
        return TableActivity(n_units=int(keep.sum()), binned=chosen)

    def rates_hz(self, bin_size_s: float | None) -> np.ndarray | None:
        """Mean rate of each unit; ``None`` while the width of a bin is unknown."""
        if self.index is not None and self.times_s is not None:
            seconds = float(np.ptp(self.times_s)) if len(self.times_s) else 0.0
            return np.bincount(self.index, minlength=self.n_units) / max(seconds, 1e-9)
        if self.binned is None or bin_size_s is None:
            return None
        parts = self.binned if isinstance(self.binned, list) else [self.binned]
        flat = [np.reshape(one, (-1, self.n_units)) for one in parts]
        bins = sum(map(len, flat))
        total = np.sum([one.sum(axis=0, dtype=np.float64) for one in flat], axis=0)
        return total / max(bins * bin_size_s, 1e-9)


def read_activity(given: TableArrays) -> TableActivity:
    """The activity that the mapping names.

    Raises:
        UserError: Arrays do not fit each other, or look transposed.
    """
    mapping = given.mapping
    if mapping.spikes is not None:
        return _events(given, mapping.spikes)
    what = "counts" if mapping.counts else "traces"
    values = mapping.counts or mapping.traces
    assert values is not None
    binned = read_values(given, what, values)
    if not isinstance(binned, list):
        _refuse_transposed(given, what, values, binned)
    first = binned[0] if isinstance(binned, list) else binned
    if first.dtype.kind not in "iuf":
        raise UserError(
            f"{given.place(what)} is of type {first.dtype}, expected numbers; name another array"
        )
    return TableActivity(n_units=first.shape[-1], binned=binned)


def _events(given: TableArrays, spikes: Spikes) -> TableActivity:
    times = given.arrays["spikes.times"]
    if isinstance(times, list):
        parts = [given.in_seconds("spikes.times", one, spikes.times) for one in times]
        index = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return TableActivity(n_units=len(parts), times_s=np.concatenate(parts), index=index)
    if spikes.units is None:
        raise UserError(
            f"{given.place('spikes.times')} is one array, expected a cell of units, or the unit "
            "of each spike; name it in the mapping: spikes.units"
        )
    times_s = given.in_seconds("spikes.times", times, spikes.times)
    owners = given.vector("spikes.units")
    if len(owners) != len(times_s):
        raise UserError(
            f"{given.place('spikes.units')} has {len(owners):,} entries but "
            f"{given.mapping.arrays()['spikes.times']} {len(times_s):,}, expected one unit per "
            "spike; export both again"
        )
    if owners.dtype.kind == "U":
        ids, index = np.unique(owners, return_inverse=True)
        return TableActivity(n_units=len(ids), ids=ids, times_s=times_s, index=index)
    index = _whole(given, "spikes.units", owners) - spikes.first_unit
    if len(index) and index.min() < 0:
        raise UserError(
            f"{given.place('spikes.units')} counts from {index.min() + spikes.first_unit}, "
            f"expected {spikes.first_unit} on; correct spikes.first_unit in the mapping"
        )
    count = int(index.max(initial=-1)) + 1
    named = [len(given.vector(f"units.{name}")) for name in given.mapping.units]
    if named and count > named[0]:
        raise UserError(
            f"{given.place('spikes.units')} goes up to {count - 1 + spikes.first_unit}, but the "
            f"unit table has {named[0]} units; if it counts from 1, set spikes.first_unit: 1"
        )
    return TableActivity(n_units=named[0] if named else count, times_s=times_s, index=index)


def _whole(given: TableArrays, what: str, values: np.ndarray) -> np.ndarray:
    """MATLAB keeps whole numbers as floats."""
    if values.dtype.kind not in "iuf" or not (values == np.round(values)).all():
        raise UserError(
            f"{given.place(what)} is of type {values.dtype}, expected whole numbers or ids for "
            f"{what}; name another array"
        )
    return values.astype(np.int64)


def read_values(given: TableArrays, what: str, values: Values) -> np.ndarray | list[np.ndarray]:
    """An array with its axes in the order of a recording, or one array per trial."""
    found = given.arrays[what]
    if isinstance(found, list):
        return found
    array = ascii_words(_ordered(given, what, values, found))
    if values.lengths is None:
        return array
    lengths = _whole(given, f"{what}.lengths", given.vector(f"{what}.lengths"))
    if len(array) != lengths.sum() or (lengths < 1).any():
        raise UserError(
            f"{given.place(what)} has {len(array)} bins, but the trials of "
            f"{given.mapping.arrays()[f'{what}.lengths']} have {int(lengths.sum())} together; "
            "name the array with the bins of each trial, or the right axes"
        )
    return np.split(array, np.cumsum(lengths)[:-1])


def _ordered(given: TableArrays, what: str, values: Values, array: np.ndarray) -> np.ndarray:
    if values.axes is None:
        return array
    wanted = next((order for order in ORDERS if set(order) == set(values.axes)), None)
    if wanted is None or len(wanted) != len(values.axes) or array.ndim != len(wanted):
        known = ", ".join(f"[{', '.join(order)}]" for order in ORDERS)
        raise UserError(
            f"{given.place(what)} has shape {array.shape}, but its axes are said to be "
            f"[{', '.join(values.axes)}], expected the axes of one of {known} in any order; "
            "correct the mapping"
        )
    return np.transpose(array, [values.axes.index(axis) for axis in wanted])


def _refuse_transposed(
    given: TableArrays, what: str, values: Values, array: Shaped[np.ndarray, "..."]
) -> None:
    """Activity whose axes nobody stated must fit the unit table, or at least look right."""
    if array.ndim not in (2, 3):
        raise UserError(
            f"{given.place(what)} has shape {array.shape}, expected (trials, bins, units) or "
            "(time, units); name another array"
        )
    named = [len(given.vector(f"units.{name}")) for name in given.mapping.units]
    n_units = array.shape[-1]
    wrong = n_units != named[0] if named else n_units >= TRANSPOSED * array.shape[-2]
    if wrong and (named or values.axes is None):
        said = f"the unit table has {named[0]}" if named else f"only {array.shape[-2]} bins"
        raise UserError(
            f"{given.place(what)} has shape {array.shape}: {n_units} units, but {said}, expected "
            "(trials, bins, units) or (time, units); if it is transposed, state its axes in the "
            "mapping, such as axes: [units, time]"
        )
