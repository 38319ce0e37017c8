"""How well models learn from few labels: the label-density experiment of arXiv:2407.16727.

Labels come in chunks of consecutive frames, as an annotator gives them. Unlike in the published
code chunks never overlap, so that a goal is a number of frames, and a class that has too few of
them is named.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from neuroduet.actions.experiment import Candidate, Labels, add_rows, fingerprint, known_rows
from neuroduet.actions.inputs import check_labels, name_classes
from neuroduet.actions.metrics import score_actions
from neuroduet.actions.model import Report, silent
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

SEEDS = (1, 1001, 2001, 3001, 4001)
"""The published seeds."""

KEY = ("model", "features", "goal", "seed")
COLUMNS = [*KEY, "metric", "class", "value", "labelled", "fewest", "fit_s"]

_log = logging.getLogger(__name__)

Run = tuple[int, int, int]
"""Consecutive frames of one class that nobody has drawn yet: recording, first, last + 1."""

Fit = tuple[str, str, int, int]
"""Model, features, goal and seed."""


def thin_labels(
    labels: Sequence[Labels], per_class: int, chunk: int = 50, seed: int = 0
) -> list[Labels]:
    """Keep so many labelled frames of each class, in chunks of consecutive frames.

    For each chunk a recording is drawn, then a place in it. Chunks are shorter where the goal is
    near; once no bout is long enough, shorter ones are kept whole. If a class has fewer frames
    than asked for, all are kept and a warning is logged.

    Args:
        labels: True classes of each recording, unlabelled where nobody said.
        per_class: Frames of each class to keep, over all recordings.
        chunk: Length of a chunk (frames).
        seed: Of the draws.

    Returns:
        Labels of each recording, unlabelled where not kept.

    Raises:
        UserError: ``per_class`` or ``chunk`` is below 1.
    """
    if per_class < 1 or chunk < 1:
        raise UserError(
            f"found {per_class} labels per class in chunks of {chunk} frames, expected at least 1 "
            "of each; give larger numbers"
        )
    generator = np.random.default_rng(seed)
    thinned = [np.full_like(one, UNLABELLED) for one in labels]
    for which in np.unique(np.concatenate([one[one != UNLABELLED] for one in labels])):
        runs = _runs(labels, int(which))
        missing = per_class
        while missing and runs:
            recording, start, stop = _draw(runs, min(chunk, missing), generator)
            thinned[recording][start:stop] = which
            missing -= stop - start
        if missing:
            _log.warning(
                "class %d has %d of the %d labelled frames asked for; all are kept",
                which,
                per_class - missing,
                per_class,
            )
    return thinned


def _runs(labels: Sequence[Labels], which: int) -> list[Run]:
    found = []
    for recording, one in enumerate(labels):
        edges = np.flatnonzero(np.diff(one == which, prepend=False, append=False))
        found += [(recording, int(a), int(b)) for a, b in edges.reshape(-1, 2)]
    return found


def _draw(runs: list[Run], size: int, generator: np.random.Generator) -> Run:
    """Cut a chunk out of the runs: any recording that has one, then any place in it.

    Once no run is long enough, any that is left is taken whole.
    """
    long_enough = [run for run in runs if run[2] - run[1] >= size]
    recordings = sorted({recording for recording, _, _ in long_enough or runs})
    recording = recordings[generator.integers(len(recordings))]
    fitting = [run for run in long_enough or runs if run[0] == recording]
    places = np.array([max(stop - start - size, 0) + 1 for _, start, stop in fitting])
    place = int(generator.integers(places.sum()))
    which = int(np.searchsorted(places.cumsum(), place, side="right"))
    _, start, stop = fitting[which]
    first = start + place - int(places[:which].sum())
    last = min(first + size, stop)
    runs.remove(fitting[which])
    rest = [(recording, start, first), (recording, last, stop)]
    runs += [run for run in rest if run[1] < run[2]]
    return recording, first, last


def label_density(
    candidates: Sequence[Candidate],
    recordings: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    test_recordings: Sequence[np.ndarray],
    test_labels: Sequence[np.ndarray],
    *,
    goals: Sequence[int],
    seeds: Sequence[int] = SEEDS,
    chunk: int = 50,
    names: Sequence[str] | None = None,
    file: Path | None = None,
    report: Report = silent,
) -> pd.DataFrame:
    """Fit models to ever more labels and score each on the same test recordings.

    All training recordings are given to every fit; only their labels are thinned. Models of the
    same goal and seed see the same labels.

    Args:
        candidates: The models.
        recordings: Training recordings.
        labels: Their classes, 0 to K-1 or unlabelled; or names, empty where unlabelled.
        test_recordings: Recordings to score on.
        test_labels: Their classes.
        goals: Labelled frames per class.
        seeds: Of the labels kept and of the models.
        chunk: Length of a chunk of labels (frames).
        names: Names of the classes; those that the labels hold, or their numbers, if not given.
        file: Table (.csv) to go on with: fits in it are not repeated, new ones are added.
        report: Told how many fits are done; the value is the macro F1 of the last one.

    Returns:
        Rows with :data:`COLUMNS`: each metric of each fit on the pooled test recordings,
        ``labelled`` frames kept over all classes, those of the class with the ``fewest``, and
        seconds of fitting.

    Raises:
        UserError: The labels do not fit the recordings, or ``file`` holds another experiment.
    """
    names = name_classes([labels, test_labels], names)
    data = _Data(
        train=recordings,
        labels=_known(labels, recordings, "labels", names),
        test=test_recordings,
        test_labels=_known(test_labels, test_recordings, "labels to score by", names),
        names=names,
        chunk=chunk,
    )
    fits = {
        (one.model, one.features, int(goal), int(seed)): one
        for goal, seed, one in product(goals, seeds, candidates)
    }
    mark = data.fingerprint()
    setups = {fit: f"{mark} {one.setup}" for fit, one in fits.items()}
    known = known_rows(file, KEY, setups)
    found, done = [known], set(known[list(KEY)].itertuples(index=False, name=None))
    report(0, len(fits), float("nan"))
    for count, (fit, one) in enumerate(fits.items()):
        if fit not in done:
            rows = _fit(data, one, fit).assign(setup=setups[fit])
            add_rows(file, rows)
            found.append(rows)
            macro = rows.loc[rows["metric"] == "macro_f1", "value"]
            report(count + 1, len(fits), float(macro.iloc[0]))
    return pd.concat([one for one in found if len(one)], ignore_index=True)[COLUMNS]


@dataclass(frozen=True, kw_only=True)
class _Data:
    """What all fits have in common."""

    train: Sequence[np.ndarray]
    labels: Sequence[Labels]
    test: Sequence[np.ndarray]
    test_labels: Sequence[Labels]
    names: Sequence[str] | None
    chunk: int

    def fingerprint(self) -> str:
        arrays = [*self.train, *self.labels, *self.test, *self.test_labels]
        return fingerprint(arrays, len(self.train), self.names, self.chunk)


def _fit(data: _Data, candidate: Candidate, fit: Fit) -> pd.DataFrame:
    """The rows of one fit, without its setup."""
    _, _, goal, seed = fit
    kept = thin_labels(data.labels, goal, data.chunk, seed)
    learner = candidate.make(seed)
    start = time.perf_counter()
    learner.fit(data.train, kept)
    fit_s = time.perf_counter() - start
    predicted = [one.argmax(1) for one in learner.predict_proba(data.test)]
    scores = score_actions(data.test_labels, predicted, data.names, intervals=False)
    counts = _counts(data.labels, kept)
    about = dict(zip(KEY, fit, strict=True))
    measured = {"labelled": int(counts.sum()), "fewest": int(counts.min()), "fit_s": fit_s}
    return scores.assign(**about, **measured)[COLUMNS]


def _counts(labels: Sequence[Labels], kept: Sequence[Labels]) -> Int[np.ndarray, " P"]:
    """Frames kept of each class that has labels at all."""
    classes = np.unique(np.concatenate([one[one != UNLABELLED] for one in labels]))
    return np.array([sum(int((one == which).sum()) for one in kept) for which in classes])


def _known(
    labels: Sequence[np.ndarray],
    recordings: Sequence[np.ndarray],
    what: str,
    names: Sequence[str] | None,
) -> list[Labels]:
    found = check_labels(labels, recordings, what, names)
    if not any((one != UNLABELLED).any() for one in found):
        raise UserError(f"no frame has {what}; give some of at least one recording")
    return found
