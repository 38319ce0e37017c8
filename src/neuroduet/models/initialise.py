"""Starting values of a session's stitchers, from its training windows only.

Several hundred units with a spike in one bin of twenty are too little to learn low-rank loadings
by gradient alone within minutes; principal components of the training activity are a good start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.data.session import Session
from neuroduet.models.alignment import (
    behaviour_features,
    decoding_directions,
    feature_count,
    reduce_columns,
    tuning_curves,
)
from neuroduet.models.ndt2 import Ndt2
from neuroduet.models.neds_published import NedsPublished
from neuroduet.models.translator import Translator
from neuroduet.nn.ranges import behaviour_ranges
from neuroduet.nn.stitch import module_key
from neuroduet.types import Batch, Behaviour

CHUNK = 32
SMOOTHING_BINS = 2.0
SHRINKAGE = 0.3
TUNING_SHRINKAGE = 0.03


@dataclass(frozen=True, kw_only=True)
class Components:
    """Directions of smoothed, noise-normalised activity.

    Attributes:
        decoders: Directions that decode behaviour, the same features in every session.
        tuning: How activity follows the same features, per standard deviation of each.
        vectors: Unit axis, one column per component, by decreasing variance.
        deviations: Standard deviation along each component.
        noise_scale: What the activity was divided by: the square root of the mean count (Poisson)
            or the standard deviation (traces).
        sqrt_mean: Mean of the square-rooted counts, or of the traces.
    """

    decoders: Float[np.ndarray, "N F"]
    tuning: Float[np.ndarray, "N F"]
    vectors: Float[np.ndarray, "N R"]
    deviations: Float[np.ndarray, " R"]
    noise_scale: Float[np.ndarray, " N"]
    sqrt_mean: Float[np.ndarray, " N"]


def set_up_stitchers(model: Translator, session: Session) -> None:
    """Give a session's stitchers their training statistics and starting values.

    Args:
        model: Model that already has stitchers for the session.
        session: The session; only its training windows are read.
    """
    name, statistics = session.info.id, session.statistics
    stitch_in, stitch_out = model.input_stitch(name), model.output_stitch(name)
    found = components(session, model.modalities)
    mean = np.maximum(statistics.mean_activity, _floor(session))
    poisson = session.info.is_poisson
    with torch.no_grad():
        stitch_in.centre.copy_(_tensor(found.sqrt_mean))
        stitch_in.scale.copy_(_tensor(found.noise_scale))
        stitch_out.centre.copy_(_tensor(statistics.mean_activity))
        stitch_out.scale.copy_(_tensor(mean if poisson else found.noise_scale))
        stitch_out.bias.copy_(_tensor(np.log(mean) if poisson else np.zeros_like(mean)))
        if model.config.data_init:
            start_rows(model, session, found)
        for behaviour in session.info.behaviours:
            if behaviour.kind == "continuous":
                scaler = model.standardiser(name, behaviour)
                scaler.centre.copy_(_tensor(statistics.behaviour_mean[behaviour.name]))
                scaler.scale.copy_(_tensor(statistics.behaviour_scale[behaviour.name]))


def start_rows(model: Translator, session: Session, found: Components) -> None:
    """Start a session's rows: half shared by meaning, the rest what varies most in this session.

    Args:
        model: Model that already has stitchers for the session.
        session: The session.
        found: Directions of its activity.
    """
    name = session.info.id
    weight, loadings = model.input_weight(name).clone(), model.loadings(name).clone()
    shared, varying = (weight.shape[1] // 2, loadings.shape[1] // 2), found.vectors.shape[1]
    if model.units is not None:
        shared, varying = (model.units.own,) * 2, len(model.units.to_input) - 2 * model.units.own
    decoders = reduce_columns(found.decoders, shared[0])
    _fill(weight, np.concatenate([decoders, found.vectors[:, :varying]], axis=1))
    tuning = reduce_columns(found.tuning, shared[1])
    components = (found.vectors * found.deviations)[:, :varying]
    columns = np.concatenate([tuning, components], axis=1)
    if session.info.is_poisson:
        columns = columns / found.noise_scale[:, None]
    _fill(loadings, columns)
    set_rows(model, name, weight, loadings)


@torch.no_grad()
def set_rows(
    model: Translator,
    session: str,
    weight: Float[Tensor, "N P"],
    loadings: Float[Tensor, "N Q"],
) -> None:
    """Give a session's stitchers their rows, or the nearest that unit vectors allow.

    Args:
        model: Model that has stitchers for the session.
        session: Its id.
        weight: Rows of the input stitcher; only their first columns need be known where vectors
            are to be found.
        loadings: Rows of the output stitcher.
    """
    if model.units is None:
        model.input_weight(session).copy_(weight)
        model.loadings(session).copy_(loadings)
    else:
        sensitivity = model.output_stitch(session).sensitivity
        model.units.fit(module_key(session), weight, loadings, sensitivity)


def set_up_ranges(model: NedsPublished, session: Session) -> None:
    """Give the published model the ranges of a session's behaviours; its stitchers stay random."""
    model.set_statistics(session.info.id, behaviour_ranges(_training_batches(session)))


