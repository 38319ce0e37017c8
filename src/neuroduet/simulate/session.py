"""One simulated session: draw it, and write it down as a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from neuroduet.errors import UserError, unknown
from neuroduet.simulate.behaviour import BIN_SIZE_S, Trials, draw_trials
from neuroduet.simulate.features import FEATURES, features
from neuroduet.simulate.neurons import (
    REGIONS,
    Units,
    World,
    behavioural_log_rates,
    draw_private,
    draw_spikes,
    draw_units,
    private_variance,
)
from neuroduet.simulate.streams import stream

if TYPE_CHECKING:
    from torch_brain.data import Data, Interval, IrregularTimeSeries

WHISKERLESS_EVERY = 5
"""Every fifth session has no whisker signal at all."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How large a session is; limits are inclusive.

    Attributes:
        trials: Number of trials.
        bins: Bins per trial.
        units: Fewest and most units.
        regions: Fewest and most regions.
    """

    trials: int
    bins: int
    units: tuple[int, int]
    regions: tuple[int, int]


SIZES = {
    "tiny": Extent(trials=60, bins=50, units=(20, 40), regions=(3, 5)),
    "small": Extent(trials=150, bins=100, units=(60, 150), regions=(4, 7)),
    "medium": Extent(trials=350, bins=100, units=(350, 490), regions=(5, 10)),
}


@dataclass(frozen=True, kw_only=True)
class Session:
    """A simulated session.

    Attributes:
        index: Which session of its world.
        trials: Behaviour.
        units: Units.
        log_rates_hz: True rates (log Hz), ``(W, T, N)``.
        log_rates_hz_from_behaviour: Log of the rates expected by somebody who knows behaviour.
        spike_times_s: Sorted spike times (s).
        spike_units: Unit of each spike.
    """

    index: int
    trials: Trials
    units: Units
    log_rates_hz: Float[np.ndarray, "W T N"]
    log_rates_hz_from_behaviour: Float[np.ndarray, "W T N"]
    spike_times_s: Float[np.ndarray, " spikes"]
    spike_units: Int[np.ndarray, " spikes"]


def draw_world(seed: int, nonlinear: float) -> World:
    """Draw what all animals of a world share.

    Args:
        seed: Seed of the world.
        nonlinear: Weight of the natural against the linear forms of the features.

    Returns:
        Region patterns, and the statistics by which features are standardised.
    """
    generator = stream(seed, 0)
    patterns = generator.standard_normal((len(REGIONS), len(FEATURES)))
    reference = features(draw_trials(400, SIZES["medium"].bins, generator), nonlinear)
    return World(
        patterns=patterns,
        centre=reference.mean(axis=(0, 1)),
        scale=reference.std(axis=(0, 1)),
        correlation=np.corrcoef(reference.reshape(-1, len(FEATURES)), rowvar=False),
        nonlinear=nonlinear,
    )


def draw_session(
    *, seed: int, index: int, size: str, nonlinear: float, memory: float = 1.0
) -> Session:
    """Draw one session of a world.

    Args:
        seed: Seed of the world, at least 0.
        index: Which session, at least 0.
        size: A key of :data:`SIZES`.
        nonlinear: From 0 to 1.
        memory: Factor on the time constants of the private latents.

    Returns:
        Behaviour, units, true rates and spikes.

    Raises:
        UserError: If an argument is out of range.
    """
    if size not in SIZES:
        raise unknown("size", size, SIZES)
    if seed < 0 or index < 0:
        raise UserError(f"seed and session index must be at least 0, found {seed} and {index}")
    if not 0.0 <= nonlinear <= 1.0:
        raise UserError(f"nonlinear must lie between 0 and 1, found {nonlinear}")
    if memory <= 0:
        raise UserError(f"memory must be above 0, found {memory}; 1 is the usual one")
    world, extent = draw_world(seed, nonlinear), SIZES[size]
    # One stream per part: more draws in one part leave the other parts as they are.
    behaving, making, wandering, firing = (stream(seed, 1, index, part) for part in range(4))
    trials = draw_trials(extent.trials, extent.bins, behaving)
    count = int(making.integers(extent.units[0], extent.units[1] + 1))
    visited = int(making.integers(extent.regions[0], extent.regions[1] + 1))
    regions = making.choice(len(REGIONS), visited, replace=False)
    units = draw_units(count, regions, world, making, memory)
    standard = (features(trials, nonlinear) - world.centre) / world.scale
    behavioural = behavioural_log_rates(units, standard)
    private = draw_private(units, trials.start_s, extent.bins, wandering)
    log_rates = behavioural + private
    spike_times_s, spike_units = draw_spikes(log_rates, trials.start_s, firing)
    return Session(
        index=index,
        trials=trials,
        units=units,
        log_rates_hz=log_rates,
        log_rates_hz_from_behaviour=behavioural + (private_variance(units) / 2).astype(np.float32),
        spike_times_s=spike_times_s,
        spike_units=spike_units,
    )


def to_recording(session: Session) -> Data:
    """Write a session down in the recording format.

    Args:
        session: A simulated session.

    Returns:
        A recording with spikes, units, trials, behaviours and the group ``truth``.
    """
    from torch_brain.data import ArrayDict, Data, Interval, SessionDescription, SubjectDescription

    trials, units, subject = session.trials, session.units, f"animal{session.index:02d}"
    domain = Interval(start=trials.start_s, end=trials.start_s + trials.bins * BIN_SIZE_S)
    sources = {
        "wheel": ("wheel.wheel_speed", "continuous", "bin"),
        "whisker": ("whisker.whisker_motion_energy", "continuous", "bin"),
        "choice": ("trials.choice", "categorical", "trial"),
        "block": ("trials.block", "categorical", "trial"),
    }
    groups = _time_series(session, domain)
    offered = [name for name in sources if name != "whisker" or "whisker" in groups]
    return Data(
        session=SessionDescription(id=f"{subject}-session0"),
        subject=SubjectDescription(id=subject),
        units=ArrayDict(
            id=np.array([f"unit{n:03d}" for n in range(len(units.region))]),
            region=np.array(REGIONS)[units.region],
            depth_um=units.depth_um,
        ),
        trials=_trial_table(trials),
        behaviours=ArrayDict(
            name=np.array(offered),
            source=np.array([sources[name][0] for name in offered]),
            kind=np.array([sources[name][1] for name in offered]),
            per=np.array([sources[name][2] for name in offered]),
        ),
        domain=domain,
        **groups,
    )


def _time_series(session: Session, domain: Interval) -> dict[str, IrregularTimeSeries]:
    """Spikes, movement signals (NaN where withheld) and true rates."""
    from torch_brain.data import IrregularTimeSeries

    trials = session.trials
    steps_s = np.arange(trials.wheel.shape[1]) * BIN_SIZE_S / 2
    centres_s = (np.arange(trials.bins) + 0.5) * BIN_SIZE_S
    samples_s = (trials.start_s[:, None] + steps_s).ravel()
    units = len(session.units.region)
    groups = {
        "spikes": IrregularTimeSeries(
            timestamps=session.spike_times_s, unit_index=session.spike_units, domain=domain
        ),
        "wheel": IrregularTimeSeries(
            timestamps=samples_s, wheel_speed=trials.wheel.ravel(), domain=domain
        ),
        "truth": IrregularTimeSeries(
            timestamps=(trials.start_s[:, None] + centres_s).ravel(),
            log_rates_hz=session.log_rates_hz.reshape(-1, units).astype(np.float16),
            log_rates_hz_from_behaviour=session.log_rates_hz_from_behaviour.reshape(
                -1, units
            ).astype(np.float16),
            domain=domain,
        ),
    }
    if session.index % WHISKERLESS_EVERY == WHISKERLESS_EVERY - 1:
        return groups
    energy = np.where(trials.whisker_missing[:, None], np.float32(np.nan), trials.whisker)
    whisker = IrregularTimeSeries(
        timestamps=samples_s, whisker_motion_energy=energy.ravel(), domain=domain
    )
    return {**groups, "whisker": whisker}


def _trial_table(trials: Trials) -> Interval:
    """Trials with their events (s) and labels."""
    from torch_brain.data import Interval

    stimulus_s = trials.start_s + trials.pre_s
    return Interval(
        start=trials.start_s,
        end=trials.start_s + trials.bins * BIN_SIZE_S,
        timekeys=["start", "end", "stimOn_times", "firstMovement_times"],
        stimOn_times=stimulus_s,
        firstMovement_times=stimulus_s + trials.movement_s,
        choice=trials.choice,
        block=trials.block,
        contrast=trials.contrast,
        reward=trials.reward,
    )
