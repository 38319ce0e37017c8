"""The sessions that are being looked at: opened when first asked for, edits kept for good."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroduet.errors import UserError, unknown
from neuroduet.view.actions import Actions
from neuroduet.view.predictions import Predictions, open_predictions
from neuroduet.view.psth import Aligned, align
from neuroduet.view.recordings import Opened, Trials, open_recording
from neuroduet.view.sources import Source, Sources, read_answer
from neuroduet.view.units import read_scores

KEPT = 3
"""Sessions that stay opened."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """Everything of one session.

    Attributes:
        opened: The recording.
        predictions: What a run predicted.
        aligned: The trials to average units over, if there are any.
        scores: Score by unit id.
        split: Split of every trial; empty where unknown.
    """

    opened: Opened
    predictions: Predictions | None
    aligned: Aligned | None
    scores: dict[str, float]
    split: tuple[str, ...]


class Library:
    """Opens sessions one at a time, whichever request comes first.

    Attributes:
        sources: What there is.
        lock: Held while labels are read or edited.
    """

    def __init__(self, sources: Sources, labels: Path | None) -> None:
        """Remember what there is; nothing is opened yet.

        Args:
            sources: What there is.
            labels: File for the corrected labels of the first session.
        """
        self.sources = sources
        self.lock = threading.RLock()
        self._labels = labels
        self._opening = threading.Lock()
        self._closed = False
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._actions: dict[str, Actions | None] = {}

    def session(self, name: str) -> Session:
        """A session, opened.

        Raises:
            UserError: There is none of that name, or it cannot be used.
        """
        source = self._source(name)
        with self._opening:
            if self._closed:
                raise UserError("the viewer is closing; start it again")
            if name not in self._sessions:
                self._sessions[name] = _open(source)
                while len(self._sessions) > KEPT:
                    self._sessions.popitem(last=False)
            self._sessions.move_to_end(name)
            return self._sessions[name]

    def actions(self, name: str) -> Actions | None:
        """Labels and predicted actions of a session; ``None`` where there is no video.

        Raises:
            UserError: There is no such session, or its labels cannot be used.
        """
        opened = self.session(name).opened
        with self.lock:
            if name not in self._actions:
                self._actions[name] = self._open_actions(opened, self._source(name))
            return self._actions[name]

    def close(self) -> None:
        """Wait until nothing is being opened, and open nothing more.

        The end of the process stops threads where they are. One that is stopped inside HDF5 keeps
        its lock, for which that end then waits forever.
        """
        with self._opening:
            self._closed = True

    def _open_actions(self, opened: Opened, source: Source) -> Actions | None:
        if opened.frames is None:
            return None
        beside = opened.path.with_name(f"{opened.path.stem}.labels.csv")
        given = self._labels if source.id == self.sources.first else None
        answer = opened.states.get("actions")
        if source.answer is not None:
            answer = read_answer(source.answer)
        known = opened.frames, opened.states.get("labels"), answer
        if given is not None:
            return Actions(*known, given)
        try:
            return Actions(*known, beside)
        except UserError as error:
            # A file that happens to lie there must not keep anyone from looking.
            return Actions(*known, beside, str(error))

    def _source(self, name: str) -> Source:
        if name not in self.sources.recordings:
            raise unknown("session", name, self.sources.recordings)
        return self.sources.recordings[name]


def _open(source: Source) -> Session:
    opened = open_recording(source.path)
    if opened.id != source.id:
        raise UserError(f"{source.path} is another session now; start again")
    predictions = None
    if source.predictions is not None:
        activity = opened.activity
        ids = () if activity is None else activity.ids
        order = np.zeros(0, np.int64) if activity is None else activity.order
        predictions = open_predictions(source.predictions, ids, order)
    split = _split_of_trials(opened.trials, predictions)
    rates = None if predictions is None else predictions.rates
    return Session(
        opened=opened,
        predictions=predictions,
        aligned=align(opened.trials, split, rates),
        scores=read_scores(source.scores, source.id),
        split=split,
    )


def _split_of_trials(trials: Trials, predictions: Predictions | None) -> tuple[str, ...]:
    """As the recording says, or as the run divided it."""
    if predictions is None or any(trials.split):
        return trials.split
    start_s, end_s, split = predictions.windows
    # The first window in which the middle of a trial lies.
    middle = (trials.start_s + trials.end_s) / 2
    names = np.full(len(middle), "", dtype=object)
    for begin, end, name in reversed(list(zip(start_s, end_s, split, strict=True))):
        names[(begin <= middle) & (middle < end)] = name
    return tuple(names)
