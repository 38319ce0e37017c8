"""Pose in NWB files: the extension ndx-pose, read as plain HDF5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from neuroduet.data.readers.hdf5_files import dataset, numbers_in, opened, text_of
from neuroduet.data.readers.pose_tracks import PoseTracks, checked_tracks
from neuroduet.errors import UserError, unknown

_Times = tuple[float | None, Float[np.ndarray, " T"] | None]


def pose_containers(file: h5py.File) -> dict[str, h5py.Group]:
    """The groups of type ``PoseEstimation`` in an NWB file, by name."""
    found: dict[str, h5py.Group] = {}

    def look(name: str, node: object) -> None:
        if isinstance(node, h5py.Group) and _kind(node) == "PoseEstimation":
            found[name.rsplit("/", 1)[-1]] = node

    file.visititems(look)
    return found


def read_ndx_pose(path: Path, containers: Sequence[str] = ()) -> PoseTracks:
    """Read the pose that an NWB file holds.

    Args:
        path: NWB file with one or several ``PoseEstimation`` groups.
        containers: Names of the groups to read; several are several animals of one video. The
            only one there is, if not given.

    Returns:
        The tracks, with the time of every frame; coordinates times the file's ``conversion``.

    Raises:
        UserError: There is no pose, several groups and none was named, or one is damaged.
    """
    with opened(path) as file:
        found = pose_containers(file)
        if not found:
            raise UserError(f"{path} holds no PoseEstimation of ndx-pose; give another file")
        for name in containers:
            if name not in found:
                raise unknown(f"PoseEstimation of {path}", name, found)
        if not containers and len(found) > 1:
            raise UserError(
                f"{path} holds the poses {', '.join(found)}; name one, or all animals of a video"
            )
        names = tuple(containers) or tuple(found)
        parts = [_read_container(path, found[name]) for name in names]
    first = parts[0]
    for name, part in zip(names, parts, strict=True):
        if part[0] != first[0] or part[1].shape != first[1].shape:
            raise UserError(
                f"{path}: '{name}' and '{names[0]}' differ in keypoints or frames; name poses of "
                "one video, or one of them"
            )
    rate_hz, timestamps = first[2]
    return checked_tracks(
        path,
        format=f"ndx-pose in NWB ({', '.join(names)})",
        xy=np.stack([part[1][..., :2] for part in parts], axis=1),
        likelihood=np.stack([part[1][..., 2] for part in parts], axis=1),
        keypoints=first[0],
        animals=names if len(names) > 1 else (),
        rate_hz=rate_hz,
        timestamps=timestamps,
    )


def _read_container(
    path: Path, group: h5py.Group
) -> tuple[tuple[str, ...], Float[np.ndarray, "T K 3"], _Times]:
    """Keypoints, their x, y and confidence, and when."""
    series = {
        name: node
        for name, node in group.items()
        if isinstance(node, h5py.Group) and _kind(node) == "PoseEstimationSeries"
    }
    if not series:
        raise UserError(
            f"{path}: {group.name} holds no PoseEstimationSeries; export the file again"
        )
    points = {name: _read_series(path, node) for name, node in series.items()}
    lengths = {name: len(xyc) for name, xyc in points.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UserError(
            f"{path}: the series of {group.name} differ in length ({said} frames), expected one "
            "value per frame in each; export the file again"
        )
    times = [_times(path, node, lengths[name]) for name, node in series.items()]
    rate_hz, timestamps = times[0]
    for name, (rate, moments) in zip(series, times, strict=True):
        same = moments is timestamps or (
            moments is not None and timestamps is not None and np.array_equal(moments, timestamps)
        )
        if rate != rate_hz or not same:
            raise UserError(
                f"{path}: the series '{name}' of {group.name} has other times than the first; "
                "export keypoints of one camera into one PoseEstimation"
            )
    return tuple(points), np.stack(list(points.values()), axis=1), times[0]


def _read_series(path: Path, series: h5py.Group) -> Float[np.ndarray, "T 3"]:
    source = dataset(path, series, "data")
    xy = numbers_in(path, source, 2).astype(np.float64)
    if xy.shape[1] != 2:
        raise UserError(
            f"{path}: {source.name} has {xy.shape[1]} coordinates, expected x and y; project the "
            "pose onto a plane first"
        )
    xy = xy * float(source.attrs.get("conversion", 1.0)) + float(source.attrs.get("offset", 0.0))
    confidence = np.full(len(xy), np.nan)
    if "confidence" in series:
        confidence = numbers_in(path, dataset(path, series, "confidence"), 1).astype(np.float64)
    if len(confidence) != len(xy):
        raise UserError(
            f"{path}: {series.name}/confidence has {len(confidence)} values for {len(xy)} frames; "
            "export the file again"
        )
    return np.concatenate([xy, confidence[:, None]], axis=1)


def _times(path: Path, series: h5py.Group, n_frames: int) -> _Times:
    """The rate (Hz) and the time of every frame (s) of a series."""
    if "timestamps" in series:
        moments = numbers_in(path, dataset(path, series, "timestamps"), 1).astype(np.float64)
        if len(moments) != n_frames:
            raise UserError(
                f"{path}: {series.name}/timestamps has {len(moments)} values for {n_frames} "
                "frames; export the file again"
            )
        return None, moments
    if "starting_time" not in series:
        raise UserError(
            f"{path}: {series.name} has neither timestamps nor starting_time; export it again"
        )
    start = dataset(path, series, "starting_time")
    rate_hz = float(start.attrs.get("rate", np.nan))
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise UserError(
            f"{path}: the rate of {series.name} is {rate_hz} Hz, expected frames per second; "
            "correct the file"
        )
    return rate_hz, float(start[()]) + np.arange(n_frames) / rate_hz


def _kind(group: h5py.Group) -> str:
    return text_of(group.attrs.get("neurodata_type", ""))
