"""Windows: the stretches of a recording that a model sees one at a time."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch_brain.data import Data, Interval

from neuroduet.config import WindowConfig
from neuroduet.data.binning import EDGE, overlaps
from neuroduet.data.columns import groups, intervals, scalar
from neuroduet.data.doubts import LONGEST_BIN_S
from neuroduet.data.schema import neural_kind, recording_id
from neuroduet.errors import UserError, unknown

DEFAULT_BIN_S = 0.02
"""Bin width for events where the configuration names none (s)."""

NEAR_S = 30.0
"""An event of a trial happens at most this much before or after it (s)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """The windows of a session.

    Attributes:
        start_s: Start of each window (s); shape ``(W,)``.
        bins: Number of bins of each.
        trial: Row of the trial table it belongs to (for continuous windows: that contains it),
            or -1.
        split: ``train``, ``valid``, ``test`` or ``dropped``; empty until splits are assigned.
    """

    start_s: Float[np.ndarray, " W"]
    bins: Int[np.ndarray, " W"]
    trial: Int[np.ndarray, " W"]
    split: np.ndarray

    def end_s(self, bin_size_s: float) -> Float[np.ndarray, " W"]:
        """End of each window (s)."""
        return self.start_s + self.bins * bin_size_s

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.start_s)


def choose_bin_size(recording: Data, config: WindowConfig) -> float:
    """The width of a bin (s): that of a binned recording, else the configured one.

    Args:
        recording: A checked recording.
        config: Windows.

    Returns:
        Seconds.

    Raises:
        UserError: A binned recording should be read with another width.
    """
    recorded = scalar(recording, "bin_size_s")
    if neural_kind(recording) == "spikes":
        bin_size_s = config.bin_size_s or DEFAULT_BIN_S
        if bin_size_s > LONGEST_BIN_S["counts"]:
            said = "is %g s, as if it were in milliseconds; give seconds, such as %g"
            log.warning(f"data.windows.bin_size_s {said}", bin_size_s, bin_size_s / 1000)
        return bin_size_s
    if config.bin_size_s is not None and abs(config.bin_size_s / float(recorded) - 1) > EDGE:
        raise UserError(
            f"data.windows.bin_size_s is {config.bin_size_s}, but session "
            f"{recording_id(recording)} was recorded in bins of {float(recorded):.6g} s; leave "
            "bin_size_s unset"
        )
    return float(recorded)


def make_windows(recording: Data, config: WindowConfig, bin_size_s: float) -> Windows:
    """Cut a recording into windows.

    Args:
        recording: A checked recording.
        config: Windows.
        bin_size_s: Width of a bin (s).

    Returns:
        Windows in the order of the trials, or of time; not assigned to splits yet.

    Raises:
        UserError: There are no trials to align to, the event is unknown, or no window is left.
    """
    trials = groups(recording).get("trials")
    align = config.align
    if align == "auto":
        align = "continuous" if trials is None else "trial"
    if config.jitter_s > 0 and align != "continuous":
        raise UserError(
            f"data.windows.jitter_s is {config.jitter_s}, but the windows of session "
            f"{recording_id(recording)} are aligned to trials; set data.windows.align to "
            "continuous, or jitter_s to 0"
        )
    if align == "continuous":
        windows = _continuous(recording, config, bin_size_s)
    elif isinstance(trials, Interval):
        windows = _trial_aligned(recording, trials, config, bin_size_s)
    else:
        raise UserError(
            f"session {recording_id(recording)} has no trials to align to; set "
            "data.windows.align to continuous"
        )
    if len(windows) == 0:
        raise UserError(
            f"session {recording_id(recording)} has no window inside its recorded time; make "
            "windows shorter (data.windows)"
        )
    return windows


