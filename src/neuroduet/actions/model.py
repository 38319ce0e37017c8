"""What every segmentation model offers: fit to frames, predict probabilities, become arrays.

A model is three things that live in one file: its options, a function ``fit`` from frames to a
fitted model, and a function ``restore`` from saved arrays to the same fitted model. The
:class:`~neuroduet.actions.segmenter.Segmenter` does everything else (features, standardisation,
pooling, class names, files), so that a model sees clean numbers only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict

from neuroduet.actions.frames import Frames

Arrays = Mapping[str, np.ndarray]
"""What a fitted model is made of; stored as safetensors, so reading it never runs code."""

Report = Callable[[int, int, float], None]
"""Told how far fitting is: steps done, steps in all, current loss or log-likelihood."""


class ModelOptions(BaseModel):
    """Options of one model; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@runtime_checkable
class Fitted(Protocol):
    """A fitted model."""

    def predict_proba(
        self, features: Sequence[Float[np.ndarray, "_ D"]]
    ) -> list[Float[np.ndarray, "_ K"]]:
        """Probability of every class in every frame of every recording; rows sum to 1.

        Args:
            features: One array per recording, ``(T, D)``; any length from one frame on.

        Returns:
            One array per recording, ``(T, K)``.
        """
        ...

    def arrays(self) -> Arrays:
        """Everything ``restore`` needs besides the options."""
        ...


Fit = Callable[[Sequence[Frames], int, Any, int, Report], Fitted]
"""Frames, number of classes K, options, seed and report to a fitted model."""

Restore = Callable[[Arrays, Any], Fitted]
"""Saved arrays and options to the fitted model they came from."""


def _as_they_are(labelled: int) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Family:
    """How a model is made.

    Attributes:
        options: Class of its options.
        fit: Fits it.
        restore: Rebuilds it from arrays.
        needs_labels: Whether it learns nothing from unlabelled recordings.
        uses_unlabelled: Whether unlabelled frames teach it anything.
        uses_labels: Whether labels do; else it finds states, which are no classes.
        for_pose: From the number of labelled (pooled) frames to options that are better for pose,
            which is noisy, than the defaults.
    """

    options: type[ModelOptions]
    fit: Fit
    restore: Restore
    needs_labels: bool
    uses_unlabelled: bool
    uses_labels: bool = True
    for_pose: Callable[[int], Mapping[str, Any]] = _as_they_are


def silent(done: int, total: int, value: float) -> None:
    """A report that nobody reads."""
