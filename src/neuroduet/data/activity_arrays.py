"""Neural activity from plain arrays: spikes as events or by unit, counts, traces."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np

from neuroduet.data.layout import Layout
from neuroduet.data.tables import numbers, plain
from neuroduet.errors import UserError


def spike_columns(
    given: Any, spike_units: Any, units: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Columns of ``spikes`` and of ``units``.

    Args:
        given: Times of all spikes (s), or a list with those of each unit.
        spike_units: Unit of each spike; ``None`` with a list.
        units: Columns of the unit table that were given.

    Raises:
        UserError: They do not fit each other.
    """
    by_unit = _is_by_unit(given)
    if by_unit:
        given, spike_units, n_units = _joined(given, spike_units)
        because = "spike_times has an array for each"
    elif spike_units is None:
        raise UserError(
            "spike_times needs spike_units, the unit of each spike; or give a list with the times "
            "of each unit"
        )
    times_s = numbers(given, "spike_times").astype(np.float64)
    index = plain(np.asarray(spike_units))
    if times_s.ndim != 1 or times_s.shape != index.shape:
        raise UserError(
            f"spike_times has shape {times_s.shape} and spike_units {index.shape}, expected one "
            "time and one unit per spike"
        )
    if not np.isfinite(times_s).all():
        raise UserError("spike_times holds values that are not finite; leave those spikes out")
    if index.dtype.kind in "US":
        index, units = _index_of_ids(index.astype(np.str_), units)
    if index.dtype.kind not in "iu" and len(index):
        raise UserError(f"spike_units is of type {index.dtype}, expected integers or unit ids")
    index = index.astype(np.int64)
    if not by_unit:
        highest = int(index.max(initial=-1))
        n_units = max([highest + 1, *(len(np.atleast_1d(values)) for values in units.values())])
        because = (
            f"spike_units runs to {highest}" if highest + 1 == n_units else "in another column"
        )
    order = np.argsort(times_s, kind="stable")
    series = {"timestamps": times_s[order], "unit_index": index[order]}
    return series, _unit_table(units, n_units, because)


def _is_by_unit(given: Any) -> bool:
    """Whether times of spikes are given as one array per unit."""
    ragged = isinstance(given, np.ndarray) and given.dtype.kind == "O"
    # What MATLAB and h5py read gives a single spike as a number, beside arrays of others.
    return (isinstance(given, list | tuple) or ragged) and any(
        not isinstance(one, Real) and np.ndim(one) > 0 for one in given
    )


def _joined(given: Any, spike_units: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Times of all spikes, unit of each, and the number of units."""
    if spike_units is not None:
        raise UserError(
            "spike_times is one array per unit, and spike_units says the unit of each spike; "
            "leave spike_units out"
        )
    each = [
        np.atleast_1d(numbers(times, f"spike_times of unit {row}").squeeze())
        for row, times in enumerate(given)
    ]
    for row, times in enumerate(each):
        if times.ndim > 1:
            raise UserError(
                f"spike_times of unit {row} has shape {times.shape}, expected one time per spike; "
                "give 1-D arrays"
            )
    lengths = [len(times) for times in each]
    return np.concatenate(each), np.repeat(np.arange(len(each)), lengths), len(each)


def _index_of_ids(
    spike_ids: np.ndarray, units: dict[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    ids = units.get("id", np.unique(spike_ids)).astype(np.str_)
    unknown = np.setdiff1d(spike_ids, ids)
    if len(unknown):
        raise UserError(
            f"spike_units names {len(unknown)} units that units['id'] lacks, such as "
            f"'{unknown[0]}'; add them to the unit table"
        )
    order = np.argsort(ids)
    return order[np.searchsorted(ids[order], spike_ids)], {**units, "id": ids}


def bin_columns(
    kind: str, values: np.ndarray, layout: Layout, units: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Columns of ``counts`` or ``traces``, and of ``units``.

    Args:
        kind: Which of them.
        values: Activity, ``(time, units)``.
        layout: When bins happened.
        units: Columns of the unit table that were given.

    Raises:
        UserError: There are more or fewer units than entries of the table.
    """
    axes = "the axes of the activity must be (trials, bins, units) or (time, units)"
    table = _unit_table(units, values.shape[1], axes)
    times = layout.trial_centres() if layout.by_trial else layout.time_centres(len(values))
    if kind == "traces":
        values = values.astype(np.float32)
    elif np.isfinite(values).all() and (values >= 0).all() and (values == np.round(values)).all():
        values = values.astype(np.min_scalar_type(int(values.max(initial=0))))
    return {"timestamps": times, "values": values}, table


def _unit_table(units: dict[str, np.ndarray], n_units: int, because: str) -> dict[str, np.ndarray]:
    ids = np.array([f"unit{unit:03d}" for unit in range(n_units)], dtype=np.str_)
    table = {"id": ids, **units}
    for name, values in table.items():
        if values.shape[:1] != (n_units,):
            raise UserError(
                f"units['{name}'] has {len(np.atleast_1d(values))} entries, but there are "
                f"{n_units} units ({because}); give one entry per unit"
            )
    return {**table, "id": table["id"].astype(np.str_)}


def warn_if_transposed(
    kind: str, values: np.ndarray, layout: Layout, units: dict[str, np.ndarray]
) -> None:
    """Warn about far more units than bins, unless a unit table confirms the order of the axes.

    Args:
        kind: ``counts`` or ``traces``.
        values: Activity, ``(time, units)``.
        layout: When bins happened.
        units: Columns of the unit table that were given.
    """
    n_units = values.shape[1]
    n_bins, factor = len(values), 4
    if layout.by_trial and layout.bins is not None:
        # Short trials of many units are common: 50 bins of 400 units are nothing special.
        n_bins, factor = int(layout.bins.max(initial=1)), 20
    if not units and n_units >= factor * max(n_bins, 1):
        warnings.warn(
            f"{kind} has {n_units} units but only {n_bins} bins; if the axes are transposed, give "
            "(trials, bins, units) or (time, units)",
            stacklevel=3,
        )
