"""What a reader learns in a minute: what was trained, and how good it is beside what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuroduet.report.certainty import Intervals, over_sessions
from neuroduet.report.folder import RunFolder
from neuroduet.report.headlines import Headline
from neuroduet.report.holdings import Holding
from neuroduet.report.published import published
from neuroduet.report.sheet import Bar, Cell, Tile
from neuroduet.report.style import IMPLIED_TARGETS, METRIC_LABELS, task_label
from neuroduet.report.tables import number, p_text, select, session_table
from neuroduet.report.words import meaning

MAX_TILES = 12
BOUNDED_METRICS = ("r2", "balanced_accuracy", "accuracy")
"""Metrics that read 1 for a perfect prediction."""

BEHAVIOUR_TASKS = ("decoding",)
GROUPS = ("Activity", "Behaviour", "Regions")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far the mean of a headline may lie from that of other data; see ``words``."""

    low: float
    high: float
    words: str


def spreads(
    scores: pd.DataFrame, found: Sequence[Headline], main: str, intervals: Intervals
) -> dict[Headline, Spread]:
    """An interval for each headline: over sessions, or over the windows or units of one.

    Args:
        scores: Columns of ``scores.csv``.
        found: Headlines.
        main: The run's model.
        intervals: Of single sessions.

    Returns:
        Spreads of the headlines that have one.
    """
    table = session_table(scores)
    spread = {}
    for headline in found:
        key = (headline.task, headline.target, headline.metric)
        values = select(table, *key)[main].dropna()
        if len(values) == 1 and (one := intervals.get((*key, str(values.index[0])))) is not None:
            low, high, words = one.low, one.high, f"95 % interval over {one.n} {one.over}"
        else:
            low, high, words = over_sessions(values.to_numpy(float))
        if np.isfinite(low) and np.isfinite(high):
            spread[headline] = Spread(low=low, high=high, words=words)
    return spread


def sentences(
    folder: RunFolder, holdings: Sequence[Holding], found: Sequence[Headline]
) -> tuple[str, ...]:
    """What was trained on what, and a verdict in one sentence.

    Args:
        folder: The run.
        holdings: What its sessions hold.
        found: Its headlines.

    Returns:
        Sentences; none about what the folder does not say.
    """
    said = []
    sessions = list(folder.sessions.values())
    if sessions:
        subjects = {str(one.get("subject", "")) for one in sessions} - {""}
        units = sum(len(one.get("units") or ()) for one in sessions)
        animals = f" of {count(len(subjects), 'animal')}" if subjects else ""
        text = f"Trained on {count(len(sessions), 'session')}{animals} ({count(units, 'unit')})"
        said.append(text + _budget(folder) + "." + _windows(holdings))
    if found:
        said.append(_verdict(found))
    return tuple(said)


def _windows(holdings: Sequence[Holding]) -> str:
    known = [one for one in holdings if one.windows]
    total = {split: sum(one.windows.get(split, 0) for one in known) for split in _SPLIT_WORDS}
    parts = [f"{n:,} {_SPLIT_WORDS[split]}" for split, n in total.items() if n]
    if not parts:
        return ""
    word = "Trials" if known and all(one.by_trial for one in known) else "Windows"
    hours = sum(one.hours for one in known if np.isfinite(one.hours))
    length = f"; {hours:.2g} hours in all" if hours > 0 else ""
    some = f" (of {count(len(known), 'session')})" if len(known) < len(holdings) else ""
    return f" {word}{some}: {', '.join(parts)}{length}."


_SPLIT_WORDS = {"train": "for training", "valid": "for validation", "test": "held out for test"}


def _verdict(found: Sequence[Headline]) -> str:
    nulls = [one for one in found if np.isfinite(one.null)]
    rivals = [one for one in found if one.rival]
    better = sum(one.value > one.null for one in nulls)
    text = f"By mean score it is better than the null in {better} of "
    text += count(len(nulls), "question")
    if rivals:
        won = sum(one.value > one.rival_value for one in rivals)
        text += f" and than the best linear baseline in {won} of {len(rivals)}"
    shares = [one.share(one.value) for one in found]
    shares = [share for share in shares if np.isfinite(share)]
    if shares:
        low, high = (f"{100 * max(share, 0.0):.0f}" for share in (min(shares), max(shares)))
        reach = f"{low} to {high}" if low != high else low
        text += f"; where the oracle is known, it goes {reach} % of the way there from the null"
    return f"{text}."