def _trial_aligned(
    recording: Data, trials: Interval, config: WindowConfig, bin_size_s: float
) -> Windows:
    """From ``pre_s`` before an event (or the start) to ``post_s`` after it (or the end)."""
    event = config.event or "start"
    anchor_s = _event_times(recording, trials, event)
    start_s = anchor_s - config.pre_s
    end_s = np.asarray(trials.end, dtype=np.float64)
    if config.post_s is not None:
        end_s = anchor_s + config.post_s
    happened = np.isfinite(anchor_s)
    _check_bin(recording, bin_size_s, float(np.max(end_s - start_s, where=happened, initial=0.0)))
    length = np.where(happened, np.round((end_s - start_s) / bin_size_s), 0)
    bins = length.astype(np.int64)
    # Rounding may carry a window at most half a bin beyond the recording.
    slack_s = bin_size_s / 2 * (1 + EDGE)
    inside = (start_s >= recording.domain.start.min() - slack_s) & (
        start_s + bins * bin_size_s <= recording.domain.end.max() + slack_s
    )
    half_bin_s = bin_size_s / 2
    last_s = start_s + bins * bin_size_s - half_bin_s
    activity = groups(recording)[neural_kind(recording)]
    recorded = overlaps(intervals(activity), start_s + half_bin_s, last_s)
    _log_dropped(recording, ~happened, f"because {event} is missing")
    _log_dropped(recording, happened & (bins < 1), "because their window has no bins")
    _log_dropped(recording, happened & (bins > 0) & ~inside, "that leave the recording")
    usable = happened & inside & (bins > 0)
    _log_dropped(recording, usable & ~recorded, "in which no activity was recorded")
    kept = np.flatnonzero(usable & recorded)
    return Windows(
        start_s=start_s[kept], bins=bins[kept], trial=kept, split=np.full(len(kept), "", "<U7")
    )


def _event_times(recording: Data, trials: Interval, event: str) -> Float[np.ndarray, " J"]:
    """When an event happened in each trial (s); NaN where it did not."""
    times = [name for name in trials.keys() if _are_times(trials, name)]  # noqa: SIM118
    if event not in trials:
        raise unknown("data.windows.event", event, times)
    if event not in times:
        raise UserError(
            f"data.windows.event is '{event}', which holds no times of events in the trials of "
            f"session {recording_id(recording)}, expected seconds on the clock of the recording; "
            f"choose among {', '.join(times)}"
        )
    return np.asarray(getattr(trials, event), dtype=np.float64)


def _are_times(trials: Interval, name: str) -> bool:
    """Whether most values of a column lie in their trials, or nearly so, or none is known."""
    values = np.asarray(getattr(trials, name))
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        return False
    times_s = values.astype(np.float64)
    known = np.isfinite(times_s)
    near = (times_s >= trials.start - NEAR_S) & (times_s <= trials.end + NEAR_S)
    return not known.any() or bool(near[known].mean() > 0.5)


def _continuous(recording: Data, config: WindowConfig, bin_size_s: float) -> Windows:
    """Windows of one length inside every interval in which activity was recorded."""
    _check_bin(recording, bin_size_s, config.length_s)
    n_bins = max(1, round(config.length_s / bin_size_s))
    length_s = n_bins * bin_size_s
    stride_s = length_s if config.stride_s is None else config.stride_s
    domain = groups(recording)[neural_kind(recording)].domain
    spare_s = domain.end - domain.start - length_s
    fitting = np.floor(spare_s / stride_s + EDGE).astype(np.int64) + 1
    number = np.where(spare_s >= -EDGE * bin_size_s, fitting.clip(min=1), 0)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    start_s = np.repeat(np.asarray(domain.start), number) + within * stride_s
    return Windows(
        start_s=start_s,
        bins=np.full(len(start_s), n_bins),
        trial=containing_trial(trial_times(recording), start_s, start_s + length_s),
        split=np.full(len(start_s), "", "<U7"),
    )


