"""A classifier of units by their embedding, whose regularisation is chosen across sessions.

It is a multinomial logistic regression on standardised embeddings with balanced class weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from neuroduet.errors import UserError
from neuroduet.metrics import balanced_accuracy

Told = Callable[[int, int], None]
"""Told what is done, and how much there is."""

REGULARISATION = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths C of the logistic regression that the inner cross-validation tries."""


def guess_out_of_fold(
    embeddings: Float[np.ndarray, "U E"],
    labels: Int[np.ndarray, " U"],
    sessions: np.ndarray,
    *,
    folds: int,
    shuffles: int,
    seed: int,
    told: Told,
) -> tuple[Int[np.ndarray, "G U"], Bool[np.ndarray, " U"]]:
    """Guess the label of every unit by a classifier that has not seen its fold.

    Folds are whole sessions, or, within a single session, units.

    Args:
        embeddings: One row per unit, in double precision.
        labels: Label of each unit, from 0 on.
        sessions: Session of each unit.
        folds: Largest number of folds.
        shuffles: How often the guesses are repeated with labels that are shuffled within the
            sessions of the training folds.
        seed: Seed of folds over units and of shuffles.
        told: Told how many classifiers are fitted, and how many there are.

    Returns:
        Guesses: fitted, most frequent label of the training folds, one row per shuffle; and which
        units have them. Units whose label does not occur in their training folds cannot be named
        and have none.
    """
    generator = np.random.default_rng(seed)
    # Of their own: how many shuffles there are must not change the fitted guesses.
    shuffling = np.random.default_rng([seed, 1])
    fold = _folds(sessions, labels, folds, generator)
    guesses = np.zeros((2 + shuffles, len(fold)), dtype=np.int64)
    known = np.zeros(len(fold), dtype=bool)
    count = len(np.unique(fold)) * (1 + shuffles)
    for place, held_out in enumerate(np.unique(fold)):
        train, test = fold != held_out, fold == held_out
        x, y = embeddings[train], labels[train]
        if len(np.unique(y)) < 2:
            continue
        known[test] = np.isin(labels[test], y)
        strength = _choose_strength(x, y, sessions[train], generator)
        new = embeddings[test]
        guesses[0, test] = _fit(x, y, strength).predict(new)
        guesses[1, test] = np.bincount(y).argmax()
        for shuffle in range(shuffles):
            shuffled = _shuffled(y, sessions[train], shuffling)
            guesses[2 + shuffle, test] = _fit(x, shuffled, strength).predict(new)
            told(place * (1 + shuffles) + shuffle + 2, count)
    return guesses, known


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
