"""What a path holds that can be looked at: recordings, and what was predicted of them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neuroduet.data.action_files import ANSWER
from neuroduet.data.boundary import npz_names, read_npz, reading
from neuroduet.data.recording import find_recordings, load
from neuroduet.data.schema import recording_id
from neuroduet.errors import UserError, unknown
from neuroduet.plain import file_name
from neuroduet.view.recordings import States, span


@dataclass(frozen=True, kw_only=True)
class Source:
    """One recording to look at.

    Attributes:
        id: Session id.
        path: The recording.
        start_s: Its start (s).
        end_s: Its end (s).
        predictions: What a run predicted, if it did.
        answer: Actions that a model found, in a file of their own.
        scores: Scores by unit of the run.
    """

    id: str
    path: Path
    start_s: float
    end_s: float
    predictions: Path | None = None
    answer: Path | None = None
    scores: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Everything to look at.

    Attributes:
        recordings: By session id.
        first: The session to begin with.
        hint: What would show more; empty if nothing.
    """

    recordings: dict[str, Source]
    first: str
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class _Predicted:
    """Files of predictions and of actions by the name of their session's file."""

    predictions: dict[str, Path] = field(default_factory=dict)
    answers: dict[str, Path] = field(default_factory=dict)
    scores: Path | None = None


def find_sources(path: Path, data: Path | None, session: str | None) -> Sources:
    """Find out what a path holds.

    Args:
        path: Run folder, recording, folder of recordings, or what ``predict`` or
            ``actions predict`` wrote.
        data: Recordings of what was predicted.
        session: Session to begin with; the first that was predicted if not given.

    Raises:
        UserError: There is nothing, the recordings are missing, or there is no such session.
    """
    if not path.exists():
        raise UserError(f"nothing at {path}; give a run folder, a recording (.h5) or a folder")
    found = _predicted_in(path)
    is_run = path.is_dir() and (path / "config.yaml").is_file()
    predicted = found.predictions or found.answers
    if data is None and (is_run or (predicted and not _has_recordings(path))):
        raise UserError(
            f"{path} holds predictions but not what they were made of; add --data and the folder "
            "of recordings"
        )
    recordings = _recordings(data or path, found)
    if session is not None and session not in recordings:
        raise unknown("session", session, recordings)
    shown = [one.id for one in recordings.values() if one.predictions or one.answer]
    first = session or next(iter([*shown, *recordings]))
    hint = ""
    if is_run and not found.predictions:
        words = ["predict", path, "--data", data, "--out", path / "predictions"]
        hint = f"neuroduet {shlex.join(map(str, words))}"
    return Sources(recordings=recordings, first=first, hint=hint)


def read_answer(path: Path) -> States:
    """Actions in a file that ``actions predict`` wrote.

    Raises:
        UserError: It is damaged.
    """
    with reading(path):
        arrays = read_npz(path, ("classes", "probabilities", "names", "timestamps"))
        missing = {"classes", "probabilities", "names"} - arrays.keys()
        if missing:
            raise UserError(
                f"{path} holds no {' and no '.join(sorted(missing))}, expected a file of "
                "`neuroduet actions predict`; make it again"
            )
        times = arrays.get("timestamps", np.zeros(0)).astype(np.float64)
        names = tuple(str(name) for name in arrays["names"])
        n_frames = len(arrays["classes"])
        fits = arrays["probabilities"].shape == (n_frames, len(names))
        if not fits or len(times) not in (0, n_frames) or not (np.diff(times) >= 0).all():
            raise UserError(
                f"{path} holds classes, probabilities and timestamps that do not belong "
                "together; make it again with `neuroduet actions predict`"
            )
        return States(
            timestamps=times,
            classes=arrays["classes"].astype(np.int64),
            names=names,
            probabilities=arrays["probabilities"].astype(np.float32),
        )


def _predicted_in(path: Path) -> _Predicted:
    """Files beside ``config.yaml``, in a folder of predictions, or the file itself."""
    if path.is_file():
        files = [path] if path.suffix == ".npz" else []
    else:
        folder = path / "predictions" if (path / "config.yaml").is_file() else path
        files = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    answers = {one.name.removesuffix(ANSWER): one for one in files if one.name.endswith(ANSWER)}
    others = [one for one in files if not one.name.endswith(ANSWER)]
    scores = path / "scores_units.parquet"
    return _Predicted(
        predictions={one.stem: one for one in others if "bin_size_s" in npz_names(one)},
        answers=answers,
        scores=scores if scores.is_file() else None,
    )


def _recordings(path: Path, found: _Predicted) -> dict[str, Source]:
    recordings: dict[str, Source] = {}
    for file in find_recordings(path):
        one = _source(file, found)
        if one.id in recordings:
            raise UserError(
                f"{file} and {recordings[one.id].path} are both session '{one.id}'; keep one"
            )
        recordings[one.id] = one
    return recordings


def _has_recordings(path: Path) -> bool:
    return path.suffix == ".h5" if path.is_file() else any(path.glob("*.h5"))


def _source(path: Path, found: _Predicted) -> Source:
    with load(path) as recording, reading(path):
        session = recording_id(recording)
        if not session:
            raise UserError(f"{path} has no session.id; add session=SessionDescription(id=...)")
        start_s, end_s = span(recording)
    return Source(
        id=session,
        path=path,
        start_s=start_s,
        end_s=end_s,
        predictions=found.predictions.get(file_name(session)),
        answer=found.answers.get(session),
        scores=found.scores,
    )
