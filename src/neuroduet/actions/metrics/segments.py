"""Bouts, and the metrics that compare them.

A segment (bout) is a run of frames of one class. Only annotated stretches are scored: true and
predicted segments are both cut where the annotation begins and ends, and a segment of one stretch
is never compared with one of another. Within a stretch a run predicted as unlabelled claims
nothing: it is no segment, but it does split what surrounds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Real

from neuroduet.types import UNLABELLED

OVERLAPS = (0.10, 0.25, 0.50)
"""Smallest intersection over union of a hit, as customary (MS-TCN)."""


class Segments(NamedTuple):
    """Runs of one label, in order: frames ``start`` to ``end - 1`` have ``label``; each (n,)."""

    start: Int[np.ndarray, " n"]
    end: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]


def runs(labels: Int[np.ndarray, " T"]) -> Segments:
    """All runs of one label, the unlabelled ones too; they tile the recording."""
    edges = np.flatnonzero(np.diff(labels)) + 1
    start = np.concatenate([np.zeros(min(len(labels), 1), int), edges])
    end = np.concatenate([edges, np.full(min(len(labels), 1), len(labels))])
    return Segments(start, end, labels[start])


def segments(labels: Int[np.ndarray, " T"]) -> Segments:
    """The bouts of a recording: its runs of one class.

    Args:
        labels: Class of every frame, or unlabelled, ``(T,)``.

    Returns:
        Start, end (exclusive) and class of every bout.
    """
    every = runs(labels)
    return _kept(every, every.label != UNLABELLED)


def run_lengths(
    labels: Int[np.ndarray, " T"], n_classes: int | None = None
) -> dict[int, list[int]]:
    """Durations of the bouts of each class, in frames and in order.

    Example:
        >>> run_lengths(np.array([1, 1, 0, 3, 3, 3, 1]))
        {0: [1], 1: [2, 1], 2: [], 3: [3]}
    """
    start, end, label = segments(labels)
    n = int(labels.max(initial=-1)) + 1 if n_classes is None else n_classes
    return {k: (end - start)[label == k].tolist() for k in range(n)}


def bout_statistics(
    labels: Sequence[Int[np.ndarray, " _"]],
    names: Sequence[str],
    rate_hz: float | None = None,
) -> pd.DataFrame:
    """How often and how long each class occurs.

    A bout that the end of a recording or of its annotation cuts off counts with the duration seen.

    Args:
        labels: Class of every frame of each recording, or unlabelled.
        names: Names of the K classes.
        rate_hz: Frames per second; adds the columns in seconds and minutes.

    Returns:
        One row per class: ``class``, ``bouts``, ``mean_frames``, ``median_frames`` (nan without a
        bout), ``fraction`` of labelled frames, ``bouts_per_1000_frames`` (labelled ones); with a
        rate also ``mean_s``, ``median_s`` and ``bouts_per_minute``.
    """
    found = [run_lengths(one, len(names)) for one in labels]
    total = max(sum(int((one != UNLABELLED).sum()) for one in labels), 1)
    rows = []
    for k, name in enumerate(names):
        lengths = np.concatenate([[], *(one[k] for one in found)])
        row: dict[str, object] = {"class": name, "bouts": len(lengths)}
        row["mean_frames"] = lengths.mean() if len(lengths) else np.nan
        row["median_frames"] = np.median(lengths) if len(lengths) else np.nan
        row["fraction"] = lengths.sum() / total
        row["bouts_per_1000_frames"] = 1000 * len(lengths) / total
        rows.append(row)
    table = pd.DataFrame(rows)
    if rate_hz is None:
        return table
    return table.assign(
        mean_s=table["mean_frames"] / rate_hz,
        median_s=table["median_frames"] / rate_hz,
        bouts_per_minute=table["bouts_per_1000_frames"] * rate_hz * 60 / 1000,
    )


def transition_matrix(
    labels: Sequence[Int[np.ndarray, " _"]], n_classes: int, normalise: bool = True
) -> Float[np.ndarray, "K K"]:
    """Which class follows which, from bout to bout.

    A bout that ends in an unlabelled frame, or with the recording, is followed by nothing.

    Args:
        labels: Class of every frame of each recording, or unlabelled.
        n_classes: Number of classes K.
        normalise: Divide each row by its sum.

    Returns:
        From rows to columns, ``(K, K)``, zero on the diagonal; the row of a class after which
        nothing was ever seen is zero.
    """
    counts = np.zeros((n_classes, n_classes))
    for one in labels:
        _, end, label = runs(one)
        follows = (label[:-1] != UNLABELLED) & (label[1:] != UNLABELLED)
        np.add.at(counts, (label[:-1][follows], label[1:][follows]), 1)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1) if normalise else counts


def edit_distance(first: Int[np.ndarray, " n"], second: Int[np.ndarray, " m"]) -> int:
    """Levenshtein distance: insertions, deletions and replacements from one list to the other."""
    shorter, longer = sorted((first, second), key=len)
    steps = np.arange(len(longer) + 1)
    row = steps
    for value in shorter:
        best = row + 1
        best[1:] = np.minimum(best[1:], row[:-1] + (longer != value))
        # Insertions: the cheapest earlier entry plus its distance, for all entries at once.
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


def edit_score(truth: Int[np.ndarray, " T"], predicted: Int[np.ndarray, " T"]) -> float:
    """Whether the right bouts come in the right order, whatever their durations.

    Args:
        truth: True classes, or unlabelled, ``(T,)``.
        predicted: Predicted classes, or unlabelled, ``(T,)``.

    Returns:
        100 (1 - edit distance / length of the longer list of segments), both summed over the
        annotated stretches; nan without a labelled frame.
    """
    known = truth != UNLABELLED
    if not known.any():
        return float("nan")
    stretch = np.cumsum(np.diff(known.astype(int), prepend=0) == 1)
    distance = longest = 0
    wanted, given = scored_segments(truth, known), scored_segments(predicted, known)
    wanted_in, given_in = stretch[wanted.start], stretch[given.start]
    for one in range(1, stretch[-1] + 1):
        a = wanted.label[slice(*np.searchsorted(wanted_in, [one, one + 1]))]
        b = given.label[slice(*np.searchsorted(given_in, [one, one + 1]))]
        distance += edit_distance(a, b)
        longest += max(len(a), len(b))
    return 100 * (1 - distance / longest)


def segment_counts(
    truth: Int[np.ndarray, " T"],
    predicted: Int[np.ndarray, " T"],
    n_classes: int,
    overlap: float,
) -> Int[np.ndarray, "K 3"]:
    """Predicted segments that hit a true one, that hit none, and true ones that were missed.

    Each predicted segment takes the true segment of its class with the largest intersection over
    union; it is a hit if that reaches ``overlap`` and no earlier segment took the same one.

    Args:
        truth: True classes, or unlabelled, ``(T,)``.
        predicted: Predicted classes, or unlabelled, ``(T,)``.
        n_classes: Number of classes K.
        overlap: Smallest intersection over union of a hit, above 0 and at most 1.

    Returns:
        Hits, false segments and misses of each class, ``(K, 3)``.
    """
    known = truth != UNLABELLED
    wanted = scored_segments(truth, known)
    given = scored_segments(np.where(predicted < n_classes, predicted, UNLABELLED), known)
    chosen, union = _best_overlaps(wanted, given)
    taken = np.unique(chosen[union >= overlap])
    n_wanted, n_given, hits = (
        np.bincount(x, minlength=n_classes)
        for x in (wanted.label, given.label, wanted.label[taken])
    )
    return np.stack([hits, n_given - hits, n_wanted - hits], axis=1)


def segment_f1(counts: Real[np.ndarray, "*n K 3"]) -> Float[np.ndarray, "*n"]:
    """Segmental F1 over all classes and recordings together, 0 to 100.

    Args:
        counts: Of :func:`segment_counts`, summed over recordings.

    Returns:
        100 * 2 hits / (2 hits + false segments + misses); nan without a true segment.
    """
    hits, false, missed = np.moveaxis(counts.sum(-2), -1, 0)
    present = hits + missed > 0
    whole = np.where(present, 2 * hits + false + missed, 1)
    return np.asarray(np.where(present, 200 * hits / whole, np.nan))


def scored_segments(values: Int[np.ndarray, " T"], known: Bool[np.ndarray, " T"]) -> Segments:
    """Segments of the annotated stretches, cut at their borders.

    Args:
        values: True or predicted classes, ``(T,)``; negative: no class.
        known: Which frames are annotated, ``(T,)``.
    """
    return segments(np.where(known & (values >= 0), values, UNLABELLED))


def _kept(every: Segments, chosen: np.ndarray) -> Segments:
    return Segments(every.start[chosen], every.end[chosen], every.label[chosen])


def _best_overlaps(wanted: Segments, given: Segments) -> tuple[np.ndarray, np.ndarray]:
    """True segment that overlaps most with each predicted one of its class, and by how much.

    Predicted segments that touch no true segment of their class are left out.
    """
    pieces = np.unique(np.concatenate([wanted.start, wanted.end, given.start, given.end]))
    # Segments are disjoint, so two of them share at most one of these pieces.
    at = pieces[:-1]
    a = np.searchsorted(wanted.start, at, side="right") - 1
    b = np.searchsorted(given.start, at, side="right") - 1
    both = (a >= 0) & (b >= 0)
    both[both] &= (at[both] < wanted.end[a[both]]) & (at[both] < given.end[b[both]])
    both[both] &= wanted.label[a[both]] == given.label[b[both]]
    a, b, shared = a[both], b[both], np.diff(pieces)[both]
    lengths = (wanted.end - wanted.start)[a] + (given.end - given.start)[b]
    union = shared / (lengths - shared)
    order = np.lexsort([a, -union, b])
    _, first = np.unique(b[order], return_index=True)
    return a[order][first], union[order][first]
