"""From the arrays that a mapping file names to a recording."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch_brain.data import Data

from neuroduet.data.arrays import from_arrays
from neuroduet.data.drift import drift_of, drift_said
from neuroduet.data.readers.assembly import kept_units, region_columns, require_unit_ids
from neuroduet.data.readers.naming import ascii_text, field_name
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.data.readers.speed import speed_of
from neuroduet.data.readers.table_activity import (
    TableActivity,
    TableArrays,
    read_activity,
    read_values,
)
from neuroduet.data.readers.table_mapping import Behaviour
from neuroduet.errors import UserError


def build(given: TableArrays, *, session: str, options: ReadOptions) -> Data:
    """The recording.

    Args:
        given: File, mapping and arrays.
        session: Session id.
        options: Regions, unit selection.

    Raises:
        UserError: Arrays do not fit each other or the mapping.
    """
    mapping = given.mapping
    activity = read_activity(given)
    units = _units(given, activity, options)
    rates_hz = None if mapping.traces else activity.rates_hz(mapping.bin_size_s)
    keep, _ = kept_units(units, rates_hz, options, str(given.path))
    kept = activity.fewer(keep)
    trials = _trials(given)
    behaviours = {
        field_name(name): _behaviour(given, name, values)
        for name, values in mapping.behaviours.items()
    }
    split = None if mapping.split is None else given.vector("split").astype(np.str_)
    try:
        return from_arrays(
            session_id=session,
            subject_id=mapping.subject,
            bin_size_s=mapping.bin_size_s,
            spike_times=kept.times_s,
            spike_units=kept.index,
            counts=kept.binned if mapping.counts else None,
            traces=kept.binned if mapping.traces else None,
            units={name: values[keep] for name, values in units.items()},
            trials=trials,
            behaviours=behaviours,
            split=split,
        )
    except UserError as error:
        raise UserError(f"{given.path}: {error}") from error


def drifting(given: TableArrays) -> tuple[str, ...]:
    """A sentence about each behaviour with times of its own that drifts.

    Args:
        given: File, mapping and arrays.

    Raises:
        UserError: Times are no times.
    """
    said = []
    for name, values in given.mapping.behaviours.items():
        found = given.arrays[f"behaviours.{name}"]
        if values.times is None or values.speed or isinstance(found, list):
            continue
        times_s = given.seconds(f"behaviours.{name}.times", values.times)
        if found.dtype.kind == "f" and found.ndim and len(found) == len(times_s):
            share = drift_of(times_s, found.astype(np.float64))
            said += [] if share is None else [drift_said(name, share)]
    return tuple(said)


def _units(
    given: TableArrays, activity: TableActivity, options: ReadOptions
) -> dict[str, np.ndarray]:
    table: dict[str, np.ndarray] = {}
    for name in given.mapping.units:
        values = given.vector(f"units.{name}")
        if len(values) != activity.n_units:
            raise UserError(
                f"{given.place(f'units.{name}')} has {len(values)} entries, but there are "
                f"{activity.n_units} units, expected one each; name another array"
            )
        if values.dtype.kind == "U":
            values = np.array([ascii_text(one) for one in values], dtype=np.str_)
        table[name] = values
    ids = table.get("id", activity.ids)
    if ids is None:
        ids = np.array([f"unit{number:03d}" for number in range(activity.n_units)])
    table["id"] = ids.astype(np.str_)
    require_unit_ids(table["id"], f"{given.path} units.id")
    if "region" in table:
        table |= region_columns([str(one) for one in table["region"]], options.regions)
    return table


def _trials(given: TableArrays) -> dict[str, np.ndarray] | None:
    trials = given.mapping.trials
    if trials is None:
        return None
    times = {"start": given.seconds("trials.start", trials.start)}
    if trials.end is not None:
        times["end"] = given.seconds("trials.end", trials.end)
    if len({len(one) for one in times.values()}) > 1:
        raise UserError(
            f"{given.place('trials.end')} has {len(times['end'])} rows but trials.start "
            f"{len(times['start'])}, expected one per trial; export both again"
        )
    doubled = np.flatnonzero(np.diff(times["start"]) == 0)
    if len(doubled):
        raise UserError(
            f"{given.place('trials.start')} is the same in rows {doubled[0]} and "
            f"{doubled[0] + 1}, expected each trial once; remove the duplicate"
        )
    return times


def _behaviour(given: TableArrays, name: str, values: Behaviour) -> Any:
    what = f"behaviours.{name}"
    found = read_values(given, what, values)
    if values.times is None:
        return found
    if isinstance(found, list):
        raise UserError(
            f"{given.place(what)} is given by trial, expected one array beside its times; leave "
            "out times, or lengths"
        )
    times_s = given.seconds(f"{what}.times", values.times)
    if not values.speed:
        return times_s, found
    if found.dtype.kind not in "fiu" or not found.ndim:
        raise UserError(
            f"{given.place(what)} holds {found.dtype}, expected numbers to take the speed of; "
            "leave speed out"
        )
    return speed_of(times_s, found.astype(np.float64), given.place(what))
