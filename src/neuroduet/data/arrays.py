"""Recordings from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
    SubjectDescription,
)

from neuroduet.data.activity_arrays import bin_columns, spike_columns, warn_if_transposed
from neuroduet.data.behaviour_arrays import BehaviourArray, read_behaviour
from neuroduet.data.doubts import warn_of_doubts
from neuroduet.data.layout import Layout, lay_out, stack
from neuroduet.data.schema import NEURAL_KINDS, check
from neuroduet.data.tables import Table, columns_of, plain
from neuroduet.errors import UserError, unsuitable
from neuroduet.types import NeuralKind

_RESERVED = {
    *NEURAL_KINDS, "units", "trials", "behaviours", "truth", "session", "subject", "domain",
    "bin_size_s", "start", "end", "split", "absolute_start", "file",
}  # fmt: skip


def from_arrays(
    *,
    session_id: str,
    counts: Any = None,
    spike_times: Any = None,
    spike_units: Any = None,
    traces: Any = None,
    bin_size_s: float | None = None,
    behaviours: Table | None = None,
    trials: Table | None = None,
    units: Table | None = None,
    split: Sequence[str] | np.ndarray | None = None,
    subject_id: str | None = None,
) -> Data:
    """Build a recording from arrays. Give one of ``counts``, ``traces`` and ``spike_times``.

    A behaviour is read by its type and shape. Integers, booleans and text are classes; floats are
    continuous, contrasts and block priors of .2/.5/.8 too: give text or integers to make classes
    of them. Only whole numbers that are stored as floats (choices of -1., 1. and ``nan``), one per
    trial, are classes, if there are at most 20 distinct ones and some are repeated; a setting
    ``data.behaviours`` takes them as numbers (``{name: reward, kind: continuous}``). With trials,
    a 1-D array with one entry per trial is a behaviour per trial; everything else has one entry
    per bin.

    What can be used but is probably not meant is warned of: times in milliseconds or samples,
    transposed axes, integers of many values as classes, a column ``regions`` for ``region``.

    Args:
        session_id: Name of the session, and of its file.
        counts: Spike counts: ``(trials, bins, units)``, a list of ``(bins_i, units)`` for trials
            of different length, or ``(time, units)``.
        spike_times: Times of all spikes (s), in any order; or a list of arrays, the spikes of each
            unit.
        spike_units: Unit of each spike: row in the unit table, or its id as text. Not with a list.
        traces: Continuous activity (calcium, LFP) in the shapes of ``counts``.
        bin_size_s: Width of a bin (s). With spike times it is needed for behaviours per bin.
        behaviours: By name: ``(trials, bins[, C])``, a list of ``(bins_i[, C])``,
            ``(time[, C])``, ``(trials,)``, or a tuple ``(times_s, values)``. Missing values are
            ``nan``, -1 for integer classes per bin, and the empty string for text.
        trials: Columns of the trial table, or a table of pandas. ``start`` and ``end`` (s) are
            needed with spike times and with ``(time, units)``; binned trials without them are
            laid out one after the other, one second apart.
        units: Columns of the unit table, or a table of pandas: ``region``, ``depth_um`` ...;
            ``id`` defaults to ``unit000``, ``unit001`` ...
        split: ``train``, ``valid`` or ``test`` for each trial; missing for trials left out.
        subject_id: Name of the animal.

    Returns:
        A checked recording.

    Raises:
        UserError: Arrays do not fit each other.

    Example:
        >>> recording = from_arrays(
        ...     session_id="s1",
        ...     counts=np.ones((4, 10, 3), dtype=int),
        ...     bin_size_s=0.02,
        ...     behaviours={"speed": np.zeros((4, 10)), "choice": [0, 1, 1, 0]},
        ... )
        >>> recording.counts.values.shape
        (40, 3)
    """
    kind, given = _one_neural(counts=counts, spikes=spike_times, traces=traces)
    _require_text(session_id=session_id, subject_id=subject_id)
    columns, unit_columns = columns_of(trials, "trials"), columns_of(units, "units")
    offered = (
        behaviours if isinstance(behaviours, Mapping) else columns_of(behaviours, "behaviours")
    )
    values, bins = (None, None) if kind == "spikes" else stack(kind, given)
    layout = lay_out(bin_size_s, columns, None if values is None else len(values), bins)
    if values is None:
        series, unit_table = spike_columns(given, spike_units, unit_columns)
    else:
        series, unit_table = bin_columns(kind, values, layout, unit_columns)
        warn_if_transposed(kind, values, layout, unit_columns)
    found = {
        _allowed(str(name)): read_behaviour(str(name), behaviour, layout)
        for name, behaviour in offered.items()
    }
    domain = _domain(layout, series["timestamps"], found)
    recording = Data(
        domain=domain,
        session=SessionDescription(id=session_id),
        **({"subject": SubjectDescription(id=subject_id)} if subject_id else {}),
        **{kind: IrregularTimeSeries(**series, domain=domain)},
        **({} if kind == "spikes" else {"bin_size_s": float(bin_size_s or 0)}),
        units=ArrayDict(**unit_table),
        **_trial_group(layout, columns, found, split),
        **_behaviour_groups(found),
    )
    check(recording)
    warn_of_doubts(recording)
    return recording


def _require_text(**names: object) -> None:
    for what, name in names.items():
        if not isinstance(name, str | None) or (what == "session_id" and name is None):
            raise unsuitable(what, name, "a name as text", f"write for example {what}='mouse1'")


def _one_neural(**given: Any) -> tuple[NeuralKind, Any]:
    present = [kind for kind in NEURAL_KINDS if given[kind] is not None]
    if len(present) != 1:
        found = " and ".join(present).replace("spikes", "spike_times") or "none of them"
        raise UserError(f"give exactly one of counts, traces and spike_times; found {found}")
    return present[0], given[present[0]]


def _allowed(name: str) -> str:
    if name in _RESERVED or not name.isidentifier() or not name.isascii() or name[0] == "_":
        raise UserError(
            f"behaviour '{name}' cannot be stored under this name; use letters, digits and "
            f"underscores, and none of {', '.join(sorted(_RESERVED))}"
        )
    return name


def _domain(layout: Layout, times_s: np.ndarray, found: Mapping[str, BehaviourArray]) -> Interval:
    """The time that was recorded: the trials, or everything between first and last sample."""
    if layout.by_trial:
        return Interval(start=layout.start_s, end=layout.end_s)
    if layout.time_bins is not None and layout.bin_size_s is not None:
        return Interval(0.0, layout.time_bins * layout.bin_size_s)
    series = [(b.timestamps, b.half_bin_s) for b in found.values() if b.timestamps is not None]
    moments = [times_s, layout.start_s, layout.end_s]
    moments += [times + sign * half for times, half in series for sign in (-1, 1)]
    everything = np.concatenate(moments)
    if len(everything) == 0:
        raise UserError("found no spikes, trials or behaviours; a recording needs some data")
    return Interval(float(everything.min()), float(everything.max()))


def _trial_group(
    layout: Layout,
    columns: Mapping[str, np.ndarray],
    found: Mapping[str, BehaviourArray],
    split: Sequence[str] | np.ndarray | None,
) -> dict[str, Interval]:
    labels = {name: b.values for name, b in found.items() if b.per == "trial"}
    clash = [name for name in labels if name in columns
             and not _same(labels[name], columns[name])]  # fmt: skip
    if clash:
        raise UserError(
            f"'{clash[0]}' is both a behaviour and a column of trials, with different values; "
            "rename one of them"
        )
    extra = {} if split is None else {"split": plain(np.asarray(split))}
    if extra and extra["split"].shape != (layout.n_trials,):
        raise UserError(
            f"split has {extra['split'].size} entries, but there are {layout.n_trials} trials; "
            "give train, valid or test for each trial"
        )
    if layout.n_trials == 0:
        return {}
    table = {**columns, **labels, **extra, "start": layout.start_s, "end": layout.end_s}
    return {"trials": Interval(**table)}


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    numbers = one.dtype.kind in "iuf" and other.dtype.kind in "iufb"
    return bool(np.array_equal(one, other, equal_nan=numbers))


def _behaviour_groups(found: Mapping[str, BehaviourArray]) -> dict[str, ArrayDict]:
    """One time series per behaviour, and the table that names them all."""
    groups: dict[str, ArrayDict] = {
        name: IrregularTimeSeries(timestamps=b.timestamps, values=b.values)
        for name, b in found.items()
        if b.timestamps is not None
    }
    if found:
        sources = [f"{name}.values" if b.per == "bin" else f"trials.{name}"
                   for name, b in found.items()]  # fmt: skip
        groups["behaviours"] = ArrayDict(
            name=np.array(list(found)),
            source=np.array(sources),
            kind=np.array([b.kind for b in found.values()]),
            per=np.array([b.per for b in found.values()]),
        )
    return groups
