"""Speed of a position: how fast a series changes, whatever it is measured in."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from torch_brain.data import IrregularTimeSeries

from neuroduet.data.binning import finite_rows
from neuroduet.data.readers.alf_movement import wheel_velocity
from neuroduet.errors import UserError

SHORTEST_S = 1.0
"""What the filter needs."""


def speed_of(
    times_s: Float[np.ndarray, " R"], position: Float[np.ndarray, "N *C"], where: str
) -> tuple[Float[np.ndarray, " T"], Float32[np.ndarray, " T"]]:
    """Speed of a position, made as that of the IBL's wheel (:func:`wheel_velocity`).

    Args:
        times_s: When the position was sampled (s), ascending.
        position: One column, or several, such as x and y.
        where: What it is, for errors.

    Returns:
        Times at 1000 Hz (s), and the length of the velocity there (unit of the position per
        second); NaN beside samples that are missing.

    Raises:
        UserError: There is less than a second of it, or the times do not fit.
    """
    columns = position.reshape(len(position), -1)
    if len(times_s) != len(columns):
        raise UserError(
            f"{where} has {len(columns)} samples but {len(times_s)} times, expected one value per "
            "time; export both again"
        )
    if not np.isfinite(times_s).all() or (np.diff(times_s) < 0).any():
        raise UserError(f"{where} has times that are not ascending seconds; sort it by time")
    known = finite_rows(columns)
    seen_s = times_s[known]
    if len(seen_s) < 2 or seen_s[-1] - seen_s[0] < SHORTEST_S:
        raise UserError(
            f"{where} is known for less than {SHORTEST_S:g} s, expected a longer series; "
            "leave speed out"
        )
    found = [wheel_velocity(seen_s, column) for column in columns[known].T]
    grid = found[0][0]
    speed = np.linalg.norm([velocity for _, velocity in found], axis=0)
    speed[np.interp(grid, times_s, (~known).astype(float)) > 0] = np.nan
    return grid, speed.astype(np.float32)


def speed_series(series: IrregularTimeSeries, where: str) -> IrregularTimeSeries:
    """The speed of a series with the column ``values``; see :func:`speed_of`.

    Raises:
        UserError: There is too little of it.
    """
    times_s = np.asarray(series.timestamps, dtype=np.float64)
    grid, speed = speed_of(times_s, np.asarray(series.values, dtype=np.float64), where)
    return IrregularTimeSeries(timestamps=grid, values=speed)
