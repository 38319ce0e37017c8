"""How a run's headlines stand beside null and linear baseline, by intervals, not by decimals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from neuroduet.metrics.paired import FEWEST, compare_sessions
from neuroduet.report.certainty import SEED, Intervals, over_sessions
from neuroduet.report.folder import RunFolder
from neuroduet.report.headlines import Headline
from neuroduet.report.intervals import mean_interval
from neuroduet.report.tables import DECIMALS, select, session_table

Standing = Literal["above", "level", "below", ""]
"""How a score stands beside another; empty where there is no other."""

Ends = Mapping[str, tuple[float, float]]
"""By session: both ends of the 95 % interval of a difference."""

AGREE = 1e-3
"""Scores of units that do not average to the score of the table are of another evaluation."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far the mean of a headline may lie from that of other data; see ``words``."""

    low: float
    high: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is to be believed of a headline.

    Attributes:
        null: How it stands beside the null.
        rival: How it stands beside the best linear baseline.
        gain: Mean difference from that baseline, and both ends of its 95 % interval; ``nan``
            where there is none.
        spread: Its interval, if it has one.
        remarks: Sentences that a reader must not miss.
    """

    null: Standing
    rival: Standing
    gain: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    spread: Spread | None = None
    remarks: tuple[str, ...] = ()


def by_decimals(headline: Headline) -> Judgement:
    """A judgement by the mean scores alone, as they are printed."""
    return Judgement(
        null=_of_difference(headline.value - headline.null),
        rival=_of_difference(headline.value - headline.rival_value),
    )


def judgements(
    folder: RunFolder,
    found: Sequence[Headline],
    intervals: Intervals,
    remarks: Mapping[Headline, tuple[str, ...]],
) -> dict[Headline, Judgement]:
    """Judge every headline by what resampling says about its differences.

    With three sessions or more the differences of the sessions decide. With fewer, each session
    has an interval: that of the paired differences of its units where the score's own interval
    is over units and both models have them, else the score's own interval beside the other
    score. Two sessions are taken as independent.

    Args:
        folder: The run, with scores.
        found: Its headlines.
        intervals: Of the scores of single sessions.
        remarks: Sentences about some of them.

    Returns:
        A judgement for each headline, in their order.
    """
    scores, main = folder.scores, folder.main
    if scores is None or main is None:
        return {}
    table = session_table(scores)
    judged = {}
    for one in found:
        rows = select(table, one.task, one.target, one.metric)
        own, other = rows[main], rows[one.rival] if one.rival else rows[main] * np.nan
        ends = _own_ends(one, other, intervals) | _unit_ends(folder, one, own, other, intervals)
        gain = _difference(own, other, ends)
        above_null = _difference(own, rows["null"], _own_ends(one, rows["null"], intervals))
        judged[one] = Judgement(
            null=_of_difference(*above_null),
            rival=_of_difference(*gain),
            gain=gain,
            spread=_spread(own, one, intervals),
            remarks=remarks.get(one, ()),
        )
    return judged


def _difference(own: pd.Series, other: pd.Series, ends: Ends) -> tuple[float, float, float]:
    """Mean difference over sessions, and both ends of its interval; ``nan`` where unknown."""
    gains = (own - other).dropna()
    if len(gains) >= FEWEST:
        whole = compare_sessions(gains.to_numpy(float))
        return whole.mean, whole.low, whole.high
    nowhere = (np.nan, np.nan)
    pairs = np.array([ends.get(str(name), nowhere) for name in gains.index]).reshape(-1, 2)
    if not len(gains):
        return np.nan, np.nan, np.nan
    mean = float(gains.mean())
    # Errors of independent sessions add up as squares.
    reach = np.sqrt(((pairs - gains.to_numpy(float)[:, None]) ** 2).sum(axis=0)) / len(gains)
    return mean, float(mean - reach[0]), float(mean + reach[1])


def _of_difference(gain: float, low: float = np.nan, high: float = np.nan) -> Standing:
    """What a difference says, with its 95 % interval where there is one."""
    if not np.isfinite(gain):
        return ""
    if round(gain, DECIMALS) == 0 or low <= 0 <= high:
        return "level"
    return "above" if gain > 0 else "below"


def _own_ends(
    one: Headline, other: pd.Series, intervals: Intervals
) -> dict[str, tuple[float, float]]:
    """The score's own interval in each session, counted from the other score."""
    ends = {}
    for name, value in other.items():
        own = intervals.get((one.task, one.target, one.metric, str(name)))
        if own is not None:
            ends[str(name)] = own.low - value, own.high - value
    return ends


def _unit_ends(
    folder: RunFolder, one: Headline, own: pd.Series, other: pd.Series, intervals: Intervals
) -> dict[str, tuple[float, float]]:
    """Intervals of the mean difference of units, in sessions where scores are means over units."""
    ours, theirs = folder.own_units, folder.baseline_units
    if ours is None or theirs is None or not one.rival:
        return {}
    ends = {}
    for name, gain in (own - other).dropna().items():
        score = intervals.get((one.task, one.target, one.metric, str(name)))
        if score is None or score.over != "units":
            continue
        mine = _values(ours, one, str(name))
        rival = _values(theirs[theirs["model"] == one.rival], one, str(name))
        if mine.index.has_duplicates or rival.index.has_duplicates:
            continue
        found = mean_interval((mine - rival).dropna().to_numpy(float), SEED)
        if abs(found.value - gain) <= AGREE:
            ends[str(name)] = found.low, found.high
    return ends


def _values(units: pd.DataFrame, one: Headline, session: str) -> pd.Series:
    """Scores of the units of a session, by unit."""
    chosen = np.ones(len(units), dtype=bool)
    wanted = (one.task, one.target, one.metric, session)
    for column, name in zip(("task", "target", "metric", "session"), wanted, strict=True):
        chosen &= (units[column].astype(str) == name).to_numpy()
    return units[chosen].set_index("unit")["value"].astype(float)


def _spread(own: pd.Series, one: Headline, intervals: Intervals) -> Spread | None:
    """Over sessions, or over the windows or units of one."""
    values = own.dropna()
    key = (one.task, one.target, one.metric)
    if len(values) == 1 and (single := intervals.get((*key, str(values.index[0])))) is not None:
        low, high, words = single.low, single.high, f"95 % interval over {single.n} {single.over}"
    else:
        low, high, words = over_sessions(values.to_numpy(float))
    known = np.isfinite(low) and np.isfinite(high)
    return Spread(low=low, high=high, words=words) if known else None
