"""What a run folder holds: every file is optional, and what is missing is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from neuroduet.data.boundary import read_npz, require_small_parquet
from neuroduet.errors import UserError
from neuroduet.plain import file_name, read_yaml
from neuroduet.report.headlines import main_model
from neuroduet.report.tables import COLUMNS, QUESTION

T = TypeVar("T")

CURVE_FILE = "metrics.csv"


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """The readable contents of a run folder.

    Attributes:
        path: The folder.
        config: ``config.yaml`` as nested mappings; empty if missing.
        config_text: ``config.yaml`` as it is written.
        environment: ``env.json``; empty if missing.
        curves: Learning curves of the run or of each member: name and table.
        sessions: Descriptions of the sessions, by session id (``model/config.json``).
        scores: ``scores.csv``, or ``None``.
        baselines: ``baselines.csv``, or ``None``.
        nulls: ``scores_nulls.csv``, or ``None``.
        regions: ``scores_regions.csv``, or ``None``.
        units: ``scores_units.parquet``, or ``None``.
        baseline_units: ``baselines_units.parquet``, or ``None``.
        embeddings: ``embeddings.parquet`` or ``embeddings.csv``, or ``None``.
        predictions: Prediction file of each session, by session id.
        missing: One sentence for each thing that is absent or unreadable.
    """

    path: Path
    config: dict[str, Any]
    config_text: str
    environment: dict[str, Any]
    curves: tuple[tuple[str, pd.DataFrame], ...]
    sessions: dict[str, dict[str, Any]]
    scores: pd.DataFrame | None
    baselines: pd.DataFrame | None
    nulls: pd.DataFrame | None
    regions: pd.DataFrame | None
    units: pd.DataFrame | None
    baseline_units: pd.DataFrame | None
    embeddings: pd.DataFrame | None
    predictions: dict[str, Path]
    missing: tuple[str, ...]

    @property
    def preset(self) -> str | None:
        """The preset that the settings name, if they do."""
        found = self.config.get("preset")
        return found if isinstance(found, str) else None

    @property
    def main(self) -> str | None:
        """The model that the scores are about; ``None`` without any."""
        return None if self.scores is None else main_model(self.scores, self.preset)

    @property
    def own_units(self) -> pd.DataFrame | None:
        """Scores of units of that model; all of them if the table names no models."""
        if self.units is None or "model" not in self.units.columns:
            return self.units
        return self.units[self.units["model"] == self.main]


def read_folder(run: Path) -> RunFolder:
    """Read what a run folder holds.

    Args:
        run: Run folder.

    Returns:
        Its contents, and sentences about what it lacks.

    Raises:
        UserError: There is no such folder.
    """
    if not run.is_dir():
        raise UserError(f"there is no run folder at {run}; give the --out of train or finetune")
    notes: list[str] = []
    sessions = _sessions(run, notes)
    text = _read(run / "config.yaml", Path.read_text, notes, "the settings of the run") or ""
    return RunFolder(
        path=run,
        config=_read(run / "config.yaml", _yaml, None, "") or {},
        config_text=text,
        environment=_read(run / "env.json", _json, notes, "versions and machine") or {},
        curves=_curves(run, notes),
        sessions=sessions,
        scores=_read(run / "scores.csv", read_scores, notes, "`neuroduet evaluate` writes it"),
        baselines=_optional(run / "baselines.csv", read_scores, notes),
        nulls=_optional(run / "scores_nulls.csv", _nulls, notes),
        regions=_optional(run / "scores_regions.csv", _regions, notes),
        units=_read(
            run / "scores_units.parquet",
            lambda path: _table(path, ("unit", "metric", "value")),
            notes,
            "`neuroduet evaluate` writes it",
        ),
        baseline_units=_optional(
            run / "baselines_units.parquet",
            lambda path: _table(path, (*QUESTION, "model", "session", "unit", "value")),
            notes,
        ),
        embeddings=_embeddings(run, notes),
        predictions=_predictions(run, sessions, notes),
        missing=tuple(notes),
    )


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read a prediction file.

    Args:
        path: An ``.npz`` file.

    Returns:
        Its arrays, by name.

    Raises:
        UserError: The file is damaged or holds anything but plain arrays.
    """
    try:
        return read_npz(path)
    except (UserError, OSError) as error:
        raise UserError(
            f"{path.name} is not a readable prediction file ({error}); run predict again"
        ) from None


