"""A space that all sessions share from the start: what their units say about behaviour.

Principal components differ between animals by an arbitrary rotation, so a core pretrained on some
animals cannot read those of another. Directions that decode the same features of behaviour mean
the same in every animal; input stitchers start with them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from neuroduet.data.statistics import Statistics
from neuroduet.types import Batch, Behaviour

LAGS_BINS = (-5, 0, 5)
CENTRES = (0.25, 0.5, 0.75)
"""Where in a window the bumps sit by which a value per trial becomes a value per bin."""

BUMP_WIDTH = 0.15


def behaviour_features(
    batch: Batch, behaviours: Sequence[Behaviour], statistics: Statistics
) -> Float[np.ndarray, "B T F"]:
    """Features of behaviour per bin, the same columns for every session of a model.

    Args:
        batch: Windows of a session.
        behaviours: All behaviours of the model; one the session lacks gives columns of zeros.
        statistics: Training statistics of the session.

    Returns:
        Lagged z-scores and classes per bin; values per trial times bumps in time.
    """
    columns = [_columns(batch, behaviour, statistics) for behaviour in behaviours]
    empty = np.zeros((*batch.valid.shape, 0))
    return np.concatenate([empty, *columns], axis=-1) * batch.valid.numpy()[..., None]


def decoding_directions(
    gram: Float[np.ndarray, "N N"], cross: Float[np.ndarray, "N F"], shrinkage: float
) -> Float[np.ndarray, "N F"]:
    """Unit vectors along which activity decodes each feature best (ridge regression).

    Args:
        gram: Covariance of the units.
        cross: Covariance of the units with the features.
        shrinkage: Ridge penalty as a fraction of the mean variance of a unit.

    Returns:
        One column of length 1 per feature; zeros for a feature without variance.
    """
    penalty = shrinkage * np.trace(gram) / len(gram)
    weights = np.linalg.solve(gram + (penalty + 1e-12) * np.eye(len(gram)), cross)
    length = np.linalg.norm(weights, axis=0)
    return weights / np.where(length > 0, length, 1.0)


def tuning_curves(
    gram: Float[np.ndarray, "F F"], cross: Float[np.ndarray, "N F"], shrinkage: float
) -> Float[np.ndarray, "N F"]:
    """How each unit follows the features (ridge regression), per standard deviation of each.

    Args:
        gram: Covariance of the features.
        cross: Covariance of the units with the features.
        shrinkage: Ridge penalty as a fraction of the mean variance of a feature.

    Returns:
        One column per feature; zeros for a feature without variance.
    """
    if len(gram) == 0:
        return cross
    penalty = shrinkage * np.trace(gram) / len(gram) + 1e-12
    weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), cross.T).T
    return weights * np.sqrt(np.diag(gram))


def feature_count(behaviours: Sequence[Behaviour]) -> int:
    """Number of columns of :func:`behaviour_features`."""
    copies = {"bin": len(LAGS_BINS), "trial": len(CENTRES)}
    return sum(_size(behaviour) * copies[behaviour.per] for behaviour in behaviours)


def reduce_columns(columns: Float[np.ndarray, "N F"], at_most: int) -> Float[np.ndarray, "N G"]:
    """Mix columns down to ``at_most`` by a rotation that depends on nothing but their number."""
    count = columns.shape[1]
    if count <= at_most:
        return columns
    random = np.random.default_rng(count).standard_normal((count, at_most))
    return columns @ np.linalg.qr(random)[0]


def _columns(
    batch: Batch, behaviour: Behaviour, statistics: Statistics
) -> Float[np.ndarray, "B T F"]:
    windows, bins = batch.valid.shape
    size = _size(behaviour)
    if behaviour.name not in batch.behaviours:
        copies = {"bin": len(LAGS_BINS), "trial": len(CENTRES)}[behaviour.per]
        return np.zeros((windows, bins, size * copies))
    seen = batch.observed[behaviour.name].numpy()[..., None]
    values = _centred(batch, behaviour, statistics)[..., :size] * seen
    if behaviour.per == "bin":
        shifted = [np.clip(np.arange(bins) + lag, 0, bins - 1) for lag in LAGS_BINS]
        return np.concatenate([values[:, index] for index in shifted], axis=-1)
    time = (np.arange(bins) + 0.5) / bins
    bumps = [np.exp(-0.5 * ((time - centre) / BUMP_WIDTH) ** 2) for centre in CENTRES]
    return np.concatenate([values[:, None] * bump[:, None] for bump in bumps], axis=-1)


def _size(behaviour: Behaviour) -> int:
    """Columns of a behaviour's values; one tells two classes apart."""
    return behaviour.size - (behaviour.kind == "categorical" and behaviour.size == 2)


def _centred(
    batch: Batch, behaviour: Behaviour, statistics: Statistics
) -> Float[np.ndarray, "B ..."]:
    """Z-scores, or one column per class minus the class's frequency."""
    values = batch.behaviours[behaviour.name].numpy()
    if behaviour.kind == "continuous":
        mean, scale = statistics.behaviour_mean, statistics.behaviour_scale
        return (values - mean[behaviour.name]) / scale[behaviour.name]
    counts = statistics.class_counts[behaviour.name]
    return np.eye(behaviour.size)[values] - counts / max(counts.sum(), 1)
