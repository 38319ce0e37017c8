"""What a mapping file may say of the behaviours of an NWB file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from neuroduet.data.readers.leave_out import NwbLeaveOut, OneOrSeveral
from neuroduet.types import BehaviourKind

COLUMNS = "trials."
"""What stands before the name of a trial column."""


class NwbBehaviour(BaseModel):
    """Where a behaviour of an NWB file stands, and what is made of it.

    Attributes:
        series: Name of a time series, or ``trials.<column>``.
        speed: Whether the series is a position whose speed is the behaviour.
        rate: Whether the series are events, such as licks, whose rate is the behaviour.
        kind: ``continuous`` or ``categorical``; by its values if not given.
        missing: Values of a trial column that say that nobody knows, such as ``none``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    series: str
    speed: bool = False
    rate: bool = False
    kind: BehaviourKind | None = None
    missing: OneOrSeveral = ()

    @model_validator(mode="after")
    def _one_of_them(self) -> NwbBehaviour:
        if self.speed and self.rate:
            raise ValueError("a series is a position (speed) or events (rate); leave one out")
        if (self.speed or self.rate) and self.kind == "categorical":
            raise ValueError("a speed or rate is continuous; leave kind out")
        if self.missing and self.column is None:
            raise ValueError("missing belongs to columns of the trials; leave it out")
        return self

    @property
    def column(self) -> str | None:
        """The trial column, or ``None`` for a time series."""
        return self.series.removeprefix(COLUMNS) if self.series.startswith(COLUMNS) else None


def _short(given: Any) -> Any:
    return {"series": given} if isinstance(given, str) else given


class NwbChoice(BaseModel):
    """What a mapping file may say of an NWB file.

    Attributes:
        behaviours: Source of each behaviour to offer. All series that change, and the trial
            columns whose names are known, if not given.
        leave_out: Trials to leave out; their columns are ``trials.<column>``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    behaviours: dict[str, Annotated[NwbBehaviour, BeforeValidator(_short)]] | None = None
    leave_out: NwbLeaveOut = Field(default_factory=NwbLeaveOut)
