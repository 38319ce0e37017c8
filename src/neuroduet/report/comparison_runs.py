"""The runs of a comparison, and the score of each in every row that any of them has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from neuroduet.errors import UserError
from neuroduet.report.folder import RunFolder, read_folder
from neuroduet.report.tables import QUESTION, ordered_rows, session_table

KEY = [*QUESTION, "session"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparedRun:
    """A run of a comparison.

    Attributes:
        name: What the page calls it: the end of its path that tells it from the others.
        folder: What its folder holds.
        own: Scores of its model with the columns of ``scores.csv``, test windows where there are
            any, each row once.
        table: Scores of all models of its tables, linear baselines included, by task, target,
            metric and session.
    """

    name: str
    folder: RunFolder
    own: pd.DataFrame
    table: pd.DataFrame


def read_runs(paths: Sequence[Path | str]) -> list[ComparedRun]:
    """Read the runs to compare.

    Args:
        paths: Run folders, the one to compare with first.

    Raises:
        UserError: There are fewer than two, one is given twice, or one has no scores.
    """
    folders = [Path(path) for path in paths]
    if len(folders) < 2:
        raise UserError(f"{len(folders)} run was given, expected two or more; name another run")
    resolved = [path.resolve() for path in folders]
    for path in resolved:
        if resolved.count(path) > 1:
            raise UserError(f"{path} was given twice, expected different runs; name each once")
    return [_run(path, name) for path, name in zip(folders, distinct_names(resolved), strict=True)]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of different paths that tell them apart, all of one length.

    Example:
        >>> distinct_names([Path("/a/small"), Path("/a/large")])
        ['small', 'large']
        >>> distinct_names([Path("/a/run"), Path("/b/run")])
        ['a/run', 'b/run']
    """
    for length in range(1, max(len(path.parts) for path in paths) + 1):
        names = [str(Path(*path.parts[-length:])) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def _run(path: Path, name: str) -> ComparedRun:
    folder = read_folder(path)
    if folder.scores is None or folder.scores.empty:
        raise UserError(
            f"{path} holds no scores to compare; run `neuroduet evaluate {path}` first"
        )
    known = [part for part in (folder.scores, folder.baselines) if part is not None and len(part)]
    table = session_table(pd.concat(known, ignore_index=True))
    rows = folder.scores
    if (rows["split"] == "test").any():
        rows = rows[rows["split"] == "test"]
    own = rows[rows["model"] == folder.main].drop_duplicates(KEY)
    return ComparedRun(name=name, folder=folder, own=own, table=table)


def side_by_side(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """The score of every run in every row that any of them has.

    Args:
        runs: The runs.

    Returns:
        Indexed by task, target, metric and session, in the order of a score table; one column per
        run, ``nan`` where it has no score.
    """
    columns = {run.name: run.own.set_index(KEY)["value"].astype(float) for run in runs}
    rows = ordered_rows(key for column in columns.values() for key in column.index)
    index = pd.MultiIndex.from_tuples(rows, names=KEY)
    return pd.DataFrame({name: column.reindex(index) for name, column in columns.items()})
