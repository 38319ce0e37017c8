"""A fitted segmenter: from arrays to what its model sees, and back to every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from neuroduet.actions.features import FeatureOptions, Standardiser, compute_features
from neuroduet.actions.inputs import frame_shape
from neuroduet.actions.model import Fitted, ModelOptions
from neuroduet.actions.pooling import moving_mean, pool_values, unpool
from neuroduet.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Learned:
    """All that fitting found out.

    Attributes:
        name: Name of the model.
        options: Its options.
        model: The fitted model.
        features: Which features it sees.
        standardiser: Means and scales of these, of the training recordings.
        classes: Names of the classes, or of the states that were found.
        pool: Frames averaged into one before the model sees them.
        smooth: Frames over which its probabilities are averaged.
        shape: Shape of a frame.
        recordings: What it was fitted to.
        seed: Of everything random.
    """

    name: str
    options: ModelOptions
    model: Fitted
    features: FeatureOptions
    standardiser: Standardiser
    classes: tuple[str, ...]
    pool: int
    smooth: int
    shape: tuple[int, ...]
    recordings: tuple[str, ...]
    seed: int

    def inputs(self, arrays: Sequence[np.ndarray]) -> list[Float[np.ndarray, "_ D"]]:
        """What the model sees of recordings.

        Raises:
            UserError: Their frames have another shape than those it was fitted to.
        """
        if frame_shape(arrays) != self.shape:
            raise UserError(
                f"recordings have frames of shape {frame_shape(arrays)}, but the model was fitted "
                f"to {self.shape}; give the same features or keypoints in the same order"
            )
        return [self.standardiser.apply(x) for x in measured(arrays, self.features, self.pool)]

    def predict_proba(self, arrays: Sequence[np.ndarray]) -> list[Float[np.ndarray, "_ K"]]:
        """Probability of every class in every frame of every recording."""
        pooled = self.model.predict_proba(self.inputs(arrays))
        return [
            moving_mean(unpool(p, self.pool, len(array)), self.smooth)
            for p, array in zip(pooled, arrays, strict=True)
        ]


def measured(
    arrays: Sequence[np.ndarray], options: FeatureOptions, pool: int
) -> list[Float[np.ndarray, "_ D"]]:
    """Features of recordings in their own units, ``pool`` frames averaged into one.

    What is unknown stays NaN, so that it becomes average once standardised.
    """
    return [pool_values(compute_features(one, options).values, pool) for one in arrays]
