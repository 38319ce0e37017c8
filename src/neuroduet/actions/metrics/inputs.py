"""What score tables are made from, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

Labels = Sequence[np.ndarray]
"""One integer array per recording; that is checked with a sentence, not by the annotation."""

Probabilities = Sequence[Float[np.ndarray, "_ K"]]
"""One array of class probabilities per recording."""

PROBABILITY_TOLERANCE = 1e-3
"""How far a row of probabilities may be from summing to 1."""


class Scored(NamedTuple):
    """Recordings with at least one labelled frame."""

    truth: list[np.ndarray]
    predicted: list[np.ndarray]
    probabilities: list[np.ndarray] | None


def scored_recordings(
    truth: Labels, predicted: Labels, probabilities: Probabilities | None
) -> Scored:
    """Check that everything fits together and leave out recordings without a label.

    Args:
        truth: True classes of each recording.
        predicted: Predicted classes or states of each recording.
        probabilities: Class probabilities of each recording, if there are any.

    Raises:
        UserError: If lengths differ, a class is no integer, no frame is labelled or the
            probabilities are none.
    """
    truth, predicted = _numbers(truth, "labels"), _numbers(predicted, "predictions")
    given: dict[str, Sequence[np.ndarray]] = {"predictions": predicted}
    if probabilities is not None:
        given["probabilities"] = probabilities
    for what, arrays in given.items():
        frames, expected = [len(x) for x in arrays], [len(x) for x in truth]
        if frames != expected:
            raise UserError(
                f"{what} have {frames} frames by recording, expected {expected} as the labels "
                "have; give one entry per labelled recording, in the same order"
            )
    kept = [i for i, labels in enumerate(truth) if (labels != UNLABELLED).any()]
    if not kept:
        raise UserError("no frame is labelled, expected at least one; label some frames first")
    if probabilities is not None:
        _check_probabilities({i: probabilities[i] for i in kept})
    return Scored(
        [truth[i] for i in kept],
        [predicted[i] for i in kept],
        None if probabilities is None else [probabilities[i] for i in kept],
    )


def _numbers(given: Labels, what: str) -> list[np.ndarray]:
    arrays = [np.asarray(one) for one in given]
    strange = [str(one.dtype) for one in arrays if one.dtype.kind not in "iub"]
    if strange:
        raise UserError(
            f"{what} are of type {strange[0]}, expected integers; give numbers of classes from 0 "
            f"on, and {UNLABELLED} where unlabelled"
        )
    return arrays


def _check_probabilities(probabilities: Mapping[int, np.ndarray]) -> None:
    for i, p in probabilities.items():
        if not np.allclose(p.sum(1), 1, atol=PROBABILITY_TOLERANCE) or p.min() < 0:
            raise UserError(
                f"the probabilities of recording {i} are not positive numbers that sum "
                "to 1 in every frame; give probabilities, not logits"
            )


def class_names(scored: Scored, names: Sequence[str] | None) -> list[str]:
    """Names of the classes: the given ones, or their numbers.

    Raises:
        UserError: If the probabilities have another number of columns.
    """
    widths = {p.shape[1] for p in scored.probabilities or []}
    if names is None:
        highest = max(int(x.max()) for x in [*scored.truth, *scored.predicted])
        names = [str(k) for k in range(max(highest + 1, *widths, 1))]
    if widths - {len(names)}:
        raise UserError(
            f"probabilities have {sorted(widths)} columns, expected {len(names)}, one per class; "
            "name every class the model knows"
        )
    return list(names)
