"""What the cameras of an IBL session saw: motion energy, pose, pupil, states of the paws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from torch_brain.data import ArrayDict, IrregularTimeSeries

from neuroduet.data.readers.alf_files import (
    AlfFile,
    find_file,
    read_table,
    read_times,
    read_vector,
)
from neuroduet.data.readers.reader import Camera
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

if TYPE_CHECKING:
    import pandas as pd

CAMERAS: tuple[Camera, ...] = ("left", "right", "body")
TRACKERS = ("lightningPose", "dlc")
"""Attributes that hold pose, the preferred first."""

PAW_STATES = ("background", "still", "move", "wheel_turn", "groom")
"""States that IBL publishes for every paw; the first one means that none was recognised."""

PAWS = ("paw_r", "paw_l")
"""Paws of which states are published; the first one becomes the labels of the recording."""

MIN_PUPIL_SNR = 5.0
"""A pupil trace with a lower signal-to-noise ratio is dropped (IBL's own loader does so too)."""


def find_seen(
    files: Sequence[AlfFile], attribute: str, camera: Camera
) -> tuple[Camera, Path] | None:
    """The file of one attribute: of the camera asked for, otherwise of the first that has it."""
    for one in dict.fromkeys((camera, *CAMERAS)):
        path = find_file(files, f"{one}Camera", attribute)
        if path is not None:
            return one, path
    return None


def find_pose(files: Sequence[AlfFile], camera: Camera) -> tuple[Camera, Path] | None:
    """The pose file to read: of the camera asked for, Lightning Pose before DeepLabCut."""
    for one in dict.fromkeys((camera, *CAMERAS)):
        for tracker in TRACKERS:
            path = find_file(files, f"{one}Camera", tracker)
            if path is not None:
                return one, path
    return None


def frame_times(
    files: Sequence[AlfFile], camera: Camera, frames: int, source: Path
) -> Float[np.ndarray, " T"]:
    """When the frames of a camera were taken (s).

    Args:
        files: Files of the session.
        camera: Camera.
        frames: Number of frames there are values for.
        source: Their file, for errors.

    Returns:
        A time per frame; of surplus times the last are kept, as IBL does.

    Raises:
        UserError: There are no times, or fewer than frames.
    """
    path = find_file(files, f"{camera}Camera", "times")
    if path is None:
        raise UserError(
            f"{source} has no _ibl_{camera}Camera.times.npy beside it, expected a time per frame; "
            "download it as well"
        )
    times = read_times(path)
    if len(times) < frames:
        raise UserError(
            f"{path} has {len(times):,} times but {source.name} has {frames:,} frames, expected a "
            "time for every frame; download both again"
        )
    return times[len(times) - frames :]


def read_motion_energy(files: Sequence[AlfFile], camera: Camera) -> IrregularTimeSeries | None:
    """``whisker_motion_energy`` of the whisker pad, in the units of the file.

    Raises:
        UserError: The file is damaged, or has no times.
    """
    found = find_seen(files, "ROIMotionEnergy", camera)
    if found is None:
        return None
    one, path = found
    energy = read_vector(path)
    if (energy < 0).any():
        row = np.flatnonzero(energy < 0)[0]
        raise UserError(
            f"{path} is negative in row {row}, expected motion energy from 0 on (z-scored?); "
            "download the original"
        )
    times = frame_times(files, one, len(energy), path)
    return IrregularTimeSeries(timestamps=times, whisker_motion_energy=energy.astype(np.float32))


def read_pose(files: Sequence[AlfFile], camera: Camera, likelihood: float) -> dict[str, ArrayDict]:
    """Groups ``pose`` (``xy``, ``likelihood``) and ``keypoints`` of one camera.

    Args:
        files: Files of the session.
        camera: Camera to prefer.
        likelihood: Points less likely than this become NaN.

    Raises:
        UserError: The table is damaged, or has no keypoints.
    """
    found = find_pose(files, camera)
    if found is None:
        return {}
    one, path = found
    table = read_table(path)
    names = [str(column)[:-2] for column in table.columns if str(column).endswith("_x")]
    absent = [
        f"{name}_{part}"
        for name in names
        for part in ("y", "likelihood")
        if f"{name}_{part}" not in table.columns
    ]
    if not names or absent:
        lacks = ", ".join(absent[:3]) or "any column <keypoint>_x"
        raise UserError(
            f"{path} lacks {lacks}, expected x, y and likelihood of every keypoint; download it "
            "again"
        )
    columns = [_numbers(table, [f"{name}_{part}" for name in names], path)
               for part in ("x", "y", "likelihood")]  # fmt: skip
    sure = columns[2]
    if ((sure < 0) | (sure > 1)).any():
        raise UserError(
            f"{path} holds a likelihood of {np.nanmax(sure):g}, expected 0 to 1; export it again"
        )
    xy = np.where((sure >= likelihood)[..., None], np.stack(columns[:2], axis=-1), np.nan)
    times = frame_times(files, one, len(table), path)
    return {
        "pose": IrregularTimeSeries(
            timestamps=times, xy=xy.astype(np.float32), likelihood=sure.astype(np.float32)
        ),
        "keypoints": ArrayDict(name=np.array(names, dtype=np.str_)),
    }


def _numbers(table: pd.DataFrame, names: Sequence[str], path: Path) -> Float[np.ndarray, "T C"]:
    wrong = [name for name in names if table[name].dtype.kind not in "iuf"]
    if wrong:
        raise UserError(
            f"{path} holds {table[wrong[0]].dtype} in {wrong[0]}, expected numbers; export it "
            "again"
        )
    return table[list(names)].to_numpy(dtype=np.float64)


def pupil_snr(raw: Float[np.ndarray, " T"], smooth: Float[np.ndarray, " T"]) -> float:
    """Variance of the smoothed diameter over that of what smoothing removed (IBL's measure)."""
    good = np.isfinite(raw) & np.isfinite(smooth)
    noise = float(np.var(smooth[good] - raw[good])) if good.any() else 0.0
    signal = float(np.var(smooth[good])) if good.any() else 0.0
    return signal / noise if noise > 0 else (np.inf if signal > 0 else 0.0)


def read_pupil(
    files: Sequence[AlfFile], camera: Camera
) -> tuple[IrregularTimeSeries | None, tuple[str, ...]]:
    """The smoothed ``pupil_diameter`` (pixels), unless it is too noisy; and why it was dropped.

    Raises:
        UserError: The table is damaged, or has no pupil.
    """
    found = find_seen(files, "features", camera)
    if found is None:
        return None, ()
    one, path = found
    table = read_table(path)
    names = ["pupilDiameter_raw", "pupilDiameter_smooth"]
    absent = [name for name in names if name not in table.columns]
    if absent:
        raise UserError(f"{path} lacks {', '.join(absent)}, expected both; download it again")
    raw, smooth = _numbers(table, names, path).T
    snr = pupil_snr(raw, smooth)
    if not snr >= MIN_PUPIL_SNR:
        return None, (f"pupil (signal-to-noise ratio {snr:.1f}, below {MIN_PUPIL_SNR:g})",)
    times = frame_times(files, one, len(table), path)
    return IrregularTimeSeries(timestamps=times, pupil_diameter=smooth.astype(np.float32)), ()


def read_paw_states(files: Sequence[AlfFile], camera: Camera) -> dict[str, ArrayDict]:
    """The published states of the paws.

    Args:
        files: Files of the session.
        camera: Camera to prefer; on either one ``paw_r`` is the paw nearer to it.

    Returns:
        ``labels`` of ``paw_r`` (background is unlabelled) with ``label_classes``, and
        ``paw_states`` with the classes of both paws.

    Raises:
        UserError: The table is damaged, or lacks a state.
    """
    found = find_seen(files, "pawstates", camera)
    if found is None:
        return {}
    one, path = found
    table = read_table(path)
    states = {}
    for paw in PAWS:
        names = [f"{paw}_{state}" for state in PAW_STATES]
        absent = [name for name in names if name not in table.columns]
        if absent:
            raise UserError(
                f"{path} lacks {', '.join(absent)}, expected a probability of every state; "
                "download it again"
            )
        states[paw] = _most_likely(_numbers(table, names, path), path)
    times = frame_times(files, one, len(table), path)
    return {
        "labels": IrregularTimeSeries(timestamps=times, classes=states[PAWS[0]]),
        "label_classes": ArrayDict(name=np.array(PAW_STATES[1:], dtype=np.str_)),
        "paw_states": IrregularTimeSeries(timestamps=times, **states),
    }


def _most_likely(probabilities: Float[np.ndarray, "T K"], path: Path) -> np.ndarray:
    """Class of every frame, background first in the table and unlabelled in the result."""
    known = np.isfinite(probabilities).all(axis=1)
    if ((probabilities < 0) | (probabilities > 1 + 1e-6)).any():
        raise UserError(
            f"{path} holds {np.nanmax(np.abs(probabilities)):g}, expected probabilities from 0 to "
            "1; download it again"
        )
    filled = np.where(known[:, None], probabilities, 0.0)
    return np.where(known, filled.argmax(axis=1) - 1, UNLABELLED).astype(np.int32)
