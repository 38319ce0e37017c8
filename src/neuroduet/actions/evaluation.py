"""Saved segmenters scored on labelled recordings, and what they would like to be told next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from neuroduet.actions.inputs import finds_states
from neuroduet.actions.metrics import score_actions, score_states
from neuroduet.actions.model import Report, silent
from neuroduet.actions.run import (
    Inputs,
    ask_each,
    labelled,
    load_segmenters,
    require_folder,
    write_table,
)
from neuroduet.actions.suggest import suggest_bouts
from neuroduet.data.action_files import ActionRecording, Answer, common_labels
from neuroduet.types import UNLABELLED


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Predictions of labelled recordings, and their scores.

    Attributes:
        scores: See :func:`~neuroduet.actions.metrics.score_actions`; of matched states, if the
            model was fitted without labels, see :func:`~neuroduet.actions.metrics.score_states`.
        recordings: The recordings that have labels.
        truth: Labels of each.
        answers: What the model says of each.
        classes: Names of the classes of ``truth``.
        matched: Whether the model found states, which only match classes.
    """

    scores: pd.DataFrame
    recordings: list[ActionRecording]
    truth: list[Int[np.ndarray, " _"]]
    answers: list[Answer]
    classes: tuple[str, ...]
    matched: bool


def evaluate_actions(
    *,
    models: Sequence[Path | str] | Path | str,
    inputs: Inputs | Path | str,
    out: Path | str | None = None,
    seed: int = 0,
    report: Report = silent,
) -> Evaluation:
    """Score a segmenter on labelled recordings.

    Args:
        models: Folder of a saved segmenter, or of several, whose probabilities are averaged.
        inputs: Recordings, or the folder that holds them; those without labels are left out.
        out: Score table (.csv) to write, if any.
        seed: Seed of the intervals and of the shuffled null.
        report: Told how many recordings are done.

    Returns:
        Predictions and scores.

    Raises:
        UserError: No recording has labels, or one has a class that the model does not know.
    """
    out = None if out is None else Path(out)
    if out is not None:
        require_folder(out)
    folders = [models] if isinstance(models, str | Path) else models
    segmenters = load_segmenters([Path(one) for one in folders])
    if not isinstance(inputs, Inputs):
        inputs = Inputs(data=Path(inputs))
    recordings = labelled(inputs.read())
    names = segmenters[0].class_names
    matched = finds_states(names)
    truth, classes = common_labels(recordings, None if matched else names)
    answers = [answer for _, answer in ask_each(segmenters, recordings, report)]
    predicted = [answer.classes for answer in answers]
    if matched:
        scores = score_states(truth, predicted, classes, seed=seed)
    else:
        chances = [answer.probabilities for answer in answers]
        scores = score_actions(truth, predicted, classes, chances, seed=seed)
    if out is not None:
        write_table(scores, out)
    return Evaluation(
        scores=scores,
        recordings=recordings,
        truth=truth,
        answers=answers,
        classes=classes,
        matched=matched,
    )


def suggest_labels(
    *, models: Sequence[Path], inputs: Inputs, n: int, out: Path, report: Report = silent
) -> pd.DataFrame:
    """List the bouts whose labels would teach the models most.

    Args:
        models: Folders of saved segmenters; where several disagree, a label is worth more.
        inputs: Recordings; frames that have a label are not suggested.
        n: Number of bouts.
        out: Table (.csv) to write.
        report: Told how many recordings are done.

    Returns:
        See :func:`~neuroduet.actions.suggest.suggest_bouts`, with the names of recordings, and
        ``start_s`` and ``end_s`` where times are known.

    Raises:
        UserError: The models do not fit together, or the table cannot be written.
    """
    require_folder(out)
    segmenters = load_segmenters(models)
    recordings = inputs.read()
    members: list[list[np.ndarray]] = [[] for _ in segmenters]
    for done, one in enumerate(recordings):
        report(done, len(recordings), float("nan"))
        for segmenter, said in zip(segmenters, members, strict=True):
            said += segmenter.predict_proba([one.frames])
    report(len(recordings), len(recordings), float("nan"))
    labels = [
        np.full(len(one.frames), UNLABELLED) if one.labels is None else one.labels
        for one in recordings
    ]
    table = suggest_bouts(members, labels, n, names=segmenters[0].class_names)
    named = table.assign(recording=[recordings[i].name for i in table["recording"]])
    for column in ("start", "end"):
        named[f"{column}_s"] = [
            _time_s(recordings[i], frame)
            for i, frame in zip(table["recording"], table[column], strict=True)
        ]
    write_table(named, out)
    return named


def _time_s(recording: ActionRecording, frame: int) -> float:
    """When a frame begins; the frame after the last one begins when the last one does."""
    times = recording.timestamps
    return float("nan") if times is None else float(times[min(frame, len(times) - 1)])
