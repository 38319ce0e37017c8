"""Names and words of a source, as a recording can keep them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped


def ascii_text(text: str) -> str:
    r"""Text as a recording can keep it: letters outside ASCII become their escapes.

    Example:
        >>> ascii_text("souris é")
        'souris \\xe9'
    """
    return text.encode("ascii", "backslashreplace").decode("ascii").strip()


def ascii_words(values: Shaped[np.ndarray, "*R"]) -> Shaped[np.ndarray, "*R"]:
    """As :func:`ascii_text`, for every word of an array; other arrays stay as they are."""
    if values.dtype.kind != "U":
        return values
    words = [ascii_text(word) for word in values.ravel().tolist()]
    return np.array(words, dtype=np.str_).reshape(values.shape)


def field_name(text: str, taken: Sequence[str] = ()) -> str:
    """A name that a group of a recording can have.

    Args:
        text: What the source calls it.
        taken: Names that are given already.

    Returns:
        Letters, digits and underscores; numbered if the name is taken.

    Example:
        >>> field_name("Eye position (left)"), field_name("x", ["x"])
        ('Eye_position_left', 'x_2')
    """
    clean = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)
    name = "_".join(part for part in clean.split("_") if part) or "series"
    if name[0].isdigit():
        name = f"series_{name}"
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique
