"""Activity from behaviour, with the face of a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from sklearn.base import BaseEstimator

from neuroduet.errors import UserError, unknown
from neuroduet.estimators.fitting import (
    Activity,
    Fitted,
    configure,
    divide,
    learn,
    read_trials,
    record,
)
from neuroduet.estimators.forms import bins_of, by_name, in_form_of, is_single, trial_bins
from neuroduet.tasks.collect import Collected, collect
from neuroduet.tasks.encoding import Encoding
from neuroduet.tasks.scoring import score_activity
from neuroduet.training.hub import save_pretrained
from neuroduet.types import NEURAL


class Encoder(BaseEstimator):
    """Predict the activity of the units of one session from behaviour, trial by trial.

    ``X`` is the behaviour and ``y`` the activity, each in the forms that
    :class:`~neuroduet.estimators.Decoder` takes as ``y`` and ``X``.

    Args:
        preset: What to train: a name of :data:`neuroduet.presets.PRESETS` that knows behaviours.
        bin_size_s: Width of a bin (s).
        activity: ``counts`` of spikes, or ``traces`` (calcium, LFP).
        validation_fraction: Share of the trials that does not train but chooses the weights to
            keep; 0 keeps the last ones.
        max_minutes: Bound on the time of training. Only without it are two fits alike bit for
            bit, because a clock never is.
        settings: Other settings by their name in a configuration, laid over the preset:
            ``{"training.max_epochs": 20}``.
        seed: Seed of everything random.

    Attributes:
        model_: The trained model (:func:`neuroduet.load_run`).
        split_: ``train`` or ``valid`` for every trial that was fitted.

    Example:
        >>> import numpy as np
        >>> speed = np.random.default_rng(0).normal(size=(40, 10))
        >>> counts = np.random.default_rng(1).poisson(np.exp(speed[..., None] * [1, -1, 1]))
        >>> encoder = Encoder(bin_size_s=0.05, settings={"training.max_epochs": 2})
        >>> encoder.fit(speed[:30], counts[:30]).predict(speed[30:]).shape
        (10, 10, 3)
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
        self.preset = preset
        self.bin_size_s = bin_size_s
        self.activity = activity
        self.validation_fraction = validation_fraction
        self.max_minutes = max_minutes
        self.settings = settings
        self.seed = seed

    def fit(self, X: Any, y: Any) -> Encoder:
        """Train on all the trials, but for those that choose the weights to keep.

        Args:
            X: Behaviour.
            y: Activity.

        Returns:
            The encoder itself, fitted.

        Raises:
            UserError: The arrays do not fit each other, a setting is unknown, or the preset knows
                activity alone.
        """
        config = configure(self.preset, self.settings, self.seed, self.max_minutes)
        if not config.model.behaviours:
            raise UserError(
                f"preset '{self.preset}' knows activity alone, expected one that knows "
                "behaviours; use duet or neds"
            )
        split = divide(len(trial_bins("y", y)), self.validation_fraction, self.seed)
        recording = record(self.activity, y, self.bin_size_s, by_name(X), split)
        self._fitted = learn(config, recording, is_single(X))
        self.split_, self.model_ = split, self._fitted.model
        return self

    def predict(self, X: Any) -> Any:
        """Predict the activity of the units that were fitted.

        Args:
            X: Behaviour; all that was fitted. Where it has one value per trial alone, trials are
                as long as the longest that was fitted.

        Returns:
            Expected counts per bin, or expected traces, ``(trials, bins, units)``; a list of
            ``(bins, units)`` where trials are of different length.

        Raises:
            UserError: Not fitted, or a behaviour is missing.
        """
        fitted, given = self._ready(), by_name(X)
        bins = _bins(fitted, given)
        blank = [np.zeros((n, len(fitted.info.units)), dtype=np.uint8) for n in bins]
        found = self._encode(given, blank)
        values = np.exp(found.predicted) if fitted.info.is_poisson else found.predicted
        return in_form_of(values, bins, ragged=len(np.unique(bins)) > 1)

    def score(self, X: Any, y: Any) -> float:
        """Bits per spike of counts over each unit's mean count, or R2 of traces.

        Args:
            X: Behaviour.
            y: True activity.

        Returns:
            The mean over units (:data:`neuroduet.metrics.DEFINITIONS`).

        Raises:
            UserError: Not fitted, or the arrays do not fit what was.
        """
        info = self._ready().info
        measured = score_activity(self._encode(by_name(X), y), info, None).measured
        wanted = "bits_per_spike" if info.is_poisson else "r2"
        values = [one.value for one in measured if one.metric == wanted]
        return values[0] if values else float("nan")

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

    def _encode(self, behaviours: Mapping[str, Any], activity: Any) -> Collected:
        """Log expected counts, or traces, beside the activity that was given."""
        fitted = self._ready()
        for name in behaviours:
            if name not in fitted.behaviours:
                raise unknown("behaviour", name, fitted.behaviours)
        _require_all(fitted, behaviours)
        split = np.full(len(trial_bins("y", activity)), "train")
        recording = record(self.activity, activity, self.bin_size_s, behaviours, split)
        session, batches = read_trials(fitted, recording, list(behaviours))
        task = Encoding()
        return collect(fitted.predictor, batches, task, task.variants(session.info))[NEURAL]

    def _ready(self) -> Fitted:
        fitted: Fitted | None = getattr(self, "_fitted", None)
        if fitted is None:
            raise UserError("the encoder is not fitted, expected fit before it; call fit(X, y)")
        return fitted


def _require_all(fitted: Fitted, behaviours: Mapping[str, Any]) -> None:
    missing = [name for name in fitted.behaviours if name not in behaviours]
    if missing:
        raise UserError(
            f"found no behaviour '{missing[0]}', expected {', '.join(fitted.behaviours)}; give "
            "nan where it is missing"
        )


def _bins(fitted: Fitted, behaviours: Mapping[str, Any]) -> Int[np.ndarray, " W"]:
    """Bins of every trial, from a behaviour with one value per bin where there is one."""
    _require_all(fitted, behaviours)
    for behaviour in fitted.model.behaviours:
        if behaviour.per == "bin":
            return bins_of(behaviours[behaviour.name])
    n_trials = len(behaviours[fitted.model.behaviours[0].name])
    return np.full(n_trials, fitted.info.max_bins)
