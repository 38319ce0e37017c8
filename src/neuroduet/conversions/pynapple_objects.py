"""Recordings as pynapple's time series, groups of spikes and intervals."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch_brain.data import Data

from neuroduet.conversions.columns import Columns, flat, hull, in_order
from neuroduet.conversions.pandas_tables import (
    behaviour_table,
    identity,
    listed,
    one_kind,
    required,
    session_table,
)
from neuroduet.conversions.parts import Parts, Series, put_together, take_apart
from neuroduet.data.tables import columns_of
from neuroduet.errors import UserError

if TYPE_CHECKING:
    from pynapple import IntervalSet, TsdFrame, TsGroup

TABLES = ("session", "behaviours")
"""Entries that are tables of pandas."""
OWN = ("rate",)
"""Columns that pynapple makes itself."""


def to_pynapple(recording: Data) -> dict[str, Any]:
    """A recording as pynapple objects.

    pynapple rounds times to nanoseconds, and shortens an interval by a microsecond where the next
    one begins at its end.

    Args:
        recording: Recording with neural activity.

    Returns:
        ``spikes`` (a ``TsGroup`` with the columns of the unit table as metadata), or ``counts`` or
        ``traces`` (a ``TsdFrame`` with them); ``trials`` (an ``IntervalSet`` with the columns of
        the trial table); every behaviour per sample under its name (``Tsd``, ``TsdFrame`` of
        channels); and the tables ``session`` and ``behaviours`` of
        :func:`~neuroduet.to_pandas`. Left out are a unit column ``rate``, which pynapple computes,
        columns with several values per unit or trial, pose, labels and truth.

    Raises:
        UserError: pynapple is not installed, the recording cannot be used, or its trials overlap.

    Example:
        >>> import numpy as np
        >>> import neuroduet
        >>> recording = neuroduet.from_arrays(
        ...     session_id="s1",
        ...     spike_times=[0.1, 0.2, 0.7],
        ...     spike_units=[0, 1, 0],
        ...     trials={"start": [0.0, 0.5], "end": [0.4, 1.0]},
        ...     units={"region": ["CA1", "PO"]},
        ... )
        >>> found = to_pynapple(recording)
        >>> found["spikes"].count(ep=found["trials"], bin_size=0.4).values
        array([[1, 1],
               [1, 0]])
    """
    nap, parts = _pynapple(), take_apart(recording)
    support = _merged(parts.recorded_s)
    found: dict[str, Any] = {
        parts.kind: _spikes(nap, parts, support)
        if parts.kind == "spikes"
        else _binned(nap, parts, support)
    }
    if parts.trials:
        found["trials"] = _trials(nap, flat(parts.trials))
    for name, one in parts.series.items():
        found[name] = _behaviour(nap, one, support)
    return found | {"session": session_table(parts), "behaviours": behaviour_table(parts)}


def from_pynapple(objects: Mapping[str, Any], session_id: str | None = None) -> Data:
    """A recording from pynapple objects, the inverse of :func:`to_pynapple`.

    Args:
        objects: ``spikes`` (``TsGroup``), ``counts`` or ``traces`` (``TsdFrame``), and, where
            there are any, ``trials`` (``IntervalSet``) and behaviours (``Tsd``, ``TsdFrame``).
            Behaviours that the table ``behaviours`` does not list are continuous if they are
            floats; columns of trials are behaviours only if it lists them.
        session_id: Session id, where there is no table ``session``.

    Returns:
        A checked recording; its activity was recorded during the time support.

    Raises:
        UserError: pynapple is not installed, or something is missing or does not fit.
    """
    _pynapple()
    kind = one_kind(objects)
    held = objects[kind]
    said = identity(_said(objects, session_id, held if kind != "spikes" else None))
    units = {k: v for k, v in columns_of(held.metadata, "units").items() if k not in OWN}
    names = held.index if kind == "spikes" else held.columns
    ids = units.get("id", np.array([_unit_name(name) for name in names], dtype=np.str_))
    skipped = (kind, "trials", *TABLES)
    series = {
        str(name): _sampled(str(name), one) for name, one in objects.items() if name not in skipped
    }
    trials: Columns = {}
    if "trials" in objects:
        rows = objects["trials"]
        trials = columns_of(rows.metadata, "trials") | {"start": rows.start, "end": rows.end}
    activity = _events(held) if kind == "spikes" else _values(held)
    return put_together(
        Parts(
            **said,
            kind=kind,
            recorded_s=_recorded(held, activity, said["bin_size_s"]),
            activity=activity,
            units=units | {"id": ids.astype(np.str_)},
            trials=trials,
            behaviours=listed(objects, series, trials),
            series=series,
        )
    )


def _pynapple() -> ModuleType:
    try:
        import pynapple
    except ImportError:
        raise UserError(
            "pynapple objects need pynapple, which is not installed; install it with: pip install "
            "'neuroduet[pynapple]'"
        ) from None
    module: ModuleType = pynapple
    return module


def _merged(recorded_s: Float[np.ndarray, "I 2"]) -> Float[np.ndarray, "J 2"]:
    """Intervals that touch as one, so that pynapple takes no microsecond from them."""
    ordered = recorded_s[np.argsort(recorded_s[:, 0], kind="stable")].round(9)
    latest = np.maximum.accumulate(ordered[:, 1])
    first = np.append(True, ordered[1:, 0] > latest[:-1])
    last = np.append(first[1:], True)
    return np.stack([ordered[first, 0], latest[last]], axis=1)


def _around(support: Float[np.ndarray, "J 2"], times_s: Float[np.ndarray, " R"]) -> np.ndarray:
    """The support, or all time where samples lie outside of it: pynapple would drop those."""
    row = np.searchsorted(support[:, 0], times_s, side="right") - 1
    if len(times_s) == 0 or ((row >= 0) & (times_s <= support[row, 1])).all():
        return support
    low, high = min(support[0, 0], times_s.min()), max(support[-1, 1], times_s.max())
    return np.array([[low, high]])


def _spikes(nap: ModuleType, parts: Parts, support: Float[np.ndarray, "J 2"]) -> TsGroup:
    times_s, index = parts.activity["timestamps"].round(9), parts.activity["unit_index"]
    order = np.argsort(index, kind="stable")
    edges = np.searchsorted(index[order], np.arange(len(parts.units["id"]) + 1))
    times_s = times_s[order]
    whole = nap.IntervalSet(_around(support, times_s))
    with warnings.catch_warnings():
        # A silent unit has no time of its own, of which pynapple warns.
        warnings.simplefilter("ignore")
        each = {
            unit: nap.Ts(t=times_s[edges[unit] : edges[unit + 1]], time_support=whole)
            for unit in range(len(edges) - 1)
        }
        return nap.TsGroup(each, time_support=whole, metadata=_metadata(parts))


def _metadata(parts: Parts) -> pd.DataFrame:
    columns = {k: v for k, v in flat(parts.units).items() if k not in OWN}
    return pd.DataFrame(columns)


def _binned(nap: ModuleType, parts: Parts, support: Float[np.ndarray, "J 2"]) -> TsdFrame:
    times_s = parts.activity["timestamps"].round(9)
    return nap.TsdFrame(
        t=times_s,
        d=parts.activity["values"],
        time_support=nap.IntervalSet(_around(support, times_s)),
        metadata=_metadata(parts),
    )


def _trials(nap: ModuleType, trials: Columns) -> IntervalSet:
    start, end = trials["start"].round(9), trials["end"].round(9)
    wrong = np.flatnonzero(start[1:] < end[:-1])
    if len(wrong):
        raise UserError(
            f"trial {int(wrong[0]) + 1} starts before trial {int(wrong[0])} ends, expected trials "
            "in the order of time without overlap, as pynapple holds them; use to_pandas or "
            "to_xarray"
        )
    columns = {k: v for k, v in trials.items() if k not in ("start", "end")}
    with warnings.catch_warnings():
        # That trials which touch lose a microsecond is said in the documentation.
        warnings.simplefilter("ignore")
        return nap.IntervalSet(start=start, end=end, metadata=pd.DataFrame(columns))


def _behaviour(nap: ModuleType, series: Series, support: Float[np.ndarray, "J 2"]) -> Any:
    times_s = series.times_s.round(9)
    whole = nap.IntervalSet(_around(support, times_s))
    kind = nap.Tsd if series.values.ndim == 1 else nap.TsdFrame
    return kind(t=times_s, d=series.values, time_support=whole)


def _said(
    objects: Mapping[str, Any], session_id: str | None, binned: TsdFrame | None
) -> dict[Any, Any]:
    """Session, subject and width of a bin, which is the usual step where nobody said."""
    said: dict[Any, Any] = {}
    if "session" in objects:
        said = required(objects, "session").iloc[0].to_dict()
    if session_id is not None:
        said["session"] = session_id
    if "session" not in said:
        raise UserError(
            "found no name of the session, expected session_id or a table 'session'; give "
            "session_id"
        )
    if binned is not None and "bin_size_s" not in said and len(binned) > 1:
        said["bin_size_s"] = float(np.median(np.diff(binned.t)))
    return said


def _recorded(held: Any, activity: Columns, bin_size_s: float | None) -> Float[np.ndarray, "I 2"]:
    """The time support; whole bins where pynapple made it of the centres of the bins."""
    support = np.asarray(held.time_support.values, dtype=np.float64)
    centres = hull(activity, {}, None)
    return hull(activity, {}, bin_size_s) if np.array_equal(support, centres) else support


def _unit_name(name: Any) -> str:
    return f"unit{name:03d}" if isinstance(name, int | np.integer) else str(name)


def _events(spikes: TsGroup) -> Columns:
    times = [np.asarray(spikes[unit].t) for unit in spikes.index]
    index = np.repeat(np.arange(len(times)), [len(one) for one in times])
    together = np.concatenate([*times, np.zeros(0)])
    return in_order(together, index)


def _sampled(name: str, one: Any) -> Series:
    values = getattr(one, "values", None)
    if values is None:
        raise UserError(
            f"'{name}' is a {type(one).__name__}, which has no values, expected a Tsd or TsdFrame "
            "as behaviour; leave it out"
        )
    return Series(times_s=np.asarray(one.t), values=np.asarray(values))


def _values(frame: TsdFrame) -> Columns:
    return {"timestamps": np.asarray(frame.t), "values": np.asarray(frame.values)}
