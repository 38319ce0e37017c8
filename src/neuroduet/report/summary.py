"""What a reader learns in a minute: what was trained, and how good it is beside what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroduet.report.chance import LEVEL
from neuroduet.report.folder import RunFolder
from neuroduet.report.headlines import Headline
from neuroduet.report.holdings import Holding
from neuroduet.report.judgement import Judgement, Spread, by_decimals
from neuroduet.report.published import published
from neuroduet.report.sheet import Bar, Cell, Tile
from neuroduet.report.style import IMPLIED_TARGETS, METRIC_LABELS, task_label
from neuroduet.report.tables import number, p_text
from neuroduet.report.words import COLUMN_WORDS, meaning

MAX_TILES = 12
BOUNDED_METRICS = ("r2", "balanced_accuracy", "accuracy")
"""Metrics that read 1 for a perfect prediction."""

BEHAVIOUR_TASKS = ("decoding",)
GROUPS = ("Activity", "Behaviour", "Regions")


def sentences(
    folder: RunFolder, holdings: Sequence[Holding], judged: Mapping[Headline, Judgement]
) -> tuple[str, ...]:
    """What was trained on what, and a verdict in one sentence.

    Args:
        folder: The run.
        holdings: What its sessions hold.
        judged: Its headlines, and how they stand.

    Returns:
        Sentences; none about what the folder does not say.
    """
    said = []
    sessions = list(folder.sessions.values())
    if sessions:
        subjects = {str(one.get("subject", "")) for one in sessions} - {""}
        units = sum(len(one.get("units") or ()) for one in sessions)
        animals = f" of {count(len(subjects), 'animal')}" if subjects else ""
        before = pretraining(folder)
        verb = f"{before}, then finetuned" if before else "Trained"
        text = f"{verb} on {count(len(sessions), 'session')}{animals} ({count(units, 'unit')})"
        said.append(text + _budget(folder) + "." + _windows(holdings))
    if judged:
        said.append(_verdict(judged))
    return tuple(said)


def pretraining(folder: RunFolder) -> str:
    """What a run was finetuned from, as ``env.json`` says it; empty if from nothing.

    Args:
        folder: The run.
    """
    found = folder.environment.get("pretrained")
    if not isinstance(found, dict):
        return ""
    sessions, subjects = _whole(found.get("sessions")), _whole(found.get("subjects"))
    animals = f" of {count(subjects, 'animal')}" if subjects else ""
    return f"Pretrained on {count(sessions, 'session')}{animals}" if sessions else "Pretrained"


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _windows(holdings: Sequence[Holding]) -> str:
    known = [one for one in holdings if one.windows]
    total = {split: sum(one.windows.get(split, 0) for one in known) for split in _SPLIT_WORDS}
    parts = [f"{n:,} {_SPLIT_WORDS[split]}" for split, n in total.items() if n]
    if not parts:
        return ""
    word = "Trials" if known and all(one.by_trial for one in known) else "Windows"
    hours = sum(one.hours for one in known if np.isfinite(one.hours))
    length = f"; {duration(3600 * hours)} in windows" if hours > 0 else ""
    some = f" (of {count(len(known), 'session')})" if len(known) < len(holdings) else ""
    return f" {word}{some}: {', '.join(parts)}{length}."


_SPLIT_WORDS = {"train": "for training", "valid": "for validation", "test": "held out for test"}


def _verdict(judged: Mapping[Headline, Judgement]) -> str:
    nulls = [one.null for one in judged.values() if one.null]
    rivals = [one.rival for one in judged.values() if one.rival]
    text = f"It is better than the null in {nulls.count('above')} of "
    text += count(len(nulls), "question")
    if rivals:
        text += f"; of {len(rivals)} that linear baselines answer, too, it is above the best in "
        text += f"{rivals.count('above')}, level with it in {rivals.count('level')} and below it "
        text += f"in {rivals.count('below')}"
    shares = [one.share(one.value) for one in judged]
    shares = [share for share in shares if np.isfinite(share)]
    if shares:
        low, high = (f"{round(100 * share)}" for share in (min(shares), max(shares)))
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
        text += f" in {duration(60 * max(float(row['minutes']) for row in last))}"
    members = len(folder.curves)
    return text + (f", as an ensemble of {members}" if members > 1 else "")


def duration(length_s: float) -> str:
    """A length of time in words.

    Example:
        >>> duration(20), duration(90), duration(9000)
        ('20 s', '1.5 minutes', '2.5 hours')
    """
    if length_s < 60:
        return f"{length_s:.0f} s"
    minutes = length_s / 60
    return f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def count(n: int, word: str) -> str:
    """A number of things, e.g. ``1 session`` and ``1,200 sessions``."""
    return f"{n:,} {word}" + ("" if n == 1 else "s")


def tile_groups(
    found: Sequence[Headline], judged: Mapping[Headline, Judgement], preset: str | None
) -> tuple[tuple[str, tuple[Tile, ...]], ...]:
    """The headlines as tiles, those about activity, behaviour and regions together.

    Args:
        found: Headlines; at most :data:`MAX_TILES` are shown.
        judged: How they stand; by their decimals where it is not said.
        preset: Preset of the run, for published scores.

    Returns:
        Name and tiles of every group that has any.
    """
    shown = found[:MAX_TILES]
    groups = {name: [one for one in shown if _group(one) == name] for name in GROUPS}
    return tuple(
        (name, tuple(_tile(one, judged.get(one) or by_decimals(one), preset) for one in own))
        for name, own in groups.items()
        if own
    )


def _group(headline: Headline) -> str:
    if headline.target == "region":
        return "Regions"
    return "Behaviour" if headline.task in BEHAVIOUR_TASKS else "Activity"


def _tile(headline: Headline, judged: Judgement, preset: str | None) -> Tile:
    verdict, kind = verdict_of(judged)
    spread = judged.spread
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
        verdict=None
        if not verdict
        else Cell(text=verdict, title=COLUMN_WORDS["verdict"], kind=kind, note=_gain(judged)),
        remarks=_remarks(headline, judged),
        references=_references(headline),
        published=tuple(
            Cell(text=f"{one.value:.2f} {one.model.split(', ')[1]}", title=one.words())
            for one in published(preset, headline.task, headline.metric)
        ),
    )


def verdict_of(judged: Judgement) -> tuple[str, str]:
    """How a score compares, in words and as a class: ``good``, ``even``, ``low`` or ``bad``."""
    if judged.null == "below":
        return "below the null", "bad"
    if judged.null == "level":
        return "level with the null", "bad"
    if judged.rival:
        kinds = {"above": "good", "level": "even", "below": "low"}
        word = "level with" if judged.rival == "level" else judged.rival
        return f"{word} the best linear", kinds[judged.rival]
    return ("above the null", "good") if judged.null else ("", "even")


def _gain(judged: Judgement) -> str:
    """By how much the best linear baseline is missed or beaten, where the verdict is about it."""
    mean, low, high = judged.gain
    if judged.null in ("below", "level") or not np.isfinite(low):
        return ""
    return f"difference {number(mean)} ({number(low)} to {number(high)})"


def _remarks(headline: Headline, judged: Judgement) -> tuple[str, ...]:
    """What a reader would stumble over."""
    said = list(judged.remarks)
    if said and judged.rival == "below":
        said.append(f"{headline.rival.replace('_', ' ').capitalize()} does better here: use it.")
    if judged.null == "below" and headline.p_value < LEVEL:
        said.append(
            f"p {p_text(headline.p_value)} is no contradiction: it only says that predictions of "
            "other windows are worse still. The null knows the mean of the bins it is scored on."
        )
    return tuple(said)


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
