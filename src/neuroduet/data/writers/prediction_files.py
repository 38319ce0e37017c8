"""Predictions as NWB files, as ALF tables (like the published paw states), for pynapple."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neuroduet.atomic import replacing
from neuroduet.data.writers.nwb import new_nwb, save_nwb
from neuroduet.data.writers.predictions import PredictedSeries, PredictedSession, bouts_of
from neuroduet.errors import UserError


def write_prediction_nwb(predicted: PredictedSession, folder: Path, name: str) -> list[Path]:
    """One NWB file: a module ``neuroduet`` with a time series per prediction.

    Args:
        predicted: What to write.
        folder: Folder to write into.
        name: Name of the file, without its suffix.

    Returns:
        The file.

    Raises:
        UserError: pynwb is not installed.
    """
    file = new_nwb(predicted.session, predicted.subject)
    from pynwb import TimeSeries
    from pynwb.epoch import TimeIntervals

    module = file.create_processing_module(name="neuroduet", description="predictions")
    for one in predicted.series:
        module.add(
            TimeSeries(
                name=one.name,
                data=one.values.astype(np.float32),
                timestamps=one.times_s,
                unit=one.unit,
                description=f"predicted {one.kind}",
                comments=f"columns: {', '.join(one.columns)}",
            )
        )
        if one.kind == "classes":
            table = TimeIntervals(name=f"{one.name}_bouts", description="most likely class")
            table.add_column(name="label", description="name of the class")
            for bout in bouts_of(one):
                table.add_interval(start_time=bout.start_s, stop_time=bout.end_s, label=bout.name)
            module.add(table)
    if predicted.windows is not None:
        table = TimeIntervals(name="prediction_windows", description="windows and their splits")
        table.add_column(name="split", description="train, valid or test")
        for start, end, split in zip(*_windows(predicted), strict=True):
            table.add_interval(start_time=start, stop_time=end, split=str(split))
        module.add(table)
    folder.mkdir(parents=True, exist_ok=True)
    return [save_nwb(file, folder / f"{name}.nwb")]


def write_prediction_alf(predicted: PredictedSession, folder: Path, name: str) -> list[Path]:
    """A folder ``<name>/alf/neuroduet``: for every prediction its times, and a table.

    Classes become ``_neuroduet_<name>.states.pqt`` with a column of probabilities for each, as
    the published paw states; everything else ``_neuroduet_<name>.predictions.pqt``.

    Args:
        predicted: What to write.
        folder: Folder to write into.
        name: Name of the session's folder.

    Returns:
        The files.
    """
    import pandas as pd

    alf = folder / name / "alf" / "neuroduet"
    alf.mkdir(parents=True, exist_ok=True)
    written = []
    for one in predicted.series:
        attribute = "states" if one.kind == "classes" else "predictions"
        table = pd.DataFrame(one.values.astype(np.float32), columns=list(one.columns))
        written.append(_npy(alf / f"_neuroduet_{one.name}.times.npy", one.times_s))
        written.append(_parquet(alf / f"_neuroduet_{one.name}.{attribute}.pqt", table))
    if predicted.windows is not None:
        start, end, split = _windows(predicted)
        table = pd.DataFrame({"intervals_0": start, "intervals_1": end, "split": split})
        written.append(_parquet(alf / "_neuroduet_windows.table.pqt", table))
    return written


def write_prediction_pynapple(predicted: PredictedSession, folder: Path, name: str) -> list[Path]:
    """A folder ``<name>`` of files that ``pynapple.load_file`` opens.

    Every prediction is a ``TsdFrame``, the windows of each split an ``IntervalSet``.

    Args:
        predicted: What to write.
        folder: Folder to write into.
        name: Name of the session's folder.

    Returns:
        The files.
    """
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    written = []
    for one in predicted.series:
        start, end = _support(one)
        arrays = {
            "t": one.times_s,
            "d": one.values,
            "start": start,
            "end": end,
            "columns": np.array(one.columns, dtype=np.str_),
            "type": np.array(["TsdFrame"], dtype=np.str_),
        }
        written.append(_npz(own / f"{one.name}.npz", arrays))
    if predicted.windows is not None:
        start, end, split = _windows(predicted)
        for part in np.unique(split):
            mine = split == part
            arrays = {
                "start": start[mine],
                "end": end[mine],
                "type": np.array(["IntervalSet"], dtype=np.str_),
            }
            written.append(_npz(own / f"windows_{part}.npz", arrays))
    return written


def pynapple_objects(predicted: PredictedSession) -> dict[str, Any]:
    """The predictions as ``pynapple.TsdFrame``, by name.

    Raises:
        UserError: pynapple is not installed.
    """
    try:
        import pynapple
    except ImportError:
        raise UserError(
            "pynapple objects need pynapple; install it with: pip install 'neuroduet[pynapple]'"
        ) from None
    return {
        one.name: pynapple.TsdFrame(t=one.times_s, d=one.values, columns=list(one.columns))
        for one in predicted.series
    }


PREDICTION_WRITERS: dict[str, Callable[[PredictedSession, Path, str], list[Path]]] = {
    "nwb": write_prediction_nwb,
    "alf": write_prediction_alf,
    "pynapple": write_prediction_pynapple,
}
"""By the word of the command line."""


def _windows(predicted: PredictedSession) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    windows = predicted.windows or {}
    return windows["start"], windows["end"], windows["split"]


def _support(one: PredictedSeries) -> tuple[np.ndarray, np.ndarray]:
    return one.times_s[:1], one.times_s[-1:]


def _npy(path: Path, values: np.ndarray) -> Path:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    return path


def _npz(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
    return path


def _parquet(path: Path, table: Any) -> Path:
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)
    return path
