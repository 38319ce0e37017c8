"""Recordings as datasets with named dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch_brain.data import Data

from neuroduet.conversions.pandas_tables import identity, one_kind
from neuroduet.conversions.parts import (
    Columns,
    Parts,
    Series,
    hull,
    put_together,
    take_apart,
    text,
    told,
)
from neuroduet.errors import UserError
from neuroduet.types import NeuralKind

if TYPE_CHECKING:
    from xarray import Dataset

Variables = dict[str, tuple[Any, ...]]
SECONDS = {"units": "s"}


def require_xarray() -> None:
    """Raise if xarray is not installed.

    Raises:
        UserError: It is not.
    """
    try:
        import xarray  # noqa: F401
    except ImportError:
        raise UserError(
            "datasets need xarray, which is not installed; install it with: pip install "
            "'neuroduet[xarray]'"
        ) from None


def to_xarray(recording: Data) -> Dataset:
    """A recording as a dataset.

    Args:
        recording: Recording with neural activity.

    Returns:
        Dimensions are ``unit`` (coordinates: the columns of the unit table, such as ``region``
        and ``depth_um``), ``trial`` (the columns of the trial table, such as ``start``, ``split``
        and behaviours per trial) and ``time``. Binned activity is ``counts`` or ``traces``
        ``(time, unit)``; spikes are ``spike_time`` and ``spike_unit`` ``(spike,)``. Behaviours per
        sample bear their names, ``(time[, <name>_channel])`` on the clock of the activity and
        ``(<name>_time[, ...])`` on a clock of their own. A name that is taken gets the prefix
        ``unit_`` or ``trial_``. Times are in seconds, as the attribute ``units`` says; pose,
        labels and truth are left out.

    Raises:
        UserError: xarray is not installed, or the recording cannot be used.

    Example:
        >>> import numpy as np
        >>> import neuroduet
        >>> recording = neuroduet.from_arrays(
        ...     session_id="s1",
        ...     counts=np.ones((4, 10, 3), dtype=int),
        ...     bin_size_s=0.02,
        ...     behaviours={"speed": np.zeros((4, 10)), "choice": [0, 1, 1, 0]},
        ...     units={"region": ["CA1", "CA1", "PO"]},
        ... )
        >>> dataset = to_xarray(recording)
        >>> dict(dataset.counts.sizes), dataset.speed.dims
        ({'time': 40, 'unit': 3}, ('time',))
        >>> dataset.counts.groupby("region").sum("unit").sum("time").values.tolist()
        [80, 40]
    """
    require_xarray()
    import xarray

    parts = take_apart(recording)
    variables: Variables = {}
    coordinates: Variables = {
        "unit": ("unit", parts.units["id"]),
        "recorded_start": ("interval", parts.recorded_s[:, 0], SECONDS),
        "recorded_end": ("interval", parts.recorded_s[:, 1], SECONDS),
    }
    if parts.kind == "spikes":
        variables["spike_time"] = ("spike", parts.activity["timestamps"], SECONDS)
        variables["spike_unit"] = ("spike", parts.activity["unit_index"])
    else:
        coordinates["time"] = ("time", parts.activity["timestamps"], SECONDS)
        what = "counts per bin" if parts.kind == "counts" else "of the recording"
        variables[parts.kind] = (("time", "unit"), parts.activity["values"], {"units": what})
    for behaviour in parts.behaviours:
        if behaviour.per == "bin":
            own = parts.series[behaviour.name]
            said = {"source": behaviour.source, "kind": behaviour.kind}
            clock = _clock(behaviour.name, own, parts)
            if clock != "time" or parts.kind == "spikes":
                coordinates[clock] = (clock, own.times_s, SECONDS)
            channels = [f"{behaviour.name}_channel"] * (own.values.ndim - 1)
            variables[behaviour.name] = ((clock, *channels), own.values, said)
    taken = {*variables, *coordinates}
    units = {name: values for name, values in parts.units.items() if name != "id"}
    coordinates |= _table("unit", units, taken)
    kinds = {b.source.partition(".")[2]: b for b in parts.behaviours if b.per == "trial"}
    for name, entry in _table("trial", parts.trials, {*taken, *coordinates}).items():
        told_of = kinds.get(entry[2]["column"])
        more = {} if told_of is None else {"behaviour": told_of.name, "kind": told_of.kind}
        coordinates[name] = (*entry[:2], entry[2] | more)
    width = {} if parts.bin_size_s is None else {"bin_size_s": parts.bin_size_s}
    attributes = {"session": parts.session, "subject": parts.subject, "activity": parts.kind}
    return xarray.Dataset(variables, coordinates, attributes | width)


def from_xarray(dataset: Dataset) -> Data:
    """A recording from a dataset, the inverse of :func:`to_xarray`.

    Args:
        dataset: Dataset with ``spike_time`` and ``spike_unit``, ``counts`` or ``traces``, with the
            attribute ``session`` and, for binned activity, ``bin_size_s``. A variable whose first
            dimension is ``time`` or ends in ``_time`` is a behaviour; without an attribute
            ``kind`` it is continuous if it is of floats.

    Returns:
        A checked recording.

    Raises:
        UserError: xarray is not installed, or something is missing or does not fit.
    """
    require_xarray()
    kind = one_kind({("spikes" if n == "spike_time" else str(n)): None for n in dataset.data_vars})
    if "session" not in dataset.attrs:
        raise UserError(
            "found no attribute 'session' of the dataset, expected the id of the session; add "
            "dataset.attrs['session']"
        )
    trials = _columns(dataset, "trial")
    activity, series = _activity(dataset, kind), _series(dataset)
    behaviours = [
        told(
            name,
            "bin",
            one.values,
            dataset[name].attrs.get("kind"),
            dataset[name].attrs.get("source"),
        )
        for name, one in series.items()
    ]
    for entry in dataset.coords.values():
        if "behaviour" in entry.attrs:
            said = entry.attrs
            column = said.get("column", str(entry.name))
            own, source = str(said["behaviour"]), f"trials.{column}"
            behaviours.append(told(own, "trial", trials[column], said.get("kind"), source))
    return put_together(
        Parts(
            **identity(dataset.attrs),
            kind=kind,
            recorded_s=_recorded(dataset, activity, trials),
            activity=activity,
            units={"id": dataset["unit"].values.astype(np.str_), **_columns(dataset, "unit")},
            trials=trials,
            behaviours=tuple(behaviours),
            series=series,
        )
    )


def _clock(name: str, series: Series, parts: Parts) -> str:
    """The dimension of a behaviour: that of the activity if it has the same times."""
    shared = parts.kind != "spikes" and np.array_equal(
        series.times_s, parts.activity["timestamps"]
    )
    return "time" if shared else f"{name}_time"


def _table(dimension: str, columns: Columns, taken: set[str]) -> Variables:
    """Columns of a table as coordinates along its dimension."""
    found: Variables = {}
    for column, values in columns.items():
        free = column not in taken and column != dimension
        name = column if free else f"{dimension}_{column}"
        more = [f"{name}_{axis}" for axis in range(1, values.ndim)]
        found[name] = ((dimension, *more), values, {"column": column})
    return found


def _columns(dataset: Dataset, dimension: str) -> Columns:
    return {
        str(entry.attrs.get("column", name)): text(entry.values)
        for name, entry in dataset.coords.items()
        if entry.dims[:1] == (dimension,) and name != dimension
    }


def _activity(dataset: Dataset, kind: NeuralKind) -> Columns:
    if kind != "spikes":
        values = dataset[kind].transpose("time", "unit").values
        return {"timestamps": dataset["time"].values.astype(np.float64), "values": values}
    times_s = dataset["spike_time"].values.astype(np.float64)
    order = np.argsort(times_s, kind="stable")
    index = dataset["spike_unit"].values.astype(np.int64)
    return {"timestamps": times_s[order], "unit_index": index[order]}


def _series(dataset: Dataset) -> dict[str, Series]:
    found = {}
    for name, entry in dataset.data_vars.items():
        clock = str(entry.dims[0]) if entry.dims else ""
        if (clock == "time" or clock.endswith("_time")) and name not in ("counts", "traces"):
            times_s = dataset[clock].values.astype(np.float64)
            found[str(name)] = Series(times_s=times_s, values=text(entry.values))
    return found


def _recorded(dataset: Dataset, activity: Columns, trials: Columns) -> np.ndarray:
    if "recorded_start" in dataset.coords:
        edges = [dataset[f"recorded_{edge}"].values for edge in ("start", "end")]
        return np.stack(edges, axis=1).astype(np.float64)
    return hull([activity["timestamps"], *(trials[k] for k in ("start", "end") if k in trials)])
