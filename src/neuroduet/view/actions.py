"""Actions of one recording on the clock of its video: what humans say, and what a model says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from neuroduet.data.binning import sample_series
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED
from neuroduet.view.labels import LabelEdits
from neuroduet.view.recordings import States
from neuroduet.view.segments import Clock, bouts, visible_bouts
from neuroduet.view.wire import Json, number


class Actions:
    """Labels, edits and predictions, one class per frame.

    Attributes:
        times: When the frames are.
        edits: The human labels.
        predicted: What a model says, in the coding of ``edits.names``; ``None`` if none did.
        probabilities: Of every class of ``predicted_names``, ``(T, K)``, if known.
        predicted_names: Classes that the model knows.
    """

    def __init__(
        self,
        times: Clock,
        labels: States | None,
        predicted: States | None,
        path: Path,
        problem: str = "",
    ) -> None:
        """Bring everything onto one clock.

        Args:
            times: When the frames are.
            labels: Labels of the recording.
            predicted: What a model says.
            path: File for corrected labels.
            problem: Why that file is left alone.

        Raises:
            UserError: The label file cannot be used.
        """
        self.times = times
        own = () if labels is None else labels.names
        self.predicted_names = () if predicted is None else predicted.names
        names = tuple(dict.fromkeys((*own, *self.predicted_names)))
        classes = np.full(len(times), UNLABELLED)
        if labels is not None:
            classes = _coded(labels, names, _rows(labels, times))
        rate_hz = 1 / max(times.step_s, 1e-9)
        self.edits = LabelEdits(path, classes, names, rate_hz, problem)
        self.predicted = None
        self.probabilities: Float[np.ndarray, "T K"] | None = None
        if predicted is not None:
            row = _rows(predicted, times)
            self.predicted = _coded(predicted, names, row)
            if predicted.probabilities is not None:
                known = np.where(row[:, None] >= 0, predicted.probabilities[row], np.nan)
                self.probabilities = known.astype(np.float32)

    def window(self, edges_s: Float[np.ndarray, " E"]) -> dict[str, Json]:
        """What stands in a window; see ``/api/actions``."""
        shown, thinned = visible_bouts(self.times, self.edits.classes, edges_s)
        found: dict[str, Json] = {
            "true": self._listed(shown),
            "predicted": None,
            "probabilities": None,
        }
        if self.predicted is not None:
            shown, fewer = visible_bouts(self.times, self.predicted, edges_s)
            found["predicted"] = self._listed(shown)
            thinned |= fewer
        found["thinned"] = thinned
        if self.probabilities is not None:
            found["probabilities"] = self._mean_probabilities(edges_s, self.probabilities)
        return found

    def touching(self, first: int, last: int) -> list[Json]:
        """Human bouts that touch some frames."""
        return self._listed(bouts(self.times, self.edits.classes, first, last))

    def bout(self, frame: int, track: str) -> dict[str, Json]:
        """The bout in which a frame lies; see ``/api/bout``."""
        classes = self.edits.classes if track == "true" else self.predicted
        if classes is None:
            raise UserError("nothing predicts the actions of this recording; look at the labels")
        if not 0 <= frame < len(classes):
            raise UserError(f"frame {frame} is not one of the {len(classes)} of the recording")
        every = bouts(self.times, classes, 0, len(classes))
        place = next((n for n, one in enumerate(every) if one[0] <= frame < one[1]), None)
        if place is None:
            raise UserError(f"frame {frame} is in no bout; choose a labelled one")
        first, last, code = every[place]
        name = self.edits.names[code]
        mean = None
        if self.probabilities is not None and name in self.predicted_names:
            part = self.probabilities[first:last, self.predicted_names.index(name)]
            mean = number(part[np.isfinite(part)].mean()) if np.isfinite(part).any() else None
        around = [every[n][2] if 0 <= n < len(every) else None for n in (place - 1, place + 1)]
        before, after = (None if one is None else self.edits.names[one] for one in around)
        row = self._row((first, last, code))
        return {**row, "mean_probability": mean, "previous": before, "next": after}

    def _listed(self, found: list[tuple[int, int, int]]) -> list[Json]:
        return [self._row(one) for one in found]

    def _row(self, bout: tuple[int, int, int]) -> dict[str, Json]:
        first, last, code = bout
        return {
            "start": float(self.times.start_s[first]),
            "end": float(self.times.end_s[last - 1]),
            "start_frame": first,
            "end_frame": last,
            "class": self.edits.names[code],
        }

    def _mean_probabilities(
        self, edges_s: Float[np.ndarray, " E"], known: Float[np.ndarray, "T K"]
    ) -> dict[str, Json]:
        if not len(self.times):
            return {"columns": 0, "classes": [[] for _ in self.edits.names]}
        index = np.searchsorted(self.times.start_s, edges_s)
        # A column narrower than a frame shows the frame in which it begins.
        first = np.where(np.diff(index) > 0, index[:-1], np.maximum(index[:-1] - 1, 0))
        last = np.maximum(index[1:], first + 1)
        outside = (edges_s[1:] <= self.times.start_s[0]) | (edges_s[:-1] >= self.times.end_s[-1])
        stride = max(1, int((last - first).max(initial=1)) // 16)
        total, seen = np.zeros((len(first), known.shape[1])), np.zeros((len(first), 1))
        for offset in range(0, int((last - first).max(initial=1)), stride):
            inside = np.flatnonzero((first + offset < last) & ~outside)
            rows = known[np.minimum(first[inside] + offset, len(known) - 1)]
            finite = np.isfinite(rows).all(axis=1, keepdims=True)
            total[inside] += np.where(finite, rows, 0)
            seen[inside] += finite
        mean = np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
        nothing: list[Json] = [None] * len(first)
        by_name = {
            name: [number(x) for x in column]
            for name, column in zip(self.predicted_names, mean.T.tolist(), strict=True)
        }
        return {
            "columns": len(first),
            "classes": [by_name.get(name, nothing) for name in self.edits.names],
        }


def _rows(states: States, times: Clock) -> Int[np.ndarray, " T"]:
    """Row of ``states`` for every frame; -1 where none is near."""
    if not len(states.timestamps):
        if len(states.classes) != len(times):
            raise UserError(
                f"actions of {len(states.classes)} frames without times do not fit the "
                f"{len(times)} frames of the recording; segment this recording again"
            )
        return np.arange(len(times))
    steps = np.diff(states.timestamps[:10_000])
    reach_s = 0.5 * max(times.step_s, float(np.median(steps)) if len(steps) else 0.0)
    number_of = np.arange(len(states.timestamps))
    row, near = sample_series(states.timestamps, number_of, times.start_s, reach_s)
    return np.where(near, row, -1).astype(np.int64)


def _coded(
    states: States, names: tuple[str, ...], row: Int[np.ndarray, " T"]
) -> Int[np.ndarray, " T"]:
    code = np.array([*(names.index(name) for name in states.names), UNLABELLED])
    classes = np.append(states.classes, UNLABELLED)[row]
    known = (classes >= 0) & (classes < len(states.names))
    return code[np.where(known, classes, UNLABELLED)]
