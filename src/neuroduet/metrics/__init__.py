"""Metrics: pure functions of arrays, each defined once and said in words in :data:`DEFINITIONS`.

A prediction that is not a number makes its score not a number: only what cannot be scored (a
silent unit, a constant target, a bin that does not exist) is left out.
"""

from __future__ import annotations

from neuroduet.metrics.activity import (
    LOWEST_RATE,
    bits_per_spike,
    bits_per_spike_by_unit,
    psth,
    psth_r2,
    psth_r2_by_unit,
    r2_by_unit,
)
from neuroduet.metrics.behaviour import (
    accuracy,
    balanced_accuracy,
    macro_f1,
    r2,
    r2_per_trial,
)

__all__ = [
    "DEFINITIONS",
    "LOWEST_RATE",
    "accuracy",
    "balanced_accuracy",
    "bits_per_spike",
    "bits_per_spike_by_unit",
    "macro_f1",
    "psth",
    "psth_r2",
    "psth_r2_by_unit",
    "r2",
    "r2_by_unit",
    "r2_per_trial",
]

DEFINITIONS: dict[str, str] = {
    "bits_per_spike": (
        "Poisson log-likelihood gained over the null, in bits per spike of the unit, averaged "
        "over units that fired; null: each unit's mean count over the scored bins, which reads 0."
    ),
    "bits_per_spike_pooled": (
        "Poisson log-likelihood gained over the null, summed over units that fired, in bits per "
        "spike of all of them together (NLB, brain-wide benchmark); null: each unit's mean count "
        "over the scored bins, which reads 0."
    ),
    "r2": (
        "1 - residual / total sum of squares over all scored bins or trials together, averaged "
        "over channels that vary; null: the mean of the scored values, which reads 0."
    ),
    "r2_per_trial": (
        "R2 within each trial, averaged over channels and then trials that vary; null: the "
        "trial's own mean, which reads 0 and which no decoder knows."
    ),
    "psth_r2": (
        "R2 between the condition averages (conditions x bins) of predicted rates and of counts, "
        "averaged over units whose averages vary. A condition is a combination of all categorical "
        "behaviours given once per trial that at least 5 scored trials have; trials of rarer "
        "combinations are left out; null: the mean over conditions and bins, which reads 0."
    ),
    "accuracy": (
        "Fraction of labels predicted correctly; null: the fraction of the most frequent "
        "training class."
    ),
    "balanced_accuracy": (
        "Recall averaged over the classes present among the true labels (a class that only the "
        "predictions hold is not averaged); null: 1 / number of classes present."
    ),
    "macro_f1": (
        "F1 averaged over the classes present among true labels or predictions (a class that is "
        "predicted but never true counts as 0); null: that of always predicting the most "
        "frequent training class."
    ),
}
"""What each metric means, and what a model that knows nothing reads."""
