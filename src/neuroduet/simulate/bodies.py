"""Bodies that move as actions say: paths, headings and keypoints.

An action is a row of :data:`ACTIONS`. Every bout has its own pace, movements take a fraction of a
second to change, paces fluctuate and keypoints jitter: actions overlap.

Lengths are in pixels (an animal is about 40 long); walls of a square arena reflect paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import lfilter

from neuroduet.simulate.neurons import autoregressive

Looks = Float[np.ndarray, "T looks"]
"""Speed, turning, stretch, shaking and gap of every frame."""

BODY_PX = 40.0
ARENA_PX = 480.0
JITTER = 0.03
"""S.d. of the keypoints around where they are (body lengths)."""

LAG_S = 0.15
"""Time constant at which movements follow the action (s)."""

SHAKES_HZ = 5.0

KEYPOINTS = ("nose", "left ear", "right ear", "centre", "left hip", "right hip", "tail base")
TEMPLATE = np.array(
    [[0.55, 0.0], [0.32, 0.16], [0.32, -0.16], [0.0, 0.0], [-0.3, 0.2], [-0.3, -0.2], [-0.5, 0.0]]
)
"""Keypoints of a straight body: forwards and leftwards (body lengths)."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """How an action looks.

    Attributes:
        name: What it is called.
        speed: Median speed (body lengths/s).
        turn: S.d. of the turning rate (rad/s).
        stretch: Length of the body, 1 for the usual one.
        shake: Amplitude of rhythmic sideways movement of the head (body lengths).
        gap: Distance to the other animal, if there is one (body lengths).
    """

    name: str
    speed: float
    turn: float
    stretch: float
    shake: float
    gap: float


ACTIONS = (
    Action(name="rest", speed=0.15, turn=0.3, stretch=0.95, shake=0.0, gap=4.0),
    Action(name="walk", speed=2.0, turn=0.7, stretch=1.05, shake=0.0, gap=4.0),
    Action(name="groom", speed=0.2, turn=0.6, stretch=0.8, shake=0.1, gap=3.5),
    Action(name="investigate", speed=0.7, turn=2.5, stretch=1.25, shake=0.05, gap=1.0),
    Action(name="chase", speed=4.0, turn=1.5, stretch=1.15, shake=0.0, gap=1.2),
    Action(name="rear", speed=0.3, turn=1.0, stretch=0.65, shake=0.0, gap=3.5),
)
"""The actions there are; a world of K classes has the first K."""

PACES = np.array([0.4, 0.3, 0.05, 0.3, 0.25])
"""S.d. between bouts of the log of speed, turning, stretch, shaking and gap."""


@dataclass(frozen=True, kw_only=True)
class Movement:
    """What the animals of a recording do.

    Attributes:
        points: Keypoints (px), ``(T, animals, keypoints, 2)``.
        speed: Speed of the first animal (body lengths/s), ``(T,)``.
    """

    points: Float[np.ndarray, "T A P 2"]
    speed: Float[np.ndarray, " T"]


def move(
    actions: Sequence[Action],
    states: Int[np.ndarray, " T"],
    n_animals: int,
    fps: float,
    generator: np.random.Generator,
) -> Movement:
    """Move one animal, or two of which the second keeps at the distance of the action.

    Args:
        actions: How each action looks.
        states: Action of every frame.
        n_animals: 1 or 2.
        fps: Frames per second.
        generator: Source of randomness.

    Returns:
        Keypoints and speed.
    """
    rows = np.array([[a.speed, a.turn, a.stretch, a.shake, a.gap] for a in actions])
    looks = _follow(rows[states] * _paces(states, generator), LAG_S * fps)
    turn, stretch, shake, gap = looks[:, 1:].T
    wander = _wander(len(states), 4, 0.4 * fps, generator)
    speed = looks[:, 0] * np.exp(0.3 * wander[:, 1])
    heading = generator.uniform(0, 2 * np.pi) + np.cumsum(turn * wander[:, 0]) / fps
    start = generator.uniform(0, ARENA_PX / BODY_PX, 2)
    centre = start + np.cumsum(speed[:, None] * _direction(heading), axis=0) / fps
    rhythm = shake * np.sin(2 * np.pi * SHAKES_HZ / fps * np.arange(len(states)))
    bodies = [_body(centre, heading, stretch, rhythm + 0.1 * turn * wander[:, 0])]
    if n_animals == 2:
        bearing = heading + np.cumsum(wander[:, 3]) / fps
        away = (gap * np.exp(0.2 * wander[:, 2]))[:, None] * _direction(bearing)
        straight = np.ones(len(states))
        bodies.append(_body(centre + away, bearing + np.pi, straight, 0 * straight))
    jitter = JITTER * generator.standard_normal((len(states), n_animals, len(TEMPLATE), 2))
    return Movement(points=BODY_PX * (np.stack(bodies, axis=1) + jitter), speed=speed)


def _paces(states: Int[np.ndarray, " T"], generator: np.random.Generator) -> Looks:
    """A factor per bout on each of the looks."""
    bout = np.cumsum(np.diff(states, prepend=states[:1]) != 0)
    factors = np.exp(PACES * generator.standard_normal((bout[-1] + 1, len(PACES))))
    return np.asarray(factors[bout])


def _follow(wanted: Looks, frames: float) -> Looks:
    """Approach what is wanted exponentially, starting from it."""
    keep = np.exp(-1 / frames)
    followed, _ = lfilter([1 - keep], [1, -keep], wanted, axis=0, zi=keep * wanted[:1])
    return np.asarray(followed)


def _wander(
    n_frames: int, count: int, frames: float, generator: np.random.Generator
) -> Float[np.ndarray, "T C"]:
    """Stationary processes of unit variance with a time constant in frames."""
    noise = generator.standard_normal((n_frames, count))
    return autoregressive(noise, np.array(np.exp(-1 / frames)))


def _body(
    centre: Float[np.ndarray, "T 2"],
    heading: Float[np.ndarray, " T"],
    stretch: Float[np.ndarray, " T"],
    bend: Float[np.ndarray, " T"],
) -> Float[np.ndarray, "T P 2"]:
    """Keypoints of one animal (body lengths); ``bend`` moves the head to the left."""
    ahead, left = _direction(heading), _direction(heading + np.pi / 2)
    forwards = stretch[:, None] * TEMPLATE[:, 0]
    sideways = TEMPLATE[:, 1] + bend[:, None] * TEMPLATE[:, 0].clip(min=0)
    offset = forwards[..., None] * ahead[:, None] + sideways[..., None] * left[:, None]
    size = ARENA_PX / BODY_PX
    unfolded = np.mod(centre, 2 * size)
    beyond = unfolded > size
    inside = np.where(beyond, 2 * size - unfolded, unfolded)
    # A path that a wall reflects is the mirror image of one that goes on, and so is the body.
    return inside[:, None] + np.where(beyond, -1, 1)[:, None] * offset


def _direction(angle: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T 2"]:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
