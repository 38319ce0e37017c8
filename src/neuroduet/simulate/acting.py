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
``E[rate | action, speed] = b exp(G + w s + |p|^2 / 2)``. What is expected of an action alone
averages ``exp(w s)`` over its frames; when its bout began says a little more about the speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from neuroduet.errors import UserError
from neuroduet.simulate.behaviour import BIN_SIZE_S
from neuroduet.simulate.ethogram import Ethogram, simulate_pose
from neuroduet.simulate.neurons import autoregressive, draw_spikes
from neuroduet.simulate.streams import stream

if TYPE_CHECKING:
    from torch_brain.data import Data, Interval, IrregularTimeSeries

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
    _check(n_frames, n_units, trials)
    film = simulate_pose(1, n_frames, n_classes=n_classes, seed=seed, missing=missing, fps=FPS)
    _check_bouts(film)
    making, wandering, firing = (stream(seed, 2, part) for part in range(3))
    tuning = draw_tuning(n_units, n_classes, making)
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
    """Write a session down; spikes are drawn here."""
    from torch_brain.data import ArrayDict, Data, Interval, SessionDescription, SubjectDescription

    n_frames, n_units = rates["log_rates_hz"].shape
    bins = np.repeat(rates["log_rates_hz"], round(1 / FPS / BIN_SIZE_S), axis=0)
    spikes = draw_spikes(bins[None], np.zeros(1), generator)
    domain = Interval(0.0, n_frames / FPS)
    table = {"trials": _trials(n_frames / FPS)} if trials else {}
    return Data(
        session=SessionDescription(id=f"{name}-session0"),
        subject=SubjectDescription(id=name),
        units=ArrayDict(id=np.array([f"unit{n:03d}" for n in range(n_units)])),
        keypoints=ArrayDict(name=np.array(film.keypoints)),
        domain=domain,
        **_series(film, log_speed, rates, spikes, domain),
        **table,
    )


def _series(
    film: Ethogram,
    log_speed: Float[np.ndarray, " T"] | None,
    rates: dict[str, Float[np.ndarray, "T N"]],
    spikes: tuple[Float[np.ndarray, " E"], Int[np.ndarray, " E"]],
    domain: Interval,
) -> dict[str, IrregularTimeSeries]:
    """What was recorded, and in the group ``truth`` what was not."""
    from torch_brain.data import IrregularTimeSeries

    frames_s = (np.arange(len(film.states[0])) + 0.5) / FPS
    columns: dict[str, dict[str, np.ndarray]] = {
        "pose": {"xy": film.pose[0][..., :2], "likelihood": film.pose[0][..., 2]},
        "truth": {
            "actions": film.states[0],
            **{name: values.astype(np.float16) for name, values in rates.items()},
        },
    }
    if log_speed is not None:
        columns["motion"] = {"log_speed": log_speed.astype(np.float32)}
    series = {
        name: IrregularTimeSeries(timestamps=frames_s, domain=domain, **values)
        for name, values in columns.items()
    }
    times_s, unit = spikes
    series["spikes"] = IrregularTimeSeries(timestamps=times_s, unit_index=unit, domain=domain)
    return series


def _trials(duration_s: float) -> Interval:
    """Trials one after the other, with pauses between them, in whole."""
    from torch_brain.data import Interval

    count = int((duration_s + PAUSE_S) // (TRIAL_S + PAUSE_S))
    start_s = np.arange(count) * (TRIAL_S + PAUSE_S)
    return Interval(start=start_s, end=start_s + TRIAL_S)


def _check(n_frames: int, n_units: int, trials: bool) -> None:
    if n_units < 1:
        raise UserError(f"cannot simulate {n_units} units; ask for at least 1")
    if trials and n_frames < TRIAL_S * FPS:
        raise UserError(f"{n_frames} frames hold no trial of {TRIAL_S:g} s; ask for more frames")


def _check_bouts(film: Ethogram) -> None:
    """Make sure that every action occurs, so that a rate can be expected of it."""
    states = film.states[0]
    absent = sorted(set(range(len(film.names))) - set(states.tolist()))
    if absent:
        raise UserError(
            f"{len(states)} frames hold no bout of {film.names[absent[0]]}; ask for more frames, "
            "or for another seed"
        )
