"""Logistic regression of categorical behaviours, per trial and per bin, and their null."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from neuroduet.baselines.decoders import (
    Constant,
    DecodingBaseline,
    observed_values,
    shown_behaviours,
)
from neuroduet.baselines.signals import Signal, fit_signal
from neuroduet.baselines.smoothing import lagged
from neuroduet.baselines.trials import (
    FOLDS,
    TrialFeatures,
    feature_sets,
    folds_of,
    join_windows,
    span,
)
from neuroduet.types import Batch, Behaviour, Masks, SessionInfo

TRIAL_STRENGTHS = tuple(10.0 ** (power / 2) for power in range(-10, 2))
"""Inverse penalties (scikit-learn's C) of standardised features of trials."""
BIN_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
BIN_LAGS = (-6, -3, 0, 3, 6)
BIN_SMOOTHING = 2.0
BIN_COMPONENTS = 60
MAX_BIN_ROWS = 20_000
"""More training bins than this are thinned evenly: neighbours say nearly the same."""
ABSENT = -30.0
"""Logit of a class that no training label has."""


@dataclass(frozen=True, kw_only=True)
class LinearClasses:
    """Logits that are linear in features.

    Attributes:
        weights: ``(F, K)``.
        offset: ``(K,)``.
    """

    weights: Float[Tensor, "F K"]
    offset: Float[Tensor, " K"]

    def logits(self, features: Float[Tensor, "... F"]) -> Float[Tensor, "... K"]:
        """Logits of each row."""
        return features @ self.weights + self.offset


@dataclass(frozen=True, kw_only=True)
class TrialClasses:
    """Classes of a trial from its mean activity in a few parts.

    Attributes:
        features: The features.
        classes: The linear classifier.
    """

    features: TrialFeatures
    classes: LinearClasses

    def values(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B K"]:
        """Logits of each window."""
        return self.classes.logits(self.features.of(batch, masks))


@dataclass(frozen=True, kw_only=True)
class BinClasses:
    """Classes of a bin from principal components of the smoothed activity around it.

    Attributes:
        signal: Activity as the classifier sees it.
        components: Principal axes, ``(N, R)``, divided by the deviation along each.
        classes: The linear classifier.
    """

    signal: Signal
    components: Float[Tensor, "N R"]
    classes: LinearClasses

    def features(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B T F"]:
        """Components at a few lags."""
        components = self.signal.of(batch, masks) @ self.components
        return lagged(components, batch.valid, BIN_LAGS).flatten(2)

    def values(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B T K"]:
        """Logits of each bin."""
        return self.classes.logits(self.features(batch, masks))


def fit_majority(train: Batch, info: SessionInfo) -> DecodingBaseline:
    """The null of categorical behaviours: training frequencies of their classes.

    Args:
        train: Training windows.
        info: The session.

    Returns:
        The predictor, named ``majority``.
    """
    frequencies = {}
    for b in shown_behaviours(train, info, "categorical"):
        counts = torch.bincount(observed_values(train, b).long(), minlength=b.size).float()
        logits = (counts / counts.sum()).log().clamp_min(ABSENT)
        frequencies[b.name] = Constant(value=logits, per=b.per)
    return DecodingBaseline(name="majority", session=info.id, read_outs=frequencies)


def fit_logistic(train: Batch, valid: Batch, info: SessionInfo) -> DecodingBaseline:
    """Logistic regression of all categorical behaviours, classes weighted alike.

    Per trial, validation windows alone are too few to choose by: the number of parts and the
    penalty are chosen by the balanced accuracy of 5-fold cross-validation within training and
    validation trials. Per bin they are chosen by that of the validation bins. The weights are then
    fitted to the training windows only.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.

    Returns:
        The predictor, named ``logistic``; behaviours never observed in training windows are left
        out.
    """
    read_outs: dict[str, TrialClasses | BinClasses] = {}
    for b in shown_behaviours(train, info, "categorical"):
        fit = _fit_trials if b.per == "trial" else _fit_bins
        read_outs[b.name] = fit(train, valid, b)
    return DecodingBaseline(name="logistic", session=info.id, read_outs=read_outs)


def fit_classes(
    features: Float[Tensor, "M F"], labels: Int[Tensor, " M"], classes: int, strength: float
) -> LinearClasses:
    """Multinomial logistic regression with classes weighted alike.

    Args:
        features: One row per label, ``(M, F)``.
        labels: Classes, ``(M,)``.
        classes: Number of classes K, which need not all occur.
        strength: Inverse penalty (scikit-learn's ``C``).

    Returns:
        The classifier; a class that does not occur has a logit of -30.
    """
    from sklearn.linear_model import LogisticRegression

    weights = torch.zeros(features.shape[1], classes)
    offset = torch.full((classes,), ABSENT)
    present = np.unique(labels.numpy())
    if len(present) == 1:
        offset[int(present[0])] = 0.0
        return LinearClasses(weights=weights, offset=offset)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000, tol=1e-3)
    model.fit(features.double().numpy(), labels.numpy())
    found, intercept = model.coef_, model.intercept_
    if len(present) == 2:
        found = np.stack([-found[0], found[0]]) / 2
        intercept = np.array([-intercept[0], intercept[0]]) / 2
    weights[:, present] = torch.from_numpy(found.T).float()
    offset[present] = torch.from_numpy(intercept).float()
    return LinearClasses(weights=weights, offset=offset)


def _fit_trials(train: Batch, valid: Batch, behaviour: Behaviour) -> TrialClasses:
    tried: list[tuple[float, float, TrialFeatures]] = []
    for features in feature_sets(train):
        x, y = join_windows(features, (train, valid), behaviour.name)
        x, folds = x @ span(x), folds_of(y)
        for strength in TRIAL_STRENGTHS:
            logits = torch.zeros(len(y), behaviour.size)
            for fold in range(FOLDS):
                kept = folds != fold
                if bool(kept.any()) and not bool(kept.all()):
                    fit = fit_classes(x[kept], y[kept].long(), behaviour.size, strength)
                    logits[~kept] = fit.logits(x[~kept])
            tried.append((_quality(y.long(), logits), strength, features))
    _, strength, features = max(tried, key=lambda entry: entry[0])
    x, y = join_windows(features, (train,), behaviour.name)
    axes = span(x)
    fit = fit_classes(x @ axes, y.long(), behaviour.size, strength)
    whole = LinearClasses(weights=axes @ fit.weights, offset=fit.offset)
    return TrialClasses(features=features, classes=whole)


def _fit_bins(train: Batch, valid: Batch, behaviour: Behaviour) -> BinClasses:
    signal = fit_signal(train, "sqrt_unit", BIN_SMOOTHING)
    rows = signal.of(train)[train.valid]
    variance, axes = torch.linalg.eigh(rows.T @ rows / len(rows))
    kept = torch.arange(len(variance)) >= len(variance) - BIN_COMPONENTS
    kept = kept & (variance > 1e-6)
    size = behaviour.size
    model = BinClasses(
        signal=signal,
        components=axes[:, kept] / variance[kept].sqrt(),
        classes=LinearClasses(
            weights=torch.zeros(int(kept.sum()) * len(BIN_LAGS), size), offset=torch.zeros(size)
        ),
    )
    where = train.observed[behaviour.name] & train.valid
    x, y = model.features(train)[where], train.behaviours[behaviour.name][where].long()
    thin = slice(None, None, -(-len(y) // MAX_BIN_ROWS))
    where = valid.observed[behaviour.name] & valid.valid
    held_out, truth = model.features(valid)[where], valid.behaviours[behaviour.name][where].long()
    fits = [fit_classes(x[thin], y[thin], size, strength) for strength in BIN_STRENGTHS]
    best = max(fits, key=lambda fit: _quality(truth, fit.logits(held_out)))
    return replace(model, classes=best)


def _quality(labels: Tensor, logits: Tensor) -> float:
    """Balanced accuracy; among equals, the smaller cross-entropy."""
    if len(labels) == 0:
        return 0.0
    hits = (logits.argmax(dim=1) == labels).float()
    recalls = [hits[labels == label].mean() for label in labels.unique()]
    entropy = functional.cross_entropy(logits, labels).clamp_max(100.0)
    return float(torch.stack(recalls).mean() - 1e-4 * entropy)
