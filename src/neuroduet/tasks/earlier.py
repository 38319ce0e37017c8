"""What an earlier evaluation of the same weights found about other sessions and tasks."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from neuroduet.data.boundary import require_small_parquet
from neuroduet.errors import UserError

log = logging.getLogger(__name__)

NAMES = ("model", "session", "task", "target", "metric", "split", "null", "unit", "region")
"""Columns of names; a session called "nan" or "001" is a name, not a number."""

ABOUT = ["session", "task"]
"""What an evaluation answers anew, or not at all."""


def is_of(path: Path, run: Path) -> bool:
    """Whether a table of scores was written after the weights of a run.

    Args:
        path: The table.
        run: Run folder.
    """
    weights = [file.stat().st_mtime_ns for file in run.rglob("*.safetensors")]
    return path.is_file() and bool(weights) and path.stat().st_mtime_ns >= max(weights)


def with_earlier(
    fresh: pd.DataFrame, path: Path, answered: Iterable[tuple[str, str]]
) -> pd.DataFrame:
    """New rows behind those of an earlier table that they do not replace.

    Args:
        fresh: New rows, with the columns ``session`` and ``task``.
        path: The earlier table (.csv or .parquet); it need not be there.
        answered: Sessions and tasks that were answered anew; their earlier rows are dropped.

    Returns:
        All rows; columns that only some have are empty for the others.
    """
    old = _read(path)
    if old is None or not {*ABOUT} <= {*old.columns}:
        return fresh
    replaced = pd.MultiIndex.from_frame(old[ABOUT].astype(str)).isin(list(answered))
    kept = old[~replaced]
    if kept.empty:
        return fresh
    return pd.concat([kept, fresh], ignore_index=True) if len(fresh) else kept


def _read(path: Path) -> pd.DataFrame | None:
    """A table, or ``None`` where there is none that can be read: it is written anew."""
    if not path.is_file():
        return None
    try:
        if path.suffix == ".parquet":
            require_small_parquet(path)
            return pd.read_parquet(path)
        columns = pd.read_csv(path, nrows=0).columns
        return pd.read_csv(
            path,
            dtype={name: str for name in NAMES if name in columns and name != "null"},
            keep_default_na=False,
            na_values={name: [""] for name in columns if name not in NAMES or name == "null"},
        )
    except (UserError, OSError, ValueError) as error:
        log.debug("%s is not read: %s", path, error)
        return None
