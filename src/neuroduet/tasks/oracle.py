"""What the best possible predictor says; known for simulated sessions only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neuroduet.tasks.task import SessionData
from neuroduet.types import NEURAL, Batch, Masks, Prediction, UnitQuestions

SMALLEST_RATE = 1e-9
"""Expected counts are raised to this before the logarithm, as the metrics do."""


class Oracle:
    """Answers with the truth of a simulation wherever activity is asked for.

    It looks windows up by their index and uses nothing else of the batch, so hiding values
    cannot change what it says. Sessions without a truth get no answer.
    """

    def __init__(self, name: str, key: str, sessions: Sequence[SessionData]) -> None:
        """Remember where the truth is.

        Args:
            name: Name in the ``model`` column of the scores.
            key: Key of ``Session.truth``.
            sessions: Sessions it can be asked about.
        """
        self.name, self._key = name, key
        self._sessions = {session.info.id: session for session in sessions}

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> Tensor | None:
        """The same whatever is hidden: the truth of all units at once."""
        return self.predict(batch, masks, task).activity

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """True log expected counts; what behaviour says of them is told for encoding only."""
        told = self._key == "rates" or task == "encoding"
        if not told or task == "encoding_from" or NEURAL not in masks.scored:
            return Prediction(activity=None)
        truth = self._sessions[batch.session].truth(batch.windows.numpy())
        if self._key not in truth:
            return Prediction(activity=None)
        rates = torch.as_tensor(truth[self._key], dtype=torch.float32)
        return Prediction(
            activity=rates[:, : batch.activity.shape[1]].clamp_min(SMALLEST_RATE).log()
        )


def oracles(sessions: Sequence[SessionData]) -> list[Oracle]:
    """The two oracles as predictors, to be scored by the same loop as everything else.

    Args:
        sessions: Sessions they can be asked about.

    Returns:
        ``oracle_behaviour``, E[rate | all behaviours], the bound of encoding; and
        ``oracle_rates``, the rates the spikes were drawn from.
    """
    return [
        Oracle("oracle_behaviour", "rates_from_behaviour", sessions),
        Oracle("oracle_rates", "rates", sessions),
    ]
