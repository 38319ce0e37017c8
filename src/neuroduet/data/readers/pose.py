"""Pose files of every tracker, through one function that says what it saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py

from neuroduet.data.boundary import reading
from neuroduet.data.readers.hdf5_files import opened
from neuroduet.data.readers.pandas_hdf import pandas_groups
from neuroduet.data.readers.pose_dlc import read_dlc_csv, read_dlc_hdf
from neuroduet.data.readers.pose_ndx import pose_containers, read_ndx_pose
from neuroduet.data.readers.pose_sleap import read_sleap
from neuroduet.data.readers.pose_tracks import PoseTracks, checked_tracks, missing_fractions
from neuroduet.errors import UserError

__all__ = [
    "POSE_FORMATS",
    "PoseTracks",
    "checked_tracks",
    "load_pose",
    "missing_fractions",
    "pose_format",
]

POSE_FORMATS: dict[str, Callable[[Path], PoseTracks]] = {
    "dlc-csv": read_dlc_csv,
    "dlc-h5": read_dlc_hdf,
    "sleap": read_sleap,
    "ndx-pose": read_ndx_pose,
}
"""Readers of pose files; Lightning Pose writes the csv of DeepLabCut."""

_KNOWN = (
    "DeepLabCut (csv, h5), Lightning Pose (csv), SLEAP (analysis h5) and ndx-pose (NWB) are known"
)


def load_pose(path: Path | str, containers: Sequence[str] = ()) -> PoseTracks:
    """Read the pose of animals in a video; the format is recognised by what the file holds.

    Args:
        path: File of DeepLabCut (csv, HDF5; one animal or several), Lightning Pose (csv), SLEAP
            (analysis HDF5) or NWB (ndx-pose).
        containers: Which ``PoseEstimation`` groups of an NWB file to read, where it has several;
            several are several animals.

    Returns:
        The tracks; ``format`` and ``notes`` say what was seen.

    Raises:
        UserError: The format is not known, or the file is damaged.
    """
    path = Path(path)
    with reading(path):
        name = pose_format(path)
        if name == "ndx-pose":
            return read_ndx_pose(path, containers)
        return POSE_FORMATS[name](path)


def pose_format(path: Path | str) -> str:
    """The key in :data:`POSE_FORMATS` of a file, recognised by what it holds.

    Args:
        path: File.

    Raises:
        UserError: It is missing, or none of them.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path")
    if h5py.is_hdf5(path):
        with opened(path) as file:
            return _hdf_format(path, file)
    with path.open("rb") as text:
        start = text.read(4096).removeprefix(b"\xef\xbb\xbf")
    if not start.strip():
        raise UserError(f"{path} is empty; export it again")
    if start.split(b",", 1)[0].strip().lower() == b"scorer":
        return "dlc-csv"
    raise UserError(f"{path} is no pose file that can be read: {_KNOWN}; export it as one of them")


def _hdf_format(path: Path, file: h5py.File) -> str:
    if "tracks" in file and "node_names" in file:
        return "sleap"
    if pandas_groups(file):
        return "dlc-h5"
    if pose_containers(file):
        return "ndx-pose"
    held = ", ".join(sorted(file)) or "nothing"
    raise UserError(
        f"{path} is an HDF5 file that holds {held}, and no pose that can be read: {_KNOWN}; "
        "export it as one of them"
    )
