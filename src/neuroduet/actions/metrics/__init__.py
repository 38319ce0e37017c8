"""Metrics of action segmentation: frames, segments, clusters, calibration, and their intervals.

Each metric is a pure function of statistics that add up over recordings. ``score_actions`` and
``score_states`` put them into a table, with intervals over recordings and nulls.
"""

from __future__ import annotations

from neuroduet.actions.metrics.frames import frame_counts, macro_f1
from neuroduet.actions.metrics.scores import (
    COLUMNS,
    EVERY_CLASS,
    compare_actions,
    score_actions,
    score_states,
)
from neuroduet.actions.metrics.segments import (
    bout_statistics,
    edit_score,
    run_lengths,
    transition_matrix,
)

__all__ = [
    "COLUMNS",
    "EVERY_CLASS",
    "bout_statistics",
    "compare_actions",
    "edit_score",
    "frame_counts",
    "macro_f1",
    "run_lengths",
    "score_actions",
    "score_states",
    "transition_matrix",
]
