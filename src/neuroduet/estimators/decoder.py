"""Behaviour from activity, with the face of a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from neuroduet.errors import UserError
from neuroduet.estimators.estimator import Estimator, primary_value
from neuroduet.estimators.fitting import Activity, Fitted
from neuroduet.estimators.forms import ONLY, by_name, in_form_of, trial_bins
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.scoring import score_behaviour


class Decoder(Estimator):
    """Decode behaviour from the activity of one session, trial by trial.

    ``X`` is the activity: counts ``(trials, bins, units)``, or a list of ``(bins, units)`` for
    trials of different length. ``y`` is the behaviour: one array, a dict of arrays by name, or a
    list with one such dict per trial (which scikit-learn's cross-validation can divide). An array
    is ``(trials, bins)``, ``(trials, bins, channels)`` or ``(trials,)``, or a list of arrays where
    ``X`` is one. Integers, booleans and text are classes; floats are continuous, those of a few
    levels such as contrasts too (give them as text for classes), but for whole numbers once per
    trial, such as choices of -1. and 1., as :func:`neuroduet.from_arrays` says. Missing values are
    ``nan``, -1 for integers per bin, or the empty string.

    What it is made with, and what fitting leaves, says
    :class:`~neuroduet.estimators.estimator.Estimator`.

    Attributes:
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
        verbose: bool = False,
        classifier: bool = False,
    ) -> None:
        """Only keep the parameters; see :class:`~neuroduet.estimators.estimator.Estimator`.

        Args:
            preset: As there, and so on.
            bin_size_s: The same.
            activity: The same.
            validation_fraction: The same.
            max_minutes: The same.
            settings: The same.
            seed: The same.
            verbose: The same.
            classifier: Tell scikit-learn before fitting that ``y`` is one array of classes, so
                that it stratifies folds and scores probabilities; after fitting it can see that.
        """
        super().__init__(
            preset,
            bin_size_s=bin_size_s,
            activity=activity,
            validation_fraction=validation_fraction,
            max_minutes=max_minutes,
            settings=settings,
            seed=seed,
            verbose=verbose,
        )
        self.classifier = classifier

    def __sklearn_tags__(self) -> Any:
        """A classifier where ``y`` is one array of classes, as far as that is known."""
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        classes = getattr(self, "classes_", ())
        if self.classifier or (not isinstance(classes, dict) and len(classes)):
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags

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
        self._learn("X", X, y, classes=self.classifier)
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
        found = self._ask(Decoding(), "X", X, given)
        return {
            name: primary_value(score_behaviour(found[name], fitted.behaviours[name], None))
            for name in given
        }

    def score(self, X: Any, y: Any) -> float:
        """Mean of :meth:`scores` over behaviours; 1 is perfect."""
        found = list(self.scores(X, y).values())
        return float(np.mean(found)) if found else float("nan")

    def _keep(self, fitted: Fitted) -> None:
        super()._keep(fitted)
        found = {b.name: np.asarray(b.classes) for b in fitted.model.behaviours if b.classes}
        self.classes_ = found.get(ONLY, np.empty(0)) if fitted.single else found

    def _decode(self, X: Any) -> dict[str, np.ndarray]:
        """Expected values or logits of every behaviour, padded to the longest trial."""
        found = self._ask(Decoding(), "X", X, {})
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
