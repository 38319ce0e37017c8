"""What the decoder and the encoder share: parameters, fitting, and asking the fitted model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from neuroduet.config import Config
from neuroduet.errors import UserError, unknown
from neuroduet.estimators.fitting import (
    Activity,
    Fitted,
    configure,
    divide,
    learn,
    record,
)
from neuroduet.estimators.forms import by_name, is_single, trial_bins
from neuroduet.estimators.reading import read_trials
from neuroduet.metrics.primary import PRIMARY_METRICS
from neuroduet.tasks.collect import Collected, collect
from neuroduet.tasks.scoring import Measured
from neuroduet.tasks.task import Task
from neuroduet.training.hub import save_pretrained


class Estimator(BaseEstimator):
    """A model of one session's trials; :class:`Decoder` and :class:`Encoder` say what of what.

    Attributes:
        model_: The trained model (:func:`neuroduet.load_run`).
        split_: ``train`` or ``valid`` for every trial that was fitted.
    """

    def __init__(
        self,
        preset: str = "duet",
        *,
        bin_size_s: float = 0.02,
        activity: Activity = "counts",
        validation_fraction: float = 0.1,
        max_minutes: float | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        """Only keep the parameters, as scikit-learn expects; fitting looks at them.

        Args:
            preset: What to train: a name of :data:`neuroduet.presets.PRESETS`.
            bin_size_s: Width of a bin (s).
            activity: ``counts`` of spikes, or ``traces`` (calcium, LFP).
            validation_fraction: Share of the trials that does not train but chooses the weights
                to keep; 0 keeps the last ones.
            max_minutes: Bound on the time of training. Only without it are two fits alike bit for
                bit, because a clock never is.
            settings: Other settings by their name in a configuration, laid over the preset:
                ``{"training.max_epochs": 20}``.
            seed: Seed of everything random.
        """
        self.preset = preset
        self.bin_size_s = bin_size_s
        self.activity = activity
        self.validation_fraction = validation_fraction
        self.max_minutes = max_minutes
        self.settings = settings
        self.seed = seed

    def save_pretrained(self, folder: Path | str) -> Path:
        """Write the trained model with its card (:func:`neuroduet.training.hub.save_pretrained`).

        Args:
            folder: Where to; made if needed, and else empty.

        Returns:
            The folder, which every command and function that takes a run takes too.

        Raises:
            UserError: Not fitted, or the folder holds files already.
        """
        return save_pretrained(self._ready().model, folder)

    def _learn(self, name: str, activity: Any, behaviours: Any) -> Fitted:
        """Train; ``name`` is what the caller calls the activity."""
        config = self._configured()
        split = divide(len(trial_bins(name, activity)), self.validation_fraction, self.seed)
        given = by_name(behaviours)
        if not given:
            raise UserError("found no behaviour, expected at least one; give an array of it")
        recording = record(self.activity, activity, self.bin_size_s, given, split)
        self._fitted = learn(config, recording, is_single(behaviours))
        self.split_, self.model_ = split, self._fitted.model
        return self._fitted

    def _configured(self) -> Config:
        return configure(self.preset, self.settings, self.seed, self.max_minutes)

    def _ask(
        self, task: Task, name: str, activity: Any, behaviours: Mapping[str, Any]
    ) -> dict[str, Collected]:
        """What the model answers about new trials, by modality, padded to the longest trial."""
        fitted = self._ready()
        for behaviour in behaviours:
            if behaviour not in fitted.behaviours:
                raise unknown("behaviour", behaviour, fitted.behaviours)
        split = np.full(len(trial_bins(name, activity)), "train")
        recording = record(self.activity, activity, self.bin_size_s, behaviours, split)
        batches = read_trials(fitted, recording, behaviours)
        return collect(fitted.predictor, batches, task, task.variants(fitted.info))

    def _ready(self) -> Fitted:
        fitted: Fitted | None = getattr(self, "_fitted", None)
        if fitted is None:
            raise UserError(
                f"the {type(self).__name__.lower()} is not fitted, expected fit before it; call "
                "fit(X, y)"
            )
        return fitted


def primary_value(measured: Sequence[Measured]) -> float:
    """The value that stands for all that was measured of a target; nan if nothing was."""
    values = {one.metric: one.value for one in measured if not one.channel}
    return next((values[name] for name in PRIMARY_METRICS if name in values), float("nan"))
