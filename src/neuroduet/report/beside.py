"""Scores of other runs or programs, to be set beside those of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from neuroduet.errors import UserError
from neuroduet.report.folder import read_scores


def tables_beside(run: Path, files: Sequence[Path]) -> pd.DataFrame:
    """Read score tables; a model named like one of the run or of an earlier table is told apart.

    Args:
        run: Run folder whose ``scores.csv`` comes first.
        files: Score tables (.csv).

    Returns:
        Their rows together; of models that are known already, the name of the table's folder is
        put behind the model's.

    Raises:
        UserError: A table cannot be read, or lacks a column.
    """
    own = run / "scores.csv"
    taken = set(_read(own)["model"]) if own.is_file() else set()
    parts = []
    for file in files:
        table = _read(file)
        names = {
            name: f"{name} ({file.resolve().parent.name}/{file.stem})"
            for name in set(table["model"]) & taken
        }
        table = table.assign(model=table["model"].replace(names))
        taken |= set(table["model"])
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _read(file: Path) -> pd.DataFrame:
    try:
        return read_scores(file)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{file} is no score table ({reason}); give one that evaluate or baselines wrote"
        ) from None
