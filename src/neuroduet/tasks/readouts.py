"""Ridge and logistic regression of behaviour from features, per bin or per trial.

Columns are the features of a window, flattened, or those of the bins around a bin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from neuroduet.baselines import logistic
from neuroduet.baselines.selection import r2_of
from neuroduet.baselines.smoothing import lagged
from neuroduet.baselines.trials import FOLDS, PARTS, folds_of
from neuroduet.metrics import balanced_accuracy
from neuroduet.tasks.axes import Axes, principal_axes
from neuroduet.types import Behaviour

Lags = tuple[int, ...]
STRENGTHS = tuple(10.0 ** (power / 2) for power in range(-2, 8))
"""Inverse penalties (scikit-learn's C) of trials whose mean squared length is 1."""
LAGS: tuple[Lags, ...] = ((0,), logistic.BIN_LAGS)
"""Lags (bins) at which a bin may see the features."""
COMPONENTS = 200
"""Wider features are reduced to this many principal components before lags are taken."""

Path = tuple[Float[Tensor, "A R Q"], Float[Tensor, "A Q"]]
Fit = Callable[[Tensor, Tensor], Path]
"""From rows and values or labels to weights and offsets at every penalty."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Windows as a frozen model sees them, padded to the longest of the session.

    Except for the features, fields are those of :class:`~neuroduet.types.Batch`.
    """

    features: Float[Tensor, "W T F"]
    valid: Bool[Tensor, "W T"]
    behaviours: dict[str, Tensor]
    observed: dict[str, Bool[Tensor, "W ..."]]


@dataclass(frozen=True, kw_only=True)
class Readout:
    """Values or logits that are linear in features.

    Attributes:
        lags: The columns are the features around a bin, at these lags; ``None`` for those of all
            bins of the window, one after the other and 0 where a bin does not exist.
        centre: Subtracted from the features, ``(F,)``.
        scale: What they are then divided by, ``(F,)``.
        weights: ``(P, Q)``, one column per output.
        offset: ``(Q,)``.
        shape: Shape of the answer for a bin, or, without lags, for a window.
    """

    lags: Lags | None
    centre: Float[Tensor, " F"]
    scale: Float[Tensor, " F"]
    weights: Float[Tensor, "P Q"]
    offset: Float[Tensor, " Q"]
    shape: tuple[int, ...]

    def answer(
        self, features: Float[Tensor, "B T F"], valid: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B ..."]:
        """Expected values in the user's units, or logits, per bin or per window."""
        standard = _standardised(features, valid, self.centre, self.scale)
        if self.lags is not None:
            return lagged(standard, valid, self.lags).flatten(2) @ self.weights + self.offset
        rows = padded(standard, len(self.weights) // len(self.scale)).flatten(1)
        found = (rows @ self.weights + self.offset).unflatten(1, self.shape)
        return found[:, : valid.shape[1]] if len(self.shape) > 1 else found


class Design:
    """Standardised windows to fit to and to choose by; fits to the same rows share their axes."""

    def __init__(self, train: Shown, valid: Shown) -> None:
        bins = train.features[train.valid]
        deviation = bins.std(dim=0, correction=0)
        self.centre, self.scale = bins.mean(dim=0), torch.where(deviation > 1e-6, deviation, 1.0)
        self.train, self.valid = (
            replace(x, features=_standardised(x.features, x.valid, self.centre, self.scale))
            for x in (train, valid)
        )
        self.components = principal_axes(self.train.features[train.valid])
        self._axes: dict[tuple[Lags | None, bytes], Axes] = {}

    def axes(self, rows: Tensor, lags: Lags | None, where: Tensor) -> Axes:
        """Principal axes of the training rows of some lags and some bins or windows."""
        key = (lags, where.numpy().tobytes())
        if key not in self._axes:
            self._axes[key] = principal_axes(rows)
        return self._axes[key]

    def readout(self, lags: Lags | None, weights: Tensor, offset: Tensor, *shape: int) -> Readout:
        """What reads features that are not yet standardised; see :class:`Readout`."""
        return Readout(
            lags=lags,
            centre=self.centre,
            scale=self.scale,
            weights=weights.float(),
            offset=offset.float(),
            shape=shape,
        )


def fit_readouts(
    train: Shown, valid: Shown, behaviours: Sequence[Behaviour]
) -> dict[str, Readout]:
    """Fit a read-out for every behaviour.

    Values per bin: ridge from the features at some lags, or from those of the whole window to all
    bins at once, whichever has the better validation R2. Classes per bin: logistic regression from
    the features at some lags, chosen by validation balanced accuracy. Per trial, validation trials
    alone are too few to choose by: ridge or logistic regression from the features of the whole
    window, as they are or averaged over equal parts, chosen by 5-fold cross-validation within
    training and validation trials. All weights are fitted to the training windows only; classes
    are weighted alike.

    Args:
        train: Training windows.
        valid: Validation windows.
        behaviours: What to decode.

    Returns:
        By name; behaviours observed fewer than twice in training windows are left out.
    """
    design, found = Design(train, valid), {}
    for behaviour in behaviours:
        if int(train.observed[behaviour.name].sum()) < 2:
            continue
        fit_bins = _fit_bin_values if behaviour.kind == "continuous" else _fit_bin_classes
        fit = fit_bins if behaviour.per == "bin" else _fit_trials
        found[behaviour.name] = fit(design, behaviour)
    return found


def padded(values: Tensor, bins: int) -> Tensor:
    """Windows with zeros (false) after their last bin."""
    missing = values.new_zeros(len(values), max(bins - values.shape[1], 0), *values.shape[2:])
    return torch.cat([values, missing], dim=1)


def _fit_bin_values(design: Design, behaviour: Behaviour) -> Readout:
    tried = [_values_from_bins(design, behaviour, lags) for lags in LAGS]
    tried.append(_values_from_windows(design, behaviour))
    return max(tried, key=lambda entry: entry[0])[1]


def _values_from_bins(design: Design, behaviour: Behaviour, lags: Lags) -> tuple[float, Readout]:
    components = design.components.axes[:, -COMPONENTS:]
    rows, y = _bins(design.train, behaviour, lags, components)
    held_out, truth = _bins(design.valid, behaviour, lags, components)
    axes = design.axes(rows, lags, design.train.observed[behaviour.name])
    mean = y.double().mean(dim=0)
    path = axes.ridge(rows, y - mean)
    scores = _r2(truth, axes.of(held_out) @ path + mean)
    weights = axes.axes @ path[scores.argmax()]
    offset = mean - axes.centre.double() @ weights
    readout = design.readout(lags, _through(components, weights), offset, behaviour.size)
    return float(scores.max()), readout


def _values_from_windows(design: Design, behaviour: Behaviour) -> tuple[float, Readout]:
    """All bins at once; a value that is missing in a bin counts as that bin's mean."""
    name = behaviour.name
    seen = design.train.observed[name].any(dim=1)
    rows = design.train.features[seen].flatten(1)
    y, known = design.train.behaviours[name][seen].double(), design.train.observed[name][seen]
    mean = (y * known[..., None]).sum(dim=0) / known.sum(dim=0)[:, None]
    mean = torch.where(mean.isfinite(), mean, y[known].mean(dim=0))
    residual = torch.where(known[..., None], y - mean, 0.0).flatten(1)
    axes = design.axes(rows, None, seen)
    path = axes.ridge(rows, residual)
    held_out = axes.of(design.valid.features.flatten(1)) @ path + mean.flatten()
    scored = design.valid.observed[name]
    truth = design.valid.behaviours[name].double()[scored]
    scores = _r2(truth, held_out.unflatten(2, mean.shape)[:, scored])
    weights = axes.axes @ path[scores.argmax()]
    offset = mean.flatten() - axes.centre.double() @ weights
    return float(scores.max()), design.readout(None, weights, offset, *mean.shape)


def _fit_bin_classes(design: Design, behaviour: Behaviour) -> Readout:
    energy = design.components.energy[-logistic.BIN_COMPONENTS :]
    deviation = (energy / int(design.train.valid.sum())).sqrt().clamp_min(1e-6)
    components = design.components.axes[:, -logistic.BIN_COMPONENTS :] / deviation
    rows, labels = _bins(design.train, behaviour, logistic.BIN_LAGS, components)
    held_out, truth = _bins(design.valid, behaviour, logistic.BIN_LAGS, components)
    thin = slice(None, None, -(-len(labels) // logistic.MAX_BIN_ROWS))
    path, offsets = _logistic(behaviour.size, logistic.BIN_STRENGTHS, rows[thin], labels[thin])
    best = _class_scores(truth, held_out.double() @ path + offsets[:, None]).argmax()
    weights = _through(components, path[best])
    return design.readout(logistic.BIN_LAGS, weights, offsets[best], behaviour.size)


def _fit_trials(design: Design, behaviour: Behaviour) -> Readout:
    """The parts and the penalty that cross-validation likes best, fitted to training trials."""
    name, windows = behaviour.name, (design.train, design.valid)
    features = torch.cat([x.features[x.observed[name]] for x in windows])
    y = torch.cat([x.behaviours[name][x.observed[name]] for x in windows])
    classes = behaviour.size if behaviour.kind == "categorical" else None
    fit: Fit = _ridge if classes is None else partial(_logistic, classes, STRENGTHS)
    judge = _r2 if classes is None else _class_scores
    bins = features.shape[1]
    tried: list[tuple[float, int, Tensor]] = []
    for count in sorted({min(count, bins) for count in (*PARTS, bins)}):
        parts = _parts(bins, count)
        scores = judge(*_out_of_fold(_along_axes(features, parts)[0], y, fit))
        tried.append((float(scores.max()), int(scores.argmax()), parts))
    _, best, parts = max(tried, key=lambda entry: entry[0])
    rows, axes = _along_axes(features, parts)
    count = int(design.train.observed[name].sum())
    path, offsets = fit(rows[:count], y[:count])
    by_part = axes.axes @ path[best]
    offset = offsets[best] - axes.centre.double() @ by_part
    by_bin = parts.double() @ by_part.unflatten(0, (parts.shape[1], -1)).flatten(1)
    return design.readout(None, by_bin.reshape(-1, behaviour.size), offset, behaviour.size)


def _parts(bins: int, count: int) -> Float[Tensor, "T P"]:
    """What averages the bins of each of so many equal parts of a window."""
    members = functional.one_hot(torch.arange(bins) * count // bins, count).float()
    return members / members.sum(dim=0)


def _along_axes(features: Tensor, parts: Tensor) -> tuple[Tensor, Axes]:
    """Trials along their principal axes, and the axes, scaled to trials of mean squared length 1.

    Held-out trials may be among them: the axes only rotate.
    """
    rows = (parts.T @ features).flatten(1)
    axes = principal_axes(rows)
    axes = replace(axes, axes=axes.axes / (axes.energy.sum() / len(rows)).sqrt())
    return axes.of(rows), axes


def _out_of_fold(rows: Tensor, y: Tensor, fit: Fit) -> tuple[Tensor, Tensor]:
    """True and predicted values of trials that were left out of the fit, fold by fold."""
    folds = folds_of(y if y.ndim == 1 else torch.zeros(len(y), dtype=torch.long))
    truth, predicted = [], []
    for fold in range(FOLDS):
        kept = folds != fold
        if bool(kept.any()) and not bool(kept.all()):
            path, offsets = fit(rows[kept], y[kept])
            truth.append(y[~kept])
            predicted.append(rows[~kept] @ path + offsets[:, None])
    return torch.cat(truth), torch.cat(predicted, dim=1)


def _ridge(rows: Tensor, values: Tensor) -> Path:
    axes, mean = principal_axes(rows), values.double().mean(dim=0)
    path = axes.axes @ axes.ridge(rows, values - mean)
    return path, mean - axes.centre @ path


def _logistic(classes: int, strengths: Sequence[float], rows: Tensor, labels: Tensor) -> Path:
    fits = [logistic.fit_classes(rows, labels.long(), classes, c) for c in strengths]
    weights = torch.stack([fit.weights for fit in fits])
    return weights.double(), torch.stack([fit.offset for fit in fits]).double()


def _r2(truth: Tensor, predicted: Tensor) -> Tensor:
    return r2_of(truth, predicted, torch.ones(len(truth), dtype=torch.bool))


def _class_scores(labels: Tensor, logits: Tensor) -> Tensor:
    """Balanced accuracy of every candidate; among equals, the smaller cross-entropy."""
    if len(labels) == 0:
        return torch.zeros(len(logits))
    truth, guesses = labels.numpy(), logits.argmax(dim=2).numpy()
    accuracy = torch.tensor([balanced_accuracy(truth, guess) for guess in guesses])
    entropy = torch.stack([functional.cross_entropy(x, labels.long()) for x in logits])
    return accuracy - 1e-4 * entropy.clamp_max(100.0)


def _bins(
    shown: Shown, behaviour: Behaviour, lags: Lags, components: Tensor
) -> tuple[Float[Tensor, "M P"], Tensor]:
    """Components around the bins in which a behaviour was observed, and its values."""
    where = shown.observed[behaviour.name]
    rows = lagged(shown.features @ components.float(), shown.valid, lags)[where].flatten(1)
    return rows, shown.behaviours[behaviour.name][where]


def _through(components: Float[Tensor, "F R"], weights: Tensor) -> Float[Tensor, "P Q"]:
    """Weights of lagged components as weights of lagged features."""
    return (components @ weights.unflatten(0, (-1, components.shape[1]))).flatten(0, 1)


def _standardised(features: Tensor, valid: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    return torch.where(valid[:, :, None], (features - centre) / scale, 0.0)
