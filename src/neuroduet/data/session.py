"""Sessions: recordings opened for a model, cut into windows and divided into splits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, Int

from neuroduet.config import Config, DataConfig
from neuroduet.data.binning import bin_grid
from neuroduet.data.labels import Draft, draft_behaviours, settle_behaviours
from neuroduet.data.opened import OPEN_RECORDINGS, Opened, Stamp, check_unchanged, open_data, stamp
from neuroduet.data.parts import by_window, is_empty, recorded_times, session_info, trial_table
from neuroduet.data.recording import find_recordings, load
from neuroduet.data.schema import check, recording_id
from neuroduet.data.sources import PerTrial
from neuroduet.data.splits import assign_splits
from neuroduet.data.statistics import Statistics, chunk_windows, gather
from neuroduet.data.windows import (
    Windows,
    choose_bin_size,
    containing_trial,
    draw_moves,
    make_windows,
    room,
    trial_times,
)
from neuroduet.errors import UserError, unknown, unsuitable
from neuroduet.types import Batch, Behaviour, SessionInfo, Split

__all__ = ["Session", "Statistics", "Windows", "open_sessions"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """A recording, ready to be read window by window.

    Its data stay in the file, which is opened when windows are read, and closed again when
    ``config.open_recordings`` others were read since. A session that is sent to another process
    takes none of them along.

    Attributes:
        path: File of the recording.
        config: How it was opened.
        info: What a model needs to know about it.
        windows: Its windows and their splits.
        trials: Columns of the trial table, one row per window: ``nan``, or an empty string, for
            windows that lie in no trial.
        recorded_s: Start and end of every interval in which activity was recorded (s).
        trial_s: Start and end of every trial (s).
    """

    path: Path
    config: DataConfig
    info: SessionInfo
    windows: Windows
    trials: dict[str, np.ndarray]
    recorded_s: Float[np.ndarray, "I 2"]
    trial_s: Float[np.ndarray, "J 2"]
    _units: Int[np.ndarray, " N"] | None
    _stamp: Stamp

    def __repr__(self) -> str:
        info = self.info
        behaviours = ", ".join(behaviour.name for behaviour in info.behaviours) or "no behaviour"
        sizes = f"{len(info.units)} units, {len(self.windows)} windows, {behaviours}"
        return f"<Session {info.id}: {sizes}, from {self.path}>"

    def indices(self, split: str) -> Int[np.ndarray, " W"]:
        """Windows of a split.

        Args:
            split: ``train``, ``valid`` or ``test``.

        Returns:
            Their indices, ascending.
        """
        if split not in get_args(Split):
            raise unknown("split", split, get_args(Split))
        return np.flatnonzero(self.windows.split == split)

    def batch(
        self, indices: Int[np.ndarray, " B"], moved_s: Float[np.ndarray, " B"] | None = None
    ) -> Batch:
        """Read windows.

        Args:
            indices: Rows of the window table, at least one, in any order.
            moved_s: Time by which each is moved (s), see :meth:`moves`; ``None`` moves none.

        Returns:
            The windows, padded at their end to the longest of them.

        Raises:
            UserError: The file is missing, or has changed since the session was opened.
        """
        indices = np.array(indices, dtype=np.int64)
        starts_s, bins = self.windows.start_s[indices], self.windows.bins[indices]
        trial = self.windows.trial[indices]
        if moved_s is not None:
            starts_s = starts_s + moved_s
            trial = self._trial_around(starts_s, bins)
        return self._read(starts_s, bins, trial, indices)

    def stretches(self, starts_s: Float[np.ndarray, " B"], bins: Int[np.ndarray, " B"]) -> Batch:
        """Read any stretches of the recording, whether or not they are among its windows.

        Args:
            starts_s: Start of each (s).
            bins: Number of bins of each.

        Returns:
            The stretches as windows -1, padded at their end to the longest of them.
        """
        nowhere = np.full(len(starts_s), -1)
        return self._read(starts_s, bins, self._trial_around(starts_s, bins), nowhere)

    def moves(
        self, indices: Int[np.ndarray, " B"], generator: np.random.Generator
    ) -> Float[np.ndarray, " B"] | None:
        """Draw by how much windows are moved in training, as ``data.windows.jitter_s`` says.

        Args:
            indices: Rows of the window table.
            generator: Draws the moves.

        Returns:
            Seconds, of whole bins where bins were recorded; ``None`` (and nothing is drawn) if
            windows stay where they are.
        """
        jitter_s = self.config.windows.jitter_s
        if jitter_s == 0:
            return None
        step_s = None if self.info.neural == "spikes" else self.info.bin_size_s
        return draw_moves(self._room_s[indices], jitter_s, step_s, generator)

    def _reading(self) -> AbstractContextManager[Opened]:
        """Its data, opened if they are not."""
        check_unchanged(self.path, self._stamp)
        return OPEN_RECORDINGS.reading(self, self.config.open_recordings, self._open_data)

    def _open_data(self) -> Opened:
        return open_data(self.path, self.info.behaviours, self.config)

    @cached_property
    def _room_s(self) -> Float[np.ndarray, "W 2"]:
        return room(self.windows, self.info.bin_size_s)

    def _trial_around(
        self, starts_s: Float[np.ndarray, " B"], bins: Int[np.ndarray, " B"]
    ) -> Int[np.ndarray, " B"]:
        return containing_trial(self.trial_s, starts_s, starts_s + bins * self.info.bin_size_s)

    def _read(
        self,
        starts_s: Float[np.ndarray, " B"],
        bins: Int[np.ndarray, " B"],
        trial: Int[np.ndarray, " B"],
        indices: Int[np.ndarray, " B"],
    ) -> Batch:
        n_bins, bin_size_s = int(bins.max()), self.info.bin_size_s
        inside = np.arange(n_bins) < bins[:, None]
        with self._reading() as opened:
            activity, recorded = opened.neural.read(starts_s, n_bins, bin_size_s)
            valid = inside & recorded
            values, observed = self._read_behaviours(opened, trial, starts_s, valid)
        if not inside.all():
            activity[~inside] = 0
        if self._units is not None:
            activity = activity[:, :, self._units]
        return Batch(
            session=self.info.id,
            activity=torch.from_numpy(activity),
            valid=torch.from_numpy(valid),
            behaviours=values,
            observed=observed,
            windows=torch.from_numpy(indices),
        )

    def truth(self, indices: Int[np.ndarray, " B"]) -> dict[str, Float[np.ndarray, "B T N"]]:
        """True expected counts per bin.

        Args:
            indices: Rows of the window table.

        Returns:
            ``rates``, and ``rates_from_behaviour``, the best prediction from behaviour alone; zero
            in padding. Empty for recorded data.
        """
        starts_s, bins = self.windows.start_s[indices], self.windows.bins[indices]
        n_bins = int(bins.max())
        with self._reading() as opened:
            if opened.truth is None:
                return {}
            rates = opened.truth.read(starts_s, n_bins, self.info.bin_size_s)
        inside = (np.arange(n_bins) < bins[:, None])[:, :, None]
        units = slice(None) if self._units is None else self._units
        return {name: np.where(inside, values, 0)[:, :, units] for name, values in rates.items()}

    @cached_property
    def statistics(self) -> Statistics:
        """Statistics of the training windows, gathered at the first use."""
        with self._reading() as opened:
            each = self.info.max_bins * opened.neural.n_units
        chunks = chunk_windows(self.indices("train"), each)
        return gather(chunks, self.batch, len(self.info.units), self.info.behaviours)

    def _read_behaviours(
        self,
        opened: Opened,
        trial: Int[np.ndarray, " B"],
        starts_s: Float[np.ndarray, " B"],
        valid: np.ndarray,
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        at = self.config.windows.behaviour_grid
        grid = bin_grid(starts_s, valid.shape[1], self.info.bin_size_s, at)
        values, observed = {}, {}
        for name, source in opened.behaviours.items():
            if isinstance(source, PerTrial):
                found = source.values[trial.clip(min=0)]
                seen = source.observed[trial.clip(min=0)] & (trial >= 0)
                found[~seen] = 0
            else:
                found, seen = source.read(grid)
                hidden = seen & ~valid
                if hidden.any():
                    found[hidden], seen = 0, seen & valid
            values[name], observed[name] = torch.from_numpy(found), torch.from_numpy(seen)
        return values, observed


def open_sessions(
    path: Path | str,
    config: Config | DataConfig | None = None,
    sessions: Sequence[str] | None = None,
    behaviours: tuple[Behaviour, ...] | None = None,
) -> list[Session]:
    """Open recordings.

    Args:
        path: A recording, or a folder of them.
        config: Windows, splits, behaviours and units to use, or a configuration of which these
            are the section ``data``; the default if not given.
        sessions: Ids of those to open, or one of them; all if not given.
        behaviours: Behaviours that a trained model knows, with their classes; others are left
            out. If not given, classes are those of all the opened sessions together.

    Returns:
        Sessions in the order of their ids.

    Raises:
        UserError: There is no such session, a recording cannot be used, behaviours contradict
            each other, or one has a class that ``behaviours`` does not know.
    """
    config = _data_config(config)
    if isinstance(sessions, str):
        sessions = [sessions]
    files: dict[str, Path] = {}
    drafts: dict[str, dict[str, Draft]] = {}
    for file in find_recordings(path):
        with load(file) as recording:
            name = recording_id(recording)
            if name in files:
                raise UserError(
                    f"{files[name]} and {file} are both session '{name}'; keep one of them"
                )
            files[name] = file
            if sessions is None or name in sessions:
                check(recording)
                drafts[name] = draft_behaviours(recording, config.behaviours)
    for name in sessions or []:
        if name not in files:
            raise unknown("session", name, files)
    ordered = {name: drafts[name] for name in sorted(drafts)}
    settled = settle_behaviours(ordered, config.behaviours, behaviours)
    return [_open(files[name], config, found) for name, found in settled.items()]


def _data_config(config: Config | DataConfig | None) -> DataConfig:
    if config is None:
        return DataConfig()
    if isinstance(config, Config):
        return config.data
    if not isinstance(config, DataConfig):
        raise unsuitable(
            "config", config, "a configuration", "give for example neuroduet.PRESETS['duet']()"
        )
    return config


def _open(path: Path, config: DataConfig, behaviours: tuple[Behaviour, ...]) -> Session:
    """Open one recording whose behaviours are settled."""
    opened = stamp(path)
    with load(path) as recording:
        bin_size_s = choose_bin_size(recording, config.windows)
        trials = trial_table(recording)
        windows = assign_splits(
            make_windows(recording, config.windows, bin_size_s),
            config.split,
            session=recording_id(recording),
            bin_size_s=bin_size_s,
            given=trials.get("split"),
        )
        offered = tuple(b for b in behaviours if not is_empty(recording, b, windows))
        session = Session(
            path=path.resolve(),
            config=config,
            info=session_info(recording, offered, bin_size_s, int(windows.bins.max())),
            windows=windows,
            trials={name: by_window(values, windows.trial) for name, values in trials.items()},
            recorded_s=recorded_times(recording),
            trial_s=trial_times(recording),
            _units=None,
            _stamp=opened,
        )
    return _without_quiet_units(session) if config.min_rate_hz > 0 else session


def _without_quiet_units(session: Session) -> Session:
    """Leave out units below the configured rate, judged by training windows alone."""
    info, limit_hz = session.info, session.config.min_rate_hz
    if not info.is_poisson:
        raise UserError(
            f"data.min_rate_hz is {limit_hz}, but session {info.id} holds traces, which have no "
            "rate; set it to 0"
        )
    rates_hz = session.statistics.mean_activity / info.bin_size_s
    kept = np.flatnonzero(rates_hz >= limit_hz)
    if len(kept) == 0:
        raise UserError(
            f"no unit of session {info.id} reaches data.min_rate_hz {limit_hz}; the highest rate "
            f"is {rates_hz.max(initial=0):.3g} Hz"
        )
    log.info("session %s: %d of %d units kept", info.id, len(kept), len(rates_hz))
    regions = None if info.regions is None else tuple(info.regions[unit] for unit in kept)
    fewer = replace(info, units=tuple(info.units[unit] for unit in kept), regions=regions)
    return replace(session, info=fewer, _units=kept)
