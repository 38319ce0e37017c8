"""The IBL brain-wide benchmark: make its recordings ready, predict, submit and score.

``ts1`` decodes eight behaviours, ``ts2`` predicts activity (co-smoothing, forecasting), ``ts3``
names the region of units::

    neuroduet benchmark --suite ts1 --data brainwide --out ready
    neuroduet train --data ready --out run43 --set training.seed=43
    neuroduet submit run43 --suite ts1 --data brainwide --out mine.zip --label mine
"""

from __future__ import annotations

from neuroduet.benchmark.aggregate import FileScore, Reported, aggregate
from neuroduet.benchmark.runs import predict_suite
from neuroduet.benchmark.scores import score_submission
from neuroduet.benchmark.staging import stage_benchmark
from neuroduet.benchmark.submission import Entry, read_submission, write_submission
from neuroduet.benchmark.suites import SUITES
from neuroduet.benchmark.truth import write_truth

__all__ = [
    "SUITES",
    "Entry",
    "FileScore",
    "Reported",
    "aggregate",
    "predict_suite",
    "read_submission",
    "score_submission",
    "stage_benchmark",
    "write_submission",
    "write_truth",
]
