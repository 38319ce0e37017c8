"""From the arrays that a mapping file names to a recording."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch_brain.data import Data

from neuroduet.data.arrays import from_arrays
from neuroduet.data.columns import groups
from neuroduet.data.drift import drift_of, drift_said
from neuroduet.data.readers.assembly import kept_units, region_columns, require_unit_ids
from neuroduet.data.readers.leave_out import (
    LeaveOut,
    LeftOut,
    leave_out,
    note_left_out,
    require_some,
)
from neuroduet.data.readers.naming import field_name
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
    behaviours: dict[str, Any] = {}
    for name, values in mapping.behaviours.items():
        behaviours[field_name(name, tuple(behaviours))] = _behaviour(given, name, values)
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


def left_out(given: TableArrays, recording: Data) -> LeftOut:
    """Which trials the mapping leaves out.

    Args:
        given: File, mapping and arrays.
        recording: What :func:`build` made of them, with all trials.

    Raises:
        UserError: There are no trials, an array has another length, or none is left.
    """
    asked, trials = given.mapping.leave_out, groups(recording).get("trials")
    count = 0 if trials is None else len(trials)
    if asked != LeaveOut() and not count:
        raise UserError(
            f"{given.path} has no trials, expected some by leave_out in the mapping file; remove "
            "it there"
        )
    columns = {name: given.vector(f"leave_out.where.{name}") for name in asked.where}
    for name, values in columns.items():
        if len(values) != count:
            raise UserError(
                f"{given.path} {name} has {len(values)} entries, but there are {count} trials, "
                "expected one each by leave_out; name another array"
            )
    return leave_out(asked, columns, count, str(given.path))


def without(recording: Data, left: LeftOut, source: str) -> Data:
    """A recording without the trials that are left out; everything else stays in it.

    Args:
        recording: What :func:`build` made.
        left: See :func:`left_out`.
        source: File, for errors.

    Raises:
        UserError: None is left.
    """
    if left.keep.all():
        return recording
    require_some(left.keep, source)
    recording.trials = recording.trials.select_by_mask(left.keep)
    note_left_out(recording, left.notes)
    return recording


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


def counted_from_one(given: TableArrays) -> tuple[str, ...]:
    """A sentence about spikes whose units count from 1 though the mapping says 0.

    Args:
        given: File, mapping and arrays.
    """
    spikes = given.mapping.spikes
    if spikes is None or spikes.units is None or spikes.first_unit != 0:
        return ()
    owners = given.vector("spikes.units")
    if owners.dtype.kind not in "iuf" or not len(owners) or owners.min() != 1:
        return ()
    return (
        f"{spikes.units} begins with 1, so that the first unit has no spikes; if it counts from "
        "1, as MATLAB does, set spikes.first_unit: 1",
    )


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
        times["end"] = given.in_seconds("trials.end", given.vector("trials.end"), trials.end)
    if not len(times["start"]):
        raise UserError(
            f"{given.place('trials.start')} is empty, expected the start of each trial; leave out "
            "trials, or name another array"
        )
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
