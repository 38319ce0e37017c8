"""Brain region of a unit, read out from its learned embedding."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from neuroduet.errors import UserError
from neuroduet.masking import NO_REGION
from neuroduet.metrics import balanced_accuracy, macro_f1
from neuroduet.types import Score, SessionInfo

log = logging.getLogger(__name__)

Told = Callable[[int, int], None]
"""Told what is done, and how much there is."""

METRICS = {"balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}

REGULARISATION = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths C of the logistic regression that the inner cross-validation tries."""


@runtime_checkable
class Embedder(Protocol):
    """A predictor that has an embedding for every unit."""

    name: str
    sessions: Sequence[SessionInfo]

    def embeddings(self) -> dict[str, np.ndarray]:
        """Embeddings ``(N, E)`` by session id."""
        ...


@dataclass(frozen=True, kw_only=True)
class ReadOut:
    """What was read out of embeddings.

    Attributes:
        scores: Every score, with the scores after every label shuffle.
        units: For every unit that was asked about ``model``, ``session``, ``unit``, ``region``
            (the true one), ``guess`` and ``split``.
    """

    scores: list[tuple[Score, list[float]]]
    units: list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class RegionReadout:
    """Predict the region of units of held-out sessions from their embedding.

    With two sessions or more the folds are sessions: no unit is predicted by a classifier that saw
    its session, and every session is scored once. With one session the folds are its units, and
    the ``session`` column says so, since that is a much easier question. The classifier is a
    multinomial logistic regression on standardised embeddings with balanced class weights, its
    regularisation chosen by cross-validation inside the training folds. ``null`` is the mean score
    after shuffling the training labels within each session; rows of the model ``majority`` hold
    what the most frequent region of the training folds scores (1/K in balanced accuracy).

    Attributes:
        name: Name of the task.
        smallest: Regions with fewer units than this, over all sessions, are left out.
        folds: Largest number of folds.
        shuffles: Number of label shuffles.
        seed: Seed of the shuffles and of folds over units.
    """

    name: str = "regions"
    smallest: int = 5
    folds: int = 5
    shuffles: int = 10
    seed: int = 0

    def score(
        self,
        model: str,
        embeddings: Mapping[str, np.ndarray],
        infos: Sequence[SessionInfo],
        wanted: Sequence[str] | None = None,
        split: str = "test",
    ) -> list[Score]:
        """Score one set of embeddings.

        Args:
            model: Name for the ``model`` column.
            embeddings: ``(N, E)`` by session id.
            infos: Sessions; those without regions or embeddings are left out.
            wanted: Ids of the sessions to score; the others only train the classifier.
            split: For the ``split`` column.

        Returns:
            Balanced accuracy and macro F1 per session; none with fewer than two regions.

        Raises:
            UserError: Embeddings differ in width or do not have one row per unit.
        """
        return [
            score for score, _ in self.read_out(model, embeddings, infos, wanted, split).scores
        ]

    def read_out(
        self,
        model: str,
        embeddings: Mapping[str, np.ndarray],
        infos: Sequence[SessionInfo],
        wanted: Sequence[str] | None = None,
        split: str = "test",
        told: Told = lambda done, count: None,
    ) -> ReadOut:
        """The same as :meth:`score`, with what was read out of every unit.

        Args:
            model: See :meth:`score`, as the next four.
            embeddings: The same.
            infos: The same.
            wanted: The same.
            split: The same.
            told: Told how many classifiers are fitted, and how many there are.
        """
        units = _gather(embeddings, infos, self.smallest)
        if len(np.unique(units.labels)) < 2:
            log.info("regions are not scored: fewer than two have %d units", self.smallest)
            return ReadOut(scores=[], units=[])
        generator = np.random.default_rng(self.seed)
        fold = _folds(units.sessions, units.labels, self.folds, generator)
        shuffling = np.random.default_rng([self.seed, 1])
        guesses, known = _cross_validated(units, fold, self.shuffles, generator, shuffling, told)
        asked = [
            session
            for session in np.unique(units.sessions).tolist()
            if wanted is None or session in wanted
        ]
        return ReadOut(
            scores=[
                (replace(score, split=split), nulls)
                for session in asked
                for score, nulls in self._rows(model, session, units, guesses, known)
            ],
            units=[
                {
                    "model": model,
                    "session": str(units.sessions[i]),
                    "unit": str(units.units[i]),
                    "region": units.names[units.labels[i]],
                    "guess": units.names[guesses[0, i]],
                    "split": split,
                }
                for i in np.flatnonzero(known & np.isin(units.sessions, asked))
            ],
        )

    def _rows(
        self, model: str, session: str, units: _Units, guesses: np.ndarray, known: np.ndarray
    ) -> list[tuple[Score, list[float]]]:
        """Scores of one session; columns of guesses: fitted, majority, then one per shuffle."""
        chosen = known & (units.sessions == session)
        if not chosen.any():
            return []
        alone = len(np.unique(units.sessions)) == 1
        name = f"{session} (folds over units)" if alone else session
        rows = []
        for metric, measure in METRICS.items():
            values = [float(measure(units.labels[chosen], g)) for g in guesses[:, chosen]]
            null = float(np.mean(values[2:]))
            for who, value in ((model, values[0]), ("majority", values[1])):
                score = Score(
                    model=who,
                    session=name,
                    task=self.name,
                    target="region",
                    metric=metric,
                    value=value,
                    n=int(chosen.sum()),
                    null=null if who == model else value,
                )
                rows.append((score, values[2:]))
        return rows


