"""A recording as an NWB file."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from torch_brain.data import ArrayDict, Data

from neuroduet.atomic import replacing
from neuroduet.data.columns import column, fields, groups
from neuroduet.data.schema import check, describe_behaviours, recording_id, subject_id
from neuroduet.errors import UserError

if TYPE_CHECKING:
    from pynwb import NWBFile

EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
"""Start of every session: recordings keep no date, and equal ones must give equal files."""

_NAMESPACE = uuid.UUID("7f1a4f2e-9d39-4b7c-8a51-1f0f5a4d7f65")
_NOT_COLUMNS = ("id", "start", "end", "cluster", "unit_name")


def write_nwb(recording: Data, path: Path | str) -> Path:
    """Write spikes, units, trials and behaviours per bin of a recording.

    Regions become the locations of electrodes, one per unit. Pose is left out.

    Args:
        recording: A recording that passes :func:`neuroduet.data.recording.check`, with spikes.
        path: File to write (``.nwb``); its folder must exist.

    Returns:
        The file.

    Raises:
        UserError: The recording has no spikes, or pynwb is not installed.
    """
    path = Path(path)
    check(recording)
    present = groups(recording)
    if "spikes" not in present:
        raise UserError("only recordings with spikes can be written as NWB; found none")
    file = new_nwb(recording_id(recording), subject_id(recording))
    _add_units(file, present["spikes"], present["units"])
    if "trials" in present:
        _add_trials(file, present["trials"])
    _add_behaviours(file, recording)
    return save_nwb(file, path)


def new_nwb(session: str, subject: str) -> NWBFile:
    """An empty NWB file.

    Args:
        session: Session id.
        subject: Id of the animal.

    Raises:
        UserError: pynwb is not installed.
    """
    try:
        from pynwb import NWBFile
        from pynwb.file import Subject
    except ImportError:
        raise UserError(
            "writing NWB needs pynwb; install it with: pip install 'neuroduet[nwb]'"
        ) from None
    return NWBFile(
        session_description=f"written by neuroduet from the recording {session}",
        identifier=str(uuid.uuid5(_NAMESPACE, session)),
        session_start_time=EPOCH,
        file_create_date=EPOCH,
        session_id=session,
        subject=Subject(subject_id=subject, description="see session_id"),
    )


def save_nwb(file: NWBFile, path: Path) -> Path:
    """Write an NWB file, whole or not at all.

    Raises:
        UserError: Its folder does not exist.
    """
    from pynwb import NWBHDF5IO

    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent} to write {path.name} into; create it first")
    # Opened here: pynwb warns of the name that the file has until it is complete.
    with (
        replacing(path) as temporary,
        h5py.File(temporary, "w") as store,
        NWBHDF5IO(file=store, mode="w") as io,
    ):
        io.write(file)
    return path


def _add_units(file: NWBFile, spikes: ArrayDict, units: ArrayDict) -> None:
    """Spikes of all units in one array: adding unit by unit takes minutes for ten millions."""
    from hdmf.common import DynamicTableRegion, VectorData, VectorIndex
    from pynwb.misc import Units

    ids = np.asarray(column(units, "id"))
    index = np.asarray(column(spikes, "unit_index"))
    order = np.argsort(index, kind="stable")
    times = VectorData(
        name="spike_times",
        description="spike times (s)",
        data=np.asarray(column(spikes, "timestamps"), dtype=np.float64)[order],
    )
    ends = np.cumsum(np.bincount(index, minlength=len(ids)))
    columns = [
        VectorIndex(name="spike_times_index", data=ends, target=times),
        times,
        *(VectorData(name=name, description=name.replace("_", " "), data=values)
          for name, values in _unit_columns(units).items()),
    ]  # fmt: skip
    if _add_electrodes(file, units):
        rows = DynamicTableRegion(
            name="electrodes",
            description="where the unit is",
            data=np.arange(len(ids)),
            table=file.electrodes,
        )
        ends = np.arange(1, len(ids) + 1)
        columns += [VectorIndex(name="electrodes_index", data=ends, target=rows), rows]
    file.units = Units(
        name="units", description="sorted units", id=np.arange(len(ids)), columns=columns
    )


def _unit_columns(units: ArrayDict) -> dict[str, Any]:
    columns = {"unit_name": np.asarray(column(units, "id"))}
    for name in fields(units):
        values = np.asarray(column(units, name))
        if name not in _NOT_COLUMNS and not name.startswith("region") and values.ndim == 1:
            columns[name] = values
    return {name: _plain(values) for name, values in columns.items()}


def _add_electrodes(file: NWBFile, units: ArrayDict) -> bool:
    """One electrode per unit, with its region; whether there are any."""
    finest = next((name for name in ("region_allen", "region") if name in units), None)
    if finest is None:
        return False
    device = file.create_device(name="probe")
    group = file.create_electrode_group(
        name="probe", description="all electrodes", location="several", device=device
    )
    for name in np.asarray(column(units, finest)):
        file.add_electrode(location=str(name), group=group)
    return True


def _add_trials(file: NWBFile, trials: ArrayDict) -> None:
    columns = {name: np.asarray(column(trials, name)) for name in fields(trials)}
    start, end = columns.pop("start"), columns.pop("end")
    for one, other in zip(start, end, strict=True):
        file.add_trial(start_time=float(one), stop_time=float(other))
    for name, values in columns.items():
        if values.ndim == 1:
            file.add_trial_column(
                name=name, description=name.replace("_", " "), data=_plain(values)
            )


def _add_behaviours(file: NWBFile, recording: Data) -> None:
    from pynwb import TimeSeries

    present = groups(recording)
    sources = [one for one in describe_behaviours(recording)
               if one.per == "bin" and one.kind == "continuous"]  # fmt: skip
    if not sources:
        return
    module = file.create_processing_module(name="behavior", description="behaviour")
    for one in sources:
        group, _, field = one.source.partition(".")
        module.add(
            TimeSeries(
                name=one.name,
                data=np.asarray(column(present[group], field)),
                timestamps=np.asarray(column(present[group], "timestamps"), dtype=np.float64),
                unit="unknown",
            )
        )


def _plain(values: np.ndarray) -> Any:
    """Text as a list: hdmf stores no numpy text."""
    return values.tolist() if values.dtype.kind == "U" else values
