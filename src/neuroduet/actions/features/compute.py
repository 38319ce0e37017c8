"""From a recording to its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from neuroduet.actions.features.blocks import Block, Features, join_blocks, numbered
from neuroduet.actions.features.geometry import find_bodies
from neuroduet.actions.features.kinematics import (
    egocentric_blocks,
    movement_blocks,
    posture_blocks,
    wavelet_blocks,
)
from neuroduet.actions.features.missing import interpolate, keep_visible
from neuroduet.actions.features.motion import compute_velocity
from neuroduet.actions.features.options import FeatureOptions, Kind
from neuroduet.actions.features.social import social_blocks
from neuroduet.actions.features.standardise import Standardiser
from neuroduet.actions.features.tracking import track_animals
from neuroduet.errors import UserError

DIFFERENCES: dict[Kind, tuple[str, ...]] = {
    "position": ("",),
    "position_velocity": ("", "velocity."),
    "acceleration": ("", "velocity.", "acceleration."),
}
"""Kinds that work for any signal: the signal and its differences."""


def compute_features(recording: np.ndarray, options: FeatureOptions) -> Features:
    """Features of every frame of a recording.

    Args:
        recording: Features ``(T, D)``, or pose ``(T, P, 2)`` or ``(T, A, P, 2)`` of P keypoints of
            A animals (pixels, or any unit), with a third coordinate for likelihoods if known.
            What is not finite is missing.
        options: What to compute.

    Returns:
        Features, NaN where they are not known.

    Raises:
        UserError: The array has another shape, or not the keypoints that the options name.
    """
    if recording.ndim == 2:
        features = _of_signals(recording, options)
    else:
        features = _of_pose(_as_pose(recording), options)
    if options.standardise != "recording":
        return features
    standard = Standardiser.fit([features.values]).apply(features.values)
    known = np.isfinite(features.values)
    return replace(features, values=np.where(known, standard, np.float32(np.nan)))


def _of_signals(signals: Float[np.ndarray, "T D"], options: FeatureOptions) -> Features:
    """Features of a matrix of signals."""
    kind: Kind = "position_velocity" if options.kind == "auto" else options.kind
    if kind not in DIFFERENCES:
        raise UserError(
            f"features '{kind}' need pose, but the recording is a matrix of shape "
            f"{signals.shape}; give (frames, keypoints, 2 or 3), or choose one of "
            f"{', '.join(DIFFERENCES)}"
        )
    filled = interpolate(signals, options.fill_limit)
    missing = _missing_blocks(~np.isfinite(signals)[:, None], options.validity is True)
    names = numbered("x", signals.shape[1])
    return join_blocks([*_differences(filled[:, None], names, kind), *missing], symmetric=False)


def _of_pose(pose: Float[np.ndarray, "T A P C"], options: FeatureOptions) -> Features:
    """Features of the keypoints of one or several animals."""
    used = _indices(options.keypoints, range(pose.shape[2]))
    axis = _indices(options.axis, used)
    symmetric = options.symmetric is not False and pose.shape[1] > 1
    points = keep_visible(pose[:, :, used], options.min_likelihood)
    points = track_animals(points) if symmetric else points
    lost = np.isnan(points[..., 0])
    filled = interpolate(points, options.fill_limit)
    blocks = _pose_blocks(filled, tuple(used.index(i) for i in axis), options)
    return join_blocks([*blocks, *_missing_blocks(lost, options.validity is not False)], symmetric)


def _pose_blocks(
    points: Float[np.ndarray, "T A P 2"], axis: tuple[int, ...], options: FeatureOptions
) -> list[Block]:
    """The columns of one kind of features."""
    if options.kind in DIFFERENCES:
        names = tuple(f"keypoint{i}.{c}" for i in range(points.shape[2]) for c in "xy")
        return _differences(points.reshape(*points.shape[:2], -1), names, options.kind)
    bodies = find_bodies(points, axis)
    if options.kind == "egocentric":
        return egocentric_blocks(bodies)
    blocks = egocentric_blocks(bodies) + movement_blocks(bodies, options.spans)
    blocks += posture_blocks(bodies)
    if options.wavelets:
        blocks += wavelet_blocks(bodies, options.wavelets)
    if points.shape[1] > 1:
        blocks += social_blocks(bodies, options.spans)
    return blocks


def _differences(
    values: Float[np.ndarray, "T A F"], names: tuple[str, ...], kind: Kind
) -> list[Block]:
    """Signals and their differences."""
    blocks = []
    for prefix in DIFFERENCES[kind]:
        values = compute_velocity(values) if prefix else values
        blocks.append(Block(names=tuple(prefix + name for name in names), values=values))
    return blocks


def _missing_blocks(lost: Bool[np.ndarray, "T A F"], wanted: bool) -> list[Block]:
    """1 where a column or keypoint was missing before gaps were filled."""
    if not wanted:
        return []
    return [Block(names=numbered("missing", lost.shape[2]), values=lost.astype(float))]


def _as_pose(recording: np.ndarray) -> Float[np.ndarray, "T A P C"]:
    """Pose with an axis for animals."""
    pose = recording[:, None] if recording.ndim == 3 else recording
    if pose.ndim != 4 or pose.shape[3] not in (2, 3) or 0 in pose.shape[1:3]:
        raise UserError(
            f"a recording has shape {recording.shape}; expected (frames, features), (frames, "
            "keypoints, 2 or 3) or (frames, animals, keypoints, 2 or 3); reorder its axes"
        )
    return pose


def _indices(chosen: tuple[int, ...] | None, known: Sequence[int]) -> list[int]:
    """Keypoints chosen, all that are known if none are."""
    wanted = list(known) if chosen is None else list(chosen)
    strange = [i for i in wanted if i not in known]
    if strange:
        raise UserError(
            f"keypoint {strange[0]} is not among the keypoints used, {list(known)}; name others "
            "in the options 'keypoints' and 'axis'"
        )
    return wanted
