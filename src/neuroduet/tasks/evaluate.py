"""The one evaluation loop: sessions x tasks x predictors, whatever the predictor and the task."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Int

from neuroduet.errors import unknown
from neuroduet.tasks import GROUPS, TASKS, task_names
from neuroduet.tasks.chance import against_nulls, beside, imposter_draws, pairing_draws
from neuroduet.tasks.collect import collect, grouped
from neuroduet.tasks.imposters import deeds_by_session
from neuroduet.tasks.measure import ScoredWindows, UnitRow, measure
from neuroduet.tasks.nulls import IMPOSTER, Null
from neuroduet.tasks.oracle import Oracle
from neuroduet.tasks.questions import Notebook
from neuroduet.tasks.regions import Embedder, RegionReadout
from neuroduet.tasks.scoring import averaged, conditions
from neuroduet.tasks.task import USUAL, ActivityOptions, SessionData, Task, batches_of
from neuroduet.terminal import Asked
from neuroduet.types import Predictor, Score, SessionInfo

log = logging.getLogger(__name__)

BETWEEN_REGIONS = ("intra_region", "inter_region", "decoding_by_region")
"""Tasks whose questions are about named regions."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        scores: One per predictor, session, task, target and metric.
        units: The same per unit, for scores of activity: ``model``, ``session``, ``task``,
            ``target``, ``unit``, ``region``, ``metric``, ``value``, ``rate_hz``, ``split``.
        nulls: Every score beside its distribution under each null, if these were asked for.
        regions: What was read out of the embedding of every unit
            (:class:`~neuroduet.tasks.regions.ReadOut`).
    """

    scores: list[Score] = field(default_factory=list)
    units: list[UnitRow] = field(default_factory=list)
    nulls: list[Null] = field(default_factory=list)
    regions: list[dict[str, str]] = field(default_factory=list)

    def add(self, more: Evaluation) -> None:
        """Take in what another evaluation found."""
        self.scores.extend(more.scores)
        self.units.extend(more.units)
        self.nulls.extend(more.nulls)
        self.regions.extend(more.regions)


def score_predictors(
    predictors: Sequence[Predictor],
    sessions: Sequence[SessionData],
    tasks: Sequence[str] | None = None,
    split: str = "test",
    batch_size: int = 64,
    blind: bool = True,
    options: ActivityOptions = USUAL,
    notebook: Notebook | None = None,
    nulls: int = 0,
    progress: Asked | None = None,
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
        nulls: Draws of every null (:mod:`neuroduet.tasks.nulls`); 0 for none. Each scores all
            answers anew, and each imposter session is one more prediction.
        progress: Told which task of which session comes next, how many are done, and how many
            there are.

    Returns:
        The scores. ``oracle`` is filled in for the activity of simulated sessions.

    Raises:
        UserError: A task is unknown, or a unit that is in no session is asked about.
    """
    names = task_names(tasks)
    _require_known(options.units or (), sessions)
    notebook = notebook or Notebook()
    whole = Evaluation()
    deeds = deeds_by_session(sessions, split, batch_size) if nulls else {}
    for place, session in enumerate(sessions):
        windows = replace(
            _windows(session, split, batch_size, blind, options),
            draws=nulls,
            others=tuple(d for name, d in deeds.items() if name != session.info.id)[:nulls],
        )
        for index, name in enumerate(names):
            if progress is not None:
                count = len(sessions) * len(names)
                progress(f"{session.info.id}: {name}", place * len(names) + index, count)
            task = TASKS[name]
            if not isinstance(task, RegionReadout) and windows.batches:
                if tasks is not None and not task.variants(session.info, options):
                    _warn_unasked(session.info, name, options)
                whole.add(_score_task(predictors, windows, task, notebook))
    for name in names:
        readout = TASKS[name]
        if isinstance(readout, RegionReadout):
            asked = [s.info.id for s in sessions]
            told = notebook.progress or (lambda about, done, count: None)
            whole.add(_score_regions(predictors, readout, asked, split, nulls, told))
    return whole


