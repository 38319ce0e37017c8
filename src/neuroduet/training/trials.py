"""The trials of a search: what each is made of, how far it got, and how it ended.

All of it is read from the folder of the search: the run folders, and ``search.csv``.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuroduet.config import Config, override
from neuroduet.errors import UserError
from neuroduet.terminal import Count
from neuroduet.training.curves import read_curves, valid_scores
from neuroduet.training.files import write_text
from neuroduet.training.spaces import Space, draw_settings

log = logging.getLogger(__name__)


ENDED = ("finished", "stopped", "failed")
"""How a trial ends; until then it is ``unfinished``."""

KEPT = ("finished", "stopped")
"""Trials that a resumed search does not train again; failed ones get another chance."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched.

    Attributes:
        config: What all trials share.
        space: Distribution of each setting that differs.
        data: A recording, or a folder of recordings.
        out: Folder of the search.
        trials: Number of trials.
        seed: Seed of the drawn settings.
        sessions: Ids of the sessions to train on; ``None`` takes all.
        pretrained: Run that every trial finetunes; ``None`` trains from scratch.
    """

    config: Config
    space: Space
    data: Path
    out: Path
    trials: int = 30
    seed: int = 0
    sessions: tuple[str, ...] | None = None
    pretrained: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Where trials run.

    Attributes:
        workers: Trials at the same time.
        gpus: GPUs of a trial, also a part of one.
        address: Address of a Ray cluster; ``None`` uses the processes of this machine.
    """

    workers: int = 2
    gpus: float = 0.0
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial, as far as it got.

    Attributes:
        number: From 1 on.
        settings: What was drawn for it.
        run: Its run folder.
        status: One of :data:`ENDED`, or ``unfinished``.
        message: Why it failed.
        scores: Mean validation score of each validation.
        steps: Optimiser steps done.
        minutes: Training time.
    """

    number: int
    settings: dict[str, Any]
    run: Path
    status: str = "unfinished"
    message: str = ""
    scores: tuple[float, ...] = ()
    steps: int = 0
    minutes: float = 0.0

    @property
    def best(self) -> float:
        """Best mean validation score, ``nan`` before the first."""
        return max(self.scores, default=math.nan)


def silent(done: int, total: int, value: float) -> None:
    """Tell nobody."""


@dataclass
class Ends:
    """How trials ended: written to ``search.csv`` whenever one ends.

    Attributes:
        plan: The search.
        known: Status and message by number.
        report: Told of every end.
    """

    plan: Search
    known: dict[int, tuple[str, str]] = field(default_factory=dict)
    report: Count = silent

    def __getstate__(self) -> dict[str, Any]:
        # Ray keeps a copy on disk; what shows progress belongs to this process.
        return self.__dict__ | {"report": silent}

    def record(self, number: int, status: str, message: str = "") -> None:
        """Take note of an end."""
        self.known[number] = (status, message)
        trials = read_trials(self.plan, self.known)
        write_trials(self.plan, trials)
        trial = trials[number - 1]
        said = message or f"best mean validation score {trial.best:.3f}"
        count = len(trial.scores)
        log.info(
            f"trial {number} {status} after {count} validation{'' if count == 1 else 's'}: {said} "
            f"({len(self.known)} of {self.plan.trials} trials ended)"
        )
        self.report(len(self.known), self.plan.trials, trial.best)


def trial_run(plan: Search, number: int) -> Path:
    """Run folder of a trial."""
    return plan.out / "trials" / f"{number:04d}"


def trial_config(plan: Search, number: int) -> Config:
    """Configuration of a trial.

    Raises:
        UserError: A drawn setting does not exist, or its value is not allowed.
    """
    return override(plan.config, as_settings(draw_settings(plan.space, plan.seed, number)))


def as_settings(values: Mapping[str, Any]) -> list[str]:
    """Values as ``key=value`` settings."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def validation_scores(run: Path) -> list[float]:
    """Mean score of each validation of a run."""
    return [score for _, _, score in _validations(run)]


def _validations(run: Path) -> list[tuple[int, float, float]]:
    """Step, minutes and mean score of each validation that has a score."""
    found = []
    for row in read_curves(run / "metrics.csv"):
        scores = valid_scores(row).values()
        if scores:
            found.append((int(row["step"]), row["minutes"], sum(scores) / len(scores)))
    return found


def read_trials(plan: Search, ends: Mapping[int, tuple[str, str]]) -> list[Trial]:
    """All trials, as far as their run folders got.

    Args:
        plan: The search.
        ends: Status and message of those that ended.
    """
    trials = []
    for number in range(1, plan.trials + 1):
        run = trial_run(plan, number)
        validations = _validations(run)
        status, message = ends.get(number, ("unfinished", ""))
        trials.append(
            Trial(
                number=number,
                settings=draw_settings(plan.space, plan.seed, number),
                run=run,
                status=status,
                message=message,
                scores=tuple(score for _, _, score in validations),
                steps=validations[-1][0] if validations else 0,
                minutes=validations[-1][1] if validations else 0.0,
            )
        )
    return trials


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """The finished trial with the best score; a stopped one only if none has finished."""
    for status in KEPT:
        scored = [trial for trial in trials if trial.status == status and trial.scores]
        if scored:
            return max(scored, key=lambda trial: trial.best)
    return None


def write_trials(plan: Search, trials: Sequence[Trial]) -> None:
    """Write ``search.csv``, one row for each trial."""
    rows = [
        {
            "trial": trial.number,
            "status": trial.status,
            "validations": len(trial.scores),
            "steps": trial.steps,
            "minutes": round(trial.minutes, 3),
            "score": trial.best if trial.scores else "",
            **trial.settings,
            "run": trial.run.relative_to(plan.out),
            "message": trial.message,
        }
        for trial in trials
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text(plan.out / "search.csv", text.getvalue())


def read_ends(plan: Search) -> dict[int, tuple[str, str]]:
    """Status and message of the trials that ended, from ``search.csv``.

    Raises:
        UserError: The file is damaged.
    """
    path = plan.out / "search.csv"
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(int(r["trial"]), r["status"], r["message"]) for r in csv.DictReader(file)]
    except (KeyError, ValueError, TypeError):
        raise UserError(
            f"{path} is no table of trials; remove it, and --resume will look at the run folders"
        ) from None
    return {number: (status, message) for number, status, message in rows if status in ENDED}
