"""DeepLabCut and Lightning Pose: csv with three or four header rows, and the same as HDF5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from neuroduet.data.readers.pandas_hdf import read_pandas_hdf
from neuroduet.data.readers.pose_tracks import PoseTracks, checked_tracks
from neuroduet.data.readers.text_tables import (
    cells,
    numbers_of,
    read_lines,
    require_frames_in_order,
)
from neuroduet.errors import UserError

_ROWS = ("scorer", "individuals", "bodyparts", "coords")
_USED = ("x", "y", "likelihood")


def read_dlc_csv(path: Path) -> PoseTracks:
    """Read the csv of DeepLabCut (one animal or several) or of Lightning Pose.

    Args:
        path: File whose header rows start with ``scorer``, ``individuals`` (several animals),
            ``bodyparts`` and ``coords``.

    Returns:
        The tracks. Coordinates other than x, y and likelihood are left aside and named in the
        notes.

    Raises:
        UserError: The file does not look like that, or is damaged.
    """
    lines = read_lines(path)
    header: dict[str, list[str]] = {}
    for line in lines[: len(_ROWS)]:
        first, *words = cells(line, ",")
        if first.lower() not in _ROWS:
            break
        header[first.lower()] = words
    missing = [row for row in ("scorer", "bodyparts", "coords") if row not in header]
    if missing:
        raise UserError(
            f"{path}: found no header row '{missing[0]}', expected the rows scorer, "
            "(individuals,) bodyparts and coords of DeepLabCut; export the file again"
        )
    if len({len(words) for words in header.values()}) != 1:
        raise UserError(
            f"{path}: the header rows differ in length; the file is damaged, export it again"
        )
    _require_video(path, lines, len(header))
    width = 1 + len(header["coords"])
    table = numbers_of(path, lines, len(header), width)
    stacked = zip(*header.values(), strict=True)
    columns = [dict(zip(header, column, strict=True)) for column in stacked]
    return _tracks(path, columns, table[:, 0], table[:, 1:])


def read_dlc_hdf(path: Path) -> PoseTracks:
    """Read the HDF5 file of DeepLabCut; nothing in it is unpickled.

    Args:
        path: File that DeepLabCut (through pandas) wrote, as ``table`` or as ``fixed``.

    Returns:
        The tracks, as :func:`read_dlc_csv` gives them.

    Raises:
        UserError: The file does not look like that, or is damaged.
    """
    table = read_pandas_hdf(path)
    depths = {len(column) for column in table.columns}
    rows = {3: ("scorer", "bodyparts", "coords"), 4: _ROWS}.get(depths.pop() if depths else 0)
    if rows is None or depths:
        raise UserError(
            f"{path}: the columns have {len(table.columns[0]) if table.columns else 0} header "
            "rows, expected scorer, (individuals,) bodyparts and coords; export it as csv"
        )
    columns = [dict(zip(rows, column, strict=True)) for column in table.columns]
    return _tracks(path, columns, table.index, table.values)


def _require_video(path: Path, lines: Sequence[str], first: int) -> None:
    """Labels of single images look the same but for the first column, which names images."""
    word = lines[first].split(",")[0] if len(lines) > first else "0"
    if word.lower().endswith((".png", ".jpg", ".jpeg")) or word.startswith("labeled-data"):
        raise UserError(
            f"{path} holds labels of single images ({word}), expected the pose in every frame of "
            "a video; give the file that the tracker wrote for the video"
        )


def _tracks(
    path: Path,
    columns: Sequence[dict[str, str]],
    frames: Float[np.ndarray, " T"],
    values: Float[np.ndarray, "T C"],
) -> PoseTracks:
    require_frames_in_order(path, frames)
    scorers = list(dict.fromkeys(column["scorer"] for column in columns if column["bodyparts"]))
    lightning = any("heatmap" in scorer for scorer in scorers)
    places: dict[tuple[str, str, str], int] = {}
    for index, column in enumerate(columns):
        key = (column.get("individuals", ""), column["bodyparts"], column["coords"].lower())
        if key in places and key[2] in _USED:
            raise UserError(
                f"{path}: found two columns {' '.join(word for word in key if word)}, expected "
                "one; keep one scorer and one column of each coordinate"
            )
        places.setdefault(key, index)
    animals, keypoints = _layout(path, places)
    grid = _gather(path, places, animals, keypoints, values)
    extra = sorted({key[2] for key in places if key[2] not in _USED and key[1]})
    notes = [f"left aside the columns {', '.join(extra)}"] if extra else []
    single = sorted({key[1] for key in places if key[0] == "single"} - set(keypoints))
    if single:
        notes.append(f"left aside the points of no animal: {', '.join(single)}")
    several = "of several animals" if len(animals) > 1 else "of one animal"
    kind = "HDF5" if path.suffix.lower() in (".h5", ".hdf5", ".hdf") else "csv"
    return checked_tracks(
        path,
        format=f"{'Lightning Pose' if lightning else 'DeepLabCut'} {kind} {several}",
        xy=grid[..., :2],
        likelihood=None if np.isnan(grid[..., 2]).all() else grid[..., 2],
        keypoints=keypoints,
        animals=[name for name in animals if name],
        notes=notes,
    )


def _layout(
    path: Path, places: dict[tuple[str, str, str], int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Animals and their keypoints; points that belong to no animal are left out."""
    pairs = [(animal, point) for animal, point, coord in places if coord == "x"]
    animals = list(dict.fromkeys(animal for animal, _ in pairs))
    if len(animals) > 1 and "single" in animals:
        animals.remove("single")
    points = {name: [p for animal, p in pairs if animal == name] for name in animals}
    if not animals:
        raise UserError(f"{path}: found no column x under coords; export the file again")
    first = points[animals[0]]
    for name in animals:
        if sorted(points[name]) != sorted(first):
            raise UserError(
                f"{path}: '{name}' has the keypoints {', '.join(points[name])}, but "
                f"'{animals[0]}' has {', '.join(first)}; export the same for every animal"
            )
    return tuple(animals), tuple(first)


def _gather(
    path: Path,
    places: dict[tuple[str, str, str], int],
    animals: Sequence[str],
    keypoints: Sequence[str],
    values: Float[np.ndarray, "T C"],
) -> Float[np.ndarray, "T A K 3"]:
    """x, y and likelihood of every keypoint; NaN where there is no likelihood."""
    grid = np.full((len(values), len(animals), len(keypoints), 3), np.nan)
    for a, animal in enumerate(animals):
        for k, keypoint in enumerate(keypoints):
            for c, coord in enumerate(_USED):
                place = places.get((animal, keypoint, coord))
                if place is not None:
                    grid[:, a, k, c] = values[:, place]
                elif coord == "y":
                    raise UserError(
                        f"{path}: keypoint '{keypoint}' has a column x and no column y; export "
                        "the file again"
                    )
    return grid
