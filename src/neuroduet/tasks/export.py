"""Predictions and unit embeddings of a run as plain files for other programs."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from neuroduet.data.session import Session
from neuroduet.errors import UserError
from neuroduet.plain import file_name
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.collect import Collected, collect, stacked
from neuroduet.tasks.encoding import Encoding
from neuroduet.tasks.known import as_predictor, open_known_sessions
from neuroduet.tasks.stitch import OVERLAP, Continuous, bin_splits, bin_validity, cover, stitch
from neuroduet.tasks.task import SessionData, batches_of
from neuroduet.terminal import Count, counted
from neuroduet.training.files import write_bytes
from neuroduet.training.given import as_names, path_of
from neuroduet.training.runs import load_run
from neuroduet.training.threads import using_threads
from neuroduet.training.trained import Ensemble, TrainedModel
from neuroduet.types import NEURAL, Predictor, SessionInfo

log = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
EXPORTED = (Encoding(), Decoding())
"""Tasks whose predictions are written."""


def write_predictions(
    run: Path | str | TrainedModel | Ensemble,
    data: Path | str,
    out: Path | str,
    sessions: Sequence[str] | str | None = None,
    continuous: bool = False,
    overlap: float = OVERLAP,
    report: Count | None = None,
    verbose: bool = False,
) -> list[Path]:
    """Write what a run predicts for every window of every split, or for whole recordings.

    One ``<session>.npz`` per session (no pickled objects) with ``start_s``, ``split``, ``trial``
    ``(W,)``, ``valid`` ``(W, T)``, ``units`` ``(N,)``, ``bin_size_s``, ``encoding/log_rates``
    ``(W, T, N)`` (natural log of the expected count per bin; ``encoding/traces`` for traces) and
    per behaviour ``decoding/<name>``: expected values in the user's units, or class probabilities
    with ``classes/<name>`` beside them. What really happened stands beside it: ``true/counts``
    (or ``true/traces``), ``true/<name>`` and ``observed/<name>``. Windows of the training split
    are among them.

    With ``continuous`` all arrays run along the bins of the recording instead, ``(T, ...)``, each
    bin once (:mod:`neuroduet.tasks.stitch`): ``time_s`` is the centre of each bin, ``interval``
    the recorded interval it belongs to, ``split`` the split of the window it lies in (empty
    between windows), ``valid`` whether activity was recorded. There is no ``start_s`` and no
    ``trial``, and behaviours with one value per trial are left out.

    Args:
        run: Run folder, or what was opened of it.
        data: A recording, or a folder of recordings.
        out: Folder to write.
        sessions: Session ids, or one id; ``None`` takes every recording of a session that the run
            knows.
        continuous: Predict whole recordings.
        overlap: Share of a window that it has in common with the next one, then.
        report: Told how many recordings are predicted, of how many, and NaN.
        verbose: Show how far it is on standard error, unless ``report`` is told instead.

    Returns:
        The files, in the order of the sessions' ids.

    Raises:
        UserError: The run or the data cannot be read, no recording is of a session of the run, or
            the overlap is not in ``[0, 1)``.
    """
    out, names = path_of(out, "out"), as_names(sessions)
    model = run if isinstance(run, TrainedModel | Ensemble) else load_run(run)
    opened = open_known_sessions(model, path_of(data, "data"), names)
    written: list[Path] = []
    with counted("recordings", report, verbose) as told:
        for session, found in zip(
            opened, predict_sessions(model, opened, continuous, overlap), strict=True
        ):
            taken = {path.stem.lower() for path in written}
            path = out / f"{new_file_name(session.info.id, taken)}.npz"
            write_bytes(path, npz_bytes(found))
            written.append(path)
            told(len(written), len(opened), float("nan"))
    return written


def predict_sessions(
    model: TrainedModel | Ensemble,
    sessions: Sequence[Session],
    continuous: bool = False,
    overlap: float = OVERLAP,
) -> Iterator[dict[str, np.ndarray]]:
    """The arrays that :func:`write_predictions` writes, session by session.

    Args:
        model: A run opened for prediction.
        sessions: Sessions that it knows.
        continuous: See :func:`write_predictions`.
        overlap: The same.

    Yields:
        Arrays of one session by name.
    """
    for session in sessions:
        log.debug("predicting session '%s' of %s", session.info.id, session.path)
        predictor = as_predictor(model, [session])
        with using_threads(model.config.training.threads):
            if continuous:
                yield recording_predictions(predictor, session, overlap)
            else:
                yield session_predictions(predictor, session)


def embed(run: Path | str, out: Path | str) -> pd.DataFrame:
    """Write the learned embedding of every unit.

    Args:
        run: Run folder.
        out: ``.csv`` or ``.parquet`` file with the columns session, unit, region, e0, e1 ...

    Returns:
        The table.

    Raises:
        UserError: The file's suffix is neither, or the run cannot be read.
    """
    out = path_of(out, "out")
    if out.suffix not in (".csv", ".parquet"):
        raise UserError(f"cannot write embeddings to '{out.name}'; end it in .csv or .parquet")
    model = load_run(run)
    table = embedding_table(model.embeddings(), model.sessions)
    buffer = io.BytesIO()
    if out.suffix == ".csv":
        table.to_csv(buffer, index=False)
    else:
        table.to_parquet(buffer, index=False)
    write_bytes(out, buffer.getvalue())
    return table


def embedding_table(
    embeddings: dict[str, np.ndarray], infos: Sequence[SessionInfo]
) -> pd.DataFrame:
    """One row per unit: session, unit, region (empty if unknown) and the embedding e0, e1 ..."""
    parts = []
    for info in sorted(infos, key=lambda info: info.id):
        values = embeddings[info.id]
        part = pd.DataFrame(values, columns=[f"e{i}" for i in range(values.shape[1])])
        part.insert(0, "session", info.id)
        part.insert(1, "unit", list(info.units))
        part.insert(2, "region", list(info.regions or ("",) * len(info.units)))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def session_predictions(model: Predictor, session: SessionData) -> dict[str, np.ndarray]:
    """Predictions for all windows of a session's splits; see :func:`write_predictions`."""
    info, table = session.info, session.windows
    indices = np.sort(np.concatenate([session.indices(split) for split in SPLITS]))
    batches = list(batches_of(session, indices))
    found: dict[str, np.ndarray] = {
        "start_s": np.asarray(table.start_s)[indices],
        "split": np.asarray(table.split)[indices].astype(str),
        "trial": np.asarray(table.trial)[indices],
        "valid": stacked([batch.valid for batch in batches]),
        "units": np.asarray(info.units, dtype=str),
        "bin_size_s": np.asarray(info.bin_size_s, dtype=np.float64),
    }
    for task in EXPORTED:
        for variant in task.variants(info):
            for modality, answer in collect(model, batches, task, [variant]).items():
                found |= _named(task.name, modality, answer, info) | _truth(modality, answer, info)
    return found


