"""What a user may choose about features."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from neuroduet.actions.model import ModelOptions

Kind = Literal["auto", "position", "position_velocity", "acceleration", "egocentric", "kinematics"]
Standardise = Literal["training", "recording", "none"]


class FeatureOptions(ModelOptions):
    """Which features are made of a recording, and how missing values are treated.

    Attributes:
        kind: ``position`` (as given), ``position_velocity`` (and its first difference),
            ``acceleration`` (and its second), ``egocentric`` (keypoints in the animal's own frame,
            their velocities, and how the animal moves), ``kinematics`` (that, with speeds,
            distances, angles and, for several animals, how they stand to each other). ``auto``:
            ``position_velocity`` for feature matrices, ``kinematics`` for pose.
        keypoints: The keypoints to use; ``None``: all. Leave out those that are hardly ever seen.
        axis: Keypoints along the body, front first, which give heading and body length; ``None``:
            the keypoints used, in their order.
        fill_limit: Longest gap that is interpolated (frames). Longer ones get the training mean.
        min_likelihood: Keypoints below this likelihood count as missing.
        validity: Whether to append what was missing; ``auto``: for pose only.
        symmetric: Whether exchanging animals leaves the features as they are; ``None``: yes.
            Otherwise every animal has its own columns, in the order given.
        spans: Frames over which speeds and changes of distance are measured.
        wavelets: Periods (frames) at which the amplitude of Morlet wavelets of the speeds is
            added.
        standardise: By mean and standard deviation of the ``training`` recordings, of every
            ``recording`` itself (as published), or ``none``: what is missing then reads 0.
    """

    kind: Kind = "auto"
    keypoints: tuple[int, ...] | None = Field(default=None, min_length=1)
    axis: tuple[int, ...] | None = Field(default=None, min_length=2)
    fill_limit: int = Field(default=10, ge=0)
    min_likelihood: float = Field(default=0.1, ge=0.0, le=1.0)
    validity: bool | Literal["auto"] = "auto"
    symmetric: bool | None = None
    spans: tuple[int, ...] = Field(default=(1, 5, 15), min_length=1)
    wavelets: tuple[int, ...] = ()
    standardise: Standardise = "training"
