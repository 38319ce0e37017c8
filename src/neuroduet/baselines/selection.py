"""What hyper-parameters are chosen by: scores on validation windows, never on test windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neuroduet.types import Batch


@dataclass(frozen=True, kw_only=True)
class ActivityScore:
    """Scores predicted activity: bits per spike averaged over units, or R2 of traces.

    Attributes:
        activity: Activity of the scored bins, ``(M, N)``.
        null: Each unit's mean over the scored bins, ``(N,)``.
        is_poisson: Whether the activity is counts.
    """

    activity: Float[Tensor, "M N"]
    null: Float[Tensor, " N"]
    is_poisson: bool

    def of(self, predicted: Float[Tensor, "M N"]) -> float:
        """Score a prediction.

        Args:
            predicted: Log of the expected count per bin (counts) or expected trace, ``(M, N)``.

        Returns:
            Bits per spike or R2, averaged over the units that fired or vary (higher is better).
        """
        if self.is_poisson:
            spikes = self.activity.sum(dim=0)
            kept = spikes > 0
            gain = (self.activity * (predicted - self.null.clamp_min(1e-9).log())).sum(dim=0)
            gain = gain + spikes - predicted.exp().sum(dim=0)
            scores = gain / (math.log(2.0) * spikes.clamp_min(1.0))
        else:
            total = ((self.activity - self.null) ** 2).sum(dim=0)
            kept = total > 0
            residual = ((self.activity - predicted) ** 2).sum(dim=0)
            scores = 1 - residual / torch.where(kept, total, 1.0)
        return float(scores[kept].mean()) if bool(kept.any()) else 0.0


def activity_score(valid: Batch, is_poisson: bool) -> ActivityScore:
    """The score on validation windows.

    Args:
        valid: Validation windows.
        is_poisson: Whether the activity is counts.

    Returns:
        The score.
    """
    activity = valid.activity[valid.valid].float()
    return ActivityScore(activity=activity, null=activity.mean(dim=0), is_poisson=is_poisson)


def r2_of(
    true: Float[Tensor, "M C"], predicted: Float[Tensor, "A M C"], scored: Bool[Tensor, " M"]
) -> Float[Tensor, " A"]:
    """R2 averaged over channels, for several predictions at once.

    Args:
        true: True values, ``(M, C)``.
        predicted: Predictions of A candidates, ``(A, M, C)``.
        scored: Which rows count, ``(M,)``.

    Returns:
        ``(A,)``; 0 where no channel varies.
    """
    y, p = true[scored], predicted[:, scored]
    if len(y) == 0:
        return torch.zeros(len(predicted))
    total = ((y - y.mean(dim=0)) ** 2).sum(dim=0)
    kept = total > 0
    scores = 1 - ((y - p) ** 2).sum(dim=1) / torch.where(kept, total, 1.0)
    return scores[:, kept].mean(dim=1) if bool(kept.any()) else torch.zeros(len(predicted))
