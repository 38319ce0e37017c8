"""The pose of animals in a video, whichever program tracked it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from neuroduet.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseTracks:
    """What a tracker found in every frame of one video.

    Attributes:
        format: Which program's file it was, in words.
        xy: Places of the keypoints, ``(T, keypoints, 2)`` for one animal, ``(T, animals,
            keypoints, 2)`` for several, in the unit of the file (pixels unless the notes say
            otherwise); NaN where a point was not found.
        likelihood: How sure the tracker is of each, 0 to 1; 0 where a point was not found.
        keypoints: Names of the keypoints.
        animals: Names of the animals; empty if the file does not name them.
        rate_hz: Frames per second, ``None`` if the file does not say.
        timestamps: Time of every frame (s), ``None`` if the file does not say.
        notes: What a reader should know: columns left aside, animals chosen ...
    """

    format: str
    xy: Float[np.ndarray, "T *A 2"]
    likelihood: Float[np.ndarray, "T *A"]
    keypoints: tuple[str, ...]
    animals: tuple[str, ...] = ()
    rate_hz: float | None = None
    timestamps: Float[np.ndarray, " T"] | None = None
    notes: tuple[str, ...] = ()


def checked_tracks(
    path: Path,
    *,
    format: str,
    xy: Float[np.ndarray, "T A K 2"],
    likelihood: Float[np.ndarray, "T A K"] | None,
    keypoints: Sequence[str],
    animals: Sequence[str] = (),
    rate_hz: float | None = None,
    timestamps: Float[np.ndarray, " T"] | None = None,
    notes: Sequence[str] = (),
    highest: float = 1.0,
) -> PoseTracks:
    """Build tracks from what a file holds, or say what is wrong with the file.

    Args:
        path: The file, for the error.
        format: See :class:`PoseTracks`.
        xy: The same, always with an axis of animals.
        likelihood: The same; ``None`` if the file has none: then every found point is certain.
        keypoints: The same.
        animals: The same.
        rate_hz: The same.
        timestamps: The same.
        notes: The same.
        highest: Largest likelihood that the tracker writes; what lies above 1 is cut to 1.

    Raises:
        UserError: Names are doubled, nothing was found in any frame, a place has one coordinate
            only or is infinite, a likelihood lies outside its range, or times are not usable.
    """
    _require_names(path, keypoints, animals)
    _require_places(path, xy, keypoints)
    _require_times(path, rate_hz, timestamps)
    found = np.isfinite(xy).all(-1)
    certainty = np.ones(found.shape) if likelihood is None else likelihood.astype(np.float64)
    said = list(notes)
    if likelihood is None:
        said.append("the file holds no likelihood; every point that was found counts as certain")
    unsure = int((found & np.isnan(certainty)).sum())
    if unsure:
        said.append(f"{unsure:,} points were found without a likelihood and count as certain")
    certainty = np.where(found, np.where(np.isnan(certainty), 1.0, certainty), 0.0)
    _require_likelihood(path, certainty, keypoints, highest)
    said += _lost(found, keypoints)
    squeezed = xy.shape[1] == 1
    return PoseTracks(
        format=format,
        xy=(xy[:, 0] if squeezed else xy).astype(np.float64),
        likelihood=np.clip(certainty[:, 0] if squeezed else certainty, 0.0, 1.0),
        keypoints=tuple(keypoints),
        animals=tuple(animals),
        rate_hz=rate_hz,
        timestamps=timestamps,
        notes=tuple(said),
    )


def missing_fractions(tracks: PoseTracks) -> dict[str, float]:
    """The fraction of frames in which each keypoint was not found, over all animals."""
    lost = ~np.isfinite(tracks.xy).all(-1)
    by_keypoint = lost.reshape(-1, lost.shape[-1]).mean(0)
    return dict(zip(tracks.keypoints, map(float, by_keypoint), strict=True))


def _require_names(path: Path, keypoints: Sequence[str], animals: Sequence[str]) -> None:
    for what, names in (("keypoints", keypoints), ("animals", animals)):
        doubled = sorted({name for name in names if list(names).count(name) > 1})
        if doubled or "" in names:
            said = f"'{doubled[0]}' twice" if doubled and doubled[0] else "an empty name"
            raise UserError(f"{path}: the names of {what} hold {said}; give each its own name")
    if not keypoints:
        raise UserError(f"{path}: found no keypoints; export the file again")


def _require_places(
    path: Path, xy: Float[np.ndarray, "T A K 2"], keypoints: Sequence[str]
) -> None:
    if len(xy) == 0:
        raise UserError(f"{path}: found keypoints and no frames; export the file again")
    for bad, what in (
        (np.isinf(xy).any(-1), "an infinite coordinate"),
        (np.isnan(xy).any(-1) != np.isnan(xy).all(-1), "one coordinate without the other"),
    ):
        if bad.any():
            frame, _, keypoint = np.argwhere(bad)[0]
            raise UserError(
                f"{path}: keypoint '{keypoints[keypoint]}' has {what} in frame {frame}, expected "
                "x and y, or neither; export the file again"
            )
    if np.isnan(xy).all():
        raise UserError(
            f"{path}: x and y are missing in all {len(xy):,} frames; track the video again"
        )


def _require_likelihood(
    path: Path, certainty: Float[np.ndarray, "T A K"], keypoints: Sequence[str], highest: float
) -> None:
    # Trackers work in single precision, which makes 1.0000001 of a certain point.
    bad = (certainty < -1e-6) | (certainty > highest + 1e-3)
    if bad.any():
        frame, animal, keypoint = np.argwhere(bad)[0]
        raise UserError(
            f"{path}: the likelihood of '{keypoints[keypoint]}' is "
            f"{certainty[frame, animal, keypoint]:g} in frame {frame}, expected 0 to {highest:g}; "
            "if it is in percent, divide it by 100"
        )


def _require_times(
    path: Path, rate_hz: float | None, timestamps: Float[np.ndarray, " T"] | None
) -> None:
    if rate_hz is not None and not (np.isfinite(rate_hz) and rate_hz > 0):
        raise UserError(
            f"{path}: the rate is {rate_hz} Hz, expected frames per second; correct the file"
        )
    if timestamps is None:
        return
    if not np.isfinite(timestamps).all():
        raise UserError(f"{path}: timestamps hold values that are not finite; correct the file")
    late = np.flatnonzero(np.diff(timestamps) <= 0)
    if len(late):
        raise UserError(
            f"{path}: timestamps do not grow from frame {late[0]} to {late[0] + 1}, expected "
            "every frame once and in order; correct the file"
        )


def _lost(found: np.ndarray, keypoints: Sequence[str]) -> list[str]:
    """A note on keypoints that were never found."""
    never = [keypoints[int(place)] for place in np.flatnonzero(~np.any(found, axis=(0, 1)))]
    return [f"never found in any frame: {', '.join(never)}"] if never else []
