"""Behaviour decoded from the features of a frozen model, as MtM is evaluated (section 7.2).

The frozen model is shown windows with the activity that the task shows; linear read-outs of its
features (:mod:`~neuroduet.tasks.readouts`) are fitted to training windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.baselines import HELD_OUT_EVERY
from neuroduet.errors import UserError, unknown
from neuroduet.tasks.by_region import unit_masks
from neuroduet.tasks.collect import blinded
from neuroduet.tasks.questions import AnswersUnits
from neuroduet.tasks.readouts import Readout, Shown, fit_readouts, padded
from neuroduet.tasks.task import SessionData, batches_of
from neuroduet.types import (
    NEURAL,
    Batch,
    Masks,
    Prediction,
    Predictor,
    SessionInfo,
    UnitQuestions,
)

READOUT_TASKS = frozenset({"decoding", "decoding_by_region"})
"""Tasks that are answered by a read-out."""


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


def _show(
    model: Featured, session: SessionData, indices: np.ndarray, units: Tensor, prompt: int | None
) -> Shown:
    """Show some units of some windows, and no behaviour, to a frozen model."""
    info = session.info
    batches, features = [], []
    for batch in batches_of(session, indices):
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


def _joined(parts: Sequence[Tensor], bins: int) -> Tensor:
    """Windows after each other, padded to a number of bins; 0 for what has no bins."""
    return torch.cat([padded(part, bins) if bins else part for part in parts])


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
