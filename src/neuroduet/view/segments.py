"""Uninterrupted stretches of one class: bouts of actions, states, values of trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from neuroduet.types import UNLABELLED

FEWEST = 500
"""Stretches that are listed in any case; more only where the page has as many columns."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clock:
    """When frames, or samples, are.

    Attributes:
        start_s: Start of every frame, sorted (s).
        end_s: End of every frame: the start of the next, or a usual step later after a pause (s).
        step_s: Usual time between frames (s).
    """

    start_s: Float[np.ndarray, " T"]
    end_s: Float[np.ndarray, " T"]
    step_s: float

    def __len__(self) -> int:
        return len(self.start_s)

    def frames(self, start_s: float, end_s: float) -> tuple[int, int]:
        """First frame that reaches into ``[start_s, end_s)``, and the one after the last."""
        first = int(np.searchsorted(self.end_s, start_s, "right"))
        return first, max(first, int(np.searchsorted(self.start_s, end_s)))


def clock(timestamps: Float[np.ndarray, " T"], step_s: float | None = None) -> Clock:
    """A clock of frames.

    Args:
        timestamps: Start of every frame, sorted (s).
        step_s: Usual time between frames (s); their median distance if not given.
    """
    start_s = np.array(timestamps, dtype=np.float64)
    if step_s is None:
        step_s = usual_step(start_s) or 1.0
    following = np.append(start_s[1:], np.inf)
    # Joined up to a step and a half, so that a jitter of the camera leaves no slits.
    end_s = np.where(following - start_s <= 1.5 * step_s, following, start_s + step_s)
    return Clock(start_s=start_s, end_s=end_s, step_s=step_s)


def usual_step(timestamps: Float[np.ndarray, " T"]) -> float:
    """Median time between samples (s), of which several may have one time; 0 if all have."""
    steps = np.diff(timestamps)
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else 0.0


def bouts(
    times: Clock, classes: Int[np.ndarray, " T"], first: int, last: int
) -> list[tuple[int, int, int]]:
    """First frame, frame after the last, and class of the bouts that touch some frames.

    Args:
        times: When the frames are; a pause ends a bout.
        classes: Class of every frame, ``UNLABELLED`` where unknown.
        first: First of the frames.
        last: The one after the last of them.
    """
    if first >= last:
        return []
    change = classes[1:] != classes[:-1]
    change |= times.end_s[:-1] < times.start_s[1:]
    begin = np.concatenate([[0], np.flatnonzero(change) + 1])
    stop = np.append(begin[1:], len(classes))
    chosen = (stop > first) & (begin < last) & (classes[begin] != UNLABELLED)
    found = zip(begin[chosen], stop[chosen], classes[begin[chosen]], strict=True)
    return [(int(a), int(b), int(code)) for a, b, code in found]


def visible_bouts(
    times: Clock, classes: Int[np.ndarray, " T"], edges_s: Float[np.ndarray, " E"]
) -> tuple[list[tuple[int, int, int]], bool]:
    """As :func:`bouts`, in a window; where there are too many, what stands in every column.

    Args:
        times: When the frames are.
        classes: Class of every frame.
        edges_s: Edges of the columns, ascending (s).

    Returns:
        The bouts, and whether there are more than these.
    """
    first, last = times.frames(edges_s[0], edges_s[-1])
    found = bouts(times, classes, first, last)
    if len(found) <= max(FEWEST, len(edges_s)):
        return found, False
    frame = np.clip(np.searchsorted(times.start_s, edges_s), first, last)
    begin, stop = frame[:-1], frame[1:]
    kept = stop > begin
    begin, stop = begin[kept], stop[kept]
    middle = classes[(begin + stop) // 2]
    change = np.flatnonzero(middle[1:] != middle[:-1]) + 1
    groups = np.concatenate([[0], change]), np.append(change, len(middle))
    rows = [
        (int(begin[a]), int(stop[b - 1]), int(middle[a])) for a, b in zip(*groups, strict=True)
    ]
    return [row for row in rows if row[2] != UNLABELLED], True
