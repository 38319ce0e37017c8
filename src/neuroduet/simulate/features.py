"""Latent features of behaviour, the same for all animals, that neurons follow.

Each feature has two forms: one that a log-linear regression on lagged wheel and whisker, time,
choice x time and block x time can express, and the natural one that it cannot.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from neuroduet.simulate.behaviour import BIN_SIZE_S, Trials

Feature = Float[np.ndarray, "W T"]

SPEEDS = (0.8, 2.0, 4.0)
"""Preferred wheel speeds of the tuning curves (rad/s)."""

TYPICAL_MOVEMENT_S = 0.3
"""Movement time that the linear forms of movement-locked features assume (s)."""

FEATURES: dict[str, float] = {
    "wheel before": 0.21,
    "wheel after": 0.21,
    "slow speed": 0.12,
    "middle speed": 0.15,
    "fast speed": 0.15,
    "whisker before": 0.19,
    "whisker after": 0.19,
    "whisker x choice": 0.045,
    "whisker at rest": 0.16,
    "wheel x block": 0.05,
    "choice before movement": 0.025,
    "choice at movement": 0.025,
    "choice after movement": 0.025,
    "movement onset": 0.1,
    "choice x block": 0.05,
    "block before stimulus": 0.04,
    "bias before stimulus": 0.04,
    "stimulus": 0.16,
    "stimulus x choice": 0.025,
}
"""Relative effect of each feature on the log-rates of units."""


def features(trials: Trials, nonlinear: float) -> Float[np.ndarray, "W T F"]:
    """Compute all features at the bin centres of every trial, before standardisation.

    Values before or after a trial that lags reach for are those of its first or last bin, so
    that a feature depends on nothing outside its trial.

    Args:
        trials: Behaviour of a session.
        nonlinear: Weight of the natural forms, 0 to 1; the linear ones get the rest.

    Returns:
        One column per entry of :data:`FEATURES`, in that order.
    """
    forms = {**_movement(trials), **_gates(trials), **_locked_to_movement(trials), **_task(trials)}
    mixed = [
        (1.0 - nonlinear) * linear + nonlinear * natural
        for linear, natural in (forms[name] for name in FEATURES)
    ]
    return np.stack(mixed, axis=-1).astype(np.float32)


def lagged(values: Feature, lag_s: float) -> Feature:
    """Delay a signal, repeating its first (or, for a negative lag, its last) value.

    Args:
        values: Signal at bin centres.
        lag_s: Delay (s), rounded to whole bins.

    Returns:
        The delayed signal.
    """
    steps = np.arange(values.shape[1]) - round(lag_s / BIN_SIZE_S)
    return values[:, np.clip(steps, 0, values.shape[1] - 1)]


def _signals(trials: Trials) -> tuple[Feature, Feature]:
    """Wheel speed and whisker motion energy at bin centres, smoothed over about 50 ms."""
    wheel, whisker = (
        gaussian_filter1d(signal[:, 1::2].astype(np.float64), 1.0, axis=1, mode="nearest")
        for signal in (trials.wheel, trials.whisker)
    )
    return wheel, whisker


def _movement(trials: Trials) -> dict[str, tuple[Feature, Feature]]:
    """Features of one movement signal alone: saturating, and tuned to a preferred speed."""
    wheel, whisker = _signals(trials)
    before, after = lagged(wheel, -0.08), lagged(wheel, 0.06)
    whisker_before, whisker_after = lagged(whisker, -0.04), lagged(whisker, 0.08)
    # Tuning curves have equal widths on a log axis; 0.2 rad/s keep the logarithm of rest finite.
    log_speed = np.log(wheel + 0.2)
    tuned = [np.exp(-0.5 * ((log_speed - np.log(v + 0.2)) / 0.35) ** 2) for v in SPEEDS]
    return {
        "wheel before": (before, np.tanh(before / 3.0)),
        "wheel after": (after, np.tanh(after / 3.0)),
        "slow speed": (lagged(wheel, -0.02), tuned[0]),
        "middle speed": (lagged(wheel, 0.02), tuned[1]),
        "fast speed": (wheel, tuned[2]),
        "whisker before": (whisker_before, np.tanh(whisker_before / 1.5)),
        "whisker after": (whisker_after, np.tanh(whisker_after / 1.5)),
    }


def _gates(trials: Trials) -> dict[str, tuple[Feature, Feature]]:
    """Products of a movement signal with choice, block or the absence of another movement."""
    wheel, whisker = _signals(trials)
    choice = trials.choice[:, None].astype(np.float64)
    bias = (trials.block[:, None] - 0.5) / 0.3
    strong = np.tanh(lagged(whisker, 0.02))
    return {
        "whisker x choice": (lagged(whisker, 0.02), strong * choice),
        "whisker at rest": (lagged(whisker, 0.06), strong * np.exp(-wheel)),
        "wheel x block": (lagged(wheel, 0.04), np.tanh(lagged(wheel, 0.04) / 2.0) * bias),
    }


def _ramp(since_s: Feature) -> Feature:
    """A ramp over 300 ms up to time 0, gone within 100 ms."""
    return np.clip(1.0 + since_s / 0.3, 0.0, 1.0) * np.exp(-np.maximum(since_s, 0.0) / 0.05)


def _peak(since_s: Feature) -> Feature:
    """A peak of s.d. 80 ms, 60 ms after time 0."""
    return np.exp(-0.5 * ((since_s - 0.06) / 0.08) ** 2)


def _hold(since_s: Feature) -> Feature:
    """A step 150 ms after time 0 that decays over 600 ms."""
    return np.exp(-np.maximum(since_s, 0.0) / 0.6) / (1.0 + np.exp(-(since_s - 0.15) / 0.04))


def _locked_to_movement(trials: Trials) -> dict[str, tuple[Feature, Feature]]:
    """Time courses around the first movement, signed by choice or by choice and block."""
    shape = (len(trials.choice), trials.bins)
    choice = trials.choice[:, None].astype(np.float64)
    bias = (trials.block[:, None] - 0.5) / 0.3
    typical = np.broadcast_to(trials.times_s - TYPICAL_MOVEMENT_S, shape)
    actual = trials.times_s - trials.movement_s[:, None]
    return {
        "choice before movement": (choice * _ramp(typical), choice * _ramp(actual)),
        "choice at movement": (choice * _peak(typical), choice * _peak(actual)),
        "choice after movement": (choice * _hold(typical), choice * _hold(actual)),
        "movement onset": (_peak(typical), _peak(actual)),
        "choice x block": (choice * _hold(typical), choice * bias * _hold(actual)),
    }


def _task(trials: Trials) -> dict[str, tuple[Feature, Feature]]:
    """Block before the stimulus and the response to it; linear in both forms.

    The response is signed by the chosen side: the side of the stimulus is not a given behaviour.
    """
    times = trials.times_s
    bias = (trials.block[:, None] - 0.5) / 0.3
    waiting = 1.0 / (1.0 + np.exp((times - 0.05) / 0.03))
    late = np.maximum(times - 0.04, 0.0) / 0.06
    evoked = np.broadcast_to(late * np.exp(1.0 - late), (len(bias), len(times)))
    linear = {
        "block before stimulus": bias * waiting,
        "bias before stimulus": np.abs(bias) * waiting,
        "stimulus": evoked,
        "stimulus x choice": evoked * trials.choice[:, None],
    }
    return {name: (feature, feature) for name, feature in linear.items()}
