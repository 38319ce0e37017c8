"""The one evaluation loop: sessions x tasks x predictors, whatever the predictor and the task."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from neuroduet.errors import unknown
from neuroduet.tasks import GROUPS, TASKS, task_names
from neuroduet.tasks.collect import Collected, collect, grouped
from neuroduet.tasks.oracle import Oracle
from neuroduet.tasks.questions import Notebook
from neuroduet.tasks.regions import Embedder, RegionReadout
from neuroduet.tasks.scoring import Measured, conditions, score_activity, score_behaviour
from neuroduet.tasks.task import USUAL, ActivityOptions, SessionData, Task
from neuroduet.types import NEURAL, Batch, Predictor, Score

log = logging.getLogger(__name__)

UnitRow = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        scores: One per predictor, session, task, target and metric.
        units: The same per unit, for scores of activity: ``model``, ``session``, ``task``,
            ``target``, ``unit``, ``region``, ``metric``, ``value``, ``rate_hz``, ``split``.
    """

    scores: list[Score]
    units: list[UnitRow]


@dataclass(frozen=True, kw_only=True)
class _Windows:
    """The windows of one session's split; what every task and predictor is scored on."""

    session: SessionData
    batches: list[Batch]
    condition: np.ndarray | None
    split: str
    blind: bool
    options: ActivityOptions


def evaluate(
    predictors: Sequence[Predictor],
    sessions: Sequence[SessionData],
    tasks: Sequence[str] | None = None,
    split: str = "test",
    batch_size: int = 64,
    blind: bool = True,
    options: ActivityOptions = USUAL,
    notebook: Notebook | None = None,
) -> Evaluation:
    """Score predictors on the windows of a split.

    Sessions are scored one by one and never pooled. What a predictor does not answer has no row.
    In memory at any time are the windows of one session's split and one predictor's answer to one
    group of targets.

    Args:
        predictors: Who is scored. Those with embeddings are also scored by ``regions``.
        sessions: What they are scored on.
        tasks: Names of :data:`neuroduet.tasks.TASKS` or :data:`~neuroduet.tasks.GROUPS`; ``None``
            for all.
        split: ``train``, ``valid`` or ``test``. Regions are always scored on units held out from
            the read-out and carry the name of the split without depending on it.
        batch_size: Windows per prediction; it does not change the scores.
        blind: Replace what a predictor may not see by zeros before it is asked. One that answers
            questions about units by a short way of its own sees all activity and is trusted.
        options: How the activity tasks are asked.
        notebook: Where answers to many questions are kept meanwhile, and who is told of progress.

    Returns:
        The scores. ``oracle`` is filled in for the activity of simulated sessions.

    Raises:
        UserError: A task is unknown, or a unit that is in no session is asked about.
    """
    names = task_names(tasks)
    known = {unit: None for session in sessions for unit in session.info.units}
    for unit in options.units or ():
        if unit not in known:
            raise unknown("unit", unit, known)
    notebook = notebook or Notebook()
    scores: list[Score] = []
    units: list[UnitRow] = []
    for session in sessions:
        windows = _windows(session, split, batch_size, blind, options)
        for name in names:
            task = TASKS[name]
            if not isinstance(task, RegionReadout) and windows.batches:
                if tasks is not None and not task.variants(session.info, options):
                    log.warning(
                        "session '%s' is not scored in %s: %s",
                        session.info.id,
                        name,
                        _reason(name, options),
                    )
                found, rows = _score_task(predictors, windows, task, notebook)
                scores += found
                units += rows
    for name in names:
        readout = TASKS[name]
        if isinstance(readout, RegionReadout):
            scores += _score_regions(predictors, readout, [s.info.id for s in sessions], split)
    return Evaluation(scores=scores, units=units)


