"""Recordings as datasets with named dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch_brain.data import Data

from neuroduet.conversions.columns import Columns, hull, in_order, seconds, trial_columns
from neuroduet.conversions.pandas_tables import identity, one_kind
from neuroduet.conversions.parts import Parts, Series, put_together, take_apart, told
from neuroduet.data.tables import plain
from neuroduet.errors import UserError
from neuroduet.types import NeuralKind

if TYPE_CHECKING:
    from xarray import Dataset

Variables = dict[str, tuple[Any, ...]]
SECONDS = {"units": "s"}
OWN = frozenset({
    "time", "unit", "trial", "spike", "interval", "unit_index", "spike_time", "spike_unit",
    "recorded_start", "recorded_end", "counts", "traces",
})  # fmt: skip
"""Names of a dataset that are no behaviour's."""


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
        ``(time, unit)``; spikes are ``spike_time`` and ``spike_unit`` ``(spike,)``, which
        is the coordinate ``unit_index`` of a unit, also when some are selected. Behaviours per
        sample bear their names, ``(time[, <name>_channel])`` on the clock of the activity and
        ``(<name>_time[, ...])`` on a clock of their own. A name that is taken gets the prefix
        ``unit_`` or ``trial_``. Times are in seconds, as the attribute ``units`` says; pose,
        labels and truth are left out.

    Raises:
        UserError: xarray is not installed, the recording cannot be used, or a behaviour has the
            name of something else.

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
    _require_free(parts)
    variables: Variables = {}
    coordinates: Variables = {
        "unit": ("unit", parts.units["id"]),
        "recorded_start": ("interval", parts.recorded_s[:, 0], SECONDS),
        "recorded_end": ("interval", parts.recorded_s[:, 1], SECONDS),
    }
    if parts.kind == "spikes":
        variables["spike_time"] = ("spike", parts.activity["timestamps"], SECONDS)
        variables["spike_unit"] = ("spike", parts.activity["unit_index"])
        coordinates["unit_index"] = ("unit", np.arange(len(parts.units["id"])))
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
            attribute ``session`` and, for binned activity, ``bin_size_s``. A variable with a
            dimension ``time``, or one that ends in ``_time``, is a behaviour; without an
            attribute ``kind`` it is continuous if it is of floats. Spikes of units that were
            selected away are left out.

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
    said = identity(dataset.attrs)
    trials = trial_columns(_columns(dataset, "trial"))
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
            column = entry.attrs.get("column", str(entry.name))
            own, source = str(entry.attrs["behaviour"]), f"trials.{column}"
            behaviours.append(told(own, "trial", trials[column], entry.attrs.get("kind"), source))
    return put_together(
        Parts(
            **said,
            kind=kind,
            recorded_s=_recorded(dataset, activity, trials, said["bin_size_s"]),
            activity=activity,
            units={"id": dataset["unit"].values.astype(np.str_), **_columns(dataset, "unit")},
            trials=trials,
            behaviours=tuple(behaviours),
            series=series,
        )
    )


def _require_free(parts: Parts) -> None:
    """Refuse a behaviour that would stand in the place of something else."""
    taken = OWN | {f"{name}_time" for name in parts.series}
    clash = [name for name in parts.series if name in taken]
    if clash:
        raise UserError(
            f"behaviour '{clash[0]}' has a name that datasets use for something else; rename it, "
            "or use to_pandas"
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
        str(entry.attrs.get("column", name)): plain(entry.values)
        for name, entry in dataset.coords.items()
        if entry.dims[:1] == (dimension,) and name not in (dimension, "unit_index")
    }


def _activity(dataset: Dataset, kind: NeuralKind) -> Columns:
    if kind != "spikes":
        values = dataset[kind].transpose("time", "unit").values
        return {"timestamps": seconds("'time'", dataset["time"]), "values": values}
    if "spike_unit" not in dataset:
        raise UserError(
            "found spike_time without spike_unit, expected the unit of every spike; add spike_unit"
        )
    times_s, units = seconds("'spike_time'", dataset["spike_time"]), dataset["spike_unit"].values
    if "unit_index" not in dataset.coords:
        return in_order(times_s, units)
    # Units may have been selected or put in another order since.
    numbers = dataset["unit_index"].values
    if len(numbers) == 0:
        raise UserError("found no unit, expected at least one; select some")
    order = np.argsort(numbers, kind="stable")
    place = order[np.searchsorted(numbers, units, sorter=order).clip(max=len(numbers) - 1)]
    kept = numbers[place] == units
    return in_order(times_s[kept], place[kept])


def _series(dataset: Dataset) -> dict[str, Series]:
    found = {}
    for name, entry in dataset.data_vars.items():
        clock = next((str(d) for d in entry.dims if d == "time" or str(d).endswith("_time")), None)
        if clock is not None and name not in OWN:
            times_s = seconds(f"'{clock}'", dataset[clock])
            values = plain(entry.transpose(clock, ...).values)
            found[str(name)] = Series(times_s=times_s, values=values)
    return found


def _recorded(
    dataset: Dataset, activity: Columns, trials: Columns, bin_size_s: float | None
) -> np.ndarray:
    if "recorded_start" not in dataset.coords:
        return hull(activity, trials, bin_size_s)
    edges = [seconds(f"'recorded_{edge}'", dataset[f"recorded_{edge}"])
             for edge in ("start", "end")]  # fmt: skip
    return np.stack(edges, axis=1)
