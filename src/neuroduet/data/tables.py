"""Tables that a user gives: mappings of columns, or tables of pandas."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from neuroduet.errors import UserError, unsuitable

Table = Mapping[str, Any] | pd.DataFrame
"""Columns by name."""


def columns_of(table: Table | None, what: str) -> dict[str, np.ndarray]:
    """Columns of a table, text as numpy text; none without a table.

    Args:
        table: A mapping or a table of pandas, whose index is left aside.
        what: Name of the argument.

    Raises:
        UserError: It is neither.
    """
    if table is None:
        return {}
    if isinstance(table, pd.DataFrame):
        return {str(name): plain(table[name].to_numpy()) for name in table.columns}
    if not isinstance(table, Mapping):
        raise unsuitable(
            what, table, "columns by name", f"write for example {what}={{'name': [...]}}"
        )
    return {str(name): plain(np.asarray(values)) for name, values in table.items()}


def plain(values: Shaped[np.ndarray, "*R"]) -> Shaped[np.ndarray, "*R"]:
    """Objects, as pandas keeps them, as numpy text or numbers; missing text is empty."""
    if values.dtype.kind not in "OT":
        return values
    missing = np.asarray(pd.isna(values))
    known = values[~missing]
    if known.size and all(isinstance(value, str) for value in known):
        return np.where(missing, "", values).astype(np.str_)
    numbers = not missing.any() and all(isinstance(value, Real) for value in known)
    return np.array(values.tolist()) if numbers else values


def numbers(given: Any, what: str) -> Shaped[np.ndarray, "*R"]:
    """An array of numbers, or of booleans.

    Args:
        given: An array, or what can be made one.
        what: Name of the argument.

    Raises:
        UserError: It holds something else, or has no shape.
    """
    try:
        values = plain(np.asarray(given))
    except ValueError:
        raise UserError(
            f"{what} has parts of different lengths, expected an array; give one array per trial "
            "or unit in a list, if it is made for that"
        ) from None
    if values.dtype.kind not in "iufb":
        raise UserError(
            f"{what} is of type {values.dtype}, expected numbers; convert it, for example with "
            "numpy.asarray(..., dtype=float)"
        )
    return values
