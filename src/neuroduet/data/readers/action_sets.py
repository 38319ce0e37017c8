"""The four data sets of the study of action segmentation, as their authors store them.

Blau, Schaffer et al., A study of animal action segmentation algorithms across supervised,
unsupervised, and semi-supervised learning paradigms (arXiv 2407.16727).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch_brain.data import Data

from neuroduet.data.boundary import reading
from neuroduet.data.readers import open_field
from neuroduet.data.readers.frame_recording import frame_recording, frame_times
from neuroduet.data.readers.hugadb import (
    CLASSES,
    RATE_HZ,
    find_participants,
    read_participant,
    study_classes,
)
from neuroduet.data.readers.label_track import LabelReport, LabelTrack, finished
from neuroduet.data.readers.labels import load_labels
from neuroduet.data.readers.pose import PoseTracks, load_pose
from neuroduet.data.readers.text_tables import (
    cells,
    numbers_of,
    read_lines,
    require_frames_in_order,
    separator_of,
)
from neuroduet.errors import UserError, unknown

_OBSERVED = ("markers", "features")
_LABELLED = ("labels-hand", "labels")
_ENDING = re.compile(r"_(labeled|labels|features|markers)$")


@dataclass(frozen=True, kw_only=True)
class ActionSet:
    """A named data set.

    Attributes:
        classes: Names of the classes.
        rate_hz: Frames per second.
        train: Recordings that the study trains on.
        test: Recordings that it scores.
        sessions: All recordings in a folder.
        read: One of them.
    """

    classes: tuple[str, ...]
    rate_hz: float
    train: tuple[str, ...]
    test: tuple[str, ...]
    sessions: Callable[[Path], list[str]]
    read: Callable[[Path, str], Data]


def read_action_set(name: str, folder: Path | str, session: str) -> Data:
    """Read a recording of a named data set.

    Args:
        name: Key of :data:`ACTION_SETS`.
        folder: Where its files are.
        session: Name of the recording.

    Returns:
        A checked recording, with labels where the folder holds some.

    Raises:
        UserError: The set or the recording is unknown, or a file is damaged.
    """
    if name not in ACTION_SETS:
        raise unknown("action data set", name, ACTION_SETS)
    known = ACTION_SETS[name].sessions(Path(folder))
    if session not in known:
        raise unknown(f"recording of {folder}", session, known)
    with reading(f"{folder}, recording '{session}'"):
        return ACTION_SETS[name].read(Path(folder), session)


def _paired_sessions(folder: Path) -> list[str]:
    """Recordings of which a folder of observations holds a file."""
    return sorted(_files(folder, _OBSERVED))


def _files(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Files by recording, in the first of some folders that exists."""
    found = next((folder / name for name in names if (folder / name).is_dir()), None)
    if found is None:
        raise UserError(
            f"{folder} has no folder {' or '.join(names)}; give the folder of the data set"
        )
    kept = [path for path in sorted(found.iterdir()) if path.suffix in (".csv", ".h5")]
    if not kept:
        raise UserError(f"no files (.csv, .h5) in {found}; give the folder of the data set")
    return {_ENDING.sub("", path.stem): path for path in kept}


def _read_paired(name: str, folder: Path, session: str) -> Data:
    """Markers or features, and one-hot labels of the same name where there are some."""
    own = ACTION_SETS[name]
    observed = _files(folder, _OBSERVED)[session]
    pose, features = _observations(observed)
    n_frames = len(pose.xy) if pose is not None else len(features if features is not None else ())
    labelled = any((folder / one).is_dir() for one in _LABELLED)
    found = _files(folder, _LABELLED).get(session) if labelled else None
    labels = None
    if found is not None:
        labels = load_labels(found, n_frames, own.rate_hz, own.classes)
    return frame_recording(
        session_id=session,
        timestamps=frame_times(n_frames, own.rate_hz),
        pose=pose,
        features=features,
        labels=labels,
    )


def _observations(path: Path) -> tuple[PoseTracks | None, Float[np.ndarray, "T D"] | None]:
    """Pose where a file holds some, otherwise a table of features."""
    if path.suffix == ".h5" or read_lines(path)[0].lower().startswith("scorer"):
        return load_pose(path), None
    lines = read_lines(path)
    header = cells(lines[0], separator_of(lines[0]))
    values = numbers_of(path, lines, 1, len(header), separator_of(lines[0]))
    if header[0].lower() in ("", "frame", "index"):
        require_frames_in_order(path, values[:, 0])
        values = values[:, 1:]
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
        raise UserError(f"{path}, line {row + 2}: a feature is missing; fill it or leave it out")
    return None, values


def _read_gait(folder: Path, participant: str) -> Data:
    gait = read_participant(folder, participant)
    report = LabelReport(
        format="HuGaDB", frames=len(gait.activities), labelled=0, counts={}, bouts={},
        notes=gait.notes,
    )  # fmt: skip
    track = LabelTrack(
        classes=study_classes(gait.activities), names=CLASSES, report=report, rate_hz=RATE_HZ
    )
    return frame_recording(
        session_id=f"hugadb_{participant}",
        timestamps=frame_times(len(gait.activities), RATE_HZ),
        features=gait.sensors,
        labels=finished(folder, track),
        subject_id=participant,
    )


ACTION_SETS: dict[str, ActionSet] = {
    "fly": ActionSet(
        classes=("still", "walk", "front_groom", "back_groom", "abdomen-move"),
        rate_hz=70.0,
        train=(
            "2019_08_07_fly2", "2019_08_08_fly1", "2019_08_20_fly2", "2019_10_10_fly3",
            "2019_10_14_fly3",
        ),
        test=(
            "2019_06_26_fly2", "2019_08_14_fly1", "2019_08_20_fly3", "2019_10_14_fly2",
            "2019_10_21_fly1",
        ),
        sessions=_paired_sessions,
        read=lambda folder, session: _read_paired("fly", folder, session),
    ),
    "ibl": ActionSet(
        classes=("still", "move", "wheel_turn", "groom"),
        rate_hz=60.0,
        train=(
            "danlab_DY_009_2020-02-27-001", "danlab_DY_018_2020-10-15-001",
            "hoferlab_SWC_061_2020-11-23-001", "mrsicflogellab_SWC_058_2020-12-11-001",
            "wittenlab_ibl_witten_26_2021-01-27-002",
        ),
        test=(
            "churchlandlab_CSHL045_2020-02-27-001", "cortexlab_KS020_2020-02-06-001",
            "hoferlab_SWC_043_2020-09-15-001", "mrsicflogellab_SWC_052_2020-10-22-001",
            "wittenlab_ibl_witten_27_2021-01-21-001",
        ),
        sessions=_paired_sessions,
        read=lambda folder, session: _read_paired("ibl", folder, session),
    ),
    "oft": ActionSet(
        classes=open_field.CLASSES,
        rate_hz=open_field.RATE_HZ,
        train=tuple(f"OFT_{n}" for n in (5, 6, 11, 12, 14, 15, 16, 23, 24, 38)),
        test=tuple(f"OFT_{n}" for n in (39, 41, 43, 44, 49, 50, 51, 52, 54, 58)),
        sessions=open_field.sessions,
        read=open_field.read,
    ),
    "hugadb": ActionSet(
        classes=CLASSES,
        rate_hz=RATE_HZ,
        train=("05", "07", "09", "12", "14"),
        test=("06", "08", "11", "13", "17"),
        sessions=lambda folder: list(find_participants(folder)),
        read=_read_gait,
    ),
}  # fmt: skip
"""The data sets by name. The rates of fly and IBL videos are those of the laboratories."""
