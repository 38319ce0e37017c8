"""Activity from behaviour, with the face of a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from neuroduet.errors import UserError
from neuroduet.estimators.estimator import Estimator, primary_value
from neuroduet.estimators.fitting import Fitted
from neuroduet.estimators.forms import bins_of, by_name, in_form_of, require_trials
from neuroduet.tasks.collect import Collected
from neuroduet.tasks.encoding import Encoding
from neuroduet.tasks.scoring import score_activity
from neuroduet.types import NEURAL


class Encoder(Estimator):
    """Predict the activity of the units of one session from behaviour, trial by trial.

    ``X`` is the behaviour and ``y`` the activity, each in the forms that
    :class:`~neuroduet.estimators.Decoder` takes as ``y`` and ``X``. The preset must be one that
    knows behaviours. What it is made with, and what fitting leaves, says
    :class:`~neuroduet.estimators.estimator.Estimator`.

    Example:
        >>> import numpy as np
        >>> speed = np.random.default_rng(0).normal(size=(40, 10))
        >>> counts = np.random.default_rng(1).poisson(np.exp(speed[..., None] * [1, -1, 1]))
        >>> encoder = Encoder(bin_size_s=0.05, settings={"training.max_epochs": 2})
        >>> encoder.fit(speed[:30], counts[:30]).predict(speed[30:]).shape
        (10, 10, 3)
    """

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
        if not self._configured().model.behaviours:
            raise UserError(
                f"preset '{self.preset}' knows activity alone, expected one that knows "
                "behaviours; use duet or neds"
            )
        self._learn("y", y, X)
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
        require_trials("X", len(bins))
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
        return primary_value(score_activity(self._encode(by_name(X), y), info, None).measured)

    def _encode(self, behaviours: Mapping[str, Any], activity: Any) -> Collected:
        """Log expected counts, or traces, beside the activity that was given."""
        _require_all(self._ready(), behaviours)
        return self._ask(Encoding(), "y", activity, behaviours)[NEURAL]


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
