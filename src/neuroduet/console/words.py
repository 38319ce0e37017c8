"""Results on standard output: JSON, and the command that comes next."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from itertools import chain, count
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from neuroduet.terminal import is_quiet, write


def write_next(*words: str | Path) -> None:
    """Print the command that usually comes next, ready to be pasted; nothing if all is quiet.

    Args:
        words: Its words after ``neuroduet``.
    """
    if not is_quiet():
        write(f"next: neuroduet {' '.join(shlex.quote(str(word)) for word in words)}")


def unused(path: Path) -> Path:
    """A path of which there is nothing yet: as given, else ``first-2``, ``first-3`` and so on.

    Args:
        path: What a hint would best name, e.g. ``runs/first``.
    """
    others = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(one for one in chain([path], others) if not one.exists())


def write_json(value: Any) -> None:
    """Print one JSON document on standard output.

    Args:
        value: See :func:`jsonable`.
    """
    sys.stdout.write(json.dumps(jsonable(value), indent=1, allow_nan=False) + "\n")


def jsonable(value: Any) -> Any:
    """A value in the types that JSON has.

    Args:
        value: Numbers (also numpy's), texts, paths, dataclasses, data frames (a list of rows),
            arrays, mappings and sequences of them.

    Returns:
        The same as ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool`` and ``None``, which
        stands for numbers that are not finite or missing.

    Raises:
        TypeError: JSON has no such thing.

    Example:
        >>> jsonable({"run": Path("runs/first"), "score": float("nan")})
        {'run': 'runs/first', 'score': None}
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(one) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [jsonable(one) for one in value]
    return _of_arrays(value)


def _of_arrays(value: Any) -> Any:
    """What only the packages of arrays and tables have; whoever holds one has imported them."""
    import numpy as np
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return jsonable(value.to_dict("records"))
    if isinstance(value, np.ndarray | np.bool_):
        return jsonable(value.tolist())
    if value is pd.NA or value is pd.NaT:
        return None
    raise TypeError(f"JSON has no {type(value).__name__}")
