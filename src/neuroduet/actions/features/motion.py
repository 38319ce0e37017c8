"""Motion: differences, speeds and wavelet amplitudes of signals that are NaN where missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

CYCLES = 5.0
"""Centre frequency of the Morlet wavelet times 2 pi: about five oscillations under its bell."""


def compute_velocity(
    values: Float[np.ndarray, "T ..."], span: int = 1
) -> Float[np.ndarray, "T ..."]:
    """Change per frame over the last ``span`` frames; zero in the first frame.

    >>> compute_velocity(np.array([[1.0], [4.0], [2.0]]))[:, 0]
    array([ 0.,  3., -2.])

    Args:
        values: Signals.
        span: Frames between the two values compared; near the start as many as there are.

    Returns:
        Units of ``values`` per frame; NaN where either value is missing; the first
        frame has none to compare with and reads 0.
    """
    frames = np.arange(len(values))
    before = np.maximum(frames - span, 0)
    elapsed = np.maximum(frames - before, 1).reshape(-1, *[1] * (values.ndim - 1))
    velocity = (values - values[before]) / elapsed
    velocity[:1] = 0.0
    return velocity


def compute_acceleration(
    values: Float[np.ndarray, "T ..."], span: int = 1
) -> Float[np.ndarray, "T ..."]:
    """Change of velocity per frame; zero in the first frame."""
    return compute_velocity(compute_velocity(values, span), span)


def compute_speed(points: Float[np.ndarray, "T *A 2"], span: int = 1) -> Float[np.ndarray, "T *A"]:
    """Length of the velocity of points, per frame."""
    return np.linalg.norm(compute_velocity(points, span), axis=-1)


def compute_turning(headings: Float[np.ndarray, "T *A 2"]) -> Float[np.ndarray, "T *A"]:
    """Angle a unit vector turned by since the frame before (radians, -pi to pi)."""
    now, before = headings, headings[np.maximum(np.arange(len(headings)) - 1, 0)]
    cross = before[..., 0] * now[..., 1] - before[..., 1] * now[..., 0]
    return np.arctan2(cross, (before * now).sum(-1))


def compute_wavelet_amplitudes(
    values: Float[np.ndarray, "T D"], periods: Sequence[int]
) -> Float[np.ndarray, "T P D"]:
    """Amplitude of oscillations of given periods around every frame.

    Morlet wavelets, scaled so that a sine of amplitude 1 at a wavelet's period reads about 1.
    Missing values are taken as the column's mean; values stay missing where they were.

    Args:
        values: Signals.
        periods: Periods (frames), at least 2.

    Returns:
        One amplitude per period and signal.
    """
    seen = np.isfinite(values)
    total, count = np.where(seen, values, 0.0).sum(0), np.maximum(seen.sum(0), 1)
    centred = np.where(seen, values - total / count, 0.0)
    amplitudes = np.stack([_amplitude(centred, period) for period in periods], axis=1)
    return np.where(seen[:, None], amplitudes, np.nan)


def _amplitude(signals: Float[np.ndarray, "T D"], period: int) -> Float[np.ndarray, "T D"]:
    """Modulus of the convolution of signals with one wavelet, by the Fourier transform."""
    frames = len(signals)
    # Room on either side, or the end of a recording would be felt at its start.
    size = frames + int(np.ceil(2 * CYCLES * period))
    frequencies = np.fft.fftfreq(size)
    bell = np.exp(-0.5 * (CYCLES * (frequencies * period - 1.0)) ** 2) * (frequencies > 0)
    spectrum = np.fft.fft(signals, n=size, axis=0)
    return np.abs(np.fft.ifft(2 * spectrum * bell[:, None], axis=0))[:frames]
