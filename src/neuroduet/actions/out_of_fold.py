"""Cross-validation by recording: every recording predicted by a model that never saw it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from neuroduet.actions.experiment import Candidate, Labels, fingerprint
from neuroduet.actions.model import Report, silent
from neuroduet.atomic import replacing
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

UNSCORED = -1
"""Fold of a recording that is in none: always learnt from, never scored."""


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """What a candidate says of recordings that it was not fitted to.

    Attributes:
        probabilities: Of each recording, ``(T, K)``; ``None`` for recordings of no fold.
        fit_s: Seconds of fitting, of each fold.
    """

    probabilities: list[Float32[np.ndarray, "_ K"] | None]
    fit_s: list[float]


def recording_folds(
    labels: Sequence[Labels],
    folds: int,
    seed: int = 0,
    groups: Sequence[object] | None = None,
) -> Int[np.ndarray, " R"]:
    """The fold in which each recording is held out.

    Args:
        labels: Classes of each recording. Those without any are never scored: they are held out
            with their group if another one of it has labels, and else in no fold.
        folds: Number of folds; as many as groups leaves one out at a time.
        seed: Of the order of the groups.
        groups: What must not be in two folds, e.g. the animal of each recording; every recording
            for itself if not given.

    Returns:
        0 to ``folds`` - 1, or :data:`UNSCORED`.

    Raises:
        UserError: There are fewer than two labelled groups, fewer of them than folds, or less than
            two folds.
    """
    names = list(range(len(labels))) if groups is None else list(groups)
    if len(names) != len(labels):
        raise UserError(f"{len(names)} groups are given for {len(labels)} recordings")
    scored = [(one != UNLABELLED).any() for one in labels]
    known = list(dict.fromkeys(g for g, is_scored in zip(names, scored, strict=True) if is_scored))
    if len(known) < 2:
        raise UserError(
            f"folds need at least two labelled recordings (or groups), found {len(known)}; label "
            "another, or split the films and labels of one by time and import the parts separately"
        )
    if not 2 <= folds <= len(known):
        raise UserError(
            f"found {folds} folds for {len(known)} labelled recordings or groups, expected from 2 "
            "to as many; change the number of folds or label more recordings"
        )
    order = np.random.default_rng(seed).permutation(len(known))
    fold = {known[group]: place % folds for place, group in enumerate(order)}
    return np.array([fold.get(g, UNSCORED) for g in names])


def out_of_fold(
    candidate: Candidate,
    recordings: Sequence[np.ndarray],
    labels: Sequence[Labels],
    fold_of: Int[np.ndarray, " R"],
    *,
    seed: int = 0,
    folder: Path | None = None,
    report: Report = silent,
) -> OutOfFold:
    """Predict every recording of a fold by a model that was fitted to all others.

    Args:
        candidate: What to fit, anew for each fold.
        recordings: Features or pose of each recording.
        labels: Their classes.
        fold_of: See :func:`recording_folds`.
        seed: Of the models.
        folder: Where the probabilities of every fold are kept; folds found there are not fitted.
        report: Told how many folds are done; the value is the seconds the last fit took.

    Raises:
        UserError: The labels do not fit, or ``folder`` holds another comparison.
    """
    lengths = [len(one) for one in recordings]
    if lengths != [len(one) for one in labels]:
        raise UserError(
            f"recordings have {lengths} frames, but labels {[len(one) for one in labels]}; give "
            "one label per frame of each recording"
        )
    mark = (
        f"{candidate.name} {candidate.setup} {fingerprint([*recordings, *labels, fold_of], seed)}"
    )
    n_folds = int(fold_of.max()) + 1
    probabilities: list[np.ndarray | None] = [None] * len(recordings)
    seconds = []
    for fold in range(n_folds):
        tested = [int(i) for i in np.flatnonzero(fold_of == fold)]
        file = None if folder is None else folder / f"{_slug(candidate.name)}-{fold}.safetensors"
        kept = None if file is None else _read(file, mark)
        if kept is None:
            kept = _fit_and_predict(candidate, recordings, labels, tested, seed)
            if file is not None:
                _write(file, mark, kept)
        for i, said in zip(tested, kept.probabilities, strict=True):
            probabilities[i] = said
        seconds.append(kept.fit_s)
        report(fold + 1, n_folds, kept.fit_s)
    return OutOfFold(probabilities=probabilities, fit_s=seconds)


@dataclass(frozen=True, kw_only=True)
class _Fold:
    """What one fit says of the recordings it did not see."""

    probabilities: list[Float32[np.ndarray, "_ K"]]
    fit_s: float


def _fit_and_predict(
    candidate: Candidate,
    recordings: Sequence[np.ndarray],
    labels: Sequence[Labels],
    tested: Sequence[int],
    seed: int,
) -> _Fold:
    learnt = [i for i in range(len(recordings)) if i not in tested]
    learner = candidate.make(seed)
    start = time.perf_counter()
    learner.fit([recordings[i] for i in learnt], [labels[i] for i in learnt])
    fit_s = time.perf_counter() - start
    said = learner.predict_proba([recordings[i] for i in tested])
    n_classes = max(int(one.max(initial=UNLABELLED)) for one in labels) + 1
    return _Fold(probabilities=[widened(one, n_classes) for one in said], fit_s=fit_s)


def widened(probabilities: Float[np.ndarray, "T _"], n_classes: int) -> Float32[np.ndarray, "T K"]:
    """With columns of zeros for classes that were in no training recording."""
    wide = np.zeros((len(probabilities), max(n_classes, probabilities.shape[1])), np.float32)
    wide[:, : probabilities.shape[1]] = probabilities
    return wide


def _slug(name: str) -> str:
    return re.sub(r"[^\w.]+", "_", name)


def _write(file: Path, mark: str, fold: _Fold) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {str(i): np.ascontiguousarray(one) for i, one in enumerate(fold.probabilities)}
    with replacing(file) as temporary:
        save_file(arrays, temporary, {"mark": mark, "fit_s": repr(fold.fit_s)})


def _read(file: Path, mark: str) -> _Fold | None:
    """A fold kept earlier, ``None`` if there is none."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, "numpy") as kept:
            about = kept.metadata() or {}
            said = [kept.get_tensor(name) for name in sorted(kept.keys(), key=int)]
    except (SafetensorError, ValueError):
        about = {}
    if about.get("mark") != mark:
        raise UserError(
            f"{file} is of other recordings, labels, folds or options; choose another folder or "
            "remove it"
        )
    return _Fold(probabilities=said, fit_s=float(about["fit_s"]))
