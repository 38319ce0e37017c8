"""``torch_brain`` files of others: read as they are, with what they leave out filled in."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from torch_brain.data import ArrayDict, Data, SessionDescription

from neuroduet.data.columns import column, fields, groups
from neuroduet.data.readers.assembly import Offer, kept_units, offer_table, require_usable
from neuroduet.data.readers.hdf5_files import text_of
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.data.readers.regions import rename_regions
from neuroduet.data.recording import load
from neuroduet.data.schema import (
    NEURAL_KINDS,
    describe_behaviours,
    find_problems,
    recording_id,
)
from neuroduet.errors import UserError

REGION_COLUMNS = ("region_allen", "brain_area", "location", "region_beryl", "region_cosmos")
"""Columns that other data sets call the region, the finest first."""

ID_COLUMNS = ("unit_name", "uuid", "unit_id", "number")


class BrainsetsReader:
    """Reads ``torch_brain`` HDF5 files."""

    name = "brainsets"

    def recognises(self, path: Path) -> bool:
        """Whether a file is a ``torch_brain`` recording, or a folder holds some."""
        return bool(_files(path))

    def sessions(self, path: Path) -> Sequence[Path]:
        """Every recording at or below a path.

        Raises:
            UserError: There are none.
        """
        if path.is_file():
            return [path]
        found = _files(path)
        if not found:
            raise UserError(
                f"{path} holds no torch_brain files (.h5), expected at least one; check the folder"
            )
        return found

    def inspect(self, path: Path, options: ReadOptions) -> Found:
        """What a recording holds; long columns are only counted.

        Raises:
            UserError: The file is damaged, or is no ``torch_brain`` recording.
        """
        with load(path) as recording:
            present = groups(recording)
            session = _session(recording, path, options)
            require_usable(str(path), _filled(recording, path, options))
            items = {name: _said(group) for name, group in present.items() if name != "behaviours"}
        return Found(
            source=str(path),
            session=session,
            items=items,
            missing=tuple(name for name in ("units", "trials") if name not in items),
        )

    def read(self, path: Path, options: ReadOptions) -> Data:
        """One file as a recording.

        Raises:
            UserError: It cannot be read or used, or no unit is left.
        """
        recording = _filled(load(path, lazy=False), path, options)
        require_usable(str(path), recording)
        return _selected(recording, path, options)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if _is_recording(path) else []
    return sorted(file for file in path.rglob("*.h5") if _is_recording(file))


def _is_recording(path: Path) -> bool:
    if path.suffix != ".h5" or path.name.startswith(".") or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return text_of(file.attrs.get("object", "")) == "Data"
    except OSError:
        return False


def _session(recording: Data, path: Path, options: ReadOptions) -> str:
    return options.session_id or recording_id(recording) or path.stem


def _filled(recording: Data, path: Path, options: ReadOptions) -> Data:
    """A copy with a session id, unit ids, regions and a table of behaviours."""
    whole = copy.copy(recording)
    whole.__dict__["session"] = _described(recording, _session(recording, path, options))
    units = groups(recording).get("units")
    if units is not None:
        whole.__dict__["units"] = _unit_table(units, options)
    if "behaviours" not in groups(recording) and not find_problems(whole):
        offers = [
            Offer(name=one.name, source=one.source, kind=one.kind, per=one.per)
            for one in describe_behaviours(whole)
        ]
        if offers:
            whole.__dict__["behaviours"] = offer_table(offers)
    return whole


def _described(recording: Data, name: str) -> Data:
    found = recording.__dict__.get("session")
    if not isinstance(found, Data):
        return SessionDescription(id=name)
    session = copy.copy(found)
    session.__dict__["id"] = name
    return session


def _unit_table(units: ArrayDict, options: ReadOptions) -> ArrayDict:
    columns = {name: np.asarray(column(units, name)) for name in fields(units)}
    if not columns:
        return units
    count = len(next(iter(columns.values())))
    if "id" not in columns:
        unique = (name for name in ID_COLUMNS
                  if name in columns and len(np.unique(columns[name])) == count)  # fmt: skip
        name = next(unique, None)
        columns["id"] = np.arange(count) if name is None else columns[name]
    columns["id"] = columns["id"].astype(np.str_)
    if "region" not in columns:
        level = f"region_{options.regions}"
        found = next((name for name in (level, *REGION_COLUMNS) if name in columns), None)
        if found is not None:
            names = [str(name) for name in columns[found]]
            columns["region"] = rename_regions(names, options.regions)[0]
    return ArrayDict(**columns)


def _selected(recording: Data, path: Path, options: ReadOptions) -> Data:
    """The recording without the units that are not wanted."""
    present = groups(recording)
    kind = next((kind for kind in NEURAL_KINDS if kind in present), None)
    if kind is None:
        return recording
    group, units = present[kind], present["units"]
    columns = {name: np.asarray(column(units, name)) for name in fields(units)}
    rates_hz = None if kind == "traces" else _rates_hz(recording, group, kind, len(columns["id"]))
    keep, _ = kept_units(columns, rates_hz, options, f"{path} units")
    if keep.all():
        return recording
    fewer = copy.copy(recording)
    fewer.__dict__["units"] = ArrayDict(**{name: values[keep] for name, values in columns.items()})
    if kind == "spikes":
        group = copy.copy(group)
        mine = keep[group.unit_index]
        group = group.select_by_mask(mine)
        rows = np.cumsum(keep) - 1
        group.__dict__["unit_index"] = rows[group.unit_index]
    else:
        group = copy.copy(group)
        group.__dict__["values"] = np.asarray(group.values)[:, keep]
    fewer.__dict__[kind] = group
    truth = present.get("truth")
    if truth is not None:
        fewer.__dict__["truth"] = _truth(truth, keep)
    return fewer


def _truth(truth: ArrayDict, keep: np.ndarray) -> ArrayDict:
    """True rates of the units that are left."""
    fewer = copy.copy(truth)
    for name in fields(truth):
        values = np.asarray(column(truth, name))
        if values.ndim == 2 and values.shape[1] == len(keep):
            fewer.__dict__[name] = values[:, keep]
    return fewer


def _rates_hz(recording: Data, group: ArrayDict, kind: str, n_units: int) -> np.ndarray:
    domain = group.domain
    seconds = max(float((domain.end - domain.start).sum()), 1e-9)
    if kind == "spikes":
        return np.bincount(group.unit_index, minlength=n_units) / seconds
    values = np.asarray(group.values)
    return values.sum(axis=0) / max(len(values) * float(recording.bin_size_s), 1e-9)


def _said(group: ArrayDict) -> str:
    names = [name for name in fields(group) if name not in ("timestamps", "start", "end")]
    return f"{len(group):,} rows" + (f" of {', '.join(names)}" if names else "")