def _read(
    path: Path, reader: Callable[[Path], T], notes: list[str] | None, purpose: str
) -> T | None:
    """Read one file; note why not when that fails (``notes=None``: somebody else notes it)."""
    try:
        return reader(path)
    except FileNotFoundError:
        reason = f"{path.name} is not in the run folder ({purpose})"
    except Exception as error:  # a report shows what it can, and says what it cannot
        problem = " ".join(str(error).split())[:200]
        reason = f"{path.name} could not be read: {problem}"
    if notes is not None:
        notes.append(reason)
    return None


def _optional(path: Path, reader: Callable[[Path], T], notes: list[str]) -> T | None:
    """Read one file that need not be there."""
    return _read(path, reader, notes, "") if path.exists() else None


def _yaml(path: Path) -> dict[str, Any]:
    values = read_yaml(path.read_bytes())
    if not isinstance(values, dict):
        raise ValueError(f"it holds a {type(values).__name__}, expected sections with keys")
    return values


def _json(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_text())
    if not isinstance(values, dict):
        raise ValueError(f"it holds a {type(values).__name__}, expected names and values")
    return values


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if path.suffix == ".csv":
        table = pd.read_csv(path)
    else:
        require_small_parquet(path)
        table = pd.read_parquet(path)
    _require_columns(table, columns)
    return table


def _require_columns(table: pd.DataFrame, columns: Sequence[str]) -> None:
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise ValueError(f"it lacks the columns {', '.join(absent)}")


def read_scores(path: Path) -> pd.DataFrame:
    """Read a score table.

    Args:
        path: A CSV file as ``evaluate`` and ``baselines`` write it.

    Returns:
        Its rows; numbers that are none are ``nan``.

    Raises:
        ValueError: A column is missing.
    """
    # A session called "nan" or "001" is a name, not a number.
    names = ("model", "session", "task", "target", "metric", "split")
    table = pd.read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False)
    _require_columns(table, COLUMNS)
    numbers = {
        name: pd.to_numeric(table[name], errors="coerce")
        for name in ("value", "n", "null", "oracle", "p_value")
        if name in table.columns
    }
    return table.assign(**numbers)


def _nulls(path: Path) -> pd.DataFrame:
    names = ("model", "session", "task", "target", "metric", "null", "split")
    table = pd.read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False)
    columns = ("value", "draws", "null_mean", "null_sd", "p_value")
    _require_columns(table, (*names, *columns))
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in columns}
    return table.assign(**numbers)


def _regions(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    _require_columns(table, ("session", "unit", "region", "guess"))
    return table


def _curves(run: Path, notes: list[str]) -> tuple[tuple[str, pd.DataFrame], ...]:
    paths = sorted(run.glob(f"members/*/{CURVE_FILE}"))
    found = []
    for path in paths or [run / CURVE_FILE]:
        name = f"member {path.parent.name}" if paths else "run"
        curve = _read(path, _curve, notes, "training writes it")
        if curve is not None and len(curve):
            found.append((name, curve))
    return tuple(found)


def _curve(path: Path) -> pd.DataFrame:
    """Numbers by step; a row without a step cannot be drawn."""
    table = _table(path, ("step",)).apply(pd.to_numeric, errors="coerce")
    return table.replace([np.inf, -np.inf], np.nan).dropna(subset="step")


def _sessions(run: Path, notes: list[str]) -> dict[str, dict[str, Any]]:
    members = sorted(run.glob("members/*/model/config.json"))
    path = members[0] if members else run / "model" / "config.json"
    description = _read(path, _json, notes, "regions and class names come from it") or {}
    sessions = description.get("sessions")
    return {
        str(one["id"]): one
        for one in (sessions if isinstance(sessions, list) else [])
        if isinstance(one, dict) and "id" in one
    }


def _embeddings(run: Path, notes: list[str]) -> pd.DataFrame | None:
    name = "embeddings.csv" if (run / "embeddings.csv").is_file() else "embeddings.parquet"
    return _read(
        run / name,
        lambda path: _table(path, ("session", "unit", "e0")),
        notes,
        "`neuroduet embed` writes it",
    )


def _predictions(run: Path, sessions: Mapping[str, Any], notes: list[str]) -> dict[str, Path]:
    """Prediction files by session id; a file of an unknown session goes by its own name."""
    ids = {file_name(name): name for name in sessions}
    paths = sorted((run / "predictions").glob("*.npz"))
    if not paths:
        notes.append("predictions/ holds no sessions (`neuroduet predict` writes them)")
    return {ids.get(path.stem, path.stem): path for path in paths}
