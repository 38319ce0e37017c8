"""What animals and units do in the simulated recordings of the brain-wide benchmark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import lfilter
from torch_brain.data import RegularTimeSeries

from neuroduet.data.brainwide import RATE_HZ, REGIONS
from neuroduet.simulate.streams import stream

GRID_START_S = 0.513
"""Time of the first sample of every behaviour (s)."""

FEATURES = 8
"""Signals that a unit may follow."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Events (s) and outcomes of the trials."""

    stimulus_s: Float[np.ndarray, " W"]
    movement_s: Float[np.ndarray, " W"]
    feedback_s: Float[np.ndarray, " W"]
    choice: Int[np.ndarray, " W"]
    contrast: Int[np.ndarray, " W"]
    reward: Int[np.ndarray, " W"]


def draw_trials(n: int, generator: np.random.Generator) -> Trials:
    """Draw the events of ``n`` trials, about five seconds apart."""
    stimulus_s = 4.0 + np.cumsum(generator.uniform(4.6, 6.0, n))
    movement_s = stimulus_s + generator.uniform(0.2, 0.8, n)
    contrast = np.arange(n) % 5
    generator.shuffle(contrast)
    side = generator.integers(2, size=n)
    correct = generator.random(n) < 0.55 + 0.1 * contrast
    return Trials(
        stimulus_s=stimulus_s,
        movement_s=movement_s,
        feedback_s=movement_s + generator.uniform(0.3, 0.6, n),
        choice=np.where(correct, side, 1 - side),
        contrast=contrast,
        reward=correct.astype(np.int64),
    )


def draw_behaviour(
    events: Trials, duration_s: float, generator: np.random.Generator
) -> dict[str, RegularTimeSeries]:
    """Whisker, wheel, paws and licks on one grid of 50 Hz."""
    n = int((duration_s - 1.0 - GRID_START_S) * RATE_HZ)
    grid = GRID_START_S + np.arange(n) / RATE_HZ
    size = generator.uniform(0.5, 1.5, len(events.movement_s))
    moving = _bumps(grid, events.movement_s + 0.3, 0.2, size)
    licking = _bumps(grid, events.feedback_s + 0.5, 0.3, events.reward.astype(float))
    paws = {
        f"{side}_paw_speed": 40 * np.abs(moving + 0.4 * _wander(n, 5.0, generator))
        for side in ("left", "right")
    }
    confident = {
        f"is_{side}_paw_confident": generator.random(n) < 0.9 for side in ("left", "right")
    }
    columns = {
        "whisker": {
            "whisker_motion_energy": 3 * np.abs(moving + 0.5 * _wander(n, 10.0, generator))
        },
        "wheel": {"wheel_speed": np.abs(2 * moving + 0.1 * _wander(n, 4.0, generator))},
        "paws": paws | confident,
        "licks": {"licking_rate": RATE_HZ * generator.poisson(0.005 + 0.25 * licking)},
    }
    return {
        name: RegularTimeSeries(sampling_rate=RATE_HZ, domain_start=GRID_START_S, **values)
        for name, values in columns.items()
    }


def draw_spikes(
    events: Trials,
    series: dict[str, RegularTimeSeries],
    regions: Int[np.ndarray, " N"],
    seed: int,
    generator: np.random.Generator,
) -> tuple[Float[np.ndarray, " E"], Int[np.ndarray, " E"]]:
    """Sorted spike times (s) and units: Poisson in every bin of the behaviour grid."""
    n, units = len(series["wheel"]), len(regions)
    grid = GRID_START_S + np.arange(n) / RATE_HZ
    side = 2.0 * events.choice - 1
    features = np.stack(
        [
            series["wheel"].wheel_speed,
            series["whisker"].whisker_motion_energy,
            series["paws"].left_paw_speed / 20,
            _bumps(grid, events.feedback_s + 0.5, 0.3, events.reward.astype(float)),
            _bumps(grid, events.movement_s - 0.3, 0.2, side),
            _bumps(grid, events.stimulus_s + 0.05, 0.06, events.contrast / 2.0),
            _bumps(grid, events.feedback_s + 0.4, 0.2, 2.0 * events.reward - 1),
            _wander(n, 10.0, generator),
        ],
        axis=1,
    )
    patterns = stream(seed, 8).standard_normal((len(REGIONS), FEATURES))
    loadings = 0.35 * (patterns[regions] + 0.7 * generator.standard_normal((units, FEATURES)))
    base = 1.2 + 0.2 * patterns[regions, 0] + 0.4 * generator.standard_normal(units)
    rate_hz = np.exp(np.minimum(base + (features - features.mean(0)) @ loadings.T, np.log(80.0)))
    counts = generator.poisson(rate_hz / RATE_HZ)
    row, unit = np.nonzero(counts)
    row, unit = np.repeat(row, counts[row, unit]), np.repeat(unit, counts[row, unit])
    times_s = grid[row] + generator.random(len(row)) / RATE_HZ
    order = np.argsort(times_s, kind="stable")
    return times_s[order], unit[order].astype(np.int64)


def _bumps(
    grid: Float[np.ndarray, " T"],
    centres_s: Float[np.ndarray, " W"],
    width_s: float,
    size: Float[np.ndarray, " W"],
) -> Float[np.ndarray, " T"]:
    """A Gaussian bump per trial."""
    found = np.zeros(len(grid))
    for centre, height in zip(centres_s, size, strict=True):
        near = slice(*np.searchsorted(grid, [centre - 4 * width_s, centre + 4 * width_s]))
        found[near] += height * np.exp(-0.5 * ((grid[near] - centre) / width_s) ** 2)
    return found


def _wander(n: int, bins: float, generator: np.random.Generator) -> Float[np.ndarray, " T"]:
    """Gaussian noise with unit variance that forgets itself within some bins."""
    keep = np.exp(-1 / bins)
    noise = generator.standard_normal(n) * np.sqrt(1 - keep**2)
    found: np.ndarray = lfilter([1.0], [1.0, -keep], noise)
    return found