def _require_known(units: Sequence[str], sessions: Sequence[SessionData]) -> None:
    known = {unit: None for session in sessions for unit in session.info.units}
    for unit in units:
        if unit not in known:
            raise unknown("unit", unit, known)


def _warn_unasked(info: SessionInfo, task: str, options: ActivityOptions) -> None:
    """Say why a session has nothing to be asked in a task that was asked for."""
    reason = "it has no behaviour"
    if task in GROUPS["activity"] and options.units is not None:
        reason = "none of the units that are asked about can be asked there"
    elif task in BETWEEN_REGIONS and (task in GROUPS["activity"] or info.behaviours):
        reason = "it does not name the regions of its units, or too few of them"
    log.warning("session '%s' is not scored in %s: %s", info.id, task, reason)


def _windows(
    session: SessionData, split: str, batch_size: int, blind: bool, options: ActivityOptions
) -> ScoredWindows:
    indices = session.indices(split)
    if len(indices) == 0:
        log.warning("session '%s' has no %s windows and is not scored", session.info.id, split)
    batches = list(batches_of(session, indices, batch_size))
    aligned = bool(batches) and _are_trials(np.asarray(session.windows.trial))
    condition = averaged(conditions(batches, session.info.behaviours)) if aligned else None
    return ScoredWindows(
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
    predictors: Sequence[Predictor], windows: ScoredWindows, task: Task, notebook: Notebook
) -> Evaluation:
    best = {}
    if task.oracle is not None:
        oracle = Oracle("oracle", task.oracle, [windows.session])
        known = _score_one(oracle, replace(windows, draws=0), task, {}, Notebook()).scores
        best = {(s.target, s.metric): s.value for s in known}
    whole = Evaluation()
    for predictor in predictors:
        whole.add(_score_one(predictor, windows, task, best, notebook))
    return whole


def _score_one(
    predictor: Predictor,
    windows: ScoredWindows,
    task: Task,
    best: dict[tuple[str, str], float],
    notebook: Notebook,
) -> Evaluation:
    """Scores of one predictor in one task; ``best`` holds the oracle's by (target, metric)."""
    info = windows.session.info
    whole = Evaluation()
    for group in grouped(task.variants(info, windows.options)):
        answers = collect(predictor, windows.batches, task, group, windows.blind, notebook)
        drawn = imposter_draws(predictor, windows, task, group) if windows.draws else {}
        for modality, found in answers.items():
            target = group[0].targets[modality]
            measured, rows = measure(found, modality, windows)
            place = {"model": predictor.name, "session": info.id, "task": task.name}
            scores = [
                Score(
                    **place,
                    target=target + m.channel,
                    metric=m.metric,
                    value=float(m.value),
                    n=m.n,
                    null=float(m.null),
                    oracle=best.get((target + m.channel, m.metric), float("nan")),
                    split=windows.split,
                )
                for m in measured
            ]
            where = place | {"target": target, "split": windows.split}
            whole.scores.extend(scores)
            whole.units.extend(where | row for row in rows)
            if windows.draws:
                draws = pairing_draws(found, modality, target, task.name, windows)
                draws[IMPOSTER] = drawn.get(modality, [])
                whole.nulls.extend(against_nulls(scores, target, draws))
    return whole


def _score_regions(
    predictors: Sequence[Predictor],
    readout: RegionReadout,
    wanted: list[str],
    split: str,
    draws: int,
    progress: Asked,
) -> Evaluation:
    whole = Evaluation()
    asked = replace(readout, shuffles=draws) if draws else readout
    for predictor in predictors:
        if isinstance(predictor, Embedder):
            read = asked.read_out(
                predictor.name,
                predictor.embeddings(),
                predictor.sessions,
                wanted,
                split,
                partial(progress, "regions"),
            )
            found = read.scores
            whole.regions.extend(read.units)
            # The majority rows depend on the regions only: one copy is enough.
            first = not whole.scores
            whole.scores.extend(s for s, _ in found if first or s.model == predictor.name)
            whole.nulls.extend(
                beside(score, "shuffled", values)
                for score, values in found
                if draws and score.model == predictor.name
            )
    return whole
