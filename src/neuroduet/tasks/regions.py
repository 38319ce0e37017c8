"""Brain region of a unit, read out from its learned embedding."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from neuroduet.errors import UserError
from neuroduet.metrics import balanced_accuracy, macro_f1
from neuroduet.tasks.region_classifier import Told, guess_out_of_fold
from neuroduet.types import Score, SessionInfo, is_region

log = logging.getLogger(__name__)

METRICS = {"balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}


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

    def read_out(
        self,
        model: str,
        embeddings: Mapping[str, np.ndarray],
        infos: Sequence[SessionInfo],
        wanted: Sequence[str] | None = None,
        split: str = "test",
        told: Told = lambda done, count: None,
    ) -> ReadOut:
        """Read the regions of units out of one set of embeddings.

        Args:
            model: Name for the ``model`` column.
            embeddings: ``(N, E)`` by session id.
            infos: Sessions; those without regions or embeddings are left out.
            wanted: Ids of the sessions to score; the others only train the classifier.
            split: For the ``split`` column.
            told: Told how many classifiers are fitted, and how many there are.

        Returns:
            Balanced accuracy and macro F1 per session; none with fewer than two regions.

        Raises:
            UserError: Embeddings differ in width or do not have one row per unit.
        """
        units = _gather(embeddings, infos, self.smallest)
        if units is None or len(units.names) < 2:
            log.info("regions are not scored: fewer than two have %d units", self.smallest)
            return ReadOut(scores=[], units=[])
        guesses, known = guess_out_of_fold(
            units.embeddings,
            units.labels,
            units.sessions,
            folds=self.folds,
            shuffles=self.shuffles,
            seed=self.seed,
            told=told,
        )
        asked = [
            session
            for session in np.unique(units.sessions).tolist()
            if wanted is None or session in wanted
        ]
        return ReadOut(
            scores=[
                row
                for session in asked
                for row in self._rows(model, session, split, units, guesses, known)
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
        self,
        model: str,
        session: str,
        split: str,
        units: _Units,
        guesses: np.ndarray,
        known: np.ndarray,
    ) -> list[tuple[Score, list[float]]]:
        """Scores of one session; rows of guesses: fitted, majority, then one per shuffle."""
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
                    split=split,
                )
                rows.append((score, values[2:]))
        return rows


@dataclass(frozen=True, kw_only=True)
class _Units:
    embeddings: Float[np.ndarray, "U E"]
    labels: Int[np.ndarray, " U"]
    sessions: np.ndarray
    units: np.ndarray
    names: tuple[str, ...]


def _gather(
    embeddings: Mapping[str, np.ndarray], infos: Sequence[SessionInfo], smallest: int
) -> _Units | None:
    """Units whose region is known and large enough, all sessions together, in order of id."""
    used = [i for i in infos if i.regions is not None and i.id in embeddings]
    if not used:
        return None
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
    counts = Counter(r for r in regions.tolist() if is_region(r))
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
