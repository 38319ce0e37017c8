"""Events as a behaviour: how many there are per second, such as licks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from neuroduet.errors import UserError

STEP_S = 0.02
SMOOTH_S = 0.1
"""Standard deviation of the Gaussian that an event becomes (s)."""

REGULAR = 1e-3
"""Share of its mean by which the time between the samples of a signal varies at most."""

FEWEST = 10
"""Events that it takes to tell them from the samples of a signal."""


def event_rate(
    times_s: Float[np.ndarray, " E"], span_s: tuple[float, float], where: str
) -> tuple[Float[np.ndarray, " T"], Float32[np.ndarray, " T"]]:
    """Rate of events, each spread over a Gaussian of :data:`SMOOTH_S`.

    Args:
        times_s: When they happened (s), ascending; at least one.
        span_s: From when to when they would have been noticed (s); a time without events has the
            rate 0.
        where: What they are, for errors.

    Returns:
        Times in steps of :data:`STEP_S` (s), and events per second there.

    Raises:
        UserError: They come as regularly as the samples of a signal.
    """
    from scipy.ndimage import gaussian_filter1d

    steps_s = np.diff(times_s)
    if len(times_s) >= FEWEST and np.ptp(steps_s) <= REGULAR * steps_s.mean():
        raise UserError(
            f"{where} is sampled every {steps_s.mean():.4g} s, expected the times of events; "
            "leave rate out"
        )
    first_s, last_s = min(span_s[0], times_s[0]), max(span_s[1], times_s[-1])
    edges = first_s + STEP_S * np.arange(np.floor((last_s - first_s) / STEP_S) + 2)
    counts = np.histogram(times_s, edges)[0] / STEP_S
    rate = gaussian_filter1d(counts, SMOOTH_S / STEP_S, mode="constant", truncate=5)
    return edges[:-1] + STEP_S / 2, rate.astype(np.float32)
