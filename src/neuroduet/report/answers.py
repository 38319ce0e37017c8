"""Classifiers that say the same in every test window, which no score tells by itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from neuroduet.data.boundary import read_npz
from neuroduet.errors import UserError
from neuroduet.report.folder import RunFolder
from neuroduet.report.headlines import Headline
from neuroduet.report.predicted import from_arrays

log = logging.getLogger(__name__)

CLASS_METRICS = ("balanced_accuracy", "accuracy")


def constant_answers(
    folder: RunFolder, found: Sequence[Headline], names: Sequence[str]
) -> dict[Headline, tuple[str, ...]]:
    """Say of which classifiers the most probable class never changes.

    Args:
        folder: The run.
        found: Its headlines.
        names: Sessions whose predictions are read.

    Returns:
        A sentence for each headline that is answered alike in all test windows of a session.
    """
    said: dict[Headline, tuple[str, ...]] = {}
    for one in found:
        if one.task != "decoding" or one.metric not in CLASS_METRICS:
            continue
        answers = [
            answer
            for name in names
            if name in folder.predictions
            and (answer := _answers(folder, name, one.target)) is not None
        ]
        constant = [answer for answer in answers if len(answer[0]) == 1]
        if constant:
            said[one] = (_sentence(constant, len(answers)),)
    return said


def _answers(folder: RunFolder, session: str, behaviour: str) -> tuple[set[str], int] | None:
    """The classes that were answered in test windows, and how many windows were asked about."""
    parts = ("decoding", "true", "observed", "classes")
    keys = ("split", "valid", *(f"{part}/{behaviour}" for part in parts))
    try:
        arrays = read_npz(folder.predictions[session], keys)
        (decoded,) = from_arrays(session, arrays).behaviours
        seen = decoded.observed
        guesses = decoded.predicted[seen].argmax(axis=-1)
        n_windows = int(seen.reshape(len(seen), -1).any(axis=1).sum())
        answers = {decoded.classes[k] for k in np.unique(guesses)}
    except (UserError, OSError, KeyError, IndexError, TypeError, ValueError) as error:
        log.debug("no answers of %s", session, exc_info=error)  # said where they are drawn
        return None
    return (answers, n_windows) if n_windows else None


def _sentence(constant: Sequence[tuple[set[str], int]], sessions: int) -> str:
    if sessions == 1:
        ((answers, n_windows),) = constant
        return f"It says “{answers.pop()}” in all {n_windows} test windows."
    n = len(constant)
    some = "each session" if n == sessions else f"{n} of {sessions} sessions"
    return f"It says one and the same class in all test windows of {some}."
