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
from neuroduet.models.neds_published import NedsPublished
from neuroduet.models.translator import Translator
from neuroduet.nn.ranges import behaviour_ranges
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
            # Half shared by meaning, the rest what varies most in this session.
            shared = reduce_columns(found.decoders, stitch_in.weight.shape[1] // 2)
            _fill(stitch_in.weight, np.concatenate([shared, found.vectors], axis=1))
            tuning = reduce_columns(found.tuning, stitch_out.loadings.shape[1] // 2)
            loadings = np.concatenate([tuning, found.vectors * found.deviations], axis=1)
            if poisson:
                loadings = loadings / found.noise_scale[:, None]
            _fill(stitch_out.loadings, loadings)
        for behaviour in session.info.behaviours:
            if behaviour.kind == "continuous":
                scaler = model.standardiser(name, behaviour)
                scaler.centre.copy_(_tensor(statistics.behaviour_mean[behaviour.name]))
                scaler.scale.copy_(_tensor(statistics.behaviour_scale[behaviour.name]))


def set_up_ranges(model: NedsPublished, session: Session) -> None:
    """Give the published model the ranges of a session's behaviours; its stitchers stay random."""
    model.set_statistics(session.info.id, behaviour_ranges(_training_batches(session)))


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
        activity, valid = batch.activity.double().numpy(), batch.valid.numpy()
        centred = (activity - mean) / noise_scale * valid[..., None]
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
    """Convolve over time (zero outside the window), one shifted sum per kernel entry."""
    reach, bins = len(kernel) // 2, x.shape[1]
    padded = np.pad(x, ((0, 0), (reach, reach), (0, 0)))
    smooth = np.zeros_like(x)
    for offset, weight in enumerate(kernel):
        smooth += weight * padded[:, offset : offset + bins]
    return smooth


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