def name_regions(
    embeddings: Float[np.ndarray, "U E"],
    regions: np.ndarray,
    sessions: np.ndarray,
    new: Float[np.ndarray, "V E"],
    seed: int = 0,
) -> tuple[list[str], Float[np.ndarray, "V K"]]:
    """Read the regions of new units out of their embeddings.

    Args:
        embeddings: Of the units to learn from, in double precision.
        regions: Region of each of them.
        sessions: Session of each of them; the regularisation is chosen across sessions.
        new: Embeddings of the units to name.
        seed: Seed of the inner folds, where there is one session only.

    Returns:
        The regions that occur, sorted, and their probability for every new unit.

    Raises:
        UserError: There are fewer than two regions to tell apart.
    """
    names, labels = np.unique(regions, return_inverse=True)
    if len(names) < 2:
        raise UserError(
            f"regions can be read out where units of at least two are known, found {len(names)}; "
            "learn from more sessions"
        )
    generator = np.random.default_rng(seed)
    strength = _choose_strength(embeddings, labels.astype(np.int64), sessions, generator)
    fitted = _fit(embeddings, labels.astype(np.int64), strength)
    return [str(name) for name in names], fitted.predict_proba(new)


@dataclass(frozen=True, kw_only=True)
class _Units:
    embeddings: Float[np.ndarray, "U E"]
    labels: Int[np.ndarray, " U"]
    sessions: np.ndarray
    units: np.ndarray
    names: tuple[str, ...]


def _gather(
    embeddings: Mapping[str, np.ndarray], infos: Sequence[SessionInfo], smallest: int
) -> _Units:
    """Units whose region is known and large enough, all sessions together, in order of id."""
    used = [i for i in infos if i.regions is not None and i.id in embeddings]
    if not used:
        nothing = np.array([], str)
        return _Units(
            embeddings=np.zeros((0, 1)),
            labels=np.zeros(0, np.int64),
            sessions=nothing,
            units=nothing,
            names=(),
        )
    used = sorted(used, key=lambda info: info.id)
    shapes = {info.id: embeddings[info.id].shape for info in used}
    if len({shape[1:] for shape in shapes.values()}) > 1 or any(
        shapes[info.id][0] != len(info.units) for info in used
    ):
        raise UserError(
            f"unit embeddings have shapes {shapes}, expected one row per unit and one width; "
            "embed the sessions with the same model"
        )
    regions = np.concatenate([np.asarray(info.regions, dtype=str) for info in used])
    counts = Counter(r for r in regions.tolist() if r.strip().lower() not in NO_REGION)
    kept = np.array([counts[r] >= smallest for r in regions.tolist()], dtype=bool)
    sessions = np.repeat([info.id for info in used], [len(info.units) for info in used])
    names, labels = np.unique(regions[kept], return_inverse=True)
    return _Units(
        embeddings=np.concatenate([embeddings[info.id] for info in used])[kept].astype(np.float64),
        labels=labels.astype(np.int64),
        sessions=sessions[kept],
        units=np.concatenate([np.asarray(info.units, dtype=str) for info in used])[kept],
        names=tuple(names.tolist()),
    )


