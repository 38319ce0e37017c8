"""A fitted segmenter: from arrays to what its model sees, and back to every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from neuroduet.actions.families import FAMILIES
from neuroduet.actions.features import (
    FeatureOptions,
    Standardiser,
    compute_features,
    fit_standardiser,
)
from neuroduet.actions.frames import Frames
from neuroduet.actions.inputs import Labels, class_list, frame_shape
from neuroduet.actions.model import Fitted, ModelOptions, Report
from neuroduet.actions.pooling import (
    moving_mean,
    pool_labels,
    pool_values,
    unpool,
    usual_pool,
    usual_smooth,
)
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED


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


def learn(
    model: str,
    arrays: Sequence[np.ndarray],
    labels: Sequence[Labels],
    weak: Sequence[Labels] | None,
    *,
    words: Sequence[str] | None,
    n_states: int | None,
    features: FeatureOptions,
    options: Mapping[str, Any],
    pool: int | Literal["auto"],
    smooth: int | Literal["auto"],
    seed: int,
    report: Report,
    names: Sequence[str],
) -> Learned:
    """Fit a model to recordings.

    Args:
        model: A name of :data:`~neuroduet.actions.families.FAMILIES`.
        arrays: Recordings, ``(T, ...)`` each, one shape of a frame.
        labels: Class of every frame of each.
        weak: Labels of a heuristic.
        words: Names of the classes, given or held by the labels.
        n_states: Number of states to find.
        features: What the model sees.
        options: Of the model, those that were given.
        pool: Frames averaged into one; ``auto``: see :func:`usual_pool` for pose, else 1.
        smooth: Frames answers are averaged over; ``auto``: see :func:`usual_smooth`, else 1.
        seed: Of everything random.
        report: Told how far fitting is.
        names: What the recordings are called.

    Raises:
        UserError: The frames differ in shape, the features cannot be made of them, or there are
            no labels or names where they are needed.
    """
    shape, family = frame_shape(arrays), FAMILIES[model]
    if family.needs_labels and not any((y >= 0).any() for y in labels):
        raise UserError(
            f"model '{model}' learns from labels, and no frame has one; give labels, or use a "
            "model that needs none: arhmm, hmm, slds"
        )
    classes = class_list([*labels, *(weak or [])], words, n_states, family.uses_labels)
    is_pose = len(shape) > 1
    size = (usual_pool(labels) if is_pose else 1) if pool == "auto" else pool
    width = (usual_smooth(labels) if is_pose else 1) if smooth == "auto" else smooth
    values = measured(arrays, features, size)
    standardiser = fit_standardiser(values, features.standardise)
    frames = [
        Frames(
            features=standardiser.apply(x),
            labels=pool_labels(y, size),
            weak=None if weak is None else pool_labels(weak[i], size),
        )
        for i, (x, y) in enumerate(zip(values, labels, strict=True))
    ]
    labelled = sum(int((one.labels != UNLABELLED).sum()) for one in frames)
    chosen = family.options(**{**(family.for_pose(labelled) if is_pose else {}), **options})
    return Learned(
        name=model,
        options=chosen,
        model=family.fit(frames, len(classes), chosen, seed, report),
        features=features,
        standardiser=standardiser,
        classes=classes,
        pool=size,
        smooth=width,
        shape=shape,
        recordings=tuple(names),
        seed=seed,
    )
