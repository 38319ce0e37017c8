"""What a recording is made of, in plain arrays: the common ground of all conversions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Shaped
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
    SubjectDescription,
)

from neuroduet.config import BehaviourConfig
from neuroduet.conversions.columns import Columns
from neuroduet.data.columns import column, fields, groups, scalar
from neuroduet.data.doubts import warn_of_doubts
from neuroduet.data.parts import recorded_times, trial_table
from neuroduet.data.schema import (
    NEURAL_KINDS,
    check,
    describe_behaviours,
    neural_kind,
    recording_id,
    source_column,
    subject_id,
)
from neuroduet.errors import UserError, unknown
from neuroduet.plain import plain_name
from neuroduet.types import BehaviourKind, NeuralKind, Per

UNKNOWN_SUBJECT = "unknown"
_TAKEN = {
    *NEURAL_KINDS, "units", "trials", "behaviours", "truth", "session", "subject", "domain",
    "pose", "features", "labels", "actions",
}  # fmt: skip
"""Groups of a recording that are no plain behaviour."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A behaviour with one value per sample.

    Attributes:
        times_s: Time of every sample, ascending (s).
        values: One row per sample.
    """

    times_s: Float[np.ndarray, " R"]
    values: Shaped[np.ndarray, "R *C"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """The parts of a recording; pose, features, labels and truth are not among them.

    Attributes:
        session: Session id.
        subject: Id of the animal, ``unknown`` if nobody said.
        kind: Kind of neural activity.
        bin_size_s: Width of a bin of binned activity (s).
        recorded_s: Start and end of every interval in which activity was recorded (s).
        activity: Columns of the activity: ``timestamps`` with ``unit_index`` or ``values``.
        units: Columns of the unit table, ``id`` among them.
        trials: Columns of the trial table; empty without one.
        behaviours: The behaviours it offers, and where it holds them.
        series: Those with one value per sample, by name.
    """

    session: str
    subject: str
    kind: NeuralKind
    bin_size_s: float | None
    recorded_s: Float[np.ndarray, "I 2"]
    activity: Columns
    units: Columns
    trials: Columns
    behaviours: tuple[BehaviourConfig, ...]
    series: dict[str, Series] = field(default_factory=dict)


def take_apart(recording: Data) -> Parts:
    """The parts of a recording, read into memory.

    Args:
        recording: Recording, loaded or lazy.

    Raises:
        UserError: It cannot be used, or holds no neural activity.
    """
    check(recording)
    kind, bin_size_s = neural_kind(recording), scalar(recording, "bin_size_s")
    behaviours = tuple(
        behaviour
        for behaviour in describe_behaviours(recording)
        if source_column(recording, behaviour.source) is not None
    )
    return Parts(
        session=recording_id(recording),
        subject=subject_id(recording),
        kind=kind,
        bin_size_s=None if bin_size_s is None else float(bin_size_s),
        recorded_s=recorded_times(recording),
        activity=_columns(groups(recording)[kind]),
        units=_columns(groups(recording)["units"]),
        trials=trial_table(recording),
        behaviours=behaviours,
        series={b.name: _series(recording, b) for b in behaviours if b.per == "bin"},
    )


def put_together(parts: Parts) -> Data:
    """A checked recording.

    Args:
        parts: Its parts.

    Raises:
        UserError: They do not fit each other.
    """
    _require_rows(parts)
    try:
        recording = _assembled(parts)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"the parts of session '{parts.session}' make no recording ({reason}); correct them"
        ) from None
    check(recording)
    warn_of_doubts(recording, stacklevel=4)
    return recording


def _require_rows(parts: Parts) -> None:
    if len(parts.recorded_s) == 0:
        raise UserError("found no spikes, bins, trials or recorded intervals; add what there is")
    if (parts.recorded_s[:, 0] > parts.recorded_s[:, 1]).any():
        raise UserError(
            "found a recorded interval that ends before it starts, expected start_s before end_s; "
            "correct it"
        )
    missing = [name for name in ("start", "end") if parts.trials and name not in parts.trials]
    if missing:
        raise UserError(
            f"trials lack the column '{missing[0]}', expected start and end in seconds; add it"
        )
    for name, series in parts.series.items():
        if len(series.times_s) == 0:
            raise UserError(f"behaviour '{name}' has no sample, expected some; leave it out")


def _assembled(parts: Parts) -> Data:
    domain = Interval(start=parts.recorded_s[:, 0].copy(), end=parts.recorded_s[:, 1].copy())
    table, series = _placed(parts)
    named = parts.subject not in ("", UNKNOWN_SUBJECT)
    return Data(
        domain=domain,
        session=SessionDescription(id=parts.session),
        **({"subject": SubjectDescription(id=parts.subject)} if named else {}),
        **{parts.kind: IrregularTimeSeries(**parts.activity, domain=domain)},
        **({} if parts.bin_size_s is None else {"bin_size_s": parts.bin_size_s}),
        units=ArrayDict(**parts.units),
        **({"trials": Interval(**parts.trials)} if parts.trials else {}),
        **table,
        **series,
    )


def told(
    name: str, per: Per, values: np.ndarray, kind: str | None = None, source: str | None = None
) -> BehaviourConfig:
    """What a behaviour is, taken from its type where nobody said: floats are continuous.

    Args:
        name: Its name.
        per: Per bin or per trial.
        values: Its values.
        kind: ``continuous`` or ``categorical``.
        source: Where a recording holds it.

    Raises:
        UserError: There is no such kind, or the name cannot be used.
    """
    known: dict[str | None, BehaviourKind] = {
        "continuous": "continuous",
        "categorical": "categorical",
        None: "continuous" if values.dtype.kind == "f" else "categorical",
    }
    if kind not in known:
        raise unknown("kind of behaviour", str(kind), ("continuous", "categorical"))
    place = f"{name}.values" if per == "bin" else f"trials.{name}"
    try:
        plain_name(name)
    except ValueError as error:
        raise UserError(f"a behaviour cannot be called '{name}' ({error}); rename it") from None
    return BehaviourConfig(name=name, source=source or place, kind=known[kind], per=per)


def _columns(group: ArrayDict) -> Columns:
    return {name: np.asarray(column(group, name)) for name in fields(group)}


def _series(recording: Data, behaviour: BehaviourConfig) -> Series:
    name, _, field_name = behaviour.source.partition(".")
    group = groups(recording)[name]
    return Series(
        times_s=np.asarray(column(group, "timestamps"), dtype=np.float64),
        values=np.asarray(column(group, field_name)),
    )


def _placed(parts: Parts) -> tuple[dict[str, ArrayDict], dict[str, ArrayDict]]:
    """The group ``behaviours``, and the groups that hold the series."""
    sources: list[str] = []
    columns: dict[str, Columns] = {}
    for behaviour in parts.behaviours:
        source = behaviour.source
        if behaviour.per == "bin":
            source = _free(behaviour)
            group, _, name = source.partition(".")
            own = parts.series[behaviour.name]
            mine = columns.setdefault(group, {"timestamps": own.times_s})
            if not np.array_equal(mine["timestamps"], own.times_s):
                raise UserError(
                    f"behaviour '{behaviour.name}' has other times than the rest of group "
                    f"'{group}', expected one clock per group; give it a source of its own"
                )
            mine[name] = own.values
        sources.append(source)
    if not parts.behaviours:
        return {}, {}
    table = ArrayDict(
        name=np.array([b.name for b in parts.behaviours]),
        source=np.array(sources),
        kind=np.array([b.kind for b in parts.behaviours]),
        per=np.array([b.per for b in parts.behaviours]),
    )
    return {"behaviours": table}, {k: IrregularTimeSeries(**v) for k, v in columns.items()}


def _free(behaviour: BehaviourConfig) -> str:
    """The source of a behaviour, elsewhere if its group is of a kind that is not converted."""
    group = behaviour.source.partition(".")[0]
    return f"{group}_series.values" if group in _TAKEN else behaviour.source