def _folds(
    sessions: np.ndarray, labels: Int[np.ndarray, " U"], folds: int, generator: np.random.Generator
) -> Int[np.ndarray, " U"]:
    """Fold of every unit: whole sessions, or, within one session, units stratified by label."""
    names, index = np.unique(sessions, return_inverse=True)
    if len(names) > 1:
        return (index % folds).astype(np.int64)
    fold = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        fold[generator.permutation(members)] = np.arange(len(members)) % folds
    return fold


def _cross_validated(
    units: _Units,
    fold: Int[np.ndarray, " U"],
    shuffles: int,
    generator: np.random.Generator,
    shuffling: np.random.Generator,
    told: Told,
) -> tuple[Int[np.ndarray, "G U"], Bool[np.ndarray, " U"]]:
    """Out-of-fold guesses: fitted, majority class, one per shuffle; and which units have one.

    Shuffles have a generator of their own: how many there are does not change the fitted guesses.
    Units of a region that their training folds do not hold cannot be named and are left out.
    """
    guesses = np.zeros((2 + shuffles, len(fold)), dtype=np.int64)
    known = np.zeros(len(fold), dtype=bool)
    count = len(np.unique(fold)) * (1 + shuffles)
    for place, held_out in enumerate(np.unique(fold)):
        train, test = fold != held_out, fold == held_out
        x, y = units.embeddings[train], units.labels[train]
        if len(np.unique(y)) < 2:
            continue
        known[test] = np.isin(units.labels[test], y)
        strength = _choose_strength(x, y, units.sessions[train], generator)
        new = units.embeddings[test]
        guesses[0, test] = _fit(x, y, strength).predict(new)
        guesses[1, test] = np.bincount(y).argmax()
        for shuffle in range(shuffles):
            shuffled = _shuffled(y, units.sessions[train], shuffling)
            guesses[2 + shuffle, test] = _fit(x, shuffled, strength).predict(new)
            told(place * (1 + shuffles) + shuffle + 2, count)
    return guesses, known


def _choose_strength(
    x: Float[np.ndarray, "U E"],
    y: Int[np.ndarray, " U"],
    sessions: np.ndarray,
    generator: np.random.Generator,
) -> float:
    """The C with the best balanced accuracy in three inner folds of the training units."""
    fold = _folds(sessions, y, 3, generator)
    scores = []
    for strength in REGULARISATION:
        guesses = np.full(len(y), -1, dtype=np.int64)
        for held_out in np.unique(fold):
            train = fold != held_out
            if len(np.unique(y[train])) > 1:
                fitted = _fit(x[train], y[train], strength)
                guesses[~train] = fitted.predict(x[~train])
        made = guesses >= 0
        scores.append(float(balanced_accuracy(y[made], guesses[made])) if made.any() else 0.0)
    return REGULARISATION[int(np.argmax(scores))]


def _shuffled(
    y: Int[np.ndarray, " U"], sessions: np.ndarray, generator: np.random.Generator
) -> Int[np.ndarray, " U"]:
    shuffled = y.copy()
    for session in np.unique(sessions):
        members = np.flatnonzero(sessions == session)
        shuffled[members] = y[generator.permutation(members)]
    return shuffled


def _fit(x: Float[np.ndarray, "U E"], y: Int[np.ndarray, " U"], strength: float) -> Pipeline:
    classifier = LogisticRegression(C=strength, class_weight="balanced", max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), classifier).fit(x, y)
