"""Recordings from plain arrays."""

from __future__ import annotations

import warnings
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

from neuroduet.data.behaviour_arrays import BehaviourArray, read_behaviour
from neuroduet.data.layout import Layout, lay_out, stack
from neuroduet.data.schema import NEURAL_KINDS, check
from neuroduet.errors import UserError
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
    behaviours: Mapping[str, Any] | None = None,
    trials: Mapping[str, Any] | None = None,
    units: Mapping[str, Any] | None = None,
    split: Sequence[str] | np.ndarray | None = None,
    subject_id: str | None = None,
) -> Data:
    """Build a recording from arrays. Give one of ``counts``, ``traces`` and ``spike_times``.

    A behaviour is read by its type and shape. Integers, booleans and text are classes; floats are
    continuous, except that one float per trial with at most 20 distinct values, some of them
    repeated, is a class (such as a block prior of .2/.5/.8). With trials, a 1-D array with one
    entry per trial is a behaviour per trial; everything else has one entry per bin.

    Args:
        session_id: Name of the session, and of its file.
        counts: Spike counts: ``(trials, bins, units)``, a list of ``(bins_i, units)`` for trials
            of different length, or ``(time, units)``.
        spike_times: Times of all spikes (s), in any order.
        spike_units: Unit of each spike: row in the unit table, or its id as text.
        traces: Continuous activity (calcium, LFP) in the shapes of ``counts``.
        bin_size_s: Width of a bin (s). With spike times it is needed for behaviours per bin.
        behaviours: By name: ``(trials, bins[, C])``, a list of ``(bins_i[, C])``,
            ``(time[, C])``, ``(trials,)``, or a tuple ``(times_s, values)``. Missing values are
            ``nan``, -1 for integer classes per bin, and the empty string for text.
        trials: Columns of the trial table. ``start`` and ``end`` (s) are needed with spike times
            and with ``(time, units)``; binned trials without them are laid out one after the
            other, one second apart.
        units: Columns of the unit table: ``region``, ``depth_um`` ...; ``id`` defaults to
            ``unit000``, ``unit001`` ...
        split: ``train``, ``valid`` or ``test`` for each trial.
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
    columns = {str(name): np.asarray(values) for name, values in (trials or {}).items()}
    values, bins = (None, None) if kind == "spikes" else stack(kind, given)
    layout = lay_out(bin_size_s, columns, None if values is None else len(values), bins)
    if values is None:
        series, unit_table = _events(given, spike_units, units)
    else:
        series, unit_table = _bins(kind, values, layout, units)
        _warn_if_transposed(kind, values, layout, units)
    found = {
        _allowed(str(name)): read_behaviour(str(name), behaviour, layout)
        for name, behaviour in (behaviours or {}).items()
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
    return recording


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


def _events(
    times: Any, spike_units: Any, units: Mapping[str, Any] | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Columns of ``spikes`` and of ``units``."""
    times_s = np.asarray(times, dtype=np.float64)
    if spike_units is None:
        raise UserError("spike_times needs spike_units, the unit of each spike")
    index = np.asarray(spike_units)
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
    order = np.argsort(times_s, kind="stable")
    lengths = [len(np.atleast_1d(column)) for column in (units or {}).values()]
    n_units = lengths[0] if lengths else int(index.max(initial=-1)) + 1
    series = {"timestamps": times_s[order], "unit_index": index[order]}
    return series, _unit_table(units, n_units)


def _index_of_ids(
    spike_ids: np.ndarray, units: Mapping[str, Any] | None
) -> tuple[np.ndarray, dict[str, Any]]:
    table = dict(units or {})
    ids = np.asarray(table.get("id", np.unique(spike_ids))).astype(np.str_)
    unknown = np.setdiff1d(spike_ids, ids)
    if len(unknown):
        raise UserError(
            f"spike_units names {len(unknown)} units that units['id'] lacks, such as "
            f"'{unknown[0]}'; add them to the unit table"
        )
    order = np.argsort(ids)
    return order[np.searchsorted(ids[order], spike_ids)], {**table, "id": ids}


def _bins(
    kind: str, values: np.ndarray, layout: Layout, units: Mapping[str, Any] | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Columns of ``counts`` or ``traces``, and of ``units``."""
    table = _unit_table(units, values.shape[1])
    times = layout.trial_centres() if layout.by_trial else layout.time_centres(len(values))
    if kind == "traces":
        values = values.astype(np.float32)
    elif np.isfinite(values).all() and (values >= 0).all() and (values == np.round(values)).all():
        values = values.astype(np.min_scalar_type(int(values.max(initial=0))))
    return {"timestamps": times, "values": values}, table


def _unit_table(units: Mapping[str, Any] | None, n_units: int) -> dict[str, np.ndarray]:
    ids = np.array([f"unit{unit:03d}" for unit in range(n_units)], dtype=np.str_)
    table = {"id": ids, **{str(key): np.asarray(value) for key, value in (units or {}).items()}}
    for name, values in table.items():
        if values.shape[:1] != (n_units,):
            length = len(np.atleast_1d(values))
            raise UserError(
                f"units['{name}'] has {length} entries, but there are {n_units} units; the axes "
                "of the activity must be (trials, bins, units) or (time, units)"
            )
    return {**table, "id": table["id"].astype(np.str_)}


def _warn_if_transposed(
    kind: str, values: np.ndarray, layout: Layout, units: Mapping[str, Any] | None
) -> None:
    """Warn about far more units than bins, unless a unit table confirms the order of the axes."""
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
    extra = {} if split is None else {"split": np.asarray(split)}
    for name, values in extra.items():
        if values.shape != (layout.n_trials,):
            raise UserError(
                f"{name} has {values.size} entries, but there are {layout.n_trials} trials; give "
                "train, valid or test for each trial"
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
