"""What a mapping file says of arrays in MATLAB and numpy files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from neuroduet.data.readers.leave_out import LeaveOut

Axis = Literal["trials", "bins", "time", "units", "channels"]
TimeUnit = Literal["s", "ms", "us", "samples"]

SECONDS: dict[TimeUnit, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Times(_Section):
    """Where times stand, and what they count.

    Attributes:
        array: Name of the array.
        unit: What it counts.
        rate_hz: Samples per second, where the unit is ``samples``.
    """

    array: str
    unit: TimeUnit = "s"
    rate_hz: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _known_rate(self) -> Times:
        if (self.unit == "samples") != (self.rate_hz is not None):
            raise ValueError("rate_hz belongs to unit: samples, and samples need it")
        return self

    @property
    def factor(self) -> float:
        """Seconds of one."""
        return 1 / self.rate_hz if self.rate_hz else SECONDS[self.unit]


def _short(given: Any) -> Any:
    return {"array": given} if isinstance(given, str) else given


TimesOrName = Annotated[Times, BeforeValidator(_short)]


class Values(_Section):
    """Where values stand, and in which order.

    Attributes:
        array: Name of the array.
        axes: Its axes in order, e.g. ``[units, time]``; as a recording wants them if not given.
        lengths: Name of an array with the bins of each trial, where trials of different length
            follow each other along ``time``.
        times: When its samples were taken, where they are not the bins of the activity.
    """

    array: str
    axes: tuple[Axis, ...] | None = None
    lengths: str | None = None
    times: TimesOrName | None = None


ValuesOrName = Annotated[Values, BeforeValidator(_short)]


class Behaviour(Values):
    """Where a behaviour stands.

    Attributes:
        speed: Whether it is a position whose speed is the behaviour.
    """

    speed: bool = False

    @model_validator(mode="after")
    def _has_times(self) -> Behaviour:
        if self.speed and self.times is None:
            raise ValueError("speed: true needs the times of the samples, give times")
        return self


BehaviourOrName = Annotated[Behaviour, BeforeValidator(_short)]


class Spikes(_Section):
    """Spike times.

    Attributes:
        times: Times of all spikes, or a cell with those of each unit.
        units: Unit of each spike, where the times are in one array: row of the unit table, or id.
        first_unit: Number of the first unit where ``units`` counts (1 in MATLAB).
    """

    times: TimesOrName
    units: str | None = None
    first_unit: int = 0


class TrialTimes(_Section):
    """When trials start and end.

    Attributes:
        start: Start of each.
        end: End of each; not needed where the activity is binned by trial.
    """

    start: TimesOrName
    end: TimesOrName | None = None


class TableMapping(_Section):
    """Which array is what.

    Attributes:
        session: Id of the session; the name of the file if not given.
        subject: Id of the animal.
        bin_size_s: Width of a bin (s), for binned activity.
        spikes: Spike times; one of these three must be given.
        counts: Spike counts, ``(trials, bins, units)`` or ``(time, units)``.
        traces: Continuous activity in the same shapes.
        units: Columns of the unit table, one entry per unit.
        trials: When trials start and end.
        behaviours: By name: per bin or per trial, or with times of their own.
        split: ``train``, ``valid`` or ``test`` for each trial.
        leave_out: Trials to leave out; its columns are arrays with one value per trial.
    """

    session: str | None = None
    subject: str | None = None
    bin_size_s: float | None = Field(default=None, gt=0)
    spikes: Spikes | None = None
    counts: ValuesOrName | None = None
    traces: ValuesOrName | None = None
    units: dict[str, str] = Field(default_factory=dict)
    trials: TrialTimes | None = None
    behaviours: dict[str, BehaviourOrName] = Field(default_factory=dict)
    split: str | None = None
    leave_out: LeaveOut = Field(default_factory=LeaveOut)

    @model_validator(mode="after")
    def _one_activity(self) -> TableMapping:
        given = [name for name in ("spikes", "counts", "traces") if getattr(self, name)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"give one of spikes, counts and traces, found {found}")
        return self

    def arrays(self) -> dict[str, str]:
        """Every array that is needed, by what it is for."""
        needed: dict[str, str] = {f"units.{key}": name for key, name in self.units.items()}
        values = {f"behaviours.{key}": one for key, one in self.behaviours.items()}
        values |= {key: one for key in ("counts", "traces") if (one := getattr(self, key))}
        for key, one in values.items():
            needed[key] = one.array
            needed |= {f"{key}.lengths": one.lengths} if one.lengths else {}
            needed |= {f"{key}.times": one.times.array} if one.times else {}
        if self.spikes is not None:
            needed["spikes.times"] = self.spikes.times.array
            needed |= {"spikes.units": self.spikes.units} if self.spikes.units else {}
        if self.trials is not None:
            needed["trials.start"] = self.trials.start.array
            needed |= {"trials.end": self.trials.end.array} if self.trials.end else {}
        needed |= {f"leave_out.where.{name}": name for name in self.leave_out.where}
        return needed | ({"split": self.split} if self.split else {})
