"""What an NWB file holds and what becomes of it, without reading its spikes."""

from __future__ import annotations

from collections.abc import Iterable

import h5py

from neuroduet.data.readers.assembly import kept_units, regions_said
from neuroduet.data.readers.leave_out import unmatched_said
from neuroduet.data.readers.mapping import read_mapping
from neuroduet.data.readers.nwb_behaviours import (
    behaviour_said,
    choose_behaviours,
    make_behaviours,
    never_seen,
)
from neuroduet.data.readers.nwb_mapping import COLUMNS, NwbBehaviour, NwbChoice
from neuroduet.data.readers.nwb_proposal import could_be_behaviours, propose
from neuroduet.data.readers.nwb_series import (
    find_series,
    find_unread,
    read_all_series,
)
from neuroduet.data.readers.nwb_tables import NwbTrials, read_trials
from neuroduet.data.readers.nwb_units import has_spikes, unit_table
from neuroduet.data.readers.pose_ndx import pose_containers
from neuroduet.data.readers.reader import Found, ReadOptions

EXPECTED = ("spikes", "regions", "trials", "behaviour", "pose")


def choice_of(options: ReadOptions) -> NwbChoice:
    """What the mapping file says; nothing without one.

    Raises:
        UserError: It cannot be read.
    """
    return NwbChoice() if options.mapping is None else read_mapping(options.mapping, NwbChoice)


def find_contents(
    file: h5py.File, *, session: str, source: str, remote: bool, options: ReadOptions
) -> Found:
    """What a file holds, and what becomes what.

    Args:
        file: The open file.
        session: Name that the recording will have.
        source: File or address, for errors.
        remote: Whether it is elsewhere, so that its series are not read.
        options: What was chosen.

    Raises:
        UserError: The file is damaged, or a mapping asks for what it does not hold.
    """
    choice = choice_of(options)
    trials = read_trials(file, source, options, choice.leave_out)
    series = find_series(file)
    columns, times = ({}, ()) if trials is None else (trials.columns, trials.times)
    groups = {} if remote else read_all_series(file, source)
    names = [one.name for one in series if not one.why_not and (remote or one.name in groups)]
    chosen = choose_behaviours(choice, names, columns, options.mapping)
    made = make_behaviours({} if remote else chosen, groups, columns, source)
    offered = list(chosen) if remote else [one.name for one in made.offers]
    said = "\n".join(behaviour_said(name, chosen[name], columns) for name in offered)
    units, aside = _units(file, source, options)
    pose, other_poses = _poses(file, remote)
    items = units | _trials(trials) | ({"behaviour": said} if offered else {}) | pose
    used = tuple(f"intervals/{name} " for name in choice.leave_out.during)
    unmatched = {} if trials is None else {**trials.unmatched, **never_seen(chosen, trials.every)}
    free = options.mapping is None
    return Found(
        source=source,
        session=session,
        items=items,
        missing=tuple(one for one in EXPECTED if one not in items),
        dropped=(
            *aside,
            *((*trials.notes, *trials.aside) if trials else ()),
            *made.aside,
            *(f"series {one.group.name[1:]} ({one.why_not})" for one in series if one.why_not),
            *(one for one in find_unread(file) if not one.startswith(used)),
            *other_poses,
        ),
        warnings=(*unmatched_said(unmatched), *made.warnings),
        unmatched=unmatched,
        unused=_unused(trials, chosen.values()) if choice.behaviours is None else (),
        mapping=propose(session, groups, columns, times) if free and not remote else "",
    )


def _units(
    file: h5py.File, source: str, options: ReadOptions
) -> tuple[dict[str, str], tuple[str, ...]]:
    if not has_spikes(file):
        return {}, ()
    table, aside = unit_table(file, source, options)
    items = {"spikes": f"{len(table['id']):,} units, {len(file['units/spike_times']):,} spikes"}
    said = regions_said(list(map(str, table.get("region", ()))), options.regions)
    _, dropped = kept_units(table, None, options, source)
    return items | ({"regions": said} if said else {}), (*aside, *dropped)


def _trials(trials: NwbTrials | None) -> dict[str, str]:
    if trials is None:
        return {}
    names = ", ".join(name for name in trials.columns if name not in ("start", "end"))
    return {"trials": f"{len(trials.columns['start'])} kept" + (f", with {names}" * bool(names))}


def _poses(file: h5py.File, remote: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    poses = tuple(pose_containers(file))
    if poses and remote:
        return {}, (f"pose {', '.join(poses)} (only read from a file on disk)",)
    if not poses:
        return {}, ()
    return {"pose": poses[0]}, tuple(f"pose {name} ({poses[0]} is read)" for name in poses[1:])


def _unused(trials: NwbTrials | None, chosen: Iterable[NwbBehaviour]) -> tuple[str, ...]:
    """Trial columns that could be behaviours and are not among those chosen."""
    used = {one.column for one in chosen}
    names = () if trials is None else could_be_behaviours(trials.columns, trials.times)
    return tuple(f"{COLUMNS}{name}" for name in names if name not in used)
