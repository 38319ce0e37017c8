"""What a run predicted, as datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, overload

import numpy as np
from torch_brain.data import Data

from neuroduet.conversions.windows import labelled
from neuroduet.conversions.xarray_datasets import SECONDS, Variables, require_xarray
from neuroduet.data.boundary import read_npz
from neuroduet.data.opened import OPEN_RECORDINGS
from neuroduet.data.recording import save
from neuroduet.errors import UserError, as_path
from neuroduet.tasks.export import predict_sessions, write_predictions
from neuroduet.tasks.known import open_known_sessions
from neuroduet.tasks.stitch import OVERLAP
from neuroduet.terminal import Count, counted
from neuroduet.training.given import as_names, path_of
from neuroduet.training.runs import load_run
from neuroduet.training.trained import Ensemble, TrainedModel

if TYPE_CHECKING:
    from xarray import Dataset

ACTIVITY = {"encoding/log_rates": "true/counts", "encoding/traces": "true/traces"}
"""Predicted activity, and the activity itself."""


def read_predictions(source: Path | str) -> dict[str, Dataset]:
    """Read what :func:`neuroduet.predict` wrote.

    Args:
        source: Run folder with ``predictions/``, or a folder of ``<session>.npz``.

    Returns:
        By session: ``predicted_log_rates`` (natural log of the expected count per bin) and
        ``true_counts``, or ``predicted_traces`` and ``true_traces``, ``(window, time, unit)``; and
        ``predicted_<name>`` and ``true_<name>`` of every behaviour. Of a categorical one, the
        predictions are probabilities along ``<name>_class``, and the truth is classes. Missing
        values, and bins that do not exist, are nan. Coordinates of windows are ``start``,
        ``split`` and ``trial``; predictions of whole recordings have no windows, and ``time``,
        ``split`` and ``interval`` of every bin.

    Raises:
        UserError: xarray is not installed, or the folder holds no readable predictions.
    """
    require_xarray()
    folder = as_path(source, "source")
    inner = folder / "predictions"
    files = sorted((inner if inner.is_dir() else folder).glob("*.npz"))
    if not files:
        raise UserError(
            f"found no predictions (*.npz) in {folder}, expected those of a run; write them with "
            "neuroduet.predict, or `neuroduet predict`"
        )
    return {path.stem: _read(path) for path in files}


@overload
def predict(
    run: Path | str | TrainedModel | Ensemble,
    data: Path | str | Data,
    out: None = None,
    sessions: Sequence[str] | str | None = None,
    continuous: bool = False,
    overlap: float = OVERLAP,
    report: Count | None = None,
    verbose: bool = False,
) -> dict[str, Dataset]: ...


@overload
def predict(
    run: Path | str | TrainedModel | Ensemble,
    data: Path | str | Data,
    out: Path | str,
    sessions: Sequence[str] | str | None = None,
    continuous: bool = False,
    overlap: float = OVERLAP,
    report: Count | None = None,
    verbose: bool = False,
) -> list[Path]: ...


def predict(
    run: Path | str | TrainedModel | Ensemble,
    data: Path | str | Data,
    out: Path | str | None = None,
    sessions: Sequence[str] | str | None = None,
    continuous: bool = False,
    overlap: float = OVERLAP,
    report: Count | None = None,
    verbose: bool = False,
) -> dict[str, Dataset] | list[Path]:
    """Predict the activity from behaviour, and behaviour from the activity.

    Every window of every split is predicted, those of the training split too, or whole recordings.

    Args:
        run: Run folder, or what :func:`neuroduet.load_run` opened.
        data: A recording, a folder of recordings, or a recording in memory.
        out: Folder to write to, as :func:`neuroduet.tasks.export.write_predictions` does; ``None``
            writes nothing.
        sessions: Session ids, or one id; ``None`` takes every recording of a session that the run
            knows.
        continuous: Predict whole recordings, every bin once.
        overlap: Share of a window that it has in common with the next one, then.
        report: Told how many recordings are predicted, of how many, and NaN.
        verbose: Show how far it is on standard error, unless ``report`` is told instead.

    Returns:
        The datasets that :func:`read_predictions` describes, by session; with ``out`` the files,
        in the order of the sessions' ids.

    Raises:
        UserError: xarray is not installed, the run or the data cannot be read, no recording is of
            a session of the run, or the overlap is not in ``[0, 1)``.
    """
    model = run if isinstance(run, TrainedModel | Ensemble) else load_run(run)
    with _on_disk(data) as path:
        if out is not None:
            given = (model, path, out, sessions, continuous, overlap, report, verbose)
            return write_predictions(*given)
        require_xarray()
        opened = open_known_sessions(model, path, as_names(sessions))
        found: dict[str, Dataset] = {}
        with counted("recordings", report, verbose) as told:
            for arrays in predict_sessions(model, opened, continuous, overlap):
                session = opened[len(found)].info.id
                found[session] = _dataset(session, arrays)
                told(len(found), len(opened), float("nan"))
        return found


@contextmanager
def _on_disk(data: Path | str | Data) -> Iterator[Path]:
    """A recording as a file, which windows are read from; one in memory is written for a while."""
    if not isinstance(data, Data):
        yield path_of(data, "data")
        return
    with TemporaryDirectory(prefix="neuroduet-", ignore_cleanup_errors=True) as folder:
        save(data, Path(folder) / "recording.h5")
        try:
            yield Path(folder)
        finally:
            OPEN_RECORDINGS.close()


def _read(path: Path) -> Dataset:
    arrays = read_npz(path)
    missing = [name for name in ("units", "valid", "split", "bin_size_s") if name not in arrays]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)}, expected predictions of neuroduet; write them "
            "again with neuroduet.predict"
        )
    return _dataset(path.stem, arrays)


def _dataset(session: str, arrays: dict[str, np.ndarray]) -> Dataset:
    import xarray

    width = float(arrays["bin_size_s"])
    attributes = {"session": session, "bin_size_s": width}
    leading = ("window", "time") if arrays["valid"].ndim == 2 else ("time",)
    coordinates: Variables = {"unit": ("unit", arrays["units"])}
    if leading == ("time",):
        coordinates["time"] = ("time", arrays["time_s"], SECONDS)
        coordinates["interval"] = ("time", arrays["interval"])
        coordinates["split"] = ("time", arrays["split"])
    else:
        centres = (np.arange(arrays["valid"].shape[1]) + 0.5) * width
        coordinates["time"] = ("time", centres, SECONDS)
        coordinates["start"] = ("window", arrays["start_s"], SECONDS)
        coordinates["split"] = ("window", arrays["split"])
        coordinates["trial"] = ("window", arrays["trial"])
    variables: Variables = {}
    for key, truth in ACTIVITY.items():
        if key in arrays:
            variables |= _activity(arrays, key, truth, leading)
    for key in arrays:
        task, _, name = key.partition("/")
        if task == "decoding":
            variables |= _behaviour(arrays, name, leading)
            if f"classes/{name}" in arrays:
                coordinates[f"{name}_class"] = (f"{name}_class", arrays[f"classes/{name}"])
    return xarray.Dataset(variables, coordinates, attributes)


def _activity(
    arrays: dict[str, np.ndarray], key: str, truth: str, leading: tuple[str, ...]
) -> Variables:
    dims, valid = (*leading, "unit"), arrays["valid"][..., None]
    predicted = f"predicted_{key.partition('/')[2]}"
    found: Variables = {predicted: (dims, np.where(valid, arrays[key], np.nan))}
    if truth in arrays:
        found[truth.replace("/", "_")] = (dims, np.where(valid, arrays[truth], np.nan))
    return found


def _behaviour(arrays: dict[str, np.ndarray], name: str, leading: tuple[str, ...]) -> Variables:
    values, classes = arrays[f"decoding/{name}"], arrays.get(f"classes/{name}")
    per_bin = values.ndim == len(leading) + 1
    dims = leading if per_bin else leading[:1]
    last = f"{name}_channel" if classes is None else f"{name}_class"
    if per_bin:
        values = np.where(arrays["valid"][..., None], values, np.nan)
    single = classes is None and values.shape[-1] == 1
    shape = dims if single else (*dims, last)
    found: Variables = {f"predicted_{name}": (shape, values[..., 0] if single else values)}
    if f"true/{name}" not in arrays:
        return found
    true, seen = arrays[f"true/{name}"], arrays[f"observed/{name}"]
    if classes is not None:
        found[f"true_{name}"] = (dims, labelled(true, classes, seen))
    else:
        true = np.where(seen[..., None], true, np.nan)
        found[f"true_{name}"] = (shape, true[..., 0] if single else true)
    return found
