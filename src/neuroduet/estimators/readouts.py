"""Linear read-outs of behaviour that an estimator keeps with a model of activity alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuroduet.data.session import Session
from neuroduet.errors import UserError
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.frozen import FrozenReadout
from neuroduet.tasks.readouts import Readout
from neuroduet.training.trained import Ensemble, TrainedModel
from neuroduet.types import Batch, Masks, Prediction

TENSORS = ("centre", "scale", "weights", "offset")
"""What a read-out is made of, besides its lags and the shape of its answer."""

Readouts = Mapping[str, Readout]
"""By behaviour."""


@dataclass(frozen=True, kw_only=True)
class WithReadouts:
    """A model of activity alone that decodes by read-outs of its features (a ``Predictor``).

    Attributes:
        model: The model.
        readouts: Fitted to its features with all units visible.
    """

    model: TrainedModel | Ensemble
    readouts: Readouts

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.name

    @torch.no_grad()
    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Decode the scored behaviours; see :class:`~neuroduet.types.Predictor`."""
        features = self.model.features(batch, masks).cpu().float()
        answers = {
            name: readout.answer(features, batch.valid)
            for name, readout in self.readouts.items()
            if name in masks.scored
        }
        return Prediction(activity=None, behaviours=answers)


class _Fitting(FrozenReadout):
    """Read-outs that are given away once they are fitted."""

    def fitted(self, batch: Batch, masks: Masks) -> dict[str, Readout]:
        """Those of all scored behaviours, as :meth:`predict` uses them."""
        return self._fitted(batch, masks)


def fit(model: TrainedModel | Ensemble, session: Session) -> dict[str, Readout]:
    """Fit read-outs to the training windows of the one session of a model.

    Args:
        model: A model of activity alone.
        session: Its session.

    Raises:
        UserError: There are too few windows, or the model has diverged.
    """
    batch, task = session.batch(session.indices("train")[:1]), Decoding()
    masks = [task.masks(batch, variant) for variant in task.variants(session.info)]
    readouts = _Fitting(model, [session])
    return {name: one for mask in masks for name, one in readouts.fitted(batch, mask).items()}


def described(readouts: Readouts) -> list[dict[str, Any]]:
    """What JSON says of read-outs; their numbers are :func:`tensors`."""
    return [
        {"behaviour": name, "lags": one.lags, "shape": one.shape} for name, one in readouts.items()
    ]


def tensors(readouts: Readouts) -> dict[str, Tensor]:
    """The numbers of read-outs, by place and name."""
    return {
        f"{place}.{name}": getattr(one, name)
        for place, one in enumerate(readouts.values())
        for name in TENSORS
    }


def restored(said: Sequence[Mapping[str, Any]], held: Mapping[str, Tensor]) -> dict[str, Readout]:
    """The read-outs that were described.

    Args:
        said: What :func:`described` said of them.
        held: Their :func:`tensors`.

    Raises:
        UserError: Numbers are missing, or do not fit each other.
    """
    found = {}
    for place, one in enumerate(said):
        name, numbers = str(one["behaviour"]), {key: held.get(f"{place}.{key}") for key in TENSORS}
        known = {key: x for key, x in numbers.items() if x is not None}
        lags = None if one["lags"] is None else tuple(int(lag) for lag in one["lags"])
        if len(known) < len(TENSORS) or not _fit_together(known, lags):
            raise UserError(
                f"the read-out of '{name}' lacks numbers, or they do not fit each other; restore "
                "the folder or fit again"
            )
        shape = tuple(int(size) for size in one["shape"])
        found[name] = Readout(lags=lags, shape=shape, **known)
    return found


def _fit_together(numbers: Mapping[str, Tensor], lags: tuple[int, ...] | None) -> bool:
    centre, scale, weights, offset = (numbers[key] for key in TENSORS)
    if (centre.ndim, weights.ndim, offset.ndim) != (1, 2, 1) or centre.shape != scale.shape:
        return False
    columns = len(centre) * (len(lags) if lags is not None else 1)
    whole = len(weights) == columns if lags is not None else len(weights) % columns == 0
    return bool(len(centre)) and whole and len(offset) == weights.shape[1]
