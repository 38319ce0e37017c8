"""What in a recording made by hand can be used, but is probably not what was meant."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch_brain.data import ArrayDict, Data, Interval

from neuroduet.data.activity import NEURAL_KINDS
from neuroduet.data.columns import SERIES, column, fields, groups, scalar
from neuroduet.types import NeuralKind

FEWEST = 100
"""Fewer spikes or samples than this do not say when something was recorded, nor how often."""

SLOWEST_HZ = 0.1
"""No recording has units that fire more slowly than this on average, but for one whose times are
in milliseconds and taken for seconds, which makes every unit a thousand times slower."""

FAR = 300.0
"""Times that lie apart by this factor are in different units: no probe is recorded for so many
times as long as the trials take, and milliseconds for seconds are a factor of 1000."""

LONGEST_S = 2 * 24 * 3600.0
"""A recording that is longer than this, and that slow, is not in seconds (s)."""

LONGEST_BIN_S = {"counts": 1.0, "traces": 5.0}
"""Wider bins are suspected: traces always, counts if they are few for the time (s)."""

UNITS_OF_TIME = ((5e3, "milliseconds"), (2e5, "samples"), (1e8, "microseconds"))
"""Up to how many of them make a second."""

READ = {"units": "region", "trials": "split"}
"""Columns that are read where a table has them."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """When something happened.

    Attributes:
        name: What.
        low: First moment.
        high: Last moment.
    """

    name: str
    low: float
    high: float

    @property
    def length(self) -> float:
        """From the first to the last moment."""
        return self.high - self.low

    def __str__(self) -> str:
        return f"{self.name} run from {self.low:,.4g} to {self.high:,.4g} s"


def warn_of_doubts(recording: Data, stacklevel: int = 3) -> None:
    """Warn of times that are not in seconds, and of columns that are not read as was meant.

    Args:
        recording: A checked recording in memory.
        stacklevel: Whose line the warning names, as :func:`warnings.warn` has it.
    """
    for doubt in (*time_doubts(recording), *column_doubts(recording)):
        warnings.warn(f"recording '{recording.session.id}': {doubt}", stacklevel=stacklevel)


def time_doubts(recording: Data) -> Iterator[str]:
    """Why the times of a recording are probably not all in seconds.

    Args:
        recording: A checked recording in memory.

    Yields:
        One sentence each. None for what real recordings do: probes that record for much longer
        than the trials, spikes before the first trial, units and animals that are silent.
    """
    held = groups(recording)
    kind = next((one for one in NEURAL_KINDS if one in held), None)
    if kind is None:
        return
    times = np.asarray(column(held[kind], "timestamps"), dtype=np.float64)
    if len(times) < (FEWEST if kind == "spikes" else 1):
        return
    width_s = float(scalar(recording, "bin_size_s") or 0.0)
    activity = Span(name=kind, low=float(times[0]) - width_s / 2, high=float(times[-1]))
    slow = _is_slow(kind, held[kind], activity.length)
    if kind != "spikes" and width_s > LONGEST_BIN_S[kind] and (slow or kind == "traces"):
        yield (
            f"bin_size_s is {width_s:g} s, as if it were in milliseconds; give seconds, such as "
            f"{width_s / 1000:g}"
        )
        return
    others = {name: group for name, group in held.items() if name not in (kind, "truth")}
    apart = [doubt for name, group in others.items()
             for doubt in _another_clock(activity, slow, name, group)]  # fmt: skip
    yield from apart
    if slow and activity.length > LONGEST_S and not apart:
        yield (
            f"{activity}, which are {activity.length / 86400:,.0f} days of units that fire less "
            f"than {SLOWEST_HZ} times a second, as if times were in milliseconds or samples; give "
            "all times in seconds"
        )


def column_doubts(recording: Data) -> Iterator[str]:
    """Which columns of tables are probably those that are read under another name."""
    for table, known in READ.items():
        group = groups(recording).get(table)
        names = () if group is None or known in group else fields(group)
        for name in names:
            near = difflib.get_close_matches(name.lower(), [known], n=1, cutoff=0.8)
            if near or known in name.lower():
                yield (
                    f"the column '{name}' of {table} is kept but not read as '{known}'; rename it "
                    f"to '{known}' if that is what it is"
                )


def _is_slow(kind: NeuralKind, group: ArrayDict, length_s: float) -> bool:
    """Whether units that have any spikes have implausibly few of them."""
    if kind == "traces":
        return False
    if kind == "spikes":
        index = np.asarray(column(group, "unit_index"))
        events, active = len(index), len(np.unique(index))
    else:
        values = np.asarray(column(group, "values"))
        events, active = int(values.sum()), int(values.any(axis=0).sum())
    return events >= FEWEST and events < SLOWEST_HZ * length_s * active


def _another_clock(activity: Span, slow: bool, name: str, group: ArrayDict) -> Iterator[str]:
    """Why trials or a series are probably not on the clock of the activity."""
    moments = _moments(group)
    if len(moments) < (1 if isinstance(group, Interval) else FEWEST):
        return
    other = Span(name=name, low=float(moments.min()), high=float(moments.max()))
    if slow and _far_beyond(activity, other):
        yield _in_other_units(activity, other)
    elif _far_beyond(other, activity):
        yield _in_other_units(other, activity)
    elif isinstance(group, Interval):
        outside = (moments[:, 0] > activity.high) | (moments[:, 1] < activity.low)
        if outside.mean() > 0.5:
            yield (
                f"{int(outside.sum()):,} of {len(outside):,} {name} lie outside the time in which "
                f"{activity}; give both in seconds on one clock, and leave out {name} that were "
                "not recorded"
            )
    elif other.low > activity.high or other.high < activity.low:
        yield f"{other}, but {activity}; give both in seconds on one clock"


def _far_beyond(fine: Span, coarse: Span) -> bool:
    """Whether one takes so much longer, and ends so much later, that its unit is another."""
    later = abs(fine.high) >= FAR * abs(coarse.high) > 0
    return later and fine.length >= FAR * coarse.length


def _in_other_units(fine: Span, coarse: Span) -> str:
    factor = abs(fine.high / coarse.high)
    unit = next((unit for most, unit in UNITS_OF_TIME if factor < most), "another unit")
    return (
        f"{fine}, but {coarse}, as if the times of {fine.name} were in {unit}; give both in "
        "seconds"
    )


def _moments(group: ArrayDict) -> Float[np.ndarray, "R *E"]:
    """Times of samples, or starts and ends; none of what has no time."""
    if isinstance(group, Interval):
        return np.stack([group.start, group.end], axis=1).astype(np.float64)
    if not isinstance(group, SERIES):
        return np.zeros(0)
    return np.asarray(column(group, "timestamps"), dtype=np.float64)
