"""What a comparison says in a minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neuroduet.metrics.paired import FEWEST
from neuroduet.report.comparison_runs import ComparedRun
from neuroduet.report.comparison_scores import CERTAIN, Question, verdict
from neuroduet.report.sheet import Cell, Tile, cells
from neuroduet.report.style import METRIC_LABELS, question_label
from neuroduet.report.tables import number

MAX_SPELLED = 6
"""Differences that the summary spells out, of each run."""


def summary(
    runs: Sequence[ComparedRun],
    questions: Sequence[Question],
    left_out: Mapping[str, Sequence[str]],
    *,
    comparable: bool,
) -> tuple[str, ...]:
    """Sentences on what was compared, who wins where, and how sure that is.

    Args:
        runs: The runs, the one to compare with first.
        questions: What was compared.
        left_out: Rows of each run that were not paired.
        comparable: Whether the runs were scored on the same data.
    """
    sentences = [_what(runs, questions, left_out)]
    if not comparable:
        sentences.append(
            "The runs were not scored on the same data, see above: no winner is named and nothing "
            "is tested."
        )
        return tuple(sentences)
    for run in runs[1:]:
        sentences += _against(questions, run.name, runs[0].name)
    return tuple(sentences)


def _what(
    runs: Sequence[ComparedRun],
    questions: Sequence[Question],
    left_out: Mapping[str, Sequence[str]],
) -> str:
    names = ", ".join(run.name for run in runs[1:])
    alone = sum(len(rows) for rows in left_out.values())
    rest = f"; {alone} scores have no counterpart and are listed at the end" if alone else ""
    return (
        f"{names} compared with {runs[0].name} on {_spread(questions)} in {len(questions)} "
        f"questions (task, target and metric){rest}."
    )


def _against(questions: Sequence[Question], name: str, first: str) -> list[str]:
    own = [one for one in questions if one.primary and name in one.differences]
    if not own:
        return [f"{name} shares no primary score with {first}."]
    higher, lower, equal = counted(own, name)
    same = f", equal in {equal}" if equal else ""
    said = (
        f"{name} scores higher than {first} in {higher} of {len(own)} primary scores, lower in "
        f"{lower}{same}."
    )
    return [f"{said} {_certainty(own, name)}"]


def counted(questions: Sequence[Question], name: str) -> tuple[int, int, int]:
    """In how many questions a run's mean is higher than that of the first run, lower, equal."""
    means = np.array([one.differences[name].mean for one in questions])
    return int((means > 0).sum()), int((means < 0).sum()), int((means == 0).sum())


def _certainty(own: Sequence[Question], name: str) -> str:
    tested = [one for one in own if np.isfinite(one.p_holm[name])]
    if not tested:
        said = _spelled(own, name)
        if max(len(one.values) for one in own) >= FEWEST:
            return f"No difference could be tested (the table says why): {said}."
        return (
            f"No test is possible with {_spread(own)} ({FEWEST} are needed): the differences "
            f"describe these sessions and say nothing about others: {said}."
        )
    certain = [one for one in tested if one.p_holm[name] < CERTAIN]
    if not certain:
        return (
            f"None of the {len(tested)} tested differences is certain (paired t over sessions, "
            "Holm-adjusted p of 0.05 or more); that does not show that the runs are equal."
        )
    ranked = sorted(certain, key=lambda one: one.p_holm[name])
    return (
        f"{len(certain)} of {len(tested)} tested differences are certain (Holm-adjusted p below "
        f"0.05): {_spelled(ranked, name)}."
    )


def _spelled(questions: Sequence[Question], name: str) -> str:
    """Differences in words, the first few of them."""
    said = [_difference(one, name) for one in questions[:MAX_SPELLED]]
    rest = len(questions) - len(said)
    return "; ".join(said) + (f"; and {rest} more" if rest else "")


def _difference(one: Question, name: str) -> str:
    found = one.differences[name]
    metric = METRIC_LABELS.get(one.metric, one.metric)
    within = f" (95 % {signed(found.low)} to {signed(found.high)})"
    shown = within if np.isfinite(found.low) else ""
    return f"{question_label(one.task, one.target)} {signed(found.mean)} {metric}{shown}"


def _spread(questions: Sequence[Question]) -> str:
    """How many sessions questions share."""
    counts = sorted({len(one.values) for one in questions})
    between = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{between} shared session{'s' if counts[-1] > 1 else ''}"


def signed(value: float) -> str:
    """A difference as text, with its sign; a dash where it is undefined.

    Example:
        >>> signed(0.0512), signed(-0.2)
        ('+0.051', '-0.200')
    """
    text = number(value)
    return f"+{text}" if np.isfinite(value) and float(text) > 0 else text


def tiles(questions: Sequence[Question], others: Sequence[str]) -> tuple[Tile, ...]:
    """One tile for each run beyond the first: in how many primary scores it is ahead."""
    found = []
    for name in others:
        own = [one for one in questions if one.primary and name in one.differences]
        if not own:
            continue
        higher, lower, equal = counted(own, name)
        words = [verdict(one, name) for one in own]
        sure = f"certain: {words.count('higher')} higher, {words.count('lower')} lower"
        untested = words.count("no test")
        title = (
            "Primary scores (one metric for each task and target) whose mean over the shared "
            f"sessions is higher in {name} than in {own[0].values.columns[0]}"
        )
        found.append(
            Tile(
                what=f"{name} against {own[0].values.columns[0]}",
                value=f"{higher} of {len(own)}",
                unit=Cell(text="higher", title=title),
                references=cells(
                    f"{lower} lower, {equal} equal",
                    sure,
                    *([f"{untested} without a test"] if untested else []),
                ),
            )
        )
    return tuple(found)
