"""Classical models of one session that every larger model must beat, tuned on validation windows.

Every hyper-parameter is chosen on windows that are not test windows, and every weight is fitted to
the training windows only, so that all models learn from the same trials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from neuroduet.baselines.logistic import fit_logistic, fit_majority
from neuroduet.baselines.networks import fit_lstm, fit_mlp
from neuroduet.baselines.past import fit_past_regression
from neuroduet.baselines.poisson_glm import fit_poisson_glm
from neuroduet.baselines.psth import fit_mean_rate, fit_psth
from neuroduet.baselines.reduced_rank import fit_reduced_rank
from neuroduet.baselines.ridge import fit_mean_behaviour, fit_ridge
from neuroduet.baselines.units import fit_unit_regression
from neuroduet.baselines.units_smoothed import fit_smoothed
from neuroduet.errors import UserError
from neuroduet.types import Batch, Predictor, SessionInfo

__all__ = [
    "fit_baselines",
    "fit_logistic",
    "fit_lstm",
    "fit_majority",
    "fit_mean_behaviour",
    "fit_mean_rate",
    "fit_mlp",
    "fit_past_regression",
    "fit_poisson_glm",
    "fit_psth",
    "fit_reduced_rank",
    "fit_ridge",
    "fit_smoothed",
    "fit_unit_regression",
]

HELD_OUT_EVERY = 6
"""Without validation windows, every sixth training window is what is chosen by."""


@runtime_checkable
class _Windows(Protocol):
    @property
    def info(self) -> SessionInfo: ...
    def indices(self, split: str) -> np.ndarray: ...
    def batch(self, indices: np.ndarray) -> Batch: ...


Fit = Callable[[Batch, Batch, SessionInfo], Predictor]

ENCODERS: dict[str, Fit] = {
    "mean_rate": lambda train, valid, info: fit_mean_rate(train, info),
    "psth": fit_psth,
    "reduced_rank": fit_reduced_rank,
    "poisson_glm": fit_poisson_glm,
}
"""Encoders of counts."""

TRACE_ENCODERS: dict[str, Fit] = {
    "mean_rate": ENCODERS["mean_rate"],
    "psth": fit_psth,
    "reduced_rank": ENCODERS["reduced_rank"],
    "ridge_encoding": lambda train, valid, info: fit_reduced_rank(
        train, valid, info, name="ridge_encoding", ranks=(None,)
    ),
}
"""Encoders of traces."""

ACTIVITY_MODELS: dict[str, Fit] = {
    "smoothed": fit_smoothed,
    "reduced_rank_units": fit_unit_regression,
    "reduced_rank_past": fit_past_regression,
}
"""Activity from activity: other units of the same window, or the past."""

CONTINUOUS_DECODERS: dict[str, Fit] = {
    "mean": lambda train, valid, info: fit_mean_behaviour(train, info),
    "ridge": fit_ridge,
}
"""Decoders of continuous behaviours."""

CATEGORICAL_DECODERS: dict[str, Fit] = {
    "majority": lambda train, valid, info: fit_majority(train, info),
    "logistic": fit_logistic,
}
"""Decoders of categorical behaviours."""

NETWORK_DECODERS: dict[str, Fit] = {"mlp": fit_mlp, "lstm": fit_lstm}
"""Decoders of all behaviours that are not linear (MtM, section 8)."""


def fit_baselines(session: _Windows, networks: bool = False) -> list[Predictor]:
    """Fit every baseline that has something to say about a session.

    Args:
        session: The session; its test windows are never read. Where it has no validation windows,
            every sixth training window is kept apart to choose by.
        networks: Fit the small networks too, which takes most of a minute for a large session.

    Returns:
        Predictors, named ``mean_rate``, ``psth``, ``reduced_rank`` and ``poisson_glm`` (traces:
        ``ridge_encoding``) for encoding; ``smoothed``, ``reduced_rank_units`` and
        ``reduced_rank_past`` for activity from activity; ``mean`` and ``ridge``, ``majority`` and
        ``logistic`` for decoding.

    Raises:
        UserError: There are fewer than two training windows, or too few units.
    """
    info = session.info
    train, valid = _windows_to_fit(session)
    fits = (ENCODERS if info.is_poisson else TRACE_ENCODERS) | ACTIVITY_MODELS
    kinds = {b.kind for b in info.behaviours if bool(train.observed[b.name].any())}
    if "continuous" in kinds:
        fits |= CONTINUOUS_DECODERS
    if "categorical" in kinds:
        fits |= CATEGORICAL_DECODERS
    if networks and kinds:
        fits |= NETWORK_DECODERS
    with torch.no_grad():
        return [fit(train, valid, info) for fit in fits.values()]


def _windows_to_fit(session: _Windows) -> tuple[Batch, Batch]:
    train, valid = session.indices("train"), session.indices("valid")
    if len(valid) == 0:
        apart = np.arange(len(train)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        apart[-1:] = True
        train, valid = train[~apart], train[apart]
    if len(train) < 2 or len(session.info.units) == 0:
        raise UserError(
            f"session '{session.info.id}' has {len(train)} training windows and "
            f"{len(session.info.units)} units, baselines need at least 2 windows and 1 unit; "
            "use shorter windows or another split"
        )
    return session.batch(train), session.batch(valid)
