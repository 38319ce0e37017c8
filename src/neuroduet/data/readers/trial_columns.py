"""Columns of a trial table as behaviours: classes or numbers, and values that nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Shaped

from neuroduet.types import BehaviourKind

Value = bool | int | float | str

MOST_CLASSES = 20
"""A column of more different numbers with a fraction than these is continuous."""

FEW_TRIALS = 50
RARE = 0.1
"""A class of fewer trials than these, and of a smaller share of them, can hardly be scored."""


def kind_of(values: Shaped[np.ndarray, " J"]) -> BehaviourKind:
    """Whether a column is read as classes or as numbers, unless somebody says which.

    Example:
        >>> kind_of(np.array([0.2, 0.5, 0.8])), kind_of(np.arange(30) / 7)
        ('categorical', 'continuous')
    """
    many = values.dtype.kind == "f" and len(np.unique(values[np.isfinite(values)])) > MOST_CLASSES
    return "continuous" if many else "categorical"


def blanked(values: Shaped[np.ndarray, " J"], missing: Sequence[Value]) -> np.ndarray:
    """Values, of which some become missing: an empty text, or NaN.

    Args:
        values: Text or numbers.
        missing: What says that nobody knows, of the same kind.

    Example:
        >>> blanked(np.array([-1, 0, 1]), [0])
        array([-1., nan,  1.])
    """
    which = is_among(values, missing)
    if values.dtype.kind == "U":
        return np.where(which, "", values)
    return np.where(which, np.nan, values.astype(np.float64))


def is_among(values: Shaped[np.ndarray, " J"], wanted: Sequence[Value]) -> Bool[np.ndarray, " J"]:
    """Which trials have one of some values, of the same kind; NaN is one like others.

    Example:
        >>> is_among(np.array([-1, 0, np.nan]), [0, np.nan])
        array([False,  True,  True])
    """
    if values.dtype.kind == "U":
        return np.isin(values, list(wanted))
    # A number is written as it is printed: 0.1, of which a column may hold the nearest float32.
    kind = values.dtype if values.dtype.kind == "f" else np.float64
    numbers = np.array(wanted, dtype=kind)
    unknown = np.isnan(numbers).any() & np.isnan(values.astype(kind))
    return np.isin(values.astype(kind), numbers) | unknown


def class_counts(values: Shaped[np.ndarray, " J"]) -> dict[str, int]:
    """How many trials have each value that is known, in the order of the values.

    Example:
        >>> class_counts(np.array(["right", "", "left", "right"]))
        {'left': 1, 'right': 2}
    """
    known = values[values != ""] if values.dtype.kind == "U" else values
    known = known[np.isfinite(known)] if known.dtype.kind == "f" else known
    found, counts = np.unique(known, return_counts=True)
    return {word_of(value): int(count)
            for value, count in zip(found.tolist(), counts.tolist(), strict=True)}  # fmt: skip


def held_said(values: Shaped[np.ndarray, " J"]) -> str:
    """The values of a column, in words; of many the first.

    Example:
        >>> held_said(np.array(["right", "", "left"]))
        'left, right'
    """
    words = list(class_counts(values))
    more = " ..." if len(words) > MOST_CLASSES else ""
    return ", ".join(words[:MOST_CLASSES]) + more or "nothing"


def word_of(value: Value) -> str:
    """A value as it is printed and written in a mapping file."""
    return value if isinstance(value, str) else f"{float(value) + 0:g}"  # -0 is 0


def rare_classes(values: Shaped[np.ndarray, " J"]) -> dict[str, int]:
    """The classes of a column that have too few trials to be scored, with their number."""
    return {word: count for word, count in class_counts(values).items()
            if count < FEW_TRIALS and count < RARE * len(values)}  # fmt: skip
