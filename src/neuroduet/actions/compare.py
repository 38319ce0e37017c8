"""Models and features side by side, every recording scored by models that never saw it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from neuroduet.actions.experiment import Candidate, Labels
from neuroduet.actions.families import FAMILIES
from neuroduet.actions.inputs import check_labels, name_classes
from neuroduet.actions.metrics import score_actions
from neuroduet.actions.model import Report, silent
from neuroduet.actions.out_of_fold import OutOfFold, out_of_fold, recording_folds, widened
from neuroduet.actions.segmenter import Segmenter
from neuroduet.errors import UserError, unknown


def grid(
    models: Sequence[str],
    features: Sequence[str] = ("auto",),
    *,
    classes: Sequence[str] | None = None,
    pool: int | Literal["auto"] = "auto",
    smooth: int | Literal["auto"] = "auto",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Candidate]:
    """Every model with every kind of features.

    Args:
        models: Names of :data:`~neuroduet.actions.families.FAMILIES`.
        features: Kinds of features.
        classes: Names of the classes.
        pool: Frames averaged into one.
        smooth: Frames over which probabilities are averaged.
        options: Options of some of the models, by model.

    Returns:
        Candidates, the features of the first model first.

    Raises:
        UserError: There is no such model, feature or option, or a model finds states only.
    """
    own = options or {}
    for name in (*models, *own):
        if name not in FAMILIES:
            raise unknown("segmentation model", name, FAMILIES)
        if name in models and not FAMILIES[name].uses_labels:
            raise UserError(
                f"model '{name}' leaves labels aside, and the states it finds are no classes to "
                "compare; name others, and score its states with `neuroduet actions evaluate`"
            )
    return [
        _candidate(model, kind, classes, pool, smooth, own.get(model, {}))
        for model, kind in product(models, features)
    ]


def _candidate(
    model: str,
    features: str,
    classes: Sequence[str] | None,
    pool: int | Literal["auto"],
    smooth: int | Literal["auto"],
    options: Mapping[str, Any],
) -> Candidate:
    def make(seed: int) -> Segmenter:
        return Segmenter(
            model,
            features=features,
            classes=classes,
            pool=pool,
            smooth=smooth,
            seed=seed,
            **options,
        )

    # Hours of other fits should not go before a wrong option.
    made = make(0)
    setup = {
        "pool": pool,
        "smooth": smooth,
        "options": made.options.model_dump(mode="json"),
        "for_pose": dict(FAMILIES[model].for_pose(10**9)),
    }
    text = json.dumps(setup, sort_keys=True)
    return Candidate(model=model, features=features, make=make, setup=text)


def compare(
    candidates: Sequence[Candidate],
    recordings: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    folds: int = 5,
    seed: int = 0,
    groups: Sequence[object] | None = None,
    names: Sequence[str] | None = None,
    folder: Path | None = None,
    report: Report = silent,
) -> pd.DataFrame:
    """Cross-validate candidates by recording, all on the same folds.

    Args:
        candidates: What to compare, e.g. a :func:`grid`.
        recordings: Features or pose of each recording.
        labels: Their classes, 0 to K-1 or unlabelled; or names, empty where unlabelled.
        folds: Number of folds.
        seed: Of the folds, the models and the intervals.
        groups: See :func:`recording_folds`.
        names: Names of the classes; those that the labels hold, or their numbers, if not given.
        folder: Where probabilities of every fold are kept; fits found there are not repeated.
        report: Told how many fits are done; the value is the seconds the last one took.

    Returns:
        ``model``, ``features``, the columns of
        :func:`~neuroduet.actions.metrics.score_actions` with intervals over recordings, and
        ``fit_s``, the mean over folds.

    Raises:
        UserError: The labels do not fit, or ``folder`` holds another comparison.
    """
    names = name_classes([labels], names)
    known = check_labels(labels, recordings, "labels", names)
    fold_of = recording_folds(known, folds, seed, groups)
    total = folds * len(candidates)
    report(0, total, float("nan"))
    tables = []
    for place, one in enumerate(candidates):

        def told(done: int, _: int, seconds: float, before: int = place * folds) -> None:
            report(before + done, total, seconds)

        found = out_of_fold(one, recordings, known, fold_of, seed=seed, folder=folder, report=told)
        scores = scores_out_of_fold(found, known, names, seed)
        scores.insert(0, "model", one.model)
        scores.insert(1, "features", one.features)
        tables.append(scores.assign(fit_s=float(np.mean(found.fit_s))))
    return pd.concat(tables, ignore_index=True)


def scores_out_of_fold(
    found: OutOfFold, labels: Sequence[Labels], names: Sequence[str] | None = None, seed: int = 0
) -> pd.DataFrame:
    """Scores of the recordings that have labels, pooled; intervals are over recordings.

    Args:
        found: Probabilities out of fold.
        labels: Classes of each recording.
        names: Names of the classes; their numbers if not given.
        seed: Of the intervals.
    """
    pairs = zip(labels, found.probabilities, strict=True)
    scored = [(y, p) for y, p in pairs if p is not None]
    said = [p for _, p in scored]
    if names is not None:
        said = [widened(p, len(names)) for p in said]
    return score_actions(
        [y for y, _ in scored], [p.argmax(1) for p in said], names, said, seed=seed
    )
