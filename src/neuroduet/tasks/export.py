"""Predictions and unit embeddings of a run as plain files for other programs."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import zipfile
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from neuroduet.errors import UserError
from neuroduet.plain import LONGEST_NAME
from neuroduet.tasks import TASKS
from neuroduet.tasks.collect import Collected, collect
from neuroduet.tasks.known import as_predictor, open_known_sessions
from neuroduet.tasks.regions import RegionReadout
from neuroduet.tasks.stitch import OVERLAP, Continuous, bin_splits, bin_validity, cover, stitch
from neuroduet.tasks.task import SessionData
from neuroduet.training.files import write_bytes
from neuroduet.training.runs import load_run
from neuroduet.training.threads import using_threads
from neuroduet.types import NEURAL, Predictor, SessionInfo

log = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
EXPORTED = ("encoding", "decoding")
"""Tasks whose predictions are written."""

CHUNK = 64


def predict_run(
    run: Path | str,
    data: Path | str,
    out: Path | str,
    continuous: bool = False,
    overlap: float = OVERLAP,
    report: Callable[[int, int, float], None] = lambda done, total, value: None,
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
        run: Run folder.
        data: A recording, or a folder of recordings; those the run does not know are skipped.
        out: Folder to write.
        continuous: Predict whole recordings.
        overlap: Share of a window that it has in common with the next one, then.
        report: Told how many recordings are predicted, of how many, and NaN.

    Returns:
        The files, in the order of the sessions' ids.

    Raises:
        UserError: The run or the data cannot be read, no recording is of a session of the run, or
            the overlap is not in ``[0, 1)``.
    """
    model = load_run(run)
    written: list[Path] = []
    sessions = open_known_sessions(model, data)
    for session in sessions:
        log.debug("predicting session '%s' of %s", session.info.id, session.path)
        taken = {path.stem.lower() for path in written}
        path = Path(out) / f"{new_file_name(session.info.id, taken)}.npz"
        predictor = as_predictor(model, [session])
        with using_threads(model.config.training.threads):
            if continuous:
                found = recording_predictions(predictor, session, overlap)
            else:
                found = session_predictions(predictor, session)
        write_bytes(path, npz_bytes(found))
        written.append(path)
        report(len(written), len(sessions), float("nan"))
    return written


def embed_run(run: Path | str, out: Path | str) -> pd.DataFrame:
    """Write the learned embedding of every unit.

    Args:
        run: Run folder.
        out: ``.csv`` or ``.parquet`` file with the columns session, unit, region, e0, e1 ...

    Returns:
        The table.

    Raises:
        UserError: The file's suffix is neither, or the run cannot be read.
    """
    out = Path(out)
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
    """Predictions for all windows of one session that are in a split; see :func:`predict_run`."""
    info, table = session.info, session.windows
    indices = np.sort(np.concatenate([session.indices(split) for split in SPLITS]))
    chunks = [indices[start : start + CHUNK] for start in range(0, len(indices), CHUNK)]
    batches = [session.batch(chunk) for chunk in chunks]
    found: dict[str, np.ndarray] = {
        "start_s": np.asarray(table.start_s)[indices],
        "split": np.asarray(table.split)[indices].astype(str),
        "trial": np.asarray(table.trial)[indices],
        "valid": _valid([batch.valid for batch in batches]),
        "units": np.asarray(info.units, dtype=str),
        "bin_size_s": np.asarray(info.bin_size_s, dtype=np.float64),
    }
    for name in EXPORTED:
        task = TASKS[name]
        if isinstance(task, RegionReadout):
            continue
        for variant in task.variants(info):
            for modality, answer in collect(model, batches, task, [variant]).items():
                found |= _named(name, modality, answer, info) | _truth(modality, answer, info)
    return found


def recording_predictions(
    model: Predictor, session: Continuous, overlap: float = OVERLAP
) -> dict[str, np.ndarray]:
    """Predictions for every bin of one recording; see :func:`predict_run`."""
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
    for name in EXPORTED:
        task = TASKS[name]
        if isinstance(task, RegionReadout):
            continue
        for variant in task.variants(info):
            for modality, answer in stitch(model, session, task, variant, laid).items():
                named = _named(name, modality, answer, info) | _truth(modality, answer, info)
                # The recording is one window; only classes have no axis of windows.
                found |= {k: x if k.startswith("classes/") else x[0] for k, x in named.items()}
    return found


RESERVED = {"CON", "PRN", "AUX", "NUL"} | {f"{d}{n}" for d in ("COM", "LPT") for n in range(10)}
"""Names that no file can have under Windows."""


def file_name(session_id: str) -> str:
    """A file name (without suffix) for a session: no separators, and no two alike.

    Args:
        session_id: Any text.

    Returns:
        The id itself where it is safe; else with unsafe characters replaced and a hash appended.

    Example:
        >>> file_name("mouse_1.day-2"), file_name("../a")
        ('mouse_1.day-2', '_a-61b4c98b')
    """
    clean = re.sub(r"[^A-Za-z0-9._-]+", "_", session_id).lstrip(".")[:LONGEST_NAME].rstrip(".")
    if clean.split(".")[0].upper() in RESERVED:
        clean = f"_{clean}"
    if clean == session_id and clean:
        return clean
    return f"{clean}-{hashlib.sha256(session_id.encode()).hexdigest()[:8]}"


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
    """Content of an ``.npz`` file; unlike ``np.savez`` it refuses to pickle objects."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in arrays.items():
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


def _valid(parts: Sequence[torch.Tensor]) -> np.ndarray:
    """Validity of all windows; batches shorter than the longest are padded with false."""
    bins = max((part.shape[1] for part in parts), default=0)
    padded = [torch.nn.functional.pad(part, (0, bins - part.shape[1])) for part in parts]
    return torch.cat(padded).numpy() if padded else np.zeros((0, 0), dtype=bool)
