r"""A session of a filmed animal whose actions and speed modulate the rates of its neurons.

Frames of the camera are the bins of the simulation. The log-rate (log Hz) of unit ``n`` in frame
``t`` is

.. math::
    \log \lambda_n(t) = \log b_n + G_{n, z(t)} + w_n s(t) + p_n^\top a(t)

* ``z``: the action, a chain of bouts (:mod:`neuroduet.simulate.bouts`); ``G``: a gain per unit and
  action, whose mean over actions is 0;
* ``s``: log of the animal's speed, standardised, a continuous behaviour that the recording offers;
* ``a``: slow private processes, stationary Gaussian AR(1) of unit variance, which nobody sees.

``a`` is independent of all else, hence exactly
``E[rate | action, speed] = b exp(G + w s + |p|^2 / 2)``. What is expected from the action alone
averages ``exp(w s)`` over the frames of that action.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from neuroduet.errors import UserError
from neuroduet.simulate.behaviour import BIN_SIZE_S
from neuroduet.simulate.ethogram import Ethogram, simulate_pose
from neuroduet.simulate.neurons import autoregressive, draw_spikes
from neuroduet.simulate.streams import stream

if TYPE_CHECKING:
    from torch_brain.data import Data, Interval

FPS = 25.0
"""Frames per second: two of the bins in which spikes are drawn make a frame."""

MEDIAN_RATE_HZ = 3.0
ACTION_SD = 0.35
"""S.d. over units and actions of the gain of an action."""

SPEED_SD = 0.15
PRIVATE_SD = 0.25
"""S.d. over units of the loading on each private process."""

PRIVATE_TIMES_S = (1.0, 3.0, 10.0)
TRIAL_S, PAUSE_S = 4.0, 1.0


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What the units follow.

    Attributes:
        log_base_hz: Log of the rate where everything else is 0 (log Hz), ``(N,)``.
        action: Gain of every action, ``(K, N)``; sums to 0 over actions.
        speed: Loading on the speed, ``(N,)``.
        private: Loadings on the private processes, ``(Q, N)``.
    """

    log_base_hz: Float[np.ndarray, " N"]
    action: Float[np.ndarray, "K N"]
    speed: Float[np.ndarray, " N"]
    private: Float[np.ndarray, "Q N"]


@dataclass(frozen=True, kw_only=True)
class Acting:
    """A simulated session, and what the best possible observer knows.

    Attributes:
        recording: Spikes, pose, speed, and the true actions and rates in its group ``truth``.
        names: Names of the actions.
        states: True action of every frame, ``(T,)``.
        transition: Of the stages of bouts; see :class:`~neuroduet.simulate.ethogram.Ethogram`.
        log_rates_of_actions_hz: Log of the rate expected of each action (log Hz), ``(K, N)``.
        log_rates_by_action_hz: True log-rates, were the animal to do this or that (log Hz),
            ``(T, K, N)``.
    """

    recording: Data
    names: tuple[str, ...]
    states: Int[np.ndarray, " T"]
    transition: Float[np.ndarray, "KS KS"]
    log_rates_of_actions_hz: Float[np.ndarray, "K N"]
    log_rates_by_action_hz: Float[np.ndarray, "T K N"]


def simulate_acting(
    *,
    n_frames: int = 20_000,
    n_units: int = 30,
    n_classes: int = 4,
    seed: int = 0,
    missing: float = 0.1,
    speed: bool = True,
    trials: bool = False,
) -> Acting:
    """Simulate a session of one filmed animal.

    Args:
        n_frames: Frames T of the camera, :data:`FPS` per second.
        n_units: Units N, at least 1.
        n_classes: Actions K, from 2 on.
        seed: Seed of everything, at least 0.
        missing: Share of lost keypoints.
        speed: Offer the speed as a behaviour. Without it the rates expected from behaviour are
            those expected from the action alone; neurons follow it all the same.
        trials: Add a table of trials of :data:`TRIAL_S` s; otherwise the session is continuous.

    Returns:
        The recording and its truth.

    Raises:
        UserError: An argument is out of range.
    """
    if n_units < 1:
        raise UserError(f"cannot simulate {n_units} units; ask for at least 1")
    if trials and n_frames < TRIAL_S * FPS:
        raise UserError(f"{n_frames} frames hold no trial of {TRIAL_S:g} s; ask for more frames")
    film = simulate_pose(1, n_frames, n_classes=n_classes, seed=seed, missing=missing, fps=FPS)
    absent = sorted(set(range(n_classes)) - set(film.states[0].tolist()))
    if absent:
        raise UserError(
            f"{n_frames} frames hold no bout of {film.names[absent[0]]}; ask for more frames, or "
            "for another seed"
        )
    tuning_of, wandering, firing = (stream(seed, 2, part) for part in range(3))
    tuning = draw_tuning(n_units, n_classes, tuning_of)
    states, log_speed = film.states[0], np.log(film.speed[0])
    standard = (log_speed - log_speed.mean()) / log_speed.std()
    driven = tuning.log_base_hz + standard[:, None] * tuning.speed
    private = draw_private(n_frames, wandering) @ tuning.private
    expected = driven + tuning.action[states] + (tuning.private**2).sum(axis=0) / 2
    of_actions = np.log([np.exp(expected[states == k]).mean(axis=0) for k in range(n_classes)])
    rates = {
        "log_rates_hz": driven + private + tuning.action[states],
        "log_rates_hz_from_behaviour": expected if speed else of_actions[states],
    }
    name, offered = f"acting{seed:02d}", standard if speed else None
    return Acting(
        recording=_recording(name, film, offered, rates, trials, firing),
        names=film.names,
        states=states,
        transition=film.transition,
        log_rates_of_actions_hz=of_actions,
        log_rates_by_action_hz=(driven + private)[:, None] + tuning.action,
    )


