"""What the recordings of the IBL brain-wide benchmark have in common (arXiv 2609.22064)."""

from __future__ import annotations

DATA_SET = "ibl_brain_wide_bench_2026"
"""Folder that holds ``eval`` and ``pretrain`` in a copy of the published data."""

RATE_HZ = 50.0
"""Sampling rate of all behaviours."""

SMALLEST_GAP_S = 20.0
"""Time between two splits, at least (s)."""

REGIONS = ("CB", "CNU", "CTXsp", "HB", "HPF", "HY", "Isocortex", "MB", "OLF", "TH")
"""Cosmos regions, in the order of the columns of ``pred_proba``."""

HELD_OUT = "ts2_co_smoothing_is_held_out_"
"""Column of ``units`` that marks the units co-smoothing hides, followed by ``val`` or ``test``."""
