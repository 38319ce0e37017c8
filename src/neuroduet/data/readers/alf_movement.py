"""Wheel and licks of an IBL session."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch_brain.data import IrregularTimeSeries

from neuroduet.data.readers.alf_files import AlfFile, find_file, read_times, read_vector
from neuroduet.errors import UserError

WHEEL_RATE_HZ = 1000.0
CORNER_HZ = 20.0
ORDER = 8
LICK_BIN_S = 0.02
"""Licks are counted in bins of this width (s), as in the brain-wide benchmark."""

_MOST_TURNED_RAD = 1e5
"""A wheel that turned farther in a session (rad) is counted in another unit."""


def wheel_velocity(
    times_s: Float[np.ndarray, " R"], position: Float[np.ndarray, " R"]
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Velocity of a wheel whose position is known whenever it moved.

    The position is interpolated to 1000 Hz, passed twice (forwards and backwards) through a
    Butterworth low-pass filter of order 8 at 20 Hz, and differenced: the defaults of IBL's own
    loader, and the input of NEDS and MtM.

    Args:
        times_s: When the position was read (s), ascending.
        position: Unwrapped angle (rad).

    Returns:
        Times at 1000 Hz (s), and velocity there (rad/s).
    """
    from scipy.signal import butter, sosfiltfilt

    grid = np.arange(times_s[0], times_s[-1], 1 / WHEEL_RATE_HZ)
    grid = grid[grid <= times_s[-1]]
    sections = butter(ORDER, CORNER_HZ / WHEEL_RATE_HZ * 2, btype="lowpass", output="sos")
    smooth = sosfiltfilt(sections, np.interp(grid, times_s, position))
    return grid, np.diff(smooth, prepend=smooth[0]) * WHEEL_RATE_HZ


def read_wheel(files: Sequence[AlfFile]) -> IrregularTimeSeries | None:
    """Speed (``wheel_speed``) and velocity of the wheel (rad/s); ``None`` without a wheel.

    Raises:
        UserError: Files are damaged, of different length, too short, or in another unit.
    """
    position_path = find_file(files, "wheel", "position")
    times_path = find_file(files, "wheel", "timestamps")
    if position_path is None or times_path is None:
        return None
    times_s, position = read_times(times_path), read_vector(position_path).astype(np.float64)
    if len(times_s) != len(position):
        raise UserError(
            f"{position_path} has {len(position):,} rows but {times_path.name} has "
            f"{len(times_s):,}, expected a time per position; download both again"
        )
    if not np.isfinite(position).all():
        row = np.flatnonzero(~np.isfinite(position))[0]
        raise UserError(
            f"{position_path} is not finite in row {row}, expected an angle (rad); export it again"
        )
    if len(times_s) < 2 or times_s[-1] - times_s[0] < 1:
        raise UserError(
            f"{times_path} spans less than a second in {len(times_s)} rows, expected a session; "
            "download it again"
        )
    if np.ptp(position) > _MOST_TURNED_RAD:
        raise UserError(
            f"{position_path} turns by {np.ptp(position):.0f}, expected radians (encoder ticks?); "
            "convert it"
        )
    grid, velocity = wheel_velocity(times_s, position)
    return IrregularTimeSeries(
        timestamps=grid,
        wheel_speed=np.abs(velocity).astype(np.float32),
        wheel_velocity=velocity.astype(np.float32),
    )


def read_licks(files: Sequence[AlfFile]) -> dict[str, IrregularTimeSeries]:
    """Licks as events (``lick_events``) and as counts per 20 ms (``licks.licking_rate``).

    Raises:
        UserError: The file is damaged, unsorted or in another unit.
    """
    path = find_file(files, "licks", "times")
    if path is None:
        return {}
    times_s = read_times(path)
    if not len(times_s):
        return {}
    edges = np.arange(times_s[0], times_s[-1] + 2 * LICK_BIN_S, LICK_BIN_S)
    counts = np.histogram(times_s, edges)[0]
    return {
        "lick_events": IrregularTimeSeries(timestamps=times_s),
        "licks": IrregularTimeSeries(
            timestamps=edges[:-1] + LICK_BIN_S / 2, licking_rate=counts.astype(np.float32)
        ),
    }
