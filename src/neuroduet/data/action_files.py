"""The files that action segmentation reads and writes: recordings (.h5) and plain arrays (.npz).

An .npz file holds ``features`` or ``pose``, and optionally ``labels`` (integers per frame, -1
unlabelled), ``names`` (of the classes) and ``timestamps`` (s).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from neuroduet.atomic import replacing
from neuroduet.data.actions import read_frames, read_labels, write_actions
from neuroduet.data.boundary import read_npz, reading
from neuroduet.data.recording import load
from neuroduet.data.schema import check, recording_id
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

RECORDING, ARRAYS, ANSWER = ".h5", ".npz", ".actions.npz"
_KNOWN_ARRAYS = ("features", "pose", "labels", "names", "timestamps")


@dataclass(frozen=True, kw_only=True, eq=False)
class ActionRecording:
    """One recording as action segmentation reads it.

    Attributes:
        name: Session id, or the name of the file.
        path: Where it was read.
        frames: Features ``(T, D)`` or pose ``(T, [animals,] keypoints, 2 or 3)``.
        timestamps: Time of every frame (s), ``None`` if unknown.
        labels: Class of every frame in the recording's own coding, ``UNLABELLED`` where nobody
            said; ``None`` if there are no labels.
        classes: Names of the classes of ``labels``; empty if they have none.
    """

    name: str
    path: Path
    frames: Float[np.ndarray, "T *S"]
    timestamps: Float[np.ndarray, " T"] | None = None
    labels: Int[np.ndarray, " T"] | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a model says of one recording.

    Attributes:
        classes: Class of every frame.
        probabilities: Probability of every class in every frame.
        names: Names of the classes.
    """

    classes: Int[np.ndarray, " T"]
    probabilities: Float[np.ndarray, "T K"]
    names: tuple[str, ...]


def open_action_recordings(path: Path | str, source: str | None = None) -> list[ActionRecording]:
    """Read everything that actions can be segmented in.

    Args:
        path: A recording (.h5), a file of arrays (.npz), or a folder of them. Files that
            :func:`write_answer` wrote are left out.
        source: ``group.field`` of a time series of the recordings; pose, or features, if not
            given. It does not concern files of arrays.

    Returns:
        Recordings in the order of their files' names.

    Raises:
        UserError: There is none, one cannot be used, or two have the same name.
    """
    files = _find_files(Path(path))
    found = [_read(file, source) for file in files]
    names = [one.name for one in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(
            f"two files of {path} are both recording '{sorted(twice)[0]}'; keep one of them"
        )
    return found


def common_labels(
    recordings: Sequence[ActionRecording], classes: Sequence[str] | None = None
) -> tuple[list[Int[np.ndarray, " _"]], tuple[str, ...]]:
    """The labels of several recordings in one coding.

    Args:
        recordings: Recordings, with labels or without.
        classes: Names of the classes of a trained model; those of the recordings, in the order
            in which they appear, if not given.

    Returns:
        Labels of every recording (``UNLABELLED`` everywhere where it has none), and the names of
        the classes: their numbers if they have none.

    Raises:
        UserError: Some labelled recordings name their classes and others do not, or a class is
            not among ``classes``.
    """
    labelled = [one for one in recordings if one.labels is not None]
    named = [one for one in labelled if one.classes]
    if named and len(named) < len(labelled):
        bare = next(one.name for one in labelled if not one.classes)
        raise UserError(
            f"the labels of recording '{named[0].name}' have names and those of '{bare}' have "
            "none; add the table label_classes (or the array names) to every recording"
        )
    known = tuple(classes) if classes is not None else _all_classes(labelled)
    return [_recoded(one, known) for one in recordings], known


def write_answer(recording: ActionRecording, answer: Answer, out: Path | None) -> list[Path]:
    """Write what a model says of one recording.

    Args:
        recording: The recording.
        answer: What the model says.
        out: Folder, which must exist, for ``<name>.actions.npz`` and ``<name>.actions.csv``. If
            not given, the answer goes into the recording itself, or beside a file of arrays.

    Returns:
        The files that were written.

    Raises:
        UserError: A file cannot be written.
    """
    if out is None and recording.path.suffix == RECORDING and recording.timestamps is not None:
        write_actions(
            recording.path,
            answer.classes,
            answer.probabilities,
            answer.names,
            recording.timestamps,
        )
        return [recording.path]
    stem = (out or recording.path.parent) / recording.name
    arrays, table = Path(f"{stem}{ANSWER}"), Path(f"{stem}.actions.csv")
    times = np.empty(0) if recording.timestamps is None else recording.timestamps
    with replacing(arrays) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            classes=answer.classes,
            probabilities=answer.probabilities.astype(np.float32),
            names=np.array(answer.names),
            timestamps=times,
        )
    with replacing(table) as temporary:
        answer_table(recording, answer).to_csv(temporary, index=False, float_format="%.4f")
    return [arrays, table]


