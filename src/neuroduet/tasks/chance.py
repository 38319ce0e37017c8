"""Scores under the nulls of :mod:`neuroduet.tasks.nulls`, and the real scores beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neuroduet.tasks.collect import Collected, collect, stacked
from neuroduet.tasks.imposters import imposters
from neuroduet.tasks.measure import ScoredWindows, measure
from neuroduet.tasks.nulls import NULLS, Null, Pairing, compare, null_generator
from neuroduet.tasks.scoring import Measured
from neuroduet.tasks.task import Task, Variant
from neuroduet.types import NEURAL, Predictor, Score

Draws = list[dict[tuple[str, str], float]]
"""Scores by (metric, channel), for each draw of a null."""


def pairing_draws(
    found: Collected, modality: str, target: str, task: str, windows: ScoredWindows
) -> dict[str, Draws]:
    """Score the same answers against the truth of other windows or times.

    Args:
        found: The answers, beside the truth.
        modality: Behaviour that was predicted, or the activity.
        target: Its name in the score table, part of the seed.
        task: Name of the task, part of the seed.
        windows: What was scored.

    Returns:
        Draws of each of :data:`~neuroduet.tasks.nulls.NULLS`.
    """
    info = windows.session.info
    indices = windows.session.indices(windows.split)
    available = found.scored
    if modality != NEURAL:
        valid = stacked([batch.valid for batch in windows.batches])
        available = valid if found.scored.ndim > 1 else np.ones(len(valid), dtype=bool)
    pairing = Pairing(
        found=found,
        available=available,
        start_s=np.asarray(windows.session.windows.start_s, dtype=np.float64)[indices],
        trials=windows.condition is not None,
    )
    return {
        kind: [
            _by_metric(measure(one, modality, windows)[0])
            for one in pair(pairing, windows.draws, null_generator(info.id, task, target, kind))
        ]
        for kind, pair in NULLS.items()
    }


def imposter_draws(
    predictor: Predictor, windows: ScoredWindows, task: Task, group: Sequence[Variant]
) -> dict[str, Draws]:
    """Ask again with the behaviour of other sessions, where behaviour plays a part.

    Args:
        predictor: Who is asked.
        windows: What was scored.
        task: Makes the masks.
        group: Variants with the same targets.

    Returns:
        Draws by modality, one for each session that shares a behaviour.
    """
    info = windows.session.info
    shown = {b.name for b in info.behaviours} - group[0].hidden
    drawn: dict[str, Draws] = {}
    if set(group[0].targets) == {NEURAL} and not shown:
        return drawn
    for other in windows.others:
        batches = imposters(windows.batches, info.behaviours, other)
        if not batches:
            continue
        count = sum(len(batch.windows) for batch in batches)
        condition = None if windows.condition is None else windows.condition[:count]
        theirs = replace(windows, batches=batches, condition=condition)
        for modality, found in collect(predictor, batches, task, group, windows.blind).items():
            measured, _ = measure(found, modality, theirs)
            drawn.setdefault(modality, []).append(_by_metric(measured))
    return drawn


def _by_metric(measured: Sequence[Measured]) -> dict[tuple[str, str], float]:
    return {(m.metric, m.channel): float(m.value) for m in measured}


def against_nulls(scores: Sequence[Score], target: str, draws: dict[str, Draws]) -> list[Null]:
    """Put every score beside each null that has draws for it.

    Args:
        scores: Scores of one target.
        target: Its name without channels.
        draws: By null.

    Returns:
        Score by score.
    """
    found = []
    for score in scores:
        key = score.metric, score.target.removeprefix(target)
        for kind, drawn in draws.items():
            values = [draw[key] for draw in drawn if key in draw]
            if values:
                found.append(beside(score, kind, values))
    return found


def beside(score: Score, kind: str, values: Sequence[float]) -> Null:
    """One score beside its null scores."""
    draws, mean, sd, p_value = compare(score.value, values)
    return Null(
        model=score.model,
        session=score.session,
        task=score.task,
        target=score.target,
        metric=score.metric,
        value=score.value,
        null=kind,
        draws=draws,
        null_mean=mean,
        null_sd=sd,
        p_value=p_value,
        split=score.split,
    )