def _check_bin(recording: Data, bin_size_s: float, longest_s: float) -> None:
    """Bins are narrower than windows, unless somebody thought of other units than seconds."""
    if 0 < round(longest_s, 6) < bin_size_s / 2:
        raise UserError(
            f"data.windows.bin_size_s is {bin_size_s:g}, but the longest window of session "
            f"{recording_id(recording)} lasts {longest_s:.3g} s; give the width of a bin in "
            "seconds, such as 0.02"
        )


def trial_times(recording: Data) -> Float[np.ndarray, "J 2"]:
    """Start and end of every trial (s); no rows without a trial table."""
    trials = groups(recording).get("trials")
    if not isinstance(trials, Interval):
        return np.zeros((0, 2))
    return np.stack([trials.start, trials.end], axis=1).astype(np.float64)


def containing_trial(
    trial_s: Float[np.ndarray, "J 2"],
    start_s: Float[np.ndarray, " W"],
    end_s: Float[np.ndarray, " W"],
) -> Int[np.ndarray, " W"]:
    """Find the trial that contains each window.

    Args:
        trial_s: Start and end of every trial (s).
        start_s: Start of each window (s).
        end_s: End of each window (s).

    Returns:
        Row of the trial that contains the whole window, -1 without one.
    """
    if len(trial_s) == 0:
        return np.full(len(start_s), -1)
    order = np.argsort(trial_s[:, 0], kind="stable")
    slack_s = EDGE * (end_s - start_s)
    place = np.searchsorted(trial_s[order, 0], start_s + slack_s, side="right") - 1
    trial = order[place.clip(min=0)]
    contains = (place >= 0) & (end_s <= trial_s[trial, 1] + slack_s)
    return np.where(contains, trial, -1)


def room(windows: Windows, bin_size_s: float) -> Float[np.ndarray, "W 2"]:
    """How far each window can be moved within the run of touching windows of its split.

    Args:
        windows: Windows with their splits.
        bin_size_s: Width of a bin (s).

    Returns:
        Seconds to the start and to the end of that run, so that a moved window reads nothing that
        no window of its split reads.
    """
    start_s, end_s = windows.start_s, windows.end_s(bin_size_s)
    found = np.zeros((len(windows), 2))
    for name in np.unique(windows.split):
        own = np.flatnonzero(windows.split == name)
        own = own[np.argsort(start_s[own], kind="stable")]
        latest_s = np.maximum.accumulate(end_s[own])
        apart = start_s[own][1:] > latest_s[:-1] + EDGE * bin_size_s
        first = np.flatnonzero(np.r_[True, apart])
        run = np.cumsum(np.r_[False, apart])
        found[own, 0] = start_s[own] - start_s[own][first][run]
        found[own, 1] = latest_s[np.r_[first[1:] - 1, len(own) - 1]][run] - end_s[own]
    return found


def draw_moves(
    room_s: Float[np.ndarray, "B 2"],
    jitter_s: float,
    step_s: float | None,
    generator: np.random.Generator,
) -> Float[np.ndarray, " B"]:
    """Draw how far windows are moved.

    Args:
        room_s: Seconds there is room for, to earlier and to later times.
        jitter_s: Largest move to either side (s).
        step_s: Moves are multiples of this (s), for recorded bins; ``None`` for any time.
        generator: Draws the moves, uniformly.

    Returns:
        Seconds, negative for earlier.
    """
    earlier_s, later_s = np.minimum(room_s, jitter_s).clip(min=0).T
    if step_s is None:
        return generator.uniform(-earlier_s, later_s)
    earlier, later = (np.floor(x / step_s + EDGE).astype(np.int64) for x in (earlier_s, later_s))
    return generator.integers(-earlier, later + 1) * step_s


def _log_dropped(recording: Data, dropped: np.ndarray, why: str) -> None:
    if dropped.any():
        name, count = recording_id(recording), int(dropped.sum())
        log.warning("session %s: left out %d of %d trials %s", name, count, len(dropped), why)
