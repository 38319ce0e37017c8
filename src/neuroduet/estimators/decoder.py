"""Behaviour from activity, with the face of a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

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
from neuroduet.estimators.forms import ONLY, by_name, in_form_of, is_single, trial_bins
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.collect import Collected, collect
from neuroduet.tasks.scoring import score_behaviour
from neuroduet.training.hub import save_pretrained
from neuroduet.types import Batch, Behaviour

METRICS = {"continuous": "r2", "categorical": "balanced_accuracy"}
"""What :meth:`Decoder.score` averages, by kind of behaviour."""


class Decoder(BaseEstimator):
    """Decode behaviour from the activity of one session, trial by trial.

    ``X`` is the activity: counts ``(trials, bins, units)``, or a list of ``(bins, units)`` for
    trials of different length. ``y`` is the behaviour: one array, a dict of arrays by name, or a
    list with one such dict per trial (which scikit-learn's cross-validation can divide). An array
    is ``(trials, bins)``, ``(trials, bins, channels)`` or ``(trials,)``, or a list of arrays where
    ``X`` is one. Integers, booleans and text are classes, floats are continuous, as
    :func:`neuroduet.from_arrays` says; missing values are ``nan``, -1 or the empty string.

    Args:
        preset: What to train: a name of :data:`neuroduet.presets.PRESETS`.
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
        classes_: Classes of the categorical behaviours by name, in the order of
            :meth:`predict_proba`; those of the one behaviour if it was given as an array.

    Example:
        >>> import numpy as np
        >>> speed = np.random.default_rng(0).normal(size=(40, 10))
        >>> counts = np.random.default_rng(1).poisson(np.exp(speed[..., None] * [1, -1, 1]))
        >>> decoder = Decoder(bin_size_s=0.05, settings={"training.max_epochs": 2})
        >>> decoder.fit(counts[:30], speed[:30]).predict(counts[30:]).shape
        (10, 10)
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

    def fit(self, X: Any, y: Any) -> Decoder:
        """Train on all the trials, but for those that choose the weights to keep.

        Args:
            X: Activity.
            y: Behaviour.

        Returns:
            The decoder itself, fitted.

        Raises:
            UserError: The arrays do not fit each other, or a setting is unknown.
        """
        config = configure(self.preset, self.settings, self.seed, self.max_minutes)
        split = divide(len(trial_bins("X", X)), self.validation_fraction, self.seed)
        recording = record(self.activity, X, self.bin_size_s, by_name(y), split)
        self._fitted = learn(config, recording, is_single(y))
        self.split_, self.model_ = split, self._fitted.model
        found = {b.name: np.asarray(b.classes) for b in self._fitted.model.behaviours if b.classes}
        self.classes_ = found.get(ONLY, np.empty(0)) if self._fitted.single else found
        return self

    def predict(self, X: Any) -> Any:
        """Decode trials of the units that were fitted.

        Args:
            X: Activity.

        Returns:
            Behaviours in the form of ``y``: one array, or a dict of them; lists of arrays where
            ``X`` is a list. Continuous ones in their own units, categorical ones as classes.

        Raises:
            UserError: Not fitted, or the trials have other units.
        """
        fitted, answers = self._ready(), {}
        for name, logits in self._decode(X).items():
            behaviour = fitted.behaviours[name]
            if behaviour.kind == "categorical":
                answers[name] = np.asarray(behaviour.classes)[logits.argmax(axis=-1)]
            else:
                answers[name] = logits[..., 0] if name in fitted.flat else logits
        return self._in_form(answers, X)

    def predict_proba(self, X: Any) -> Any:
        """Probability of every class, on a last axis in the order of ``classes_``.

        Args:
            X: Activity.

        Returns:
            As :meth:`predict`, for the categorical behaviours alone.

        Raises:
            UserError: Not fitted, the trials have other units, or no behaviour is categorical.
        """
        fitted = self._ready()
        answers = {
            name: torch.as_tensor(logits).softmax(dim=-1).numpy()
            for name, logits in self._decode(X).items()
            if fitted.behaviours[name].kind == "categorical"
        }
        if not answers:
            raise UserError(
                f"{', '.join(fitted.behaviours)}: no behaviour has classes, expected one for "
                "probabilities; use predict, or give classes as integers or text"
            )
        return self._in_form(answers, X)

    def scores(self, X: Any, y: Any) -> dict[str, float]:
        """R2 of every continuous behaviour and balanced accuracy of every categorical one.

        Args:
            X: Activity.
            y: True behaviour; of those that were fitted, any may be left out.

        Returns:
            By behaviour, over all trials together (:data:`neuroduet.metrics.DEFINITIONS`).

        Raises:
            UserError: Not fitted, or the arrays do not fit what was.
        """
        fitted, given = self._ready(), by_name(y)
        for name in given:
            if name not in fitted.behaviours:
                raise unknown("behaviour", name, fitted.behaviours)
        recording = self._record(X, given)
        session, batches = read_trials(fitted, recording, list(given))
        task = Decoding()
        found = collect(fitted.predictor, batches, task, task.variants(session.info))
        return {name: _score(one, fitted.behaviours[name]) for name, one in found.items()}

    def score(self, X: Any, y: Any) -> float:
        """Mean of :meth:`scores` over behaviours; 1 is perfect."""
        found = list(self.scores(X, y).values())
        return float(np.mean(found)) if found else float("nan")

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

    def _record(self, X: Any, behaviours: Mapping[str, Any]) -> Any:
        split = np.full(len(trial_bins("X", X)), "train")
        return record(self.activity, X, self.bin_size_s, behaviours, split)

    def _decode(self, X: Any) -> dict[str, np.ndarray]:
        """Expected values or logits of every behaviour, padded to the longest trial."""
        fitted = self._ready()
        _, batches = read_trials(fitted, self._record(X, {}), [])
        unseen = [_unobserved(batch, fitted) for batch in batches]
        task = Decoding()
        found = collect(fitted.predictor, unseen, task, task.variants(fitted.info))
        return {name: one.predicted for name, one in found.items()}

    def _in_form(self, answers: dict[str, np.ndarray], X: Any) -> Any:
        fitted, bins = self._ready(), trial_bins("X", X)
        ragged = isinstance(X, list | tuple)
        found = {
            name: in_form_of(values, bins, ragged)
            if fitted.behaviours[name].per == "bin"
            else values
            for name, values in answers.items()
        }
        return found[ONLY] if fitted.single else found

    def _ready(self) -> Fitted:
        fitted: Fitted | None = getattr(self, "_fitted", None)
        if fitted is None:
            raise UserError("the decoder is not fitted, expected fit before it; call fit(X, y)")
        return fitted


def _score(found: Collected, behaviour: Behaviour) -> float:
    measured = score_behaviour(found, behaviour, None)
    wanted = METRICS[behaviour.kind]
    values = [one.value for one in measured if one.metric == wanted and not one.channel]
    return values[0] if values else float("nan")


def _unobserved(batch: Batch, fitted: Fitted) -> Batch:
    """The batch with every behaviour of the model, none of them known."""
    shapes = {b: batch.valid.shape[: 2 if b.per == "bin" else 1] for b in fitted.info.behaviours}
    values: dict[str, Tensor] = {
        b.name: torch.zeros(*shape, b.size)
        if b.kind == "continuous"
        else torch.zeros(shape, dtype=torch.int64)
        for b, shape in shapes.items()
    }
    seen = {b.name: torch.zeros(shape, dtype=torch.bool) for b, shape in shapes.items()}
    return replace(batch, behaviours=values, observed=seen)
