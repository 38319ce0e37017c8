"""What the animal does: blocks, stimuli, choices, wheel and whisker movement, trial by trial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import gaussian_filter1d

BIN_SIZE_S = 0.02
BLOCKS = (0.2, 0.5, 0.8)
CONTRASTS = (0.0, 0.0625, 0.125, 0.25, 1.0)
MOVEMENT_THRESHOLD = 0.5
"""Wheel speed (rad/s) above which the animal counts as moving."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The behaviour of one session.

    Attributes:
        pre_s: Time from the start of a trial to its stimulus (s).
        start_s: Start of each trial (s), ``(W,)``.
        block: Probability that the stimulus is on the left, ``(W,)``.
        contrast: Contrast, positive on the right, ``(W,)``.
        choice: -1 (left) or +1 (right), ``(W,)``.
        reward: 1 where the choice was the side of the stimulus, ``(W,)``.
        wheel: Wheel speed (rad/s) at every edge and centre of the T bins, ``(W, 2 T + 1)``.
        whisker: Whisker motion energy (a.u.), sampled like the wheel.
        whisker_missing: Trials whose whisker signal the recording withholds, ``(W,)``.
    """

    pre_s: float
    start_s: Float[np.ndarray, " W"]
    block: Float[np.ndarray, " W"]
    contrast: Float[np.ndarray, " W"]
    choice: Int[np.ndarray, " W"]
    reward: Int[np.ndarray, " W"]
    wheel: Float[np.ndarray, "W samples"]
    whisker: Float[np.ndarray, "W samples"]
    whisker_missing: Bool[np.ndarray, " W"]

    @property
    def bins(self) -> int:
        """Number of bins T of a trial."""
        return self.wheel.shape[1] // 2

    @property
    def times_s(self) -> Float[np.ndarray, " T"]:
        """Bin centres relative to the stimulus (s)."""
        return (np.arange(self.bins) + 0.5) * BIN_SIZE_S - self.pre_s

    @property
    def movement_s(self) -> Float[np.ndarray, " W"]:
        """First movement relative to the stimulus (s), found in the wheel (see :func:`onset`)."""
        return onset(self.wheel[:, 1::2], self.times_s)


def onset(
    wheel: Float[np.ndarray, "W T"], times_s: Float[np.ndarray, " T"]
) -> Float[np.ndarray, " W"]:
    """When the wheel first exceeds the movement threshold after the stimulus.

    A function of the wheel alone, so that signals locked to it remain functions of behaviour.

    Args:
        wheel: Wheel speed at bin centres (rad/s).
        times_s: Bin centres relative to the stimulus (s).

    Returns:
        Times relative to the stimulus (s); the last bin where there is no movement.
    """
    moving = (wheel > MOVEMENT_THRESHOLD) & (times_s >= 0)
    first = np.where(moving.any(axis=1), moving.argmax(axis=1), len(times_s) - 1)
    return times_s[first]


def draw_trials(count: int, bins: int, generator: np.random.Generator) -> Trials:
    """Draw the behaviour of a session.

    Args:
        count: Number of trials W.
        bins: Bins T of a trial; the stimulus comes after a quarter of them.
        generator: Source of randomness.

    Returns:
        The behaviour of all trials.
    """
    # Whole bins before the stimulus, so that it falls on the edge of a bin.
    pre_s = bins // 4 * BIN_SIZE_S
    length_s = bins * BIN_SIZE_S
    gaps_s = np.round(1.0 + generator.gamma(2.0, 0.4, count), 3)
    block = draw_blocks(count, generator)
    contrast, choice, reward = _draw_choices(block, generator)
    samples_s = np.arange(2 * bins + 1) * BIN_SIZE_S / 2 - pre_s
    reaction_s = _draw_reaction_times(contrast, length_s - pre_s, generator)
    wheel = _draw_wheel(reaction_s, samples_s, generator)
    return Trials(
        pre_s=pre_s,
        start_s=np.cumsum(gaps_s) + np.arange(count) * length_s,
        block=block,
        contrast=contrast,
        choice=choice,
        reward=reward,
        wheel=wheel,
        whisker=_draw_whisker(wheel, samples_s, generator),
        whisker_missing=generator.random(count) < 0.03,
    )


def draw_blocks(count: int, generator: np.random.Generator) -> Float[np.ndarray, " W"]:
    """Draw the probability that the stimulus is on the left, trial by trial.

    As in IBL's task an unbiased start is followed by alternating biased blocks of 20-60 trials;
    in short sessions blocks shrink so that all three kinds occur.

    Args:
        count: Number of trials W.
        generator: Source of randomness.

    Returns:
        0.2, 0.5 or 0.8 per trial.
    """
    shortest, longest = min(20, max(1, count // 8)), min(60, max(1, count // 4))
    block = np.full(count, 0.5)
    first = min(90, count // 4)
    level = generator.choice([0.2, 0.8])
    while first < count:
        length = int(generator.integers(shortest, longest + 1))
        block[first : first + length] = level
        first, level = first + length, round(1.0 - level, 1)
    return block


def _draw_choices(
    block: Float[np.ndarray, " W"], generator: np.random.Generator
) -> tuple[Float[np.ndarray, " W"], Int[np.ndarray, " W"], Int[np.ndarray, " W"]]:
    """Draw signed contrast, choice (biased by contrast and block, with lapses) and reward."""
    side = np.where(generator.random(len(block)) < block, -1, 1)
    contrast = side * generator.choice(CONTRASTS, len(block))
    drive = 4.0 * np.tanh(4.0 * contrast) + 3.0 * (0.5 - block)
    right = 0.05 + 0.9 / (1.0 + np.exp(-drive))
    choice = np.where(generator.random(len(block)) < right, 1, -1)
    return contrast, choice.astype(np.int64), (choice == side).astype(np.int64)


def _draw_reaction_times(
    contrast: Float[np.ndarray, " W"], post_s: float, generator: np.random.Generator
) -> Float[np.ndarray, " W"]:
    """Draw reaction times (s): log-normal, slower at low contrast."""
    median = 0.18 + 0.17 * (1.0 - np.abs(contrast))
    reaction = median * np.exp(0.5 * generator.standard_normal(len(contrast)))
    return np.clip(reaction, 0.08, 0.6 * post_s)


def _draw_wheel(
    reaction_s: Float[np.ndarray, " W"],
    samples_s: Float[np.ndarray, " samples"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "W samples"]:
    """Draw wheel speed: a turn at the reaction time, more turns after it, and rare fidgeting."""
    count, turns, fidgets = len(reaction_s), 4, 2
    steps = np.concatenate(
        [reaction_s[:, None], generator.gamma(2.0, 0.12, (count, turns - 1)) + 0.05], axis=1
    )
    anywhere = generator.uniform(samples_s[0] - 0.2, samples_s[-1], (count, fidgets))
    onsets = np.concatenate([np.cumsum(steps, axis=1), anywhere], axis=1)
    peak = np.clip(3.0 * np.exp(0.6 * generator.standard_normal(onsets.shape)), 1.0, 12.0)
    occurs = generator.random(onsets.shape) < np.array([1.0, 0.7, 0.6, 0.5, 0.15, 0.15])
    width = generator.uniform(0.05, 0.12, onsets.shape)
    phase = np.maximum(samples_s - onsets[..., None], 0.0) / width[..., None]
    bursts = (peak * occurs)[..., None] * (phase * np.exp(1.0 - phase)) ** 2
    jitter = np.abs(generator.normal(0.0, 0.03, (count, len(samples_s))))
    return (bursts.sum(axis=1) + jitter).astype(np.float32)


def _draw_whisker(
    wheel: Float[np.ndarray, "W samples"],
    samples_s: Float[np.ndarray, " samples"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "W samples"]:
    """Draw whisker motion energy: own bouts, a part that goes with the wheel, and roughness."""
    count, bouts = len(wheel), 4
    begin = generator.uniform(samples_s[0] - 0.4, samples_s[-1], (count, bouts))
    end = begin + generator.uniform(0.2, 0.7, begin.shape)
    height = np.exp(0.4 * generator.standard_normal(begin.shape))
    height = height * (generator.random(begin.shape) < 0.45)
    rise = 1.0 / (1.0 + np.exp(-np.clip((samples_s - begin[..., None]) / 0.025, -30, 30)))
    fall = 1.0 / (1.0 + np.exp(-np.clip((end[..., None] - samples_s) / 0.04, -30, 30)))
    own = (height[..., None] * rise * fall).sum(axis=1)
    driven = np.tanh(gaussian_filter1d(wheel, 4.0, axis=1, mode="nearest") / 4.0)
    rough = gaussian_filter1d(generator.standard_normal(wheel.shape), 3.0, axis=1, mode="nearest")
    # Smoothing by a Gaussian of s.d. 3 samples leaves white noise 1 / (2 sqrt(pi) 3) of variance.
    rough = rough * np.sqrt(2.0 * np.sqrt(np.pi) * 3.0)
    return ((0.15 + own + driven) * np.exp(0.3 * rough)).astype(np.float32)
