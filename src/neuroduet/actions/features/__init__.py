"""Features: from pose or sensor signals to columns that describe behaviour, frame by frame.

Pose goes through visible keypoints, the order of the animals, filled gaps, bodies (centre,
heading, length) and blocks of columns; every step is a function of arrays.
"""

from __future__ import annotations

from neuroduet.actions.features.blocks import Features
from neuroduet.actions.features.compute import compute_features
from neuroduet.actions.features.options import FeatureOptions
from neuroduet.actions.features.standardise import Standardiser, fit_standardiser

__all__ = ["FeatureOptions", "Features", "Standardiser", "compute_features", "fit_standardiser"]
