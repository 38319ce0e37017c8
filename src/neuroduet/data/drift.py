"""Behaviours that drift: within seconds they hardly change, over a recording they do."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from neuroduet.data.binning import finite_rows

LEAST_WITHIN = 0.05
"""Share of the variance below which a behaviour hardly changes within a piece."""

PIECE_S = 10.0
"""Length of a piece of the recording (s), about that of a trial."""

FEWEST = 5
"""Pieces with samples that it takes to tell."""


def drift_of(times_s: Float[np.ndarray, " R"], values: Float[np.ndarray, "N *C"]) -> float | None:
    """How little a drifting behaviour changes within seconds.

    Args:
        times_s: When it was sampled (s).
        values: Its samples, one row per time; NaN where missing.

    Returns:
        The variance within pieces of :data:`PIECE_S` as a share of that over the recording, if
        it is below :data:`LEAST_WITHIN` and a piece is like the one before it; ``None`` if not,
        or if there is too little to tell.
    """
    known = np.isfinite(times_s) & finite_rows(values)
    rows = values.reshape(len(values), -1)[known]
    order, piece, counts = np.unique(
        np.floor(times_s[known] / PIECE_S), return_inverse=True, return_counts=True
    )
    if len(order) < FEWEST or (total := float(rows.var(axis=0).sum())) == 0:
        return None
    sums = [np.bincount(piece, weights=column) for column in rows.T]
    means = np.stack(sums, axis=1) / counts[:, None]
    share = float(((rows - means[piece]) ** 2).sum(axis=1).mean()) / total
    # What jumps, such as a contrast set anew, does not drift.
    steps = float((np.diff(means, axis=0) ** 2).sum(axis=1).mean())
    return share if share < LEAST_WITHIN and steps < means.var(axis=0).sum() else None


def drift_said(name: str, share: float) -> str:
    """What to say of a behaviour that drifts.

    Args:
        name: The behaviour.
        share: See :func:`drift_of`.
    """
    return (
        f"{name} drifts slowly (its variance within {PIECE_S:g} s is {share:.1%} of that over the "
        "recording), and a slowly drifting position is hard to decode; use its speed instead: "
        f"'speed: true' under behaviours, {name} in the mapping file of neuroduet ingest"
    )