def _budget(folder: RunFolder) -> str:
    if not folder.curves:
        return ""
    last = [curve.iloc[-1] for _, curve in folder.curves]
    steps = max(int(row["step"]) for row in last)
    text = f" for {count(steps, 'step')}"
    if all("minutes" in row.index for row in last):
        text += f" in {max(float(row['minutes']) for row in last):.1f} minutes"
    members = len(folder.curves)
    return text + (f", as an ensemble of {members}" if members > 1 else "")


def count(n: int, word: str) -> str:
    """A number of things, e.g. ``1 session`` and ``1,200 sessions``."""
    return f"{n:,} {word}" + ("" if n == 1 else "s")


def tile_groups(
    found: Sequence[Headline], spread: Mapping[Headline, Spread], preset: str | None
) -> tuple[tuple[str, tuple[Tile, ...]], ...]:
    """The headlines as tiles, those about activity, behaviour and regions together.

    Args:
        found: Headlines; at most :data:`MAX_TILES` are shown.
        spread: Their intervals.
        preset: Preset of the run, for published scores.

    Returns:
        Name and tiles of every group that has any.
    """
    shown = found[:MAX_TILES]
    groups = {name: [one for one in shown if _group(one) == name] for name in GROUPS}
    return tuple(
        (name, tuple(_tile(one, spread.get(one), preset) for one in own))
        for name, own in groups.items()
        if own
    )


def _group(headline: Headline) -> str:
    if headline.target == "region":
        return "Regions"
    return "Behaviour" if headline.task in BEHAVIOUR_TASKS else "Activity"


def _tile(headline: Headline, spread: Spread | None, preset: str | None) -> Tile:
    verdict, kind = verdict_of(headline)
    metric = METRIC_LABELS.get(headline.metric, headline.metric)
    return Tile(
        what=task_label(headline.task),
        target="" if headline.target in IMPLIED_TARGETS else headline.target,
        value=number(headline.value),
        unit=Cell(text=metric, title=meaning(headline.metric)),
        spread=""
        if spread is None
        else f"{number(spread.low)} to {number(spread.high)}: {spread.words}",
        bar=_bar(headline, spread),
        verdict=Cell(text=verdict, kind=kind) if verdict else None,
        references=_references(headline),
        published=tuple(
            Cell(text=f"{one.value:.2f} {one.model.split(', ')[1]}", title=one.words())
            for one in published(preset, headline.task, headline.metric)
        ),
    )


def verdict_of(headline: Headline) -> tuple[str, str]:
    """How a score compares, in words and as a class: ``good``, ``even``, ``low`` or ``bad``."""
    value = round(headline.value, 3)
    if np.isfinite(headline.null) and value <= round(headline.null, 3):
        return "no better than the null", "bad"
    if not headline.rival:
        return ("above the null", "good") if np.isfinite(headline.null) else ("", "even")
    rival = round(headline.rival_value, 3)
    if value == rival:
        return "like the best linear", "even"
    return ("above the best linear", "good") if value > rival else ("below the best linear", "low")


def _references(headline: Headline) -> tuple[Cell, ...]:
    known = [("null", headline.null), (headline.rival, headline.rival_value)]
    known.append(("oracle", headline.oracle))
    found = [
        Cell(text=name.replace("_", " "), title=meaning(name), note=number(value))
        for name, value in known
        if name and np.isfinite(value)
    ]
    if np.isfinite(headline.p_value):
        found.append(Cell(text="p", title=meaning("p_value"), note=p_text(headline.p_value)))
    return tuple(found)


def _bar(headline: Headline, spread: Spread | None) -> Bar | None:
    top = headline.oracle
    if not np.isfinite(top) and headline.metric in BOUNDED_METRICS:
        top = 1.0
    span = top - headline.null
    if not span > 0:
        return None

    def place(value: float) -> float:
        return min(max(100 * (value - headline.null) / span, 0.0), 100.0)

    share = 100 * (headline.value - headline.null) / span
    rival = headline.rival_value
    return Bar(
        fill=place(headline.value),
        label=f"{share:.0f} % of the way from null to the best possible score",
        band=None if spread is None else (place(spread.low), place(spread.high)),
        rival=min(place(rival), 99.0) if np.isfinite(rival) else None,
    )
