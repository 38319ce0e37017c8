"""HuGaDB: inertial sensors on both legs of walking people, with an activity per sample.

Chereshnev and Kertesz-Farkas, HuGaDB: Human Gait Database (2017). The steps from its files to one
recording per participant are those of the study of action segmentation (arXiv 2407.16727).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from neuroduet.data.readers.label_track import FrameLabels
from neuroduet.data.readers.text_tables import cells, numbers_of, read_lines
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

RATE_HZ = 2_111_962 / 35_903
"""Samples of the whole database, by its seconds."""

ACTIVITIES = (
    "walking", "running", "going_up", "going_down", "sitting", "sitting_down", "standing_up",
    "standing", "bicycling", "elevator_up", "elevator_down", "sitting_in_car",
)  # fmt: skip
"""Names of the activities 1 to 12."""

CLASSES = ACTIVITIES[:8]
"""Activities that the study keeps."""

PADDING_ROWS = 100
"""Rows of zeros, unlabelled, that part the files of a participant."""

SKIPPED_FIRST_FILES = {"10": 5, "11": 4, "12": 1, "16": 2}
"""How many of a participant's first files the study leaves out."""

_ELEVATOR = (10, 11)
_SENSORS = tuple(
    f"{kind}_{side}{place}_{axis}"
    for side in "rl"
    for place in "fst"
    for kind in ("acc", "gyro")
    for axis in "xyz"
)
_COLUMNS = (*_SENSORS, "EMG_r", "EMG_l", "act")
_NAME = re.compile(r"HuGaDB_v2_various_(\d+)_(\d+)\.txt")
_LARGEST = 32767
"""Value at which the 16-bit sensors are clipped."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Gait:
    """What the sensors measured.

    Attributes:
        sensors: Accelerometers and gyroscopes of right and left foot, shin and thigh, as stored
            (16-bit integers); the EMG is left out.
        activities: Activity of every sample, 1 to 12; 0 in rows that part files.
        notes: Files left out, and columns that are clipped.
    """

    sensors: Float[np.ndarray, "T 36"]
    activities: Int[np.ndarray, " T"]
    notes: tuple[str, ...] = ()


def is_hugadb(lines: Sequence[str]) -> bool:
    """Whether lines of text are the start of a HuGaDB file."""
    header = [line for line in lines[:10] if not line.startswith("#")]
    return bool(header) and header[0].split("\t")[0] == _SENSORS[0]


def read_hugadb_file(path: Path) -> Gait:
    """Read one file.

    Args:
        path: Text: comment lines, a header of 39 columns separated by tabs, a row per sample.

    Raises:
        UserError: The file does not look like that, or is damaged.
    """
    lines = read_lines(path)
    first = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines) - 1)
    header = tuple(cells(lines[first], "\t"))
    if header != _COLUMNS:
        wrong = sorted(set(_COLUMNS) - set(header))
        said = f"lacks {wrong[0]}" if wrong else "is in another order"
        raise UserError(
            f"{path}, line {first + 1}: the header {said}, expected the 39 columns of HuGaDB; "
            "fetch the file again"
        )
    values = numbers_of(path, lines, first + 1, len(_COLUMNS), "\t")
    odd = ~np.isfinite(values) | (values != np.round(values))
    if odd.any():
        row, place = np.argwhere(odd)[0]
        raise UserError(
            f"{path}, line {first + 2 + row}, column {header[place]}: found "
            f"{values[row, place]:g}, expected a whole number; fetch the file again"
        )
    activities = values[:, -1].astype(np.int64)
    outside = np.flatnonzero((activities < 1) | (activities > len(ACTIVITIES)))
    if len(outside):
        raise UserError(
            f"{path}, line {first + 2 + outside[0]}, column act: found {activities[outside[0]]}, "
            f"expected an activity from 1 to {len(ACTIVITIES)}; fetch the file again"
        )
    sensors = values[:, : len(_SENSORS)]
    return Gait(sensors=sensors, activities=activities, notes=_clipped(path, sensors))


def read_hugadb_labels(path: Path) -> FrameLabels:
    """The activity of every sample of one file.

    Args:
        path: See :func:`read_hugadb_file`.

    Raises:
        UserError: See :func:`read_hugadb_file`.
    """
    gait = read_hugadb_file(path)
    rare = np.unique(gait.activities[gait.activities > len(CLASSES)])
    names = (*CLASSES, *(ACTIVITIES[number - 1] for number in rare))
    code = np.full(len(ACTIVITIES) + 1, UNLABELLED)
    code[[ACTIVITIES.index(name) + 1 for name in names]] = np.arange(len(names))
    return FrameLabels(
        format="HuGaDB", classes=code[gait.activities], names=names, notes=gait.notes
    )


def find_participants(folder: Path) -> dict[str, list[Path]]:
    """The files of every participant, in the order of their names.

    Args:
        folder: Folder of ``HuGaDB_v2_various_PP_NN.txt``.

    Raises:
        UserError: There are none.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the folder of the HuGaDB text files")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        name = _NAME.fullmatch(path.name)
        if name:
            found.setdefault(name[1], []).append(path)
    if not found:
        raise UserError(
            f"no HuGaDB_v2_various_PP_NN.txt in {folder}; give the folder of HuGaDB (version 2)"
        )
    return found


def read_participant(folder: Path, participant: str) -> Gait:
    """All that was recorded of one participant, as the study joins it.

    The first files of some participants are left out, then every file with an elevator; the others
    follow each other in the order of their names, and 100 rows of zeros follow each but the first.

    Args:
        folder: Folder of HuGaDB.
        participant: Two digits, e.g. ``05``.

    Raises:
        UserError: There is no such participant, no file remains, or one is damaged.
    """
    files = find_participants(folder)
    if participant not in files:
        raise UserError(
            f"{folder} holds no files of participant '{participant}', but of "
            f"{', '.join(files)}; choose one of them"
        )
    skipped = SKIPPED_FIRST_FILES.get(participant, 0)
    notes = [f"left out {path.name}, as the study does" for path in files[participant][:skipped]]
    sensors: list[np.ndarray] = []
    activities: list[np.ndarray] = []
    for path in files[participant][skipped:]:
        gait = read_hugadb_file(path)
        notes += gait.notes
        if np.isin(gait.activities, _ELEVATOR).any():
            notes.append(f"left out {path.name}: it holds an elevator")
            continue
        padding = PADDING_ROWS if sensors else 0
        sensors.append(np.pad(gait.sensors, ((0, padding), (0, 0))))
        activities.append(np.pad(gait.activities, (0, padding)))
    if not sensors:
        raise UserError(
            f"no file of participant '{participant}' in {folder} remains; choose another one"
        )
    return Gait(
        sensors=np.concatenate(sensors),
        activities=np.concatenate(activities),
        notes=tuple(notes),
    )


def study_classes(activities: Int[np.ndarray, " T"]) -> Int[np.ndarray, " T"]:
    """The study's classes (0 to 7) of activities; others and padding are unlabelled.

    Args:
        activities: 1 to 12, 0 in padding.
    """
    return np.where((activities >= 1) & (activities <= len(CLASSES)), activities - 1, UNLABELLED)


def _clipped(path: Path, sensors: Float[np.ndarray, "T 36"]) -> tuple[str, ...]:
    """A note on gyroscopes at the end of their range: some files of the database are corrupt."""
    bad = [
        name
        for name, column in zip(_SENSORS, sensors.T, strict=True)
        if name.startswith("gyro") and (np.abs(column) >= _LARGEST).any()
    ]
    return (f"{path.name}: clipped values in {', '.join(bad)}",) if bad else ()
