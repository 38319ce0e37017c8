"""Whether the scores of several runs compare, and in what the runs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuroduet.report.comparison_runs import ComparedRun
from neuroduet.report.comparison_scores import Question
from neuroduet.report.contents import plain

Settings = Mapping[str, Any]

TRAINING_ONLY = ("jitter_s",)
"""Settings of windows that move no test window."""

BLOCKED_ONLY = ("blocks", "gap_s")
"""Settings of splits that a random split does not look at."""


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What stands between the scores of the runs.

    Attributes:
        fatal: One sentence for each reason why the scores do not compare.
        cautions: One sentence for each thing to keep in mind.
    """

    fatal: tuple[str, ...]
    cautions: tuple[str, ...]


def check_runs(runs: Sequence[ComparedRun]) -> Checks:
    """Look for other splits, windows, bins and units than those of the first run.

    Args:
        runs: The runs, the one to compare with first.

    Returns:
        Sentences; none where the folders tell of no difference.
    """
    first = runs[0]
    fatal, cautions = [], []
    for run in runs[1:]:
        if run.folder.config and first.folder.config:
            fatal += _split(first, run) + _windows(first, run)
        else:
            lacking = first.name if not first.folder.config else run.name
            cautions.append(
                f"{lacking} has no readable config.yaml: whether {run.name} and {first.name} were "
                "scored on the same windows is known from the numbers of scored values alone."
            )
        fatal += _bins(first, run) + _scored_split(first, run)
        cautions += _units(first, run)
    return Checks(fatal=tuple(fatal), cautions=tuple(dict.fromkeys(cautions)))


def check_counts(questions: Sequence[Question]) -> tuple[str, ...]:
    """Say which questions rest on other numbers of scored values in different runs."""
    other = [" ".join(one.named) for one in questions if not one.same]
    if not other:
        return ()
    more = f" and {len(other) - 6} more" if len(other) > 6 else ""
    return (
        f"{len(other)} of {len(questions)} questions rest on other numbers of scored spikes, bins "
        f"or trials in different runs, so that their test sets differ and nothing is tested: "
        f"{'; '.join(other[:6])}{more}.",
    )


def check_subjects(runs: Sequence[ComparedRun], questions: Sequence[Question]) -> tuple[str, ...]:
    """Say when sessions are of fewer animals, since a test takes sessions as independent."""
    shared = {str(session) for one in questions for session in one.values.index}
    infos = runs[0].folder.sessions
    subjects = {str(infos[name].get("subject") or "") for name in shared if name in infos}
    known = shared <= set(infos) and "" not in subjects
    if not known or len(subjects) == len(shared):
        return ()
    return (
        f"The {len(shared)} shared sessions are of {len(subjects)} "
        f"{'animal' if len(subjects) == 1 else 'animals'}: sessions of one animal are alike, and "
        "tests and intervals over sessions are narrower than they would be over animals.",
    )


def _section(run: ComparedRun, name: str) -> Settings:
    data = run.folder.config.get("data")
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _split(first: ComparedRun, run: ComparedRun) -> list[str]:
    one, other = _section(first, "split"), _section(run, "split")
    if one.get("kind") == other.get("kind") == "given":
        return []  # the recordings say which trial is in which split, and no setting does
    unused = BLOCKED_ONLY if one.get("kind") == other.get("kind") == "random" else ()
    said = _differing("split", one, other, unused)
    return _not_comparable("split otherwise than", first, run, said)


def _windows(first: ComparedRun, run: ComparedRun) -> list[str]:
    one, other = _section(first, "windows"), _section(run, "windows")
    said = _differing("windows", one, other, TRAINING_ONLY)
    return _not_comparable("cut into other windows than", first, run, said)


def _differing(section: str, one: Settings, other: Settings, unused: Sequence[str]) -> list[str]:
    """Settings that both runs have, and have otherwise."""
    return [
        f"data.{section}.{key} {plain(other[key])}, not {plain(one[key])}"
        for key in one
        if key in other and key not in unused and one[key] != other[key]
    ]


def _not_comparable(
    words: str, first: ComparedRun, run: ComparedRun, said: Sequence[str]
) -> list[str]:
    if not said:
        return []
    return [
        f"The data of {run.name} were {words} those of {first.name} ({', '.join(said)}): the runs "
        "were scored on different test data, and their scores do not compare."
    ]


def _bins(first: ComparedRun, run: ComparedRun) -> list[str]:
    known, own = first.folder.sessions, run.folder.sessions
    sizes = {
        (known[name].get("bin_size_s"), own[name].get("bin_size_s"))
        for name in known
        if name in own
    }
    return [
        f"The bins of {run.name} last {b} s and those of {first.name} {a} s: scores per bin do "
        "not compare."
        for a, b in sorted(sizes, key=str)
        if a != b
    ]


def _scored_split(first: ComparedRun, run: ComparedRun) -> list[str]:
    one, other = ({str(name) for name in x.own["split"]} for x in (first, run))
    if one == other:
        return []
    return [
        f"{run.name} was scored on the split {' and '.join(sorted(other))} and {first.name} on "
        f"{' and '.join(sorted(one))}: these are different data, and their scores do not compare."
    ]


def _units(first: ComparedRun, run: ComparedRun) -> list[str]:
    known, own = first.folder.sessions, run.folder.sessions
    both = [name for name in known if name in own]
    other = [name for name in both if known[name].get("units") != own[name].get("units")]
    if not other:
        return []
    return [
        f"{run.name} and {first.name} see other units in {len(other)} of {len(both)} common "
        "sessions: scores of activity are means over other units, and behaviours are decoded from "
        "other units."
    ]


def differing_settings(runs: Sequence[ComparedRun]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same in all runs.

    Args:
        runs: The runs.

    Returns:
        Dotted key, and its value in each run as text (a dash where the key is missing).
    """
    flat = [dict(flattened(run.folder.config)) for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one)
    found = [(key, [plain(one[key]) if key in one else "–" for one in flat]) for key in keys]
    return [(key, texts) for key, texts in found if len(set(texts)) > 1]


def flattened(settings: Settings, before: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted keys and values.

    Example:
        >>> flattened({"preset": "duet", "model": {"width": 8}})
        [('preset', 'duet'), ('model.width', 8)]
    """
    found: list[tuple[str, Any]] = []
    for key, value in settings.items():
        name = f"{before}{key}"
        found += flattened(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return found
