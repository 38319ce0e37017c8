"""Which numbers are reported, what each means, and the statistics it is computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from neuroduet.actions.metrics import calibration, clusters, frames, segments
from neuroduet.actions.metrics.intervals import Metric
from neuroduet.types import UNLABELLED

Statistics = Mapping[str, np.ndarray]
"""By name: what each recording adds to the pooled sums, one row per recording."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One metric of a score table.

    Attributes:
        definition: What it is, in words.
        statistic: Name of the statistic it is computed from.
        metric: From the summed statistic to the number, or to one per class.
        size: From the summed statistic to how many frames, segments or recordings that rests on.
        per_class: Whether there is one number per class.
    """

    definition: str
    statistic: str
    metric: Metric
    size: Callable[[np.ndarray], np.ndarray]
    per_class: bool = False


def scored_frames(counts: np.ndarray) -> np.ndarray:
    """Scored frames of all classes."""
    return np.asarray(counts.sum((-2, -1)))


def frames_of_class(counts: np.ndarray) -> np.ndarray:
    """Scored frames of each true class."""
    return np.asarray(counts.sum(-1))


def true_segments(counts: np.ndarray) -> np.ndarray:
    """True segments of all classes."""
    return np.asarray(counts[..., [0, 2]].sum((-2, -1)))


def mean_edit(sums: np.ndarray) -> np.ndarray:
    """Mean edit score of the recordings, from its sum and their number."""
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1))


def matched_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of each class after one-to-one matching of the states."""
    return frames.f1(clusters.matched_counts(counts))


def mean_matched_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that occur, after one-to-one matching of the states."""
    return frames.mean_of_present(matched_f1(counts))


def _frames(definition: str, metric: Metric, per_class: bool = False) -> Measure:
    size = frames_of_class if per_class else scored_frames
    return Measure(
        definition=definition, statistic="frames", metric=metric, size=size, per_class=per_class
    )


def _segments(overlap: float) -> Measure:
    return Measure(
        definition=f"F1 of segments, 0 to 100: a predicted segment is a hit if it reaches "
        f"intersection / union {overlap:.2f} with the true segment of its class it overlaps most "
        "and no other took that one; pooled over recordings, annotated stretches only",
        statistic=segment_statistic(overlap),
        metric=segments.segment_f1,
        size=true_segments,
    )


def segment_statistic(overlap: float) -> str:
    """Name of the segment counts at one overlap."""
    return f"segments@{round(100 * overlap)}"


MEASURES: dict[str, Measure] = {
    "accuracy": _frames("fraction of labelled frames predicted correctly", frames.accuracy),
    "balanced_accuracy": _frames(
        "mean recall of the classes that occur", frames.balanced_accuracy
    ),
    "macro_f1": _frames("mean F1 of the classes that occur", frames.mean_f1),
    "f1": _frames("harmonic mean of precision and recall", frames.f1, per_class=True),
    "precision": _frames(
        "fraction of the labelled frames claimed for the class that are of it",
        frames.precision,
        per_class=True,
    ),
    "recall": _frames(
        "fraction of the frames of the class that were found", frames.recall, per_class=True
    ),
    "iou": _frames(
        "frames that are and were called the class / that are or were", frames.iou, per_class=True
    ),
    "edit": Measure(
        definition="100 (1 - Levenshtein distance / longer length) between the lists of true and "
        "of predicted segments of each annotated stretch, summed within and averaged over "
        "recordings",
        statistic="edit",
        metric=mean_edit,
        size=lambda sums: sums[..., 1],
    ),
    "f1@10": _segments(0.10),
    "f1@25": _segments(0.25),
    "f1@50": _segments(0.50),
}
"""Metrics of predicted classes."""

PROBABILITY_MEASURES: dict[str, Measure] = {
    "log_loss": Measure(
        definition="mean of minus the log of the probability of the true class, in nats",
        statistic="penalties",
        metric=calibration.log_loss,
        size=lambda sums: sums[..., 0],
    ),
    "brier": Measure(
        definition="mean squared error of the probabilities, summed over classes, 0 to 2",
        statistic="penalties",
        metric=calibration.brier,
        size=lambda sums: sums[..., 0],
    ),
    "calibration_error": Measure(
        definition="expected calibration error: mean distance between the confidence in the most "
        f"probable class and its accuracy, over {calibration.N_BINS} equally wide bins",
        statistic="confidence",
        metric=calibration.expected_calibration_error,
        size=lambda sums: sums[..., 0].sum(-1),
    ),
}
"""Metrics of predicted probabilities."""

STATE_MEASURES: dict[str, Measure] = {
    "one_to_one": _frames(
        "accuracy when each state takes its own class (Hungarian matching on these frames)",
        clusters.one_to_one_accuracy,
    ),
    "many_to_one": _frames(
        "accuracy when each state takes its most frequent class (on these frames)",
        clusters.many_to_one_accuracy,
    ),
    "macro_f1": _frames(
        "mean F1 of the classes that occur, after one-to-one matching", mean_matched_f1
    ),
    "f1": _frames("F1 after one-to-one matching", matched_f1, per_class=True),
    "homogeneity": _frames("1 - H(class | state) / H(class)", clusters.homogeneity),
    "completeness": _frames("1 - H(state | class) / H(state)", clusters.completeness),
    "v_measure": _frames(
        "harmonic mean of homogeneity and completeness, which is the normalised mutual "
        "information with the arithmetic mean",
        clusters.v_measure,
    ),
    "adjusted_rand": _frames(
        "pairs of frames both partitions join or both part, corrected for chance",
        clusters.adjusted_rand,
    ),
}
"""Metrics of states found without labels."""


def class_statistics(
    truth: Sequence[Int[np.ndarray, " _"]],
    predicted: Sequence[Int[np.ndarray, " _"]],
    n_classes: int,
) -> Statistics:
    """Statistics that :data:`MEASURES` need, one row per recording, each with a labelled frame."""
    pairs = list(zip(truth, predicted, strict=True))
    found = {
        "frames": [frames.frame_counts(t, p, n_classes) for t, p in pairs],
        "edit": [
            (segments.edit_score(t, np.where(p < n_classes, p, UNLABELLED)), 1.0) for t, p in pairs
        ],
    }
    for overlap in segments.OVERLAPS:
        name = segment_statistic(overlap)
        found[name] = [segments.segment_counts(t, p, n_classes, overlap) for t, p in pairs]
    return {name: np.array(rows) for name, rows in found.items()}


def probability_statistics(
    truth: Sequence[Int[np.ndarray, " _"]], probabilities: Sequence[Float[np.ndarray, "_ K"]]
) -> Statistics:
    """Statistics that :data:`PROBABILITY_MEASURES` need, one row per recording."""
    pairs = list(zip(truth, probabilities, strict=True))
    return {
        "penalties": np.array([calibration.penalties(p, t) for t, p in pairs]),
        "confidence": np.array([calibration.confidence_counts(p, t) for t, p in pairs]),
    }


def state_statistics(
    truth: Sequence[Int[np.ndarray, " _"]],
    states: Sequence[Int[np.ndarray, " _"]],
    n_classes: int,
    n_states: int,
) -> Statistics:
    """Statistics that :data:`STATE_MEASURES` need, one row per recording."""
    pairs = zip(truth, states, strict=True)
    return {"frames": np.array([frames.frame_counts(t, s, n_classes, n_states) for t, s in pairs])}
