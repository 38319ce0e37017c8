"""Recordings as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from torch_brain.data import Data

from neuroduet.config import BehaviourConfig
from neuroduet.conversions.columns import (
    Columns,
    flat,
    hull,
    in_order,
    seconds,
    trial_columns,
)
from neuroduet.conversions.parts import (
    UNKNOWN_SUBJECT,
    Parts,
    Series,
    put_together,
    take_apart,
    told,
)
from neuroduet.data.schema import NEURAL_KINDS
from neuroduet.data.tables import columns_of, plain
from neuroduet.errors import UserError
from neuroduet.types import NeuralKind, Per

BEHAVIOUR_COLUMNS = ("name", "source", "kind", "per")
"""Columns of the table of behaviours."""

SERIES = "behaviours/"
"""What the tables of behaviours per sample are called, before their names."""


def to_pandas(recording: Data) -> dict[str, pd.DataFrame]:
    """A recording as tables.

    Args:
        recording: Recording with neural activity.

    Returns:
        ``session`` (one row: id, subject, kind of activity, width of a bin), ``recorded``
        (intervals of activity), ``units``, ``trials``, and the activity: ``spikes`` (``time_s``
        and ``unit``), or ``counts`` or ``traces`` (a row per time, a column per unit). The table
        ``behaviours`` lists them all; those per sample have a table of their own,
        ``behaviours/<name>``, with a row per time and a column per channel; those per trial are
        columns of ``trials``. Columns with several values per unit or trial are left out, and so
        are pose, labels and truth.

    Raises:
        UserError: The recording cannot be used, or holds no activity.

    Example:
        >>> import numpy as np
        >>> import neuroduet
        >>> recording = neuroduet.from_arrays(
        ...     session_id="s1",
        ...     counts=np.ones((4, 10, 3), dtype=int),
        ...     bin_size_s=0.02,
        ...     behaviours={"speed": np.zeros((4, 10)), "choice": [0, 1, 1, 0]},
        ... )
        >>> tables = to_pandas(recording)
        >>> tables["counts"].shape, list(tables["trials"].columns)
        ((40, 3), ['start', 'end', 'choice'])
        >>> tables["behaviours/speed"].mean().to_dict()
        {'speed': 0.0}
    """
    parts = take_apart(recording)
    tables = {
        "session": session_table(parts),
        "recorded": pd.DataFrame(parts.recorded_s, columns=["start_s", "end_s"]),
        "units": pd.DataFrame(flat(parts.units)),
        parts.kind: _activity(parts),
        "behaviours": behaviour_table(parts),
    }
    if parts.trials:
        tables["trials"] = pd.DataFrame(flat(parts.trials))
    return tables | {f"{SERIES}{name}": _wide(name, one) for name, one in parts.series.items()}


def from_pandas(tables: Mapping[str, pd.DataFrame]) -> Data:
    """A recording from tables, the inverse of :func:`to_pandas`.

    Args:
        tables: Tables by name. ``session``, ``units`` and one table of activity are needed;
            behaviours that ``behaviours`` does not list are continuous if they are floats.

    Returns:
        A checked recording.

    Raises:
        UserError: A table or column is missing, or they do not fit each other.
    """
    kind = one_kind(tables)
    said = identity(required(tables, "session", ("session",)).iloc[0].to_dict())
    units = columns_of(required(tables, "units", ("id",)), "units")
    trials = trial_columns(columns_of(tables["trials"], "trials")) if "trials" in tables else {}
    activity = _activity_columns(kind, required(tables, kind, fewest=0), units["id"])
    series = {
        str(name).removeprefix(SERIES): _narrow(str(name), table)
        for name, table in tables.items()
        if str(name).startswith(SERIES)
    }
    recorded_s = hull(activity, trials, said["bin_size_s"])
    if "recorded" in tables:
        recorded = required(tables, "recorded", ("start_s", "end_s"))
        recorded_s = seconds("table 'recorded'", recorded[["start_s", "end_s"]])
    return put_together(
        Parts(
            **said,
            kind=kind,
            recorded_s=recorded_s,
            activity=activity,
            units=units | {"id": units["id"].astype(np.str_)},
            trials=trials,
            behaviours=listed(tables, series, trials),
            series=series,
        )
    )


def session_table(parts: Parts) -> pd.DataFrame:
    """One row: ``session``, ``subject``, ``activity`` and ``bin_size_s``."""
    bin_size_s = np.nan if parts.bin_size_s is None else parts.bin_size_s
    row = {"session": parts.session, "subject": parts.subject, "activity": parts.kind}
    return pd.DataFrame([row | {"bin_size_s": bin_size_s}])


def identity(session: Mapping[Any, Any]) -> dict[str, Any]:
    """Session, subject and width of a bin, from the row of the table ``session``.

    Raises:
        UserError: The width is no number.
    """
    subject, width = session.get("subject"), session.get("bin_size_s")
    try:
        bin_size_s = None if width is None or pd.isna(width) else float(width)
    except (TypeError, ValueError):
        raise UserError(f"bin_size_s is {width!r}, expected seconds; give a number") from None
    return {
        "session": str(session["session"]),
        "subject": UNKNOWN_SUBJECT if pd.isna(subject) else str(subject),
        "bin_size_s": bin_size_s,
    }


def behaviour_table(parts: Parts) -> pd.DataFrame:
    """Name, source, kind and grain of every behaviour."""
    return pd.DataFrame(
        [one.model_dump() for one in parts.behaviours], columns=[*BEHAVIOUR_COLUMNS]
    )


def listed(
    tables: Mapping[str, Any], series: Mapping[str, Series], trials: Columns
) -> tuple[BehaviourConfig, ...]:
    """The behaviours that the table ``behaviours`` lists, if there is one, and all other series.

    Args:
        tables: Tables by name.
        series: Behaviours per sample.
        trials: Columns of trials.

    Raises:
        UserError: A listed behaviour is nowhere.
    """
    found = []
    rows = []
    if "behaviours" in tables:
        rows = required(tables, "behaviours", BEHAVIOUR_COLUMNS, fewest=0).to_dict("records")
    for row in rows:
        name = str(row["name"])
        column = str(row["source"]).partition(".")[2]
        place = trials if row["per"] == "trial" else series
        key = column if row["per"] == "trial" else name
        if key not in place:
            raise UserError(
                f"behaviour '{name}' is listed, but found no {row['per']} values of it; give "
                f"them, or take it off the list"
            )
        held = place[key]
        values = held.values if isinstance(held, Series) else held
        per: Per = "trial" if row["per"] == "trial" else "bin"
        found.append(told(name, per, values, str(row["kind"]), str(row["source"])))
    known = {one.name for one in found}
    return (*found, *(told(k, "bin", s.values) for k, s in series.items() if k not in known))


def one_kind(found: Mapping[str, Any]) -> NeuralKind:
    """The kind of activity there is.

    Raises:
        UserError: There is none, or more than one.
    """
    present = [kind for kind in NEURAL_KINDS if kind in found]
    if len(present) != 1:
        raise UserError(
            f"found {' and '.join(present) or 'none'} of {', '.join(NEURAL_KINDS)}, expected "
            "exactly one; keep the one that is to be modelled"
        )
    return present[0]


def required(
    tables: Mapping[str, Any], name: str, columns: tuple[str, ...] = (), fewest: int = 1
) -> pd.DataFrame:
    """A table that must be there, with columns that must be in it.

    Args:
        tables: Tables by name.
        name: Which one.
        columns: What it must have.
        fewest: How many rows it must have; ``spikes`` may have none.

    Raises:
        UserError: The table, a column or a row is not there.
    """
    if name not in tables:
        raise UserError(
            f"found no table '{name}' among {', '.join(map(str, tables))}; add it, as to_pandas "
            "makes it"
        )
    missing = [column for column in columns if column not in tables[name]]
    if missing:
        raise UserError(
            f"table '{name}' lacks the column '{missing[0]}', expected {', '.join(columns)}; add "
            "it"
        )
    if len(tables[name]) < fewest:
        raise UserError(f"table '{name}' has no row, expected at least {fewest}; add it")
    table: pd.DataFrame = tables[name]
    return table


def _activity(parts: Parts) -> pd.DataFrame:
    times_s, ids = parts.activity["timestamps"], parts.units["id"]
    if parts.kind != "spikes":
        index = pd.Index(times_s, name="time_s")
        return pd.DataFrame(parts.activity["values"], index=index, columns=pd.Index(ids))
    units = pd.Categorical.from_codes(parts.activity["unit_index"], categories=ids)
    return pd.DataFrame({"time_s": times_s, "unit": units})


def _activity_columns(kind: NeuralKind, table: pd.DataFrame, ids: np.ndarray) -> Columns:
    if kind != "spikes":
        if list(map(str, table.columns)) != list(map(str, ids)):
            raise UserError(
                f"table '{kind}' has {table.shape[1]} columns that are not the {len(ids)} ids of "
                "units in their order; give one column per unit"
            )
        times_s = seconds(f"the index of table '{kind}'", table.index)
        return {"timestamps": times_s, "values": plain(table.to_numpy())}
    table = required({kind: table}, kind, ("time_s", "unit"), fewest=0)
    known = pd.Index(ids)
    if not known.is_unique:
        twice = known[known.duplicated()][0]
        raise UserError(f"table 'units' holds the id {twice!r} twice; give every unit its own")
    index = known.get_indexer(pd.Index(table["unit"]))
    if (index < 0).any():
        raise UserError(
            f"table 'spikes' holds the unit {table['unit'].iloc[int(index.argmin())]!r}, which "
            "the table 'units' lacks; add it, or leave its spikes out"
        )
    return in_order(seconds("column 'time_s' of table 'spikes'", table["time_s"]), index)


def _wide(name: str, series: Series) -> pd.DataFrame:
    values, index = series.values, pd.Index(series.times_s, name="time_s")
    if values.ndim == 1:
        return pd.DataFrame({name: values}, index=index)
    rows = values.reshape(len(values), -1)
    return pd.DataFrame(rows, index=index, columns=[f"{name}[{n}]" for n in range(rows.shape[1])])


def _narrow(name: str, table: pd.DataFrame) -> Series:
    if table.shape[1] == 0:
        raise UserError(f"table '{name}' has no column, expected one per channel; add it")
    single = table.shape[1] == 1 and not str(table.columns[0]).endswith("]")
    values = table.iloc[:, 0].to_numpy() if single else table.to_numpy()
    return Series(
        times_s=seconds(f"the index of table '{name}'", table.index), values=plain(values)
    )
