"""From scores of single files to the numbers the benchmark reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuroduet.benchmark.suites import CLIPPED


@dataclass(frozen=True, kw_only=True)
class FileScore:
    """One metric of one file of a submission.

    Attributes:
        task: Task with its suite, ``ts1-choice``.
        recording: Recording, empty for a task about all of them together.
        seed: Seed of the run.
        metric: Name of the metric.
        value: The number.
    """

    task: str
    recording: str
    seed: int
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A reported number.

    Attributes:
        task: Task with its suite.
        metric: Name of the metric.
        mean: Mean over seeds.
        sem: Standard error over seeds; ``None`` with one seed.
        seeds: Number of seeds.
    """

    task: str
    metric: str
    mean: float
    sem: float | None
    seeds: int


def aggregate(scores: Sequence[FileScore]) -> list[Reported]:
    """Average scores as the benchmark does.

    Metrics of :data:`~neuroduet.benchmark.suites.CLIPPED` are raised to 0 in every recording and
    seed, then averaged over recordings within a seed, then over seeds.

    Args:
        scores: Scores of all files of a submission.

    Returns:
        One number per task and metric, in the order in which they first occur.

    Example:
        >>> pair = [FileScore(task="ts1-choice", recording=r, seed=43, metric="r2", value=v)
        ...         for r, v in (("a", -3.0), ("b", 0.5))]
        >>> aggregate(pair)[0].mean
        0.25
    """
    by_seed: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(dict)
    for score in scores:
        clipped = score.metric in CLIPPED and score.value < 0
        value = 0.0 if clipped else score.value
        by_seed[score.task, score.metric].setdefault(score.seed, []).append(value)
    return [
        _report(task, metric, [float(np.mean(values)) for values in seeds.values()])
        for (task, metric), seeds in by_seed.items()
    ]


def _report(task: str, metric: str, means: list[float]) -> Reported:
    n = len(means)
    sem = float(np.std(means, ddof=1) / np.sqrt(n)) if n > 1 else None
    return Reported(task=task, metric=metric, mean=float(np.mean(means)), sem=sem, seeds=n)
