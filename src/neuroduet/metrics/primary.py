"""Which of many scores stand for the others, in tables, cards and tests."""

from __future__ import annotations

import re

import pandas as pd

PRIMARY_METRICS = ("bits_per_spike", "r2", "balanced_accuracy", "accuracy")
"""The first of these that a target has stands for it."""

DETAILED_TASKS = ("encoding_from", "decoding_by_region")
"""Tasks with a row for every part of a larger one, which does not stand for it."""

QUESTION = ["task", "target", "metric"]
"""Columns that say what a score is of."""

NAMES = ("model", "session", *QUESTION, "split")
"""Columns of a score table that are text, whatever a session is called."""

CHANNEL = re.compile(r"\[\d+\]$")
"""Ending of a target that is one channel of a behaviour."""


def primary(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The primary metric of every task and target, in order of appearance.

    Args:
        table: Columns ``task``, ``target`` and ``metric``.

    Returns:
        Questions, without :data:`DETAILED_TASKS` and without single channels.

    Example:
        >>> rows = [("decoding", "wheel", "r2_per_trial"), ("decoding", "wheel", "r2")]
        >>> primary(pd.DataFrame(rows, columns=QUESTION))
        [('decoding', 'wheel', 'r2')]
    """
    known = set(table[QUESTION].itertuples(index=False, name=None))
    targets = dict.fromkeys(table[QUESTION[:2]].itertuples(index=False, name=None))
    found = []
    for task, target in targets:
        if task in DETAILED_TASKS or CHANNEL.search(target):
            continue
        metrics = [name for name in PRIMARY_METRICS if (task, target, name) in known]
        found += [(task, target, name) for name in metrics[:1]]
    return found
