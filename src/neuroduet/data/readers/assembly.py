"""From what a reader found in a file to a recording: units to keep, behaviours, one clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
    SubjectDescription,
)

from neuroduet.data.columns import SERIES
from neuroduet.data.doubts import warn_of_doubts
from neuroduet.data.readers.alf_files import LONGEST_S
from neuroduet.data.readers.naming import ascii_text
from neuroduet.data.readers.reader import ReadOptions, RegionLevel
from neuroduet.data.readers.regions import UNKNOWN, rename_regions
from neuroduet.data.schema import find_problems
from neuroduet.errors import UserError, unknown
from neuroduet.types import BehaviourKind, Per, is_region

SLACK_S = 600.0
"""Behaviour may be recorded this much before and after the spikes."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A behaviour that a recording offers.

    Attributes:
        name: Its name.
        source: ``group.field`` of the recording.
        kind: Continuous or categorical.
        per: Per bin or per trial.
    """

    name: str
    source: str
    kind: BehaviourKind
    per: Per


def offer_table(offers: Sequence[Offer]) -> ArrayDict:
    """The group ``behaviours`` of a recording."""
    return ArrayDict(
        name=np.array([one.name for one in offers], dtype=np.str_),
        source=np.array([one.source for one in offers], dtype=np.str_),
        kind=np.array([one.kind for one in offers], dtype=np.str_),
        per=np.array([one.per for one in offers], dtype=np.str_),
    )


def region_columns(names: Sequence[str], level: RegionLevel) -> dict[str, np.ndarray]:
    """``region`` at the level asked for, and one column per level; unknown names stay.

    Args:
        names: Allen acronyms, or the words of another atlas; empty where nobody recorded one.
        level: Level of ``region``.
    """
    known = [ascii_text(name) or UNKNOWN for name in names]
    levels: tuple[RegionLevel, ...] = get_args(RegionLevel)
    columns = {f"region_{one}": rename_regions(known, one)[0] for one in levels}
    return {"region": columns[f"region_{level}"], **columns}


def regions_said(names: Sequence[str], level: str) -> str:
    """How many regions units are in, and how many units are in none; empty if all are.

    Args:
        names: Region of each unit.
        level: What names them.

    Example:
        >>> regions_said(["CA1", "VISp", "root"], "beryl")
        '2 (beryl); 1 of 3 units in none (root)'
    """
    known = set(filter(is_region, names))
    astray = [name for name in names if not is_region(name)]
    if not known:
        return ""
    said = f"{len(known)} ({level})"
    if not astray:
        return said
    words = ", ".join(sorted(set(filter(None, astray)))) or "no name"
    return f"{said}; {len(astray)} of {len(names)} units in none ({words})"


def require_unit_ids(ids: Shaped[np.ndarray, " N"], source: str) -> None:
    """Refuse units that cannot be told apart.

    Raises:
        UserError: Two units have the same id.
    """
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise UserError(
            f"{source} holds the id '{values[counts > 1][0]}' {counts.max()} times, expected one "
            "id per unit; remove the duplicates"
        )


def kept_units(
    units: Mapping[str, np.ndarray],
    rates_hz: Float[np.ndarray, " N"] | None,
    options: ReadOptions,
    source: str,
) -> tuple[Bool[np.ndarray, " N"], tuple[str, ...]]:
    """Which units to read.

    Args:
        units: Columns of the unit table; ``label`` and ``probe`` may be among them.
        rates_hz: Firing rate of each; ``None`` while it is unknown.
        options: What was asked for.
        source: File, for errors.

    Returns:
        Which are kept, and how many each reason drops.

    Raises:
        UserError: A name is unknown, a column is missing that the options need, or none is left.
    """
    ids = units["id"]
    rules: dict[str, Bool[np.ndarray, " N"]] = {}
    if options.units is not None:
        rules["not among the units asked for"] = ~_among(ids, options.units, "unit")
    if options.probes is not None:
        probes = _needed(units, "probe", "--probes", source)
        rules["not on the probes asked for"] = ~_among(probes, options.probes, "probe")
    if options.min_unit_label is not None:
        labels = _needed(units, "label", "--min-label", source)
        # A unit nobody labelled is not known to be good.
        rules[f"label below {options.min_unit_label:g}"] = ~(labels >= options.min_unit_label)
    if options.min_rate_hz is not None and rates_hz is not None:
        rules[f"rate below {options.min_rate_hz:g} Hz"] = rates_hz < options.min_rate_hz
    dropped = np.any([np.zeros(len(ids), dtype=bool), *rules.values()], axis=0)
    if dropped.all():
        said = ", ".join(f"{int(which.sum())} {why}" for why, which in rules.items())
        raise UserError(
            f"{source} has {len(ids)} units, of which none is left ({said or 'it is empty'}); "
            "lower --min-label or --min-rate, or leave them out"
        )
    notes = tuple(f"{int(which.sum())} units ({why})" for why, which in rules.items()
                  if which.any())  # fmt: skip
    return ~dropped, notes


def _among(
    values: Shaped[np.ndarray, " N"], wanted: Sequence[str], kind: str
) -> Bool[np.ndarray, " N"]:
    for name in wanted:
        if name not in values:
            raise unknown(kind, name, np.unique(values).tolist())
    return np.isin(values, wanted)


def _needed(units: Mapping[str, np.ndarray], name: str, option: str, source: str) -> np.ndarray:
    if name not in units:
        raise UserError(
            f"{source} has no column {name} of units, expected one by {option}; leave the option "
            "out"
        )
    return units[name]


def events_of(
    times_s: Float[np.ndarray, " spikes"],
    unit_index: Int[np.ndarray, " spikes"],
    keep: Bool[np.ndarray, " N"],
) -> dict[str, np.ndarray]:
    """Columns of the group ``spikes``, in the order of time, of the units that are kept."""
    if not keep.all():
        row = np.where(keep, np.cumsum(keep) - 1, -1)
        mine = keep[unit_index]
        times_s, unit_index = times_s[mine], row[unit_index[mine]]
    if len(times_s) and (np.diff(times_s) < 0).any():
        order = np.argsort(times_s, kind="stable")
        times_s, unit_index = times_s[order], unit_index[order]
    return {"timestamps": times_s, "unit_index": unit_index}


def require_seconds(times: Float[np.ndarray, " R"], source: str) -> None:
    """Refuse times that cannot be seconds of one session, in whatever order they come.

    Raises:
        UserError: Some are not finite, or too large.
    """
    broken = np.flatnonzero(~np.isfinite(times))
    if len(broken):
        raise UserError(
            f"{source} holds {len(broken)} times that are not finite (the first in row "
            f"{broken[0]}), expected seconds; leave those rows out"
        )
    longest = float(max(times.max(initial=0.0), -times.min(initial=0.0)))
    if longest > LONGEST_S:
        raise UserError(
            f"{source} runs to {longest:.0f}, expected seconds of one session (samples? "
            "milliseconds?); divide by the sampling rate"
        )


def require_one_clock(
    path: str, spikes_s: Float[np.ndarray, " spikes"], groups: Mapping[str, ArrayDict]
) -> None:
    """Refuse series and trials of which most lies where no spikes were recorded.

    Raises:
        UserError: One has another clock or unit.
    """
    if not len(spikes_s):
        return
    low, high = float(spikes_s[0]), float(spikes_s[-1])
    for name, group in groups.items():
        times = _moments(group)
        if not len(times):
            continue
        inside = (times >= low - SLACK_S) & (times <= high + SLACK_S)
        if inside.mean() < 0.5:
            raise UserError(
                f"{path}: times of {name} run from {times.min():.0f} to {times.max():.0f} but "
                f"spikes from {low:.0f} to {high:.0f}, expected seconds on one clock; convert "
                "the times, or remove what is on another clock"
            )


def _moments(group: ArrayDict) -> np.ndarray:
    if isinstance(group, SERIES):
        return np.asarray(group.timestamps)
    return np.asarray(group.start) if isinstance(group, Interval) else np.empty(0)


def assemble(
    path: str,
    *,
    session: str,
    subject: str | None,
    events: Mapping[str, np.ndarray] | None = None,
    groups: Mapping[str, ArrayDict],
    offers: Sequence[Offer],
) -> Data:
    """A checked recording, of which everything from the first spike to the last was recorded.

    Times that are probably not in seconds are warned of.

    Args:
        path: Where it comes from, for errors.
        session: Its id.
        subject: Id of the animal, if known.
        events: Columns of ``spikes``, if there are any; see :func:`events_of`.
        groups: Everything else that it holds.
        offers: Behaviours that it offers.

    Raises:
        UserError: Something does not fit.
    """
    edges = [np.asarray(events["timestamps"])[[0, -1]]] if _spiked(events) else []
    for group in groups.values():
        if isinstance(group, Interval):
            edges.append(np.array([np.min(group.start), np.max(group.end)]))
        elif isinstance(group, SERIES) and events is None and len(group.timestamps):
            edges.append(np.asarray(group.timestamps)[[0, -1]])
    if not edges:
        raise UserError(f"{path} holds no spikes, series or trials; give another file")
    moments = np.concatenate(edges)
    domain = Interval(float(moments.min()), float(moments.max()))
    present = dict(groups)
    if events is not None:
        present["spikes"] = IrregularTimeSeries(**events, domain=domain)
    # Without a table, whatever looks like a behaviour would be offered, left out or not.
    described: dict[str, Any] = {"behaviours": offer_table(offers)}
    if subject:
        described["subject"] = SubjectDescription(id=ascii_text(subject))
    recording = Data(session=SessionDescription(id=session), domain=domain, **described, **present)
    require_usable(path, recording)
    warn_of_doubts(recording)
    return recording


def _spiked(events: Mapping[str, np.ndarray] | None) -> TypeGuard[Mapping[str, np.ndarray]]:
    return events is not None and len(events["timestamps"]) > 0


def require_usable(path: str, recording: Data) -> None:
    """As :func:`neuroduet.data.schema.check`, naming the file.

    Raises:
        UserError: The recording cannot be used.
    """
    problems = find_problems(recording)
    if problems:
        raise UserError(f"{path} cannot be used: {'; '.join(problems)}")
