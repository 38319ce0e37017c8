"""Files of pose as DeepLabCut and SLEAP write them."""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from neuroduet.atomic import replacing
from neuroduet.data.readers.pose_tracks import PoseTracks

_COORDS = ("x", "y", "likelihood")


def write_dlc_csv(path: Path, tracks: PoseTracks, scorer: str = "neuroduet") -> None:
    """Write the csv of DeepLabCut: three header rows, or four for several animals.

    Args:
        path: File to write.
        tracks: The pose; every number is written so that it is read back exactly.
        scorer: Word of the first header row; Lightning Pose writes ``heatmap_tracker``.
    """
    header, values = _grid(tracks, scorer)
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(header)
        for frame, row in enumerate(values):
            writer.writerow([frame, *("" if np.isnan(one) else repr(float(one)) for one in row)])


def write_dlc_hdf(path: Path, tracks: PoseTracks, scorer: str = "neuroduet") -> None:
    """Write the HDF5 file of DeepLabCut, in the layout ``fixed`` of pandas.

    Args:
        path: File to write.
        tracks: The pose.
        scorer: Word of the first header row.
    """
    header, values = _grid(tracks, scorer)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs.update(
            {"pandas_type": "frame", "pandas_version": "0.15.2", "encoding": "UTF-8",
             "errors": "strict", "ndim": 2, "nblocks": 1, "axis1_variety": "regular"}
        )  # fmt: skip
        for key in ("axis0", "block0_items"):
            _write_header(group, key, header)
        group["axis1"] = np.arange(len(values))
        group["axis1"].attrs.update({"kind": "integer", "name": "N."})
        group["block0_values"] = values
        group["block0_values"].attrs["transposed"] = True


def write_sleap(path: Path, tracks: PoseTracks) -> None:
    """Write the analysis file of SLEAP.

    Args:
        path: File to write.
        tracks: The pose.
    """
    xy, scores = _with_animals(tracks)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file["tracks"] = xy.transpose(1, 3, 2, 0)
        file["point_scores"] = scores.transpose(1, 2, 0)
        file["track_occupancy"] = np.isfinite(xy).any((2, 3)).astype(np.uint8)
        file["node_names"] = np.array([name.encode() for name in tracks.keypoints])
        names = [name.encode() for name in tracks.animals]
        file.create_dataset("track_names", data=np.array(names, dtype="S64"))


def _with_animals(
    tracks: PoseTracks,
) -> tuple[Float[np.ndarray, "T A K 2"], Float[np.ndarray, "T A K"]]:
    if tracks.xy.ndim == 3:
        return tracks.xy[:, None], tracks.likelihood[:, None]
    return tracks.xy, tracks.likelihood


def _grid(tracks: PoseTracks, scorer: str) -> tuple[list[list[str]], Float[np.ndarray, "T C"]]:
    """Header rows, and x, y and likelihood of every keypoint of every animal."""
    xy, likelihood = _with_animals(tracks)
    values = np.concatenate([xy, likelihood[..., None]], axis=-1).reshape(len(xy), -1)
    animals = tracks.animals or ("",)
    columns = list(product((scorer,), animals, tracks.keypoints, _COORDS))
    rows = dict(
        zip(("scorer", "individuals", "bodyparts", "coords"), zip(*columns, strict=True),
            strict=True)
    )  # fmt: skip
    if len(animals) == 1:
        del rows["individuals"]
    return [[name, *words] for name, words in rows.items()], values


def _write_header(group: h5py.Group, key: str, header: list[list[str]]) -> None:
    group.attrs[f"{key}_variety"] = "multi"
    group.attrs[f"{key}_nlevels"] = len(header)
    for level, (name, *words) in enumerate(header):
        known, codes = np.unique(words, return_inverse=True)
        group[f"{key}_level{level}"] = np.array([word.encode() for word in known])
        group[f"{key}_level{level}"].attrs.update({"kind": "string", "name": name})
        group[f"{key}_label{level}"] = codes.astype(np.int16)
