"""Behaviour decoded from the features of a frozen model, as MtM is evaluated (section 7.2).

The frozen model is shown windows with the activity that the task shows. Its features, flattened
over the window or of the bins around a bin, are the columns of a ridge or logistic regression that
is fitted to training windows, with a penalty chosen on windows that are not test windows. Fits are
done along the principal axes of the columns, where a ridge penalty is one division. With more
columns than rows nothing is lost: a penalised solution lies in the space the rows span.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from neuroduet.baselines import HELD_OUT_EVERY, logistic
from neuroduet.baselines.selection import r2_of
from neuroduet.baselines.smoothing import lagged
from neuroduet.baselines.trials import FOLDS, PARTS, folds_of
from neuroduet.errors import UserError, unknown
from neuroduet.metrics import balanced_accuracy
from neuroduet.tasks.by_region import unit_masks
from neuroduet.tasks.collect import blinded
from neuroduet.tasks.questions import AnswersUnits
from neuroduet.tasks.task import SessionData
from neuroduet.types import (
    NEURAL,
    Batch,
    Behaviour,
    Masks,
    Prediction,
    Predictor,
    SessionInfo,
    UnitQuestions,
)

Lags = tuple[int, ...]
READOUT_TASKS = frozenset({"decoding", "decoding_by_region"})
"""Tasks that are answered by a read-out."""
PENALTIES = tuple(10.0 ** (power / 2) for power in range(2, -15, -1))
"""Ridge penalties over the summed squares of all columns; among equals the strongest is chosen."""
STRENGTHS = tuple(10.0 ** (power / 2) for power in range(-2, 8))
"""Inverse penalties (scikit-learn's C) of trials whose mean squared length is 1."""
LAGS: tuple[Lags, ...] = ((0,), logistic.BIN_LAGS)
"""Lags (bins) at which a bin may see the features."""
COMPONENTS = 200
"""Wider features are reduced to this many principal components before lags are taken."""
SMALLEST_ENERGY = 1e-10
"""Axes with less than this share of the largest energy are rounding errors."""
CHUNK = 64
"""Windows that the frozen model is shown at once."""
ROWS = 4096
"""Rows that are in double precision at once."""


@runtime_checkable
class Featured(Predictor, AnswersUnits, Protocol):
    """A trained model whose inner features can be read."""

    @property
    def sessions(self) -> Sequence[SessionInfo]:
        """Sessions the model has stitchers for."""

    def embeddings(self) -> dict[str, np.ndarray]:
        """Unit embeddings ``(N, E)`` by session id."""

    def features(self, batch: Batch, masks: Masks) -> Float[Tensor, "B T F"]:
        """What the model makes of the visible values, for every bin."""


class FrozenReadout:
    """A model whose frozen features are decoded by linear read-outs (a ``Predictor``).

    The tasks of :data:`READOUT_TASKS` are answered by read-outs fitted to training windows in
    which the same units are visible, all other tasks by the model itself. A read-out is fitted
    when it is first asked for, and kept.

    Args:
        model: The model; it is not changed.
        sessions: Sessions to decode. Their test windows are never read; where there are no
            validation windows, every sixth training window is kept apart to choose by.
    """

    def __init__(self, model: Featured, sessions: Sequence[SessionData]) -> None:
        self.model, self.name, self.sessions = model, model.name, model.sessions
        self._data = {session.info.id: session for session in sessions}
        self._readouts: dict[tuple[str, str, bytes, int | None], Readout | None] = {}

    def embeddings(self) -> dict[str, np.ndarray]:
        """Unit embeddings of the model, ``(N, E)`` by session id."""
        return self.model.embeddings()

    @torch.no_grad()
    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Decode the scored behaviours; see :class:`~neuroduet.types.Predictor`.

        Behaviours observed fewer than twice in training windows are left out.

        Raises:
            UserError: The session is unknown or too short, or the model has diverged.
        """
        if task not in READOUT_TASKS:
            return self.model.predict(batch, masks, task)
        readouts = self._fitted(batch, masks)
        features = self.model.features(batch, masks).cpu().float()
        answers = {n: readout.answer(features, batch.valid) for n, readout in readouts.items()}
        return Prediction(activity=None, behaviours=answers)

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> Float[Tensor, "B T N"] | None:
        """The model's own answers to :mod:`neuroduet.tasks.questions`."""
        return self.model.predict_units(batch, masks, questions, task)

    def _fitted(self, batch: Batch, masks: Masks) -> dict[str, Readout]:
        """Read-outs of the scored behaviours; those that are missing are fitted together."""
        if batch.session not in self._data:
            raise unknown("session", batch.session, self._data)
        session = self._data[batch.session]
        units = masks.visible[NEURAL].any(dim=1).any(dim=0)
        prompt = None if masks.prompt is None else int(masks.prompt[0])
        asked = [b for b in session.info.behaviours if b.name in masks.scored]
        keys = {b.name: (batch.session, b.name, units.numpy().tobytes(), prompt) for b in asked}
        missing = [b for b in asked if keys[b.name] not in self._readouts]
        if missing:
            train, valid = (
                _show(self.model, session, indices, units, prompt)
                for indices in _windows_to_fit(session)
            )
            found = fit_readouts(train, valid, missing)
            self._readouts |= {keys[b.name]: found.get(b.name) for b in missing}
        readouts = {name: self._readouts[key] for name, key in keys.items()}
        return {name: readout for name, readout in readouts.items() if readout is not None}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Windows as a frozen model sees them, padded to the longest of the session.

    Except for the features, fields are those of :class:`~neuroduet.types.Batch`.
    """

    features: Float[Tensor, "W T F"]
    valid: Bool[Tensor, "W T"]
    behaviours: dict[str, Tensor]
    observed: dict[str, Bool[Tensor, "W ..."]]


def _show(
    model: Featured, session: SessionData, indices: np.ndarray, units: Tensor, prompt: int | None
) -> Shown:
    """Show some units of some windows, and no behaviour, to a frozen model."""
    info = session.info
    batches, features = [], []
    for start in range(0, len(indices), CHUNK):
        batch = session.batch(indices[start : start + CHUNK])
        asked = None if prompt is None else torch.full((len(batch.windows),), prompt)
        masks = unit_masks(batch, units, (), asked)
        batches.append(batch)
        features.append(model.features(blinded(batch, masks), masks).cpu().float())
    if not all(bool(part.isfinite().all()) for part in features):
        raise UserError(
            f"features of '{model.name}' are not finite in session '{info.id}', it has diverged; "
            "train it again with a smaller training.learning_rate"
        )
    bins = {b.name: info.max_bins if b.per == "bin" else 0 for b in info.behaviours}
    return Shown(
        features=_joined(features, info.max_bins),
        valid=_joined([batch.valid for batch in batches], info.max_bins),
        behaviours={n: _joined([b.behaviours[n] for b in batches], k) for n, k in bins.items()},
        observed={n: _joined([b.observed[n] for b in batches], k) for n, k in bins.items()},
    )


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
        rows = _padded(standard, len(self.weights) // len(self.scale)).flatten(1)
        found = (rows @ self.weights + self.offset).unflatten(1, self.shape)
        return found[:, : valid.shape[1]] if len(self.shape) > 1 else found


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Orthonormal principal axes of rows, the strongest last, in double precision.

    ``centre`` is the mean row, ``energy`` the summed squares of centred rows along each axis.
    """

    centre: Float[Tensor, " P"]
    axes: Float[Tensor, "P R"]
    energy: Float[Tensor, " R"]

    def of(self, rows: Float[Tensor, "M P"]) -> Float[Tensor, "M R"]:
        """Centred rows along the axes."""
        return _product((rows - self.centre).T, self.axes)


def principal_axes(rows: Float[Tensor, "M P"]) -> Axes:
    """Axes along which rows vary, by one eigendecomposition of the smaller Gram matrix."""
    centre = rows.mean(dim=0)
    centred = rows - centre
    wide = rows.shape[1] > rows.shape[0]
    across = centred.T if wide else centred
    energy, vectors = torch.linalg.eigh(_product(across, across))
    kept = energy > SMALLEST_ENERGY * energy[-1]
    # One axis stays where nothing varies: no fit has to do without columns.
    kept[-1] = True
    energy, vectors = energy[kept].clamp_min(1e-30), vectors[:, kept]
    axes = _product(centred, vectors) / energy.sqrt() if wide else vectors
    return Axes(centre=centre, axes=axes, energy=energy)


def ridge_weights(moment: Tensor, energy: Tensor) -> Float[Tensor, "A R Q"]:
    """Ridge along axes at all :data:`PENALTIES`; ``moment`` is the rows' product with targets."""
    penalties = torch.tensor(PENALTIES, dtype=energy.dtype) * energy.sum()
    return moment / (energy[:, None] + penalties[:, None, None])


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


Fitted = tuple[Lags | None, Tensor, Tensor, tuple[int, ...]]
"""Lags, weights, offset and shape of a read-out of standardised features."""
Path = tuple[Float[Tensor, "A R Q"], Float[Tensor, "A Q"]]
Fit = Callable[[Tensor, Tensor], Path]
"""From rows and values or labels to weights and offsets for all penalties."""


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
        lags, weights, offset, shape = fit(design, behaviour)
        found[behaviour.name] = Readout(
            lags=lags,
            centre=design.centre,
            scale=design.scale,
            weights=weights.float(),
            offset=offset.float(),
            shape=shape,
        )
    return found


def _fit_bin_values(design: Design, behaviour: Behaviour) -> Fitted:
    tried = [_values_from_bins(design, behaviour, lags) for lags in LAGS]
    tried.append(_values_from_windows(design, behaviour))
    return max(tried, key=lambda entry: entry[0])[1]


def _values_from_bins(design: Design, behaviour: Behaviour, lags: Lags) -> tuple[float, Fitted]:
    components = design.components.axes[:, -COMPONENTS:]
    rows, y = _bins(design.train, behaviour, lags, components)
    held_out, truth = _bins(design.valid, behaviour, lags, components)
    axes = design.axes(rows, lags, design.train.observed[behaviour.name])
    mean = y.double().mean(dim=0)
    path = ridge_weights(axes.axes.T @ _product(rows - axes.centre, y - mean), axes.energy)
    scores = _r2(truth, axes.of(held_out) @ path + mean)
    weights = axes.axes @ path[scores.argmax()]
    offset = mean - axes.centre.double() @ weights
    return float(scores.max()), (lags, _through(components, weights), offset, (behaviour.size,))


def _values_from_windows(design: Design, behaviour: Behaviour) -> tuple[float, Fitted]:
    """All bins at once; a value that is missing in a bin counts as that bin's mean."""
    name = behaviour.name
    seen = design.train.observed[name].any(dim=1)
    rows = design.train.features[seen].flatten(1)
    y, known = design.train.behaviours[name][seen].double(), design.train.observed[name][seen]
    mean = (y * known[..., None]).sum(dim=0) / known.sum(dim=0)[:, None]
    mean = torch.where(mean.isfinite(), mean, y[known].mean(dim=0))
    residual = torch.where(known[..., None], y - mean, 0.0).flatten(1)
    axes = design.axes(rows, None, seen)
    path = ridge_weights(axes.of(rows).T @ residual, axes.energy)
    held_out = axes.of(design.valid.features.flatten(1)) @ path + mean.flatten()
    scored = design.valid.observed[name]
    truth = design.valid.behaviours[name].double()[scored]
    scores = _r2(truth, held_out.unflatten(2, mean.shape)[:, scored])
    weights = axes.axes @ path[scores.argmax()]
    offset = mean.flatten() - axes.centre.double() @ weights
    return float(scores.max()), (None, weights, offset, tuple(mean.shape))


def _fit_bin_classes(design: Design, behaviour: Behaviour) -> Fitted:
    energy = design.components.energy[-logistic.BIN_COMPONENTS :]
    deviation = (energy / int(design.train.valid.sum())).sqrt().clamp_min(1e-6)
    components = design.components.axes[:, -logistic.BIN_COMPONENTS :] / deviation
    rows, labels = _bins(design.train, behaviour, logistic.BIN_LAGS, components)
    held_out, truth = _bins(design.valid, behaviour, logistic.BIN_LAGS, components)
    thin = slice(None, None, -(-len(labels) // logistic.MAX_BIN_ROWS))
    path, offsets = _logistic(behaviour.size, logistic.BIN_STRENGTHS, rows[thin], labels[thin])
    best = _class_scores(truth, held_out.double() @ path + offsets[:, None]).argmax()
    return logistic.BIN_LAGS, _through(components, path[best]), offsets[best], (behaviour.size,)


def _fit_trials(design: Design, behaviour: Behaviour) -> Fitted:
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
    train = slice(int(design.train.observed[name].sum()))
    path, offsets = fit(rows[train], y[train])
    by_part = axes.axes @ path[best]
    offset = offsets[best] - axes.centre.double() @ by_part
    by_bin = parts.double() @ by_part.unflatten(0, (parts.shape[1], -1)).flatten(1)
    return None, by_bin.reshape(-1, behaviour.size), offset, (behaviour.size,)


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
    path = axes.axes @ ridge_weights(axes.of(rows).T @ (values - mean), axes.energy)
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


def _product(left: Float[Tensor, "M P"], right: Float[Tensor, "M Q"]) -> Float[Tensor, "P Q"]:
    """``left' right`` in double precision, some rows at a time."""
    found = torch.zeros(left.shape[1], right.shape[1], dtype=torch.float64)
    for rows, others in zip(left.split(ROWS), right.split(ROWS), strict=True):
        found += rows.double().T @ others.double()
    return found


def _standardised(features: Tensor, valid: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    return torch.where(valid[:, :, None], (features - centre) / scale, 0.0)


def _padded(values: Tensor, bins: int) -> Tensor:
    """Zeros (false) after the last bin."""
    missing = values.new_zeros(len(values), max(bins - values.shape[1], 0), *values.shape[2:])
    return torch.cat([values, missing], dim=1)


def _joined(parts: Sequence[Tensor], bins: int) -> Tensor:
    """Windows after each other, padded to a number of bins; 0 for what has no bins."""
    return torch.cat([_padded(part, bins) if bins else part for part in parts])


def _windows_to_fit(session: SessionData) -> tuple[np.ndarray, np.ndarray]:
    """Training windows, and those to choose by."""
    train, valid = session.indices("train"), session.indices("valid")
    if len(valid) == 0:
        apart = np.arange(len(train)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        apart[-1:] = True
        train, valid = train[~apart], train[apart]
    if len(train) >= 2:
        return train, valid
    raise UserError(
        f"session '{session.info.id}' has {len(train)} training windows, a read-out needs 2; "
        "use shorter windows or another split"
    )
