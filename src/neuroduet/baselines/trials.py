"""Features of a whole trial, and ridge regression from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neuroduet.baselines.selection import r2_of
from neuroduet.baselines.signals import shown_activity
from neuroduet.baselines.smoothing import window_means
from neuroduet.baselines.solve import ridge_path
from neuroduet.types import Batch, Behaviour, Masks

PARTS = (1, 2, 5, 10)
"""Numbers of equal parts of a window whose mean activity makes the features."""
FOLDS = 5
PENALTIES = tuple(10.0**power for power in range(-4, 3))
"""Ridge penalties over the number of features times the number of trials."""


@dataclass(frozen=True, kw_only=True)
class TrialFeatures:
    """Mean activity in equal parts of a window, standardised on training windows.

    Attributes:
        parts: Number of parts.
        mean: Mean activity of each unit, which stands in for hidden activity, ``(N,)``.
        centre: Training mean of each feature, ``(F,)``.
        scale: Training standard deviation, 1 where constant, ``(F,)``.
    """

    parts: int
    mean: Float[Tensor, " N"]
    centre: Float[Tensor, " F"]
    scale: Float[Tensor, " F"]

    def of(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B F"]:
        """The features of each window."""
        return (_raw(batch, masks, self.mean, self.parts) - self.centre) / self.scale


def fit_trial_features(train: Batch, parts: int) -> TrialFeatures:
    """Measure the features on training windows.

    Args:
        train: Training windows.
        parts: Number of equal parts of a window.

    Returns:
        The features.
    """
    mean = train.activity[train.valid].float().mean(dim=0)
    raw = _raw(train, None, mean, parts)
    scale = raw.std(dim=0, correction=0)
    return TrialFeatures(
        parts=parts,
        mean=mean,
        centre=raw.mean(dim=0),
        scale=torch.where(scale > 1e-6, scale, 1.0),
    )


def feature_sets(train: Batch) -> Iterator[TrialFeatures]:
    """The feature sets to choose from, one for each number of parts."""
    for parts in sorted({min(parts, train.valid.shape[1]) for parts in PARTS}):
        yield fit_trial_features(train, parts)


def span(features: Float[Tensor, "B F"]) -> Float[Tensor, "F R"]:
    """Orthonormal axes of the space that the trials span.

    A ridge-penalised solution lies in it, so fits may be done there: with fewer trials than
    features that is exact and much smaller.

    Args:
        features: One row per trial.

    Returns:
        Axes, ``(F, R)``.
    """
    _, size, axes = torch.linalg.svd(features.double(), full_matrices=False)
    return axes[size > size.amax(dim=0, keepdim=True).clamp_min(1e-12) * 1e-7].T.float()


def folds_of(labels: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Fold of each trial: neighbours of one class go to different folds, classes in proportion.

    Args:
        labels: Class of each trial, or zeros.

    Returns:
        Fold, 0 to 4, ``(B,)``.
    """
    order = torch.argsort(labels, stable=True)
    folds = torch.empty_like(order)
    folds[order] = torch.arange(len(order)) % FOLDS
    return folds


def join_windows(
    features: TrialFeatures, batches: tuple[Batch, ...], name: str
) -> tuple[Float[Tensor, "B F"], Tensor]:
    """Features and values of the windows in which a behaviour was observed.

    Args:
        features: The features.
        batches: Windows.
        name: Name of a behaviour given per trial.

    Returns:
        Features ``(B, F)`` and values ``(B,)`` or ``(B, C)``.
    """
    seen = [batch.observed[name] for batch in batches]
    rows = [features.of(batch)[keep] for batch, keep in zip(batches, seen, strict=True)]
    values = [b.behaviours[name][keep] for b, keep in zip(batches, seen, strict=True)]
    return torch.cat(rows), torch.cat(values)


@dataclass(frozen=True, kw_only=True)
class RidgeTrials:
    """Ridge regression from the features of a trial.

    Attributes:
        features: The features.
        weights: ``(F, C)``.
        offset: ``(C,)``.
    """

    features: TrialFeatures
    weights: Float[Tensor, "F C"]
    offset: Float[Tensor, " C"]

    def values(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B C"]:
        """Expected values in the user's units."""
        return self.features.of(batch, masks) @ self.weights + self.offset


def fit_ridge_trials(train: Batch, valid: Batch, behaviour: Behaviour) -> RidgeTrials:
    """Ridge regression of a continuous behaviour given per trial.

    Validation trials alone are too few to choose by: features and penalty are chosen by the R2 of
    5-fold cross-validation within training and validation trials; the weights are then fitted to
    the training trials only.

    Args:
        train: Training windows.
        valid: Validation windows.
        behaviour: The behaviour.

    Returns:
        The fitted model.
    """
    tried: list[tuple[float, int, TrialFeatures]] = []
    for features in feature_sets(train):
        x, y = join_windows(features, (train, valid), behaviour.name)
        x, y = x @ span(x), y.float()
        folds = folds_of(torch.zeros(len(y), dtype=torch.long))
        predicted = y.new_zeros(len(PENALTIES), *y.shape)
        for fold in range(FOLDS):
            weights, offsets = _fit(x[folds != fold], y[folds != fold], features)
            predicted[:, folds == fold] = x[folds == fold] @ weights + offsets[:, None]
        scores = r2_of(y, predicted, torch.ones(len(y), dtype=torch.bool))
        tried.append((float(scores.max()), int(scores.argmax()), features))
    _, penalty, features = max(tried, key=lambda entry: entry[0])
    x, y = join_windows(features, (train,), behaviour.name)
    axes = span(x)
    weights, offsets = _fit(x @ axes, y.float(), features)
    return RidgeTrials(features=features, weights=axes @ weights[penalty], offset=offsets[penalty])


def _fit(x: Tensor, y: Tensor, features: TrialFeatures) -> tuple[Tensor, Tensor]:
    """Weights ``(A, R, C)`` and intercepts ``(A, C)`` for every penalty."""
    centre, mean = x.mean(dim=0), y.mean(dim=0)
    centred = x - centre
    penalties = torch.tensor(PENALTIES) * len(x) * len(features.centre)
    weights = ridge_path(centred.T @ centred, centred.T @ (y - mean), penalties)
    return weights, mean - centre @ weights


def _raw(batch: Batch, masks: Masks | None, mean: Tensor, parts: int) -> Tensor:
    return window_means(shown_activity(batch, masks, mean), batch.valid, parts).flatten(1)