def _reason(task: str, options: ActivityOptions) -> str:
    """Why a session has nothing to be asked in a task."""
    if task in GROUPS["activity"] and options.units is not None:
        return "none of the units that are asked about can be asked there"
    if task in ("intra_region", "inter_region"):
        return "it does not name the regions of its units, or too few of them"
    return "it has no behaviour"


def _windows(
    session: SessionData, split: str, batch_size: int, blind: bool, options: ActivityOptions
) -> _Windows:
    indices = session.indices(split)
    if len(indices) == 0:
        log.warning("session '%s' has no %s windows and is not scored", session.info.id, split)
    starts = range(0, len(indices), batch_size)
    batches = [session.batch(indices[start : start + batch_size]) for start in starts]
    aligned = bool(batches) and _are_trials(np.asarray(session.windows.trial))
    condition = conditions(batches, session.info.behaviours) if aligned else None
    return _Windows(
        session=session,
        batches=batches,
        condition=condition,
        split=split,
        blind=blind,
        options=options,
    )


def _are_trials(trial: Int[np.ndarray, " W"]) -> bool:
    """Whether every window is a trial of its own, so that averaging windows gives a PSTH."""
    return bool((trial >= 0).all()) and len(np.unique(trial)) == len(trial)


def _score_task(
    predictors: Sequence[Predictor], windows: _Windows, task: Task, notebook: Notebook
) -> tuple[list[Score], list[UnitRow]]:
    best = {}
    if task.oracle is not None:
        oracle = Oracle("oracle", task.oracle, [windows.session])
        known = _score_one(oracle, windows, task, {}, Notebook())[0]
        best = {(s.target, s.metric): s.value for s in known}
    scores: list[Score] = []
    units: list[UnitRow] = []
    for predictor in predictors:
        found, rows = _score_one(predictor, windows, task, best, notebook)
        scores += found
        units += rows
    return scores, units


def _score_one(
    predictor: Predictor,
    windows: _Windows,
    task: Task,
    best: dict[tuple[str, str], float],
    notebook: Notebook,
) -> tuple[list[Score], list[UnitRow]]:
    """Scores of one predictor in one task; ``best`` holds the oracle's by (target, metric)."""
    info = windows.session.info
    scores: list[Score] = []
    units: list[UnitRow] = []
    for group in grouped(task.variants(info, windows.options)):
        answers = collect(predictor, windows.batches, task, group, windows.blind, notebook)
        for modality, found in answers.items():
            target = group[0].targets[modality]
            measured, rows = _measure(found, modality, windows)
            place = {"model": predictor.name, "session": info.id, "task": task.name}
            for m in measured:
                name = target + m.channel
                scores.append(
                    Score(
                        **place,
                        target=name,
                        metric=m.metric,
                        value=float(m.value),
                        n=m.n,
                        null=float(m.null),
                        oracle=best.get((name, m.metric), float("nan")),
                        split=windows.split,
                    )
                )
            where = place | {"target": target, "split": windows.split}
            units += [where | row for row in rows]
    return scores, units


def _measure(
    found: Collected, modality: str, windows: _Windows
) -> tuple[list[Measured], list[UnitRow]]:
    info = windows.session.info
    if modality == NEURAL:
        activity = score_activity(found, info, windows.condition)
        return activity.measured, activity.units
    behaviour = next(b for b in info.behaviours if b.name == modality)
    counts = None
    if behaviour.kind == "categorical":
        counts = np.asarray(windows.session.statistics.class_counts[modality]).astype(np.int64)
    return score_behaviour(found, behaviour, counts), []


def _score_regions(
    predictors: Sequence[Predictor], readout: RegionReadout, wanted: list[str], split: str
) -> list[Score]:
    scores: list[Score] = []
    for predictor in predictors:
        if isinstance(predictor, Embedder):
            found = readout.score(
                predictor.name, predictor.embeddings(), predictor.sessions, wanted, split
            )
            # The majority rows depend on the regions only: one copy is enough.
            scores += [s for s in found if not scores or s.model == predictor.name]
    return scores