def draw_tuning(n_units: int, n_classes: int, generator: np.random.Generator) -> Tuning:
    """Draw what the units follow: base rates log-normal, gains and loadings Gaussian."""
    log_base_hz = np.log(MEDIAN_RATE_HZ) + 0.6 * generator.standard_normal(n_units)
    action = ACTION_SD * generator.standard_normal((n_classes, n_units))
    return Tuning(
        log_base_hz=log_base_hz,
        action=action - action.mean(axis=0),
        speed=SPEED_SD * generator.standard_normal(n_units),
        private=PRIVATE_SD * generator.standard_normal((len(PRIVATE_TIMES_S), n_units)),
    )


def draw_private(n_frames: int, generator: np.random.Generator) -> Float[np.ndarray, "T Q"]:
    """Draw the private processes, stationary and of unit variance."""
    noise = generator.standard_normal((n_frames, len(PRIVATE_TIMES_S)))
    return autoregressive(noise, np.exp(-1 / FPS / np.array(PRIVATE_TIMES_S)))


def _recording(
    name: str,
    film: Ethogram,
    log_speed: Float[np.ndarray, " T"] | None,
    rates: dict[str, Float[np.ndarray, "T N"]],
    trials: bool,
    generator: np.random.Generator,
) -> Data:
    """Write a session down: what was recorded, and in the group ``truth`` what was not."""
    from torch_brain.data import (
        ArrayDict,
        Data,
        Interval,
        IrregularTimeSeries,
        SessionDescription,
        SubjectDescription,
    )

    n_frames, n_units = rates["log_rates_hz"].shape
    frames_s = (np.arange(n_frames) + 0.5) / FPS
    bins = np.repeat(rates["log_rates_hz"], round(1 / FPS / BIN_SIZE_S), axis=0)
    spike_times_s, spike_units = draw_spikes(bins[None], np.zeros(1), generator)
    pose = film.pose[0]
    groups: dict[str, Any] = {"trials": _trials(n_frames / FPS)} if trials else {}
    if log_speed is not None:
        groups["motion"] = IrregularTimeSeries(
            timestamps=frames_s, log_speed=log_speed.astype(np.float32)
        )
    return Data(
        session=SessionDescription(id=f"{name}-session0"),
        subject=SubjectDescription(id=name),
        units=ArrayDict(id=np.array([f"unit{n:03d}" for n in range(n_units)])),
        spikes=IrregularTimeSeries(timestamps=spike_times_s, unit_index=spike_units),
        pose=IrregularTimeSeries(timestamps=frames_s, xy=pose[..., :2], likelihood=pose[..., 2]),
        keypoints=ArrayDict(name=np.array(film.keypoints)),
        truth=IrregularTimeSeries(
            timestamps=frames_s,
            actions=film.states[0],
            **{key: values.astype(np.float16) for key, values in rates.items()},
        ),
        domain=Interval(0.0, n_frames / FPS),
        **groups,
    )


def _trials(duration_s: float) -> Interval:
    """Trials one after the other, with pauses between them, in whole."""
    from torch_brain.data import Interval

    count = int((duration_s + PAUSE_S) // (TRIAL_S + PAUSE_S))
    start_s = np.arange(count) * (TRIAL_S + PAUSE_S)
    return Interval(start=start_s, end=start_s + TRIAL_S)
