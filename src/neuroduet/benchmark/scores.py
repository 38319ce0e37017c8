"""Score predictions of the brain-wide benchmark against the truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from neuroduet.benchmark.aggregate import FileScore
from neuroduet.benchmark.metrics import (
    activity_scores,
    class_scores,
    count_scores,
    region_scores,
    value_scores,
)
from neuroduet.benchmark.submission import Entry, read_submission
from neuroduet.benchmark.suites import BEHAVIOUR_TASKS
from neuroduet.benchmark.truth import truth_of, unpack_names
from neuroduet.errors import UserError


def score_submission(path: Path, data: Path) -> list[FileScore]:
    """Score a submission by the test windows of the recordings.

    Args:
        path: Zip file.
        data: Folder of benchmark recordings.

    Returns:
        One score per file and metric.

    Raises:
        UserError: The submission or the recordings cannot be read, or do not fit each other.
    """
    truths: dict[str, dict[tuple[str, str], dict[str, Tensor]]] = {}
    scores = []
    for _, entry in read_submission(path):
        suite = entry.task.partition("-")[0]
        if suite not in truths:
            truths[suite] = truth_of(data, suite)
        truth = truths[suite].get((entry.task, entry.recording))
        if truth is None:
            raise UserError(
                f"{path.name} predicts {entry.task} of recording '{entry.recording}', which "
                f"{data} does not hold; give the recordings it was made for"
            )
        scores += [
            FileScore(
                task=entry.task,
                recording=entry.recording,
                seed=entry.seed,
                metric=metric,
                value=value,
            )
            for metric, value in score_entry(entry, truth).items()
        ]
    return scores


def score_entry(entry: Entry, truth: Mapping[str, Tensor]) -> dict[str, float]:
    """Score the predictions for one task and recording.

    Args:
        entry: Predictions.
        truth: What :mod:`neuroduet.benchmark.truth` says of the same task and recording.

    Returns:
        Metrics by the benchmark's names.

    Raises:
        UserError: Predictions and truth have no window in common, or a unit is not predicted.
    """
    suite, _, task = entry.task.partition("-")
    if suite == "ts1":
        return _behaviour(entry, truth, task)
    return _activity(entry, truth) if suite == "ts2" else _regions(entry, truth)


def _behaviour(entry: Entry, truth: Mapping[str, Tensor], name: str) -> dict[str, float]:
    mine, true = _matched(entry, truth, "trial_id")
    predicted, values = entry.tensors["predictions"].numpy()[mine], truth["values"].numpy()[true]
    task = BEHAVIOUR_TASKS[name]
    if task.classes:
        return class_scores(predicted[:, 0], values[:, 0].astype(np.int64))
    scored = np.ones(predicted.shape[:2], dtype=bool)
    if "mask" in truth:
        scored = truth["mask"].numpy()[true]
    x, y = predicted[scored][:, 0], values[scored][:, 0]
    return count_scores(x, y) if task.counts else value_scores(x, y)


def _activity(entry: Entry, truth: Mapping[str, Tensor]) -> dict[str, float]:
    mine, true = _matched(entry, truth, "window_timestamps")
    predicted = entry.tensors["predictions"].numpy()[mine].astype(np.float32)
    targets = truth["targets"].numpy()[true]
    if predicted.shape != targets.shape:
        raise UserError(
            f"{entry.task} of '{entry.recording}': predictions have shape {predicted.shape}, "
            f"expected {targets.shape}; predict the recording's own units"
        )
    units = predicted.shape[-1]
    return activity_scores(predicted.reshape(-1, units), targets.reshape(-1, units))


def _regions(entry: Entry, truth: Mapping[str, Tensor]) -> dict[str, float]:
    place = {name: row for row, name in enumerate(unpack_names(entry.tensors["entity_ids"]))}
    names = unpack_names(truth["entity_ids"])
    missing = [name for name in names if name not in place]
    if missing:
        raise UserError(
            f"{entry.task}: {len(missing)} of {len(names)} units are not predicted, such as "
            f"'{missing[0]}'; every unit is needed"
        )
    rows = [place[name] for name in names]
    guesses = entry.tensors["pred_proba"].numpy()[rows].argmax(axis=1).astype(np.int64)
    return region_scores(truth["targets"].numpy(), guesses)


def _matched(entry: Entry, truth: Mapping[str, Tensor], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the predictions and of the truth that belong together."""
    shared, mine, true = np.intersect1d(
        entry.tensors[key].numpy(), truth[key].numpy(), return_indices=True
    )
    if len(shared) == 0:
        raise UserError(
            f"{entry.task} of '{entry.recording}': no {key} is also in the recording; predict "
            "its own test windows"
        )
    return mine, true
