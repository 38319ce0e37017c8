"""Columns of tables in the types and units of recordings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from neuroduet.errors import UserError

Columns = dict[str, np.ndarray]


def hull(activity: Columns, trials: Columns, bin_size_s: float | None) -> Float[np.ndarray, "I 2"]:
    """From the first to the last moment of activity and trials (s), where nobody said.

    Args:
        activity: Columns of spikes, or of bins, whose times are those of their centres.
        trials: Columns of trials.
        bin_size_s: Width of a bin, if anybody said.
    """
    edges = [trials[name] for name in ("start", "end") if name in trials]
    half_s = (bin_size_s or 0.0) / 2 if "values" in activity else 0.0
    times_s = activity["timestamps"]
    together = np.concatenate([times_s - half_s, times_s + half_s, *edges])
    if not len(together):
        return np.zeros((0, 2))
    return np.array([[together.min(), together.max()]], dtype=np.float64)


def in_order(times_s: Float[np.ndarray, " R"], units: Shaped[np.ndarray, " R"]) -> Columns:
    """Columns of spikes in the order of time."""
    order = np.argsort(times_s, kind="stable")
    return {"timestamps": times_s[order], "unit_index": units.astype(np.int64)[order]}


def trial_columns(columns: Columns) -> Columns:
    """Columns of trials, whose start and end are in seconds."""
    found = {name: seconds(f"'{name}' of trials", columns[name]) for name in ("start", "end")
             if name in columns}  # fmt: skip
    return columns | found


def seconds(where: str, times: Any) -> Float[np.ndarray, "*R"]:
    """Times in seconds; durations are converted.

    Args:
        where: What holds them, for the error.
        times: Numbers of seconds, or numpy's or pandas' durations.

    Raises:
        UserError: They are neither, or some are missing.
    """
    values = np.asarray(times)
    try:
        if values.dtype.kind == "M":
            raise TypeError
        durations = values.dtype.kind == "m"
        found = values / np.timedelta64(1, "s") if durations else values.astype(np.float64)
    except (TypeError, ValueError):
        raise UserError(
            f"{where} holds {values.dtype}, expected seconds as numbers; count them from the "
            "start of the recording"
        ) from None
    if not np.isfinite(found).all():
        raise UserError(
            f"{where} holds {int((~np.isfinite(found)).sum())} times that are missing, expected "
            "seconds; leave those rows out"
        )
    return found


def flat(columns: Mapping[str, np.ndarray]) -> Columns:
    """The columns with one value per row."""
    return {name: values for name, values in columns.items() if values.ndim == 1}
