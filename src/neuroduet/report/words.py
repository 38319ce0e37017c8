"""What the names on a page mean, for readers who did not train the model."""

from __future__ import annotations

from collections.abc import Iterable

from neuroduet.metrics import DEFINITIONS
from neuroduet.report.sheet import Cell

COLUMN_WORDS = {
    "null": "What knowing nothing scores; each metric says what its null is.",
    "oracle": "The best possible score, known for simulated data only: in encoding that of the "
    "best prediction from the behaviours, elsewhere that of the rates that the spikes were drawn "
    "from.",
    "oracle_rates": "The rates that the spikes were drawn from, which no behaviour tells in full; "
    "known for simulated data only.",
    "p_value": "Share of null draws that score at least as high, (1 + b) / (1 + draws); the "
    "largest of the sessions.",
    "sessions": "Number of sessions that the mean of the row rests on.",
    "best linear": "The linear baseline with the highest score shown, which favours it.",
    "published": "Score of the published model on other data, for orientation only.",
    "verdict": "Above, level with or below the null and the best linear baseline: level where the "
    "95 % interval of the mean difference holds 0. With three sessions or more that is the "
    "interval of their paired differences. With one or two, each has an interval of its own, "
    "taken as independent: that of the paired differences of its units where the score's own "
    "interval is over units and both models have them, else that of the model's own score, as if "
    "the other were exact and drawn apart from it. Without an interval, decimals decide, and a "
    "difference below 0.0005 is always level.",
    "95 % interval": "Range that holds 95 % of the scores when test windows (or units) are drawn "
    "anew with replacement: how far this score may lie from that of another sample of the same "
    "session.",
}
"""Columns that are no models."""

MODEL_WORDS = {
    "mean_rate": "Baseline: each unit's mean rate in training windows.",
    "psth": "Baseline: each unit's average over training trials, by condition where there are "
    "conditions.",
    "smoothed": "Baseline: a unit's own past, or the mean of the other units, smoothed.",
    "reduced_rank": "Linear baseline: reduced-rank regression of activity on the behaviours.",
    "ridge_encoding": "Linear baseline: ridge regression of activity on the behaviours.",
    "poisson_glm": "Linear baseline: Poisson regression of activity on the behaviours.",
    "reduced_rank_units": "Linear baseline: Poisson regression on latents of the other units.",
    "reduced_rank_past": "Linear baseline: reduced-rank regression on the past of all units.",
    "mean": "Baseline: the behaviour's mean in training windows.",
    "ridge": "Linear baseline: ridge regression of the behaviour on the activity.",
    "majority": "Baseline: always the most frequent training class.",
    "logistic": "Linear baseline: logistic regression of the class on the activity.",
    "mlp": "Baseline: a small multi-layer perceptron on the activity.",
    "lstm": "Baseline: a small recurrent network on the activity.",
}
"""Baselines and references."""

KEY_WORDS = {
    "target": "What was predicted: the activity, or a behaviour.",
    "metric": "The measure; higher is better for every one.",
    "task": "The question: what was hidden, and what was predicted from what.",
    "scheme": "A rule that hides parts of a window in training, so that the model learns to "
    "predict them.",
}
"""Columns that name a row."""

DATA_WORDS = {
    "session": "One recording.",
    "subject": "The animal.",
    "units": "Units the model reads and predicts, after its rate filter.",
    "regions": "Number of named brain regions of the units.",
    "bin": "Width of a time bin.",
    "longest window": "Length of the longest window (a trial, where windows are trials).",
    "train": "Windows that the weights were fitted to.",
    "valid": "Windows that steps and checkpoints were chosen by.",
    "test": "Windows that nothing was fitted to or chosen by; all scores are of these.",
    "hours in windows": "Length of all windows together, which leaves out what lies between them: "
    "the recording may be longer.",
    "median rate": "Median of the units' mean firing rates in test windows.",
}
"""Columns of the data summary."""


def meaning(name: str) -> str:
    """What a metric, model, reference or column is; empty if unknown (a trained model's name).

    Args:
        name: As it stands in the score table.
    """
    for words in (DEFINITIONS, COLUMN_WORDS, MODEL_WORDS, KEY_WORDS, DATA_WORDS):
        if name in words:
            return words[name]
    return ""


def defined(name: str, kind: str = "") -> Cell:
    """A name as it stands in the score table, with its meaning on hover."""
    return Cell(text=name, title=meaning(name), kind=kind)


def definitions(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Name and meaning of everything that has one, each once.

    Args:
        names: Names that a page shows.
    """
    return tuple((name, meaning(name)) for name in dict.fromkeys(names) if meaning(name))
