"""Which behaviours an NWB file offers: those that are there, or what a mapping file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch_brain.data import ArrayDict, IrregularTimeSeries

from neuroduet.data.binning import finite_rows
from neuroduet.data.drift import drift_of, drift_said
from neuroduet.data.readers.assembly import Offer
from neuroduet.data.readers.event_rate import event_rate
from neuroduet.data.readers.naming import field_name
from neuroduet.data.readers.nwb_mapping import COLUMNS, NwbBehaviour, NwbChoice
from neuroduet.data.readers.speed import speed_series
from neuroduet.data.readers.trial_columns import (
    MOST_CLASSES,
    blanked,
    class_counts,
    held_said,
    is_among,
    kind_of,
    rare_classes,
    word_of,
)
from neuroduet.data.schema import KNOWN_SOURCES
from neuroduet.errors import UserError, unknown

Columns = Mapping[str, np.ndarray]
"""The trial table, by column; empty without trials."""


@dataclass(frozen=True, kw_only=True)
class Behaviours:
    """What becomes of the series and trial columns of a file.

    Attributes:
        groups: Series, those among them that were made for a behaviour.
        columns: Columns of the trials, those among them that were made for a behaviour.
        offers: Behaviours to offer.
        aside: What would be a behaviour and is of no use, each with its reason.
        warnings: What can be used but is of little use as it is, each with a remedy.
    """

    groups: dict[str, ArrayDict]
    columns: dict[str, np.ndarray]
    offers: tuple[Offer, ...]
    aside: tuple[str, ...]
    warnings: tuple[str, ...]


def choose_behaviours(
    choice: NwbChoice, series: Sequence[str], columns: Columns, mapping: Path | None
) -> dict[str, NwbBehaviour]:
    """What the mapping says, or all series and the trial columns whose names are known.

    Args:
        choice: What the mapping says.
        series: Names of the time series.
        columns: The trials.
        mapping: The mapping file, for errors.

    Raises:
        UserError: The mapping names what is not there, or takes it for what it is not.
    """
    if choice.behaviours is not None:
        for name, given in choice.behaviours.items():
            _require_source(name, given, series, columns, mapping)
        return choice.behaviours
    found = {name: NwbBehaviour(series=name) for name in series}
    for known, (name, _, _) in KNOWN_SOURCES.items():
        if known.startswith(COLUMNS) and known.removeprefix(COLUMNS) in columns:
            found.setdefault(name, NwbBehaviour(series=known))
    return found


def make_behaviours(
    chosen: Mapping[str, NwbBehaviour],
    groups: Mapping[str, ArrayDict],
    columns: Columns,
    source: str,
) -> Behaviours:
    """Make the behaviours that were chosen.

    Args:
        chosen: See :func:`choose_behaviours`.
        groups: Series of the recording.
        columns: The trials.
        source: File, for errors.

    Raises:
        UserError: A series cannot be what the mapping asks for.
    """
    series, table = dict(groups), dict(columns)
    offers, aside, warnings = [], [], []
    for name, given in chosen.items():
        if given.series in series:
            offer, values = _sampled(series, table, name, given, source)
        else:
            offer, values = _per_trial(table, name, given)
        if offer.per == "bin" and is_constant(values):
            aside.append(f"behaviour {name} ({constant_said(len(values))})")
            continue
        offers.append(offer)
        warnings += _warned(series, columns, offer, given)
    return Behaviours(groups=series, columns=table, offers=tuple(offers), aside=tuple(aside),
                      warnings=tuple(warnings))  # fmt: skip


def never_seen(chosen: Mapping[str, NwbBehaviour], columns: Columns) -> dict[str, str]:
    """What is called missing and is in no trial, and what is there instead.

    Args:
        chosen: See :func:`choose_behaviours`.
        columns: The trials, of which none was left out.
    """
    return {
        f"{name} has missing: {word_of(one)}": f"{given.series} holds "
        f"{held_said(columns[str(given.column)])}"
        for name, given in chosen.items()
        for one in given.missing
        # An empty text and NaN are missing anyway.
        if one != "" and one == one and not is_among(columns[str(given.column)], (one,)).any()
    }


def behaviour_said(name: str, given: NwbBehaviour, columns: Columns) -> str:
    """What becomes of a source, in words.

    Args:
        name: The behaviour.
        given: What was chosen.
        columns: The trials.
    """
    what = "speed of " if given.speed else "rate of " if given.rate else ""
    in_trials = given.column in columns
    natural = kind_of(columns[str(given.column)]) if in_trials else "continuous"
    per = "trial" if in_trials else "bin"
    without = f", missing: {', '.join(map(word_of, given.missing))}" if given.missing else ""
    return f"{name}: {what}{given.series} ({given.kind or natural}, per {per}{without})"


def is_constant(values: np.ndarray) -> bool:
    """Whether a series never changes, as the marks of events do not."""
    known = values[finite_rows(values)]
    return not len(known) or bool((known == known[0]).all())


def constant_said(samples: int) -> str:
    """Why a series that never changes is no behaviour."""
    return (
        f"the same value in all {samples:,} samples; if they are events, such as licks, "
        "rate: true in a mapping file takes their rate"
    )


def _require_source(
    name: str,
    given: NwbBehaviour,
    series: Sequence[str],
    columns: Columns,
    mapping: Path | None,
) -> None:
    if given.series in series:
        return
    if given.speed or given.rate:
        raise unknown(f"series of the behaviour '{name}' in {mapping}", given.series, series)
    if given.column is None:
        every = [*series, *(f"{COLUMNS}{column}" for column in columns)]
        raise unknown(f"source of the behaviour '{name}' in {mapping}", given.series, every)
    if given.column not in columns:
        what = f"trial column of the behaviour '{name}' in {mapping}"
        raise unknown(what, given.column, [one for one in columns if one not in ("start", "end")])
    values = columns[given.column]
    text = values.dtype.kind == "U"
    if given.kind == "continuous" and values.dtype.kind not in "iuf":
        raise UserError(
            f"{mapping} says kind: continuous of the behaviour '{name}', but {given.series} holds "
            f"{'text' if text else 'true and false'}, expected numbers; leave kind out"
        )
    strange = [one for one in given.missing if isinstance(one, str) != text]
    if strange:
        raise UserError(
            f"{mapping} says missing: {strange[0]} of the behaviour '{name}', but {given.series} "
            f"holds {'text' if text else 'numbers'}; write one of its values"
            + (", in quotes" if text else "")
        )


def _sampled(
    series: dict[str, ArrayDict], columns: Columns, name: str, given: NwbBehaviour, source: str
) -> tuple[Offer, np.ndarray]:
    """A behaviour per bin and its values; a speed or rate is added to the series."""
    group, where = given.series, f"{source} {given.series}"
    found = series[group]
    assert isinstance(found, IrregularTimeSeries)
    # Names of series have no two underscores in a row.
    if given.speed:
        group = f"{given.series}__speed"
        series[group] = speed_series(found, where)
    elif given.rate:
        group = f"{given.series}__rate"
        times_s, rate = event_rate(np.asarray(found.timestamps), _span(columns), where)
        series[group] = IrregularTimeSeries(timestamps=times_s, values=rate)
    offer = Offer(name=name, source=f"{group}.values", kind=given.kind or "continuous", per="bin")
    return offer, np.asarray(series[group].values)


def _span(columns: Columns) -> tuple[float, float]:
    """From the start of the first trial to the end of the last (s); no time without trials."""
    return (
        float(np.min(columns["start"], initial=np.inf)) if columns else np.inf,
        float(np.max(columns["end"], initial=-np.inf)) if columns else -np.inf,
    )


def _per_trial(
    columns: dict[str, np.ndarray], name: str, given: NwbBehaviour
) -> tuple[Offer, np.ndarray]:
    """A behaviour per trial and its values; a column without what is missing is added."""
    column = str(given.column)
    kind = given.kind or kind_of(columns[column])
    if given.missing:
        values = blanked(columns[column], given.missing)
        column = field_name(name, tuple(columns))
        columns[column] = values
    return Offer(name=name, source=f"{COLUMNS}{column}", kind=kind, per="trial"), columns[column]


def _warned(
    series: Mapping[str, ArrayDict], columns: Columns, offer: Offer, given: NwbBehaviour
) -> list[str]:
    if offer.per == "trial":
        return _warned_of_classes(columns[str(given.column)], offer, given)
    if given.speed or given.rate or offer.kind == "categorical":
        return []
    found = series[given.series]
    times_s = np.asarray(found.timestamps, dtype=np.float64)
    share = drift_of(times_s, np.asarray(found.values, dtype=np.float64))
    return [] if share is None else [drift_said(offer.name, share)]


def _warned_of_classes(values: np.ndarray, offer: Offer, given: NwbBehaviour) -> list[str]:
    held = class_counts(values)
    left_out = [word_of(one) for one in given.missing]
    if offer.kind == "continuous" or len(held) > MOST_CLASSES:
        return []
    return [
        f"{offer.name} is {word} in {count} of {len(values)} trials, too few to score it; if "
        f"that means that nobody knows, say missing: {word} in a mapping file"
        for word, count in rare_classes(values).items()
        if word not in left_out
    ]
