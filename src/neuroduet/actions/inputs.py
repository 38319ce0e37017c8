"""What a segmenter is given, checked: one sentence says what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Int
from pydantic import ValidationError

from neuroduet.actions.features import FeatureOptions
from neuroduet.actions.model import ModelOptions
from neuroduet.errors import UserError, unknown
from neuroduet.types import UNLABELLED

Labels = Int[np.ndarray, " _"]
Recordings = Iterable[np.ndarray]
"""One array per recording; what is in it is checked with a sentence, not by its annotation."""

FeatureKind = str | FeatureOptions | Mapping[str, Any]


def check_arrays(recordings: Recordings) -> list[np.ndarray]:
    """Recordings as float arrays; masked or text values raise."""
    if isinstance(recordings, np.ndarray):
        raise UserError(
            f"recordings are one array of shape {recordings.shape}, expected a list with one "
            "array per recording; give [array] for a single one, list(array) for several of one "
            "length"
        )
    arrays = [np.asarray(one) for one in recordings]
    if not arrays:
        raise UserError("there is no recording; give a list with at least one array")
    for i, one in enumerate(arrays):
        if one.dtype.kind not in "fiub" or one.ndim not in (2, 3, 4) or len(one) == 0:
            raise UserError(
                f"recording {i} is an array of {one.dtype} with shape {one.shape}; expected "
                "numbers with shape (frames, features), (frames, keypoints, 2 or 3) or (frames, "
                "animals, keypoints, 2 or 3)"
            )
    return [one.astype(np.float64) for one in arrays]


def frame_shape(arrays: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Shape of one frame, the same in all recordings."""
    shapes = sorted({one.shape[1:] for one in arrays})
    if len(shapes) > 1:
        raise UserError(
            f"recordings differ in the shape of a frame ({shapes[0]} and {shapes[1]}); all must "
            "have the same features or keypoints"
        )
    return shapes[0]


def check_labels(
    labels: Recordings | None,
    arrays: Sequence[np.ndarray],
    what: str,
    classes: Sequence[str] | None = None,
) -> list[Labels]:
    """Labels as integers, all unlabelled if none are given.

    Args:
        labels: One integer or name of a class per frame, -1 or empty where unlabelled.
        arrays: The recordings.
        what: What to call the labels in an error.
        classes: Names of the classes.

    Raises:
        UserError: They do not fit the recordings, are not integers from -1 on, or name no class.
    """
    if labels is None:
        return [np.full(len(array), UNLABELLED) for array in arrays]
    labels = list(labels)
    if len(labels) != len(arrays):
        raise UserError(f"{what} are given for {len(labels)} of {len(arrays)} recordings")
    return [
        _one_label(as_numbers(np.asarray(y), classes), len(array), i, what)
        for i, (array, y) in enumerate(zip(arrays, labels, strict=True))
    ]


def name_classes(
    given: Sequence[Recordings | None], classes: Sequence[str] | None
) -> tuple[str, ...] | None:
    """Names of the classes where labels are text.

    Args:
        given: Labels of any kind, one array per recording each.
        classes: Names that were given.

    Returns:
        These, or the texts that occur, sorted and without the empty one; ``None`` where no label
        is text.
    """
    texts = [y for labels in given for y in labels or () if is_text(y)]
    if not texts or classes is not None:
        return None if classes is None else tuple(classes)
    words = {str(word) for y in texts for word in np.ravel(y) if isinstance(word, str)}
    return tuple(sorted(words - {""}))


def class_list(
    labels: Sequence[Labels],
    words: Sequence[str] | None,
    n_states: int | None,
    uses_labels: bool,
) -> tuple[str, ...]:
    """Names of the classes that labels speak of, or of the states to find.

    Args:
        labels: As numbers.
        words: Names that were given, or that the labels held.
        n_states: Number of states to find.
        uses_labels: Whether the model learns from labels.

    Raises:
        UserError: There is neither a label nor a number of states, or a class has no name.
    """
    most = max((int(y.max(initial=UNLABELLED)) for y in labels), default=UNLABELLED) + 1
    if most == 0:
        if n_states is None and not words:
            raise UserError(
                "there are no labels, so the number of states must be given; set n_states"
            )
        return tuple(words or (f"state {i}" for i in range(n_states or 0)))
    if not uses_labels:
        # A state that no label taught must not bear the name of a class.
        return tuple(f"state {i}" for i in range(n_states or max(most, len(words or ()))))
    if words is None:
        return tuple(str(i) for i in range(most))
    if most > len(words):
        raise UserError(
            f"labels go up to {most - 1}, but only {len(words)} classes are named "
            "(counted from 0); name them all"
        )
    return tuple(words)


def finds_states(names: Sequence[str]) -> bool:
    """Whether a model was fitted without labels, so that its classes are mere states."""
    return all(name == f"state {i}" for i, name in enumerate(names))


def is_text(labels: object) -> bool:
    """Whether labels are words; an array of objects is taken for words if it begins with one."""
    values = np.asarray(labels)
    if values.dtype.kind != "O":
        return values.dtype.kind == "U"
    return values.ndim == 1 and len(values) > 0 and isinstance(values[0], str)


def as_numbers(labels: np.ndarray, classes: Sequence[str] | None) -> np.ndarray:
    """Labels as numbers of classes, the empty text as unlabelled; numbers stay what they are.

    Args:
        labels: One entry per frame.
        classes: Names of the classes; ``None`` where no label is text.

    Raises:
        UserError: A text names no class.
    """
    if classes is None or not is_text(labels):
        return labels
    numbers = {name: number for number, name in enumerate(classes)} | {"": UNLABELLED}
    words = [str(word) for word in labels.ravel()]
    for word in words:
        if word not in numbers:
            raise unknown("class", word, classes)
    return np.array([numbers[word] for word in words], dtype=np.int64).reshape(labels.shape)


def _one_label(labels: np.ndarray, n_frames: int, index: int, what: str) -> Labels:
    if labels.shape != (n_frames,):
        raise UserError(
            f"recording {index} has {n_frames} frames, but {what} of shape {labels.shape}; give "
            "one integer per frame, -1 where unlabelled"
        )
    numbers = labels.dtype.kind in "iubf" and bool(np.isfinite(labels).all())
    whole = labels.astype(np.int64) if numbers else np.empty(0, np.int64)
    if not numbers or not np.array_equal(whole, labels) or whole.min() < UNLABELLED:
        raise UserError(
            f"{what} of recording {index} are not integers from -1 on; give class numbers from 0, "
            "and -1 where unlabelled"
        )
    return whole


def positive(name: str, value: object) -> int:
    """A whole number from 1 on."""
    if not isinstance(value, int | np.integer) or value < 1:
        raise UserError(f"{name} is {value!r}; give a whole number from 1 on")
    return int(value)


def feature_options(features: FeatureKind) -> FeatureOptions:
    """Options of the features, of which the kind alone may be given."""
    if isinstance(features, FeatureOptions):
        return features
    given = {"kind": features} if isinstance(features, str) else dict(features)
    return cast(FeatureOptions, check_options(FeatureOptions, given, "features"))


def check_options(kind: type[ModelOptions], given: Mapping[str, Any], what: str) -> ModelOptions:
    """Options as given, or one sentence on what is wrong with them."""
    for name in given:
        if name not in kind.model_fields:
            raise unknown(f"option of {what}", name, kind.model_fields)
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"option '{where}' of {what} is {first['input']!r}: {first['msg']}"
        ) from None