def answer_table(recording: ActionRecording, answer: Answer) -> pd.DataFrame:
    """Frame, time (s), action and the probability of every class, one row per frame."""
    table = pd.DataFrame({"frame": np.arange(len(answer.classes))})
    if recording.timestamps is not None:
        table["time_s"] = recording.timestamps
    table["action"] = np.array([*answer.names, ""])[answer.classes]
    for column, name in enumerate(answer.names):
        table[f"p({name})"] = answer.probabilities[:, column]
    return table


def _find_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"nothing at {path}; give a recording (.h5, .npz) or a folder of them")
    found = [
        file
        for file in sorted(path.iterdir())
        if file.suffix in (RECORDING, ARRAYS)
        and not file.name.startswith(".")
        and not file.name.endswith(ANSWER)
    ]
    if not found:
        raise UserError(f"no recordings (.h5, .npz) in {path}; give a folder that holds some")
    return found


def _read(path: Path, source: str | None) -> ActionRecording:
    with reading(path):
        return _read_arrays(path) if path.suffix == ARRAYS else _read_recording(path, source)


def _read_recording(path: Path, source: str | None) -> ActionRecording:
    with load(path) as recording:
        check(recording)
        frames, timestamps = read_frames(recording, source)
        found = read_labels(recording, timestamps)
        labels, classes = (None, ()) if found is None else found
        return ActionRecording(
            name=recording_id(recording),
            path=path,
            frames=frames,
            timestamps=timestamps,
            labels=labels,
            classes=classes,
        )


def _read_arrays(path: Path) -> ActionRecording:
    arrays = read_npz(path, _KNOWN_ARRAYS)
    present = [name for name in ("features", "pose") if name in arrays]
    if len(present) != 1:
        raise UserError(
            f"{path} holds {' and '.join(present) or 'neither features nor pose'}, expected one "
            "of the arrays features (frames, features) and pose (frames, keypoints, 2 or 3)"
        )
    frames = arrays[present[0]]
    rank = (2,) if present == ["features"] else (3, 4)
    if frames.dtype.kind not in "iufb" or frames.ndim not in rank:
        raise UserError(
            f"{present[0]} of {path} has shape {frames.shape} of type {frames.dtype}, expected "
            "numbers of shape (frames, features), or (frames, [animals,] keypoints, 2 or 3)"
        )
    for name in ("labels", "timestamps"):
        if name in arrays and arrays[name].shape != (len(frames),):
            raise UserError(
                f"{name} of {path} has shape {arrays[name].shape}, expected ({len(frames)},), "
                "one value per frame"
            )
    labels, times = arrays.get("labels"), arrays.get("timestamps")
    classes = tuple(str(name) for name in arrays.get("names", np.empty(0, np.str_)))
    return ActionRecording(
        name=path.stem,
        path=path,
        frames=frames.astype(np.float64),
        timestamps=None if times is None else times.astype(np.float64),
        labels=None if labels is None else _whole(labels, classes, path),
        classes=classes,
    )


def _whole(labels: np.ndarray, classes: tuple[str, ...], path: Path) -> Int[np.ndarray, " T"]:
    whole = labels.dtype.kind in "iub" or (
        labels.dtype.kind == "f" and bool((labels == np.round(labels)).all())
    )
    if not whole or labels.min(initial=0) < UNLABELLED:
        raise UserError(
            f"labels of {path} are not integers from {UNLABELLED} on; count classes from 0, and "
            f"{UNLABELLED} is unlabelled"
        )
    if classes and labels.max(initial=0) >= len(classes):
        raise UserError(
            f"labels of {path} go up to {int(labels.max())}, but {len(classes)} classes are named "
            "(counted from 0); name them all"
        )
    return labels.astype(np.int64)


def _all_classes(labelled: Sequence[ActionRecording]) -> tuple[str, ...]:
    if any(one.classes for one in labelled):
        return tuple(dict.fromkeys(name for one in labelled for name in one.classes))
    highest = max((int(_labels(one).max(initial=-1)) for one in labelled), default=-1)
    return tuple(str(number) for number in range(highest + 1))


def _labels(one: ActionRecording) -> Int[np.ndarray, " T"]:
    return np.full(len(one.frames), UNLABELLED) if one.labels is None else one.labels


def _recoded(one: ActionRecording, known: tuple[str, ...]) -> Int[np.ndarray, " T"]:
    labels = _labels(one)
    present = [int(number) for number in np.unique(labels[labels != UNLABELLED])]
    names = one.classes or known
    missing = [n for n in present if n >= len(names) or names[n] not in known]
    if missing:
        said = names[missing[0]] if missing[0] < len(names) else str(missing[0])
        raise UserError(
            f"recording '{one.name}' has frames of the class '{said}', which is not one of "
            f"{', '.join(known)}; leave them unlabelled ({UNLABELLED}) or rename the class"
        )
    code = np.array(
        [known.index(name) if name in known else UNLABELLED for name in names] + [UNLABELLED]
    )
    return code[labels]
