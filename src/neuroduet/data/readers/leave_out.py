"""Trials that a mapping file leaves out: the first ones, by a value, or by what goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool, Float
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from torch_brain.data import Data

from neuroduet.data.columns import scalar
from neuroduet.data.readers.trial_columns import Value, held_said, is_among, word_of
from neuroduet.errors import UserError, unknown

NOTED = "trials_left_out"
"""Root value of a recording: which trials its source has and it has not, in words."""


def _several(given: Any) -> Any:
    return given if isinstance(given, list | tuple) else (given,)


OneOrSeveral = Annotated[tuple[Value, ...], BeforeValidator(_several)]


class LeaveOut(BaseModel):
    """Which trials a mapping file leaves out.

    Attributes:
        first: How many at the beginning.
        where: By column, the values whose trials are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int = Field(default=0, ge=0, strict=True)
    where: dict[str, OneOrSeveral] = Field(default_factory=dict)


class NwbLeaveOut(LeaveOut):
    """Which trials of an NWB file are left out.

    Attributes:
        during: Tables of intervals; trials that overlap one of theirs are left out.
    """

    during: Annotated[tuple[str, ...], BeforeValidator(_several)] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class LeftOut:
    """What a mapping file leaves out of a trial table.

    Attributes:
        keep: Which trials stay.
        notes: How many trials each reason leaves out (a trial may have several).
        unmatched: What the mapping says and fits no trial, and what is there instead.
    """

    keep: Bool[np.ndarray, " J"]
    notes: tuple[str, ...] = ()
    unmatched: Mapping[str, str]


def leave_out(
    given: LeaveOut,
    columns: Mapping[str, np.ndarray],
    n_trials: int,
    source: str,
    overlapping: Mapping[str, Bool[np.ndarray, " J"] | str] | None = None,
) -> LeftOut:
    """Find the trials to leave out.

    Args:
        given: What the mapping says.
        columns: Columns of the trials, by the names that ``where`` has for them.
        n_trials: Number of trials.
        source: File, for errors.
        overlapping: By table of intervals, which trials overlap one of its; or, in words, why
            none can.

    Raises:
        UserError: A column is unknown, or holds values of another kind.
    """
    reasons: dict[str, Bool[np.ndarray, " J"]] = {}
    unmatched: dict[str, str] = {}
    if given.first:
        reasons[f"the first {given.first}"] = np.arange(n_trials) < given.first
    for name, values in given.where.items():
        for why, which, instead in _by_value(name, values, columns, source):
            if which.any():
                reasons[why] = which
            else:
                unmatched[f"leave_out says where {why}"] = instead
    for name, found in (overlapping or {}).items():
        if not isinstance(found, str) and found.any():
            reasons[f"during {name}"] = found
        else:
            instead = found if isinstance(found, str) else "no trial overlaps its intervals"
            unmatched[f"leave_out says during {name}"] = instead
    dropped = np.any([np.zeros(n_trials, dtype=bool), *reasons.values()], axis=0)
    notes = (f"{int(which.sum())} trials ({why})" for why, which in reasons.items())
    return LeftOut(keep=~dropped, notes=tuple(notes), unmatched=unmatched)


def _by_value(
    name: str, values: tuple[Value, ...], columns: Mapping[str, np.ndarray], source: str
) -> Iterator[tuple[str, Bool[np.ndarray, " J"], str]]:
    """For every value: a reason, the trials that have it, and what the column holds."""
    if name not in columns:
        raise unknown(f"column under leave_out.where of {source}", name, columns)
    held = columns[name]
    text = held.dtype.kind == "U"
    for value in values:
        if isinstance(value, str) != text:
            raise UserError(
                f"leave_out says where {name} is {value}, but in {source} it holds "
                f"{'text' if text else 'numbers'}; write one of its values"
                + (", in quotes" if text else "")
            )
        said = word_of(value) or "empty"
        yield f"{name} is {said}", is_among(held, (value,)), f"{name} holds {held_said(held)}"


def overlap(
    start_s: Float[np.ndarray, " J"],
    end_s: Float[np.ndarray, " J"],
    from_s: Float[np.ndarray, " I"],
    to_s: Float[np.ndarray, " I"],
) -> Bool[np.ndarray, " J"]:
    """Which trials share time with an interval; one that only touches a trial is not in it.

    Args:
        start_s: Start of each trial (s).
        end_s: End of each trial (s).
        from_s: Start of each interval (s), in any order.
        to_s: End of each interval (s); where it is the start, the interval is a moment.

    Example:
        >>> overlap(np.array([0.0, 2.0, 4.0]), np.array([2.0, 4.0, 6.0]),
        ...         np.array([1.0, 4.0]), np.array([2.0, 4.0]))
        array([ True, False,  True])
    """
    # A moment at the start of a trial is in it, but an interval that ends there is not.
    last_s = np.maximum(to_s, np.nextafter(from_s, np.inf))
    begun = np.searchsorted(np.sort(from_s), end_s, side="left")
    over = np.searchsorted(np.sort(last_s), start_s, side="right")
    return begun > over


def unmatched_said(unmatched: Mapping[str, str]) -> tuple[str, ...]:
    """What a mapping says and a source has not, one sentence each."""
    return tuple(
        f"{said}, but {instead}; correct the mapping file" for said, instead in unmatched.items()
    )


def require_some(keep: Bool[np.ndarray, " J"], source: str) -> None:
    """Refuse to leave out all trials.

    Raises:
        UserError: None is left.
    """
    if not keep.any():
        raise UserError(
            f"{source} has {len(keep)} trials, of which leave_out in the mapping file keeps none; "
            "leave fewer out"
        )


def note_left_out(recording: Data, notes: tuple[str, ...]) -> None:
    """Write into a recording how many trials were left out, and why."""
    if notes:
        setattr(recording, NOTED, ", ".join(notes))


def left_out_of(recording: Data) -> str:
    """How many trials of its source a recording lacks, and why; empty if that is not known."""
    said = scalar(recording, NOTED)
    return said if isinstance(said, str) else ""