def set_up_offsets(model: Ndt2, session: Session) -> None:
    """Give a session's units their training statistics; log-rates start at the mean rate.

    Args:
        model: Model that already has the session.
        session: The session; only its training windows are read.
    """
    offsets, statistics = model.offsets(session.info.id), session.statistics
    with torch.no_grad():
        if offsets.is_poisson:
            mean = np.maximum(statistics.mean_activity, _floor(session))
            offsets.bias.copy_(torch.as_tensor(np.log(mean)))
            offsets.scale.copy_(torch.as_tensor(mean))
        else:
            mean = statistics.mean_activity
            offsets.scale.copy_(torch.as_tensor(statistics.scale_activity))
        offsets.centre.copy_(torch.as_tensor(mean))


def components(session: Session, behaviours: Sequence[Behaviour] = ()) -> Components:
    """Directions of a session's training activity: decoders of behaviour, principal components.

    Args:
        session: The session.
        behaviours: All behaviours of the model.

    Returns:
        All components with their scales.
    """
    poisson = session.info.is_poisson
    mean = session.statistics.mean_activity.astype(np.float64)
    if poisson:
        noise_scale = np.sqrt(np.maximum(mean, _floor(session)))
    else:
        noise_scale = session.statistics.scale_activity.astype(np.float64)
    units = len(mean)
    gram, sqrt_sum, n = np.zeros((units, units)), np.zeros(units), 0
    n_features = feature_count(behaviours)
    cross, feature_gram = np.zeros((units, n_features)), np.zeros((n_features, n_features))
    kernel = _gaussian(SMOOTHING_BINS)
    for batch in _training_batches(session):
        activity, valid = batch.activity.numpy(), batch.valid.numpy()
        centred = (activity - mean.astype(np.float32)) / noise_scale.astype(np.float32)
        centred *= valid[..., None]
        smooth = _smooth(centred, kernel)[valid]
        gram += smooth.T @ smooth
        features = behaviour_features(batch, behaviours, session.statistics)
        cross += smooth.T @ features[valid]
        feature_gram += features[valid].T @ features[valid]
        sqrt_sum += (np.sqrt(activity) if poisson else activity)[valid].sum(0)
        n += int(valid.sum())
    values, vectors = np.linalg.eigh(gram / max(n, 1))
    order = np.argsort(values)[::-1]
    return Components(
        decoders=decoding_directions(gram / max(n, 1), cross / max(n, 1), SHRINKAGE),
        tuning=tuning_curves(feature_gram / max(n, 1), cross / max(n, 1), TUNING_SHRINKAGE),
        vectors=_with_fixed_sign(vectors[:, order]),
        deviations=np.sqrt(np.maximum(values[order], 0.0)),
        noise_scale=noise_scale,
        sqrt_mean=sqrt_sum / max(n, 1),
    )


def _training_batches(session: Session) -> Iterator[Batch]:
    windows = session.indices("train")
    for start in range(0, len(windows), CHUNK):
        yield session.batch(windows[start : start + CHUNK])


def _floor(session: Session) -> float:
    """Half a spike in all training bins: the rate of a unit that never fired there."""
    bins = session.windows.bins[session.indices("train")].sum()
    return 0.5 / max(int(bins), 1)


def _gaussian(sigma_bins: float) -> Float[np.ndarray, " k"]:
    reach = int(np.ceil(3 * sigma_bins))
    bump = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_bins) ** 2)
    return bump / bump.sum()


def _smooth(x: Float[np.ndarray, "W T N"], kernel: Float[np.ndarray, " k"]) -> np.ndarray:
    """Convolve over time (zero outside the window): a product with a banded matrix."""
    reach, bins = len(kernel) // 2, np.arange(x.shape[1])
    lag = bins[:, None] - bins
    band = np.where(abs(lag) <= reach, kernel[lag.clip(-reach, reach) + reach], 0)
    return band.astype(x.dtype) @ x


def _with_fixed_sign(vectors: Float[np.ndarray, "N R"]) -> Float[np.ndarray, "N R"]:
    """Each column with its largest entry positive, so that results do not depend on LAPACK."""
    largest = np.abs(vectors).argmax(0)
    return vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])


def _fill(parameter: Tensor, columns: np.ndarray) -> None:
    """Overwrite as many columns as both have; columns beyond the data keep their random start."""
    shared = min(parameter.shape[1], columns.shape[1])
    parameter[:, :shared] = _tensor(columns[:, :shared])


def _tensor(values: np.ndarray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32)