def recording_predictions(
    model: Predictor, session: Continuous, overlap: float = OVERLAP
) -> dict[str, np.ndarray]:
    """Predictions for every bin of one recording; see :func:`write_predictions`."""
    info = session.info
    laid = cover(session.recorded_s, info.bin_size_s, info.max_bins, overlap)
    found: dict[str, np.ndarray] = {
        "time_s": laid.bin_start_s + info.bin_size_s / 2,
        "interval": laid.interval,
        "split": bin_splits(session, laid),
        "valid": bin_validity(session, laid),
        "units": np.asarray(info.units, dtype=str),
        "bin_size_s": np.asarray(info.bin_size_s, dtype=np.float64),
    }
    for task in EXPORTED:
        for variant in task.variants(info):
            for modality, answer in stitch(model, session, task, variant, laid).items():
                named = _named(task.name, modality, answer, info) | _truth(modality, answer, info)
                # The recording is one window; only classes have no axis of windows.
                found |= {k: x if k.startswith("classes/") else x[0] for k, x in named.items()}
    return found


def new_file_name(session_id: str, taken: Container[str]) -> str:
    """As :func:`file_name`, for a file that must not replace that of another session.

    Args:
        session_id: Any text.
        taken: Names given already, in small letters: some file systems know no others.

    Raises:
        UserError: The name is taken.
    """
    name = file_name(session_id)
    if name.lower() in taken:
        raise UserError(
            f"session '{session_id}' would replace the file {name} of another one; write them "
            "into different folders, one by one"
        )
    return name


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """Content of an ``.npz`` file; unlike ``np.savez`` it refuses to pickle objects.

    Predicted activity is not packed: that saves a seventh of its size, and unpacking takes long.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in arrays.items():
            plain = name.startswith("encoding/") and values.dtype.kind == "f"
            archive.compression = zipfile.ZIP_STORED if plain else zipfile.ZIP_DEFLATED
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
    return buffer.getvalue()


def _named(
    task: str, modality: str, answer: Collected, info: SessionInfo
) -> dict[str, np.ndarray]:
    if modality == NEURAL:
        name = "log_rates" if info.is_poisson else "traces"
        return {f"{task}/{name}": answer.predicted}
    behaviour = next(b for b in info.behaviours if b.name == modality)
    if behaviour.kind == "continuous":
        return {f"{task}/{modality}": answer.predicted}
    probabilities = torch.as_tensor(answer.predicted).softmax(dim=-1).numpy()
    classes = np.asarray(behaviour.classes)
    return {f"{task}/{modality}": probabilities, f"classes/{modality}": classes}


def _truth(modality: str, answer: Collected, info: SessionInfo) -> dict[str, np.ndarray]:
    if modality == NEURAL:
        return {f"true/{'counts' if info.is_poisson else 'traces'}": answer.true}
    return {f"true/{modality}": answer.true, f"observed/{modality}": answer.scored}
