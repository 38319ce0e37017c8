"""SLEAP: the analysis file (HDF5)."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from neuroduet.data.readers.hdf5_files import dataset, numbers_in, opened, text_of, words_in
from neuroduet.data.readers.pose_tracks import PoseTracks, checked_tracks
from neuroduet.errors import UserError

AXES = ("track", "xy", "node", "frame")
"""Order in which SLEAP stores ``tracks``, unless the attribute ``dims`` says otherwise."""

HIGHEST_SCORE = 2.0
"""Peaks of confidence maps lie between 0 and 1, but interpolation may lift them above it."""


def read_sleap(path: Path) -> PoseTracks:
    """Read an analysis file of SLEAP.

    Args:
        path: HDF5 file with ``tracks`` (tracks, 2, nodes, frames), ``node_names`` and, usually,
            ``point_scores`` (tracks, nodes, frames) and ``track_names``.

    Returns:
        The tracks; every track of the file is an animal.

    Raises:
        UserError: The file does not look like that, or is damaged.
    """
    with opened(path) as file:
        tracks = dataset(path, file, "tracks")
        nodes = words_in(path, dataset(path, file, "node_names"))
        xy = _ordered(path, tracks, AXES, ("frame", "track", "node", "xy"))
        if xy.shape[2:] != (len(nodes), 2):
            raise UserError(
                f"{path}: tracks has shape {tracks.shape}, expected (tracks, 2, {len(nodes)} "
                "nodes, frames) as node_names says; export the analysis file again"
            )
        names = words_in(path, file["track_names"]) if _has_words(file, "track_names") else ()
        if names and len(names) != xy.shape[1]:
            raise UserError(
                f"{path}: track_names holds {len(names)} names, but tracks has {xy.shape[1]}; "
                "export the analysis file again"
            )
        scores = None
        if "point_scores" in file:
            scores = _ordered(
                path,
                dataset(path, file, "point_scores"),
                tuple(axis for axis in AXES if axis != "xy"),
                ("frame", "track", "node"),
            )
            if scores.shape != xy.shape[:3]:
                raise UserError(
                    f"{path}: point_scores has shape {file['point_scores'].shape}, expected one "
                    f"score for each point of tracks {tracks.shape}; export the file again"
                )
    return checked_tracks(
        path,
        format=f"SLEAP analysis file of {xy.shape[1]} track{'s' * (xy.shape[1] > 1)}",
        xy=xy,
        likelihood=scores,
        keypoints=nodes,
        animals=names or _numbered(xy.shape[1]),
        highest=HIGHEST_SCORE,
    )


def _numbered(n_tracks: int) -> tuple[str, ...]:
    """Names for several tracks that have none."""
    return tuple(f"track_{number}" for number in range(n_tracks)) if n_tracks > 1 else ()


def _has_words(file: h5py.File, name: str) -> bool:
    return isinstance(file.get(name), h5py.Dataset) and bool(file[name].size)


def _ordered(
    path: Path, source: h5py.Dataset, usual: tuple[str, ...], wanted: tuple[str, ...]
) -> np.ndarray:
    """A dataset with its axes in the wanted order."""
    values = numbers_in(path, source, len(usual)).astype(np.float64)
    said = source.attrs.get("dims")
    try:
        axes = usual if said is None else tuple(json.loads(text_of(said)))
    except json.JSONDecodeError:
        axes = ()
    if sorted(axes) != sorted(usual):
        raise UserError(
            f"{path}: the attribute dims of {source.name} is {said!r}, expected the names "
            f"{', '.join(usual)} in some order; export the analysis file again"
        )
    return values.transpose([axes.index(axis) for axis in wanted])
