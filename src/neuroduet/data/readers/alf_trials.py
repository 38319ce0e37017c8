"""The trial table of an IBL session, from one table or from a file per column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroduet.data.readers.alf_files import (
    AlfFile,
    check_times,
    find_file,
    open_array,
    read_table,
    read_vector,
)
from neuroduet.data.readers.reader import TrialFilter
from neuroduet.data.readers.trial_filters import kept_trials
from neuroduet.errors import UserError

ALLOWED = {"choice": (-1, 0, 1), "feedbackType": (-1, 0, 1)}
"""Values of the columns that are classes."""

_FAR_S = 60.0
"""Events lie within their trial, give or take this much."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The trials that are kept.

    Attributes:
        columns: ``start`` and ``end`` (s), every column of the source under its own name, and
            ``block``, ``reward`` and ``contrast`` (positive on the right) derived from them.
        notes: What was dropped, with reasons.
    """

    columns: dict[str, np.ndarray]
    notes: tuple[str, ...]


def read_trials(files: Sequence[AlfFile], rule: TrialFilter) -> Trials | None:
    """Read, check and filter the trials of a session.

    Args:
        files: Files of the session.
        rule: Which trials to keep.

    Returns:
        The trials; ``None`` if the session has none.

    Raises:
        UserError: Columns are missing or of different length, or values are impossible.
    """
    columns, source = _columns(files)
    if not columns:
        return None
    absent = [name for name in ("intervals_0", "intervals_1") if name not in columns]
    if absent:
        raise UserError(
            f"{source} lacks {' and '.join(absent)}, expected the start and end of every trial; "
            "download _ibl_trials.table.pqt or _ibl_trials.intervals.npy"
        )
    _check(columns, str(source))
    timed = np.isfinite(columns["intervals_0"]) & np.isfinite(columns["intervals_1"])
    notes = [f"{int((~timed).sum())} trials (no start or end)"] if not timed.all() else []
    keep, reasons = kept_trials(columns, rule, str(source))
    notes += [f"{count} trials ({why})" for why, count in reasons.items()]
    kept = {name: values[keep & timed] for name, values in columns.items()}
    if not len(kept["intervals_0"]):
        raise UserError(
            f"{source} has {len(keep)} trials, of which the trial filter {rule} keeps none; check "
            "the columns, or read with --trials none"
        )
    start, end = kept.pop("intervals_0"), kept.pop("intervals_1")
    return Trials(columns={"start": start, "end": end, **_derived(kept)}, notes=tuple(notes))


def _columns(files: Sequence[AlfFile]) -> tuple[dict[str, np.ndarray], Path | None]:
    """Columns of the table, completed by those that have a file of their own."""
    columns: dict[str, np.ndarray] = {}
    path = find_file(files, "trials", "table")
    if path is not None:
        table = read_table(path)
        for name in map(str, table.columns):
            if table[name].dtype.kind not in "iufb":
                raise UserError(
                    f"{path} holds {table[name].dtype} in {name}, expected numbers; export it "
                    "again"
                )
            columns[name] = table[name].to_numpy()
    for file in files:
        if file.object == "trials" and file.attribute != "table" and file.path.suffix == ".npy":
            for name, values in _column(file).items():
                columns.setdefault(name, values)
                path = path or file.path
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shortest, longest = (choose(lengths, key=lengths.__getitem__) for choose in (min, max))
        raise UserError(
            f"{path} and the files beside it have {lengths[longest]} rows in {longest} but "
            f"{lengths[shortest]} in {shortest}, expected one per trial; download them again"
        )
    return columns, path


def _column(file: AlfFile) -> dict[str, np.ndarray]:
    if file.attribute != "intervals":
        values = open_array(file.path)
        # Columns of other shapes (such as quiescence periods per stage) are no column of a trial.
        return {file.attribute: read_vector(file.path)} if values.ndim == 1 else {}
    values = open_array(file.path)
    if values.ndim != 2 or values.shape[1] != 2 or values.dtype.kind != "f":
        raise UserError(
            f"{file.path} has shape {values.shape} of type {values.dtype}, expected (trials, 2) "
            "in seconds; download it again"
        )
    return {"intervals_0": np.array(values[:, 0]), "intervals_1": np.array(values[:, 1])}


def _check(columns: dict[str, np.ndarray], source: str) -> None:
    start, end = columns["intervals_0"], columns["intervals_1"]
    if not len(start):
        raise UserError(f"{source} is empty, expected a row per trial; download it again")
    known = np.isfinite(start) & np.isfinite(end)
    check_times(start[known], f"{source} (intervals_0)")
    repeated = np.flatnonzero(np.diff(start[known]) == 0)
    if len(repeated):
        raise UserError(
            f"{source} (intervals_0) has the same start in rows {repeated[0]} and "
            f"{repeated[0] + 1}, expected each trial once; remove the duplicate"
        )
    wrong = np.flatnonzero(end[known] <= start[known])
    if len(wrong):
        raise UserError(
            f"{source} (intervals_1) ends trial {wrong[0]} before it starts, expected seconds "
            "after intervals_0; download it again"
        )
    for name, allowed in ALLOWED.items():
        values = columns.get(name, np.zeros(0))
        strange = np.setdiff1d(values[np.isfinite(values)], allowed)
        if len(strange):
            raise UserError(
                f"{source} ({name}) holds {strange[0]:g}, expected one of {allowed}; recode the "
                "column"
            )
    prior = columns.get("probabilityLeft", np.zeros(0))
    if ((prior < 0) | (prior > 1)).any():
        raise UserError(
            f"{source} (probabilityLeft) holds {np.nanmax(np.abs(prior)):g}, expected "
            "probabilities from 0 to 1; recode the column"
        )
    _check_events(columns, source)


def _check_events(columns: dict[str, np.ndarray], source: str) -> None:
    """Events of a trial lie in it, or the column is in another unit."""
    start, end = columns["intervals_0"], columns["intervals_1"]
    for name, values in columns.items():
        if not name.endswith("_times"):
            continue
        with np.errstate(invalid="ignore"):
            far = (values < start - _FAR_S) | (values > end + _FAR_S)
        if far.sum() > np.isfinite(values).sum() / 2:
            raise UserError(
                f"{source} ({name}) lies outside its trial in {int(far.sum())} trials, expected "
                "seconds on the clock of intervals; convert the column"
            )


def _derived(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns, with what behaviour tasks ask for."""
    made = dict(columns)
    choice = columns.get("choice")
    if choice is not None and np.isfinite(choice).all():
        made["choice"] = choice.astype(np.int64)
    if "probabilityLeft" in columns:
        made["block"] = columns["probabilityLeft"].astype(np.float64)
    if "feedbackType" in columns:
        made["reward"] = (columns["feedbackType"] > 0).astype(np.int64)
    if {"contrastLeft", "contrastRight"} <= columns.keys():
        sides = (columns["contrastRight"], columns["contrastLeft"])
        right, left = (np.nan_to_num(np.asarray(side, dtype=np.float64)) for side in sides)
        made["contrast"] = right - left
    return made
