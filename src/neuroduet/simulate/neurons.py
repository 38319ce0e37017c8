"""Units, what they follow, and their spikes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neuroduet.simulate.behaviour import BIN_SIZE_S
from neuroduet.simulate.features import FEATURES

REGIONS = ("VISp", "CA1", "DG", "LP", "PO", "MOs", "CP", "SCm", "GRN", "SNr")
MEDIAN_RATE_HZ = 2.0
RATE_LIMITS_HZ = (0.3, 30.0)
LOG_MAX_RATE = float(np.log(120.0))
"""Ceiling of the behavioural part of a log-rate (log Hz)."""

LOG_SILENT_RATE = float(np.log(1e-7))
SILENT_FRACTION = 0.03
REGION_COHERENCE = 0.6
"""Correlation of a unit's loadings with the mean pattern of its region."""

DRIVE = 0.5
"""S.d. of what behaviour contributes to the log-rate of a typical unit."""

PRIVATE_VARIANCE = 0.34
DRIFT_VARIANCE = 0.05
DRIFT_TIMES_S = (15.0, 60.0)


@dataclass(frozen=True, kw_only=True)
class World:
    """What all animals share.

    Attributes:
        patterns: Mean loadings of each region on the features, ``(regions, F)``.
        centre: Mean of each feature over reference trials, ``(F,)``.
        scale: Standard deviation of each feature over reference trials, ``(F,)``.
        correlation: Of the features with each other over reference trials, ``(F, F)``.
        nonlinear: Weight of the natural against the linear forms of the features.
    """

    patterns: Float[np.ndarray, "regions F"]
    centre: Float[np.ndarray, " F"]
    scale: Float[np.ndarray, " F"]
    correlation: Float[np.ndarray, "F F"]
    nonlinear: float


@dataclass(frozen=True, kw_only=True)
class Units:
    """The units of a session.

    Attributes:
        region: Index of each unit's region in :data:`REGIONS`, ``(N,)``.
        depth_um: Depth along the probe (um), ``(N,)``.
        silent: Units that never fire, ``(N,)``.
        log_base_hz: Natural log of the rate where all features are at their mean, ``(N,)``.
        loadings: On the standardised features, ``(N, F)``.
        private: On the Q private latents of the session, ``(N, Q)``; zero outside the own region.
        drift: On the slow processes, ``(N, 2)``.
        memory_s: Time constant of each private latent (s), ``(Q,)``.
    """

    region: Int[np.ndarray, " N"]
    depth_um: Float[np.ndarray, " N"]
    silent: Bool[np.ndarray, " N"]
    log_base_hz: Float[np.ndarray, " N"]
    loadings: Float[np.ndarray, "N F"]
    private: Float[np.ndarray, "N Q"]
    drift: Float[np.ndarray, "N 2"]
    memory_s: Float[np.ndarray, " Q"]


def draw_units(
    count: int,
    regions: Int[np.ndarray, " R"],
    world: World,
    generator: np.random.Generator,
    memory: float = 1.0,
) -> Units:
    """Draw the units of a session.

    Args:
        count: Number of units N.
        regions: Indices of the regions the probe passes, from top to bottom.
        world: What all animals share.
        generator: Source of randomness.
        memory: Factor on the time constants of the private latents.

    Returns:
        Units in the order of their depth.
    """
    share = generator.dirichlet(np.full(len(regions), 4.0))
    place = np.sort(generator.choice(len(regions), count, p=share))
    region = regions[place]
    # A quota, not a coin per unit: tiny sessions have a silent unit too.
    silent = np.zeros(count, dtype=bool)
    quota = max(1, round(SILENT_FRACTION * count))
    silent[generator.choice(count, quota, replace=False)] = True
    rate_hz = np.clip(MEDIAN_RATE_HZ * np.exp(generator.standard_normal(count)), *RATE_LIMITS_HZ)
    loadings = _draw_loadings(region, rate_hz, world, generator) * ~silent[:, None]
    private, memory_s = _draw_private_loadings(place, generator)
    private = private * ~silent[:, None]
    drift = generator.normal(0.0, np.sqrt(DRIFT_VARIANCE / 2), (count, 2)) * ~silent[:, None]
    driven = ((loadings @ world.correlation) * loadings).sum(axis=1)
    variance = driven + (private**2).sum(axis=1) + (drift**2).sum(axis=1)
    return Units(
        region=region,
        depth_um=np.sort(generator.uniform(0.0, 3840.0, count)),
        silent=silent,
        # The mean of a log-normal exceeds its median; what is drawn above is about the mean.
        log_base_hz=np.where(silent, LOG_SILENT_RATE, np.log(rate_hz) - variance / 2),
        loadings=loadings,
        private=private,
        drift=drift,
        memory_s=memory * memory_s,
    )


def _draw_loadings(
    region: Int[np.ndarray, " N"],
    rate_hz: Float[np.ndarray, " N"],
    world: World,
    generator: np.random.Generator,
) -> Float[np.ndarray, "N F"]:
    """Draw loadings on the features around the mean pattern of each unit's region."""
    own = generator.standard_normal((len(region), len(FEATURES)))
    mixed = REGION_COHERENCE * world.patterns[region] + np.sqrt(1 - REGION_COHERENCE**2) * own
    loadings = np.array(list(FEATURES.values())) * mixed
    # Features are correlated, more so in their linear forms; without this step worlds would differ
    # in how much behaviour explains.
    drive = np.sqrt(((loadings @ world.correlation) * loadings).sum(axis=1))
    # Fast units are modulated less in proportion, which also keeps their peaks physiological.
    gain = np.exp(0.25 * generator.standard_normal(len(region))) * (rate_hz / 2.0) ** -0.15
    return (DRIVE * gain / drive)[:, None] * loadings


def _draw_private_loadings(
    place: Int[np.ndarray, " N"], generator: np.random.Generator
) -> tuple[Float[np.ndarray, "N Q"], Float[np.ndarray, " Q"]]:
    """Draw loadings on two or three latents per region, and the latents' time constants (s)."""
    latents = generator.integers(2, 4, size=place.max() + 1)
    owner = np.repeat(np.arange(len(latents)), latents)
    share = np.sqrt(PRIVATE_VARIANCE / latents[owner])
    loadings = generator.standard_normal((len(place), len(owner))) * share
    memory_s = generator.uniform(0.1, 0.3, len(owner))
    return loadings * (place[:, None] == owner), memory_s


def behavioural_log_rates(
    units: Units, standard: Float[np.ndarray, "W T F"]
) -> Float[np.ndarray, "W T N"]:
    """Log-rates (log Hz) of units whose private and slow processes rest at their mean of 0.

    Args:
        units: Units of the session.
        standard: Standardised features.

    Returns:
        ``min(log base + loadings . features, LOG_MAX_RATE)``.
    """
    drive = standard.astype(np.float32) @ units.loadings.T.astype(np.float32)
    return np.minimum(drive + units.log_base_hz.astype(np.float32), np.float32(LOG_MAX_RATE))


def private_variance(units: Units) -> Float[np.ndarray, " N"]:
    """Variance, the same at all times, of what behaviour cannot explain of each log-rate.

    Its mean is 0 and it is Gaussian, so it multiplies the expected rate by ``exp(variance / 2)``.

    Args:
        units: Units of the session.

    Returns:
        Variance per unit.
    """
    return (units.private**2).sum(axis=1) + (units.drift**2).sum(axis=1)


def draw_private(
    units: Units, start_s: Float[np.ndarray, " W"], bins: int, generator: np.random.Generator
) -> Float[np.ndarray, "W T N"]:
    """Draw the part of the log-rates that is independent of behaviour.

    Private latents begin every trial afresh from their stationary distribution (the gap between
    trials is longer than their memory); slow processes run on, and stand still within a trial.

    Args:
        units: Units of the session.
        start_s: Starts of the trials (s).
        bins: Bins T of a trial.
        generator: Source of randomness.

    Returns:
        Zero-mean Gaussian log-rates with variance :func:`private_variance`.
    """
    noise = generator.standard_normal((bins, len(start_s), len(units.memory_s)), dtype=np.float32)
    latents = autoregressive(noise, np.exp(-BIN_SIZE_S / units.memory_s).astype(np.float32))
    slow_noise = generator.standard_normal((len(start_s), len(DRIFT_TIMES_S)))
    gaps_s = np.diff(start_s, prepend=start_s[:1])[:, None]
    slow = autoregressive(slow_noise, np.exp(-gaps_s / np.array(DRIFT_TIMES_S)))
    fast = latents.transpose(1, 0, 2) @ units.private.T.astype(np.float32)
    return fast + (slow @ units.drift.T).astype(np.float32)[:, None, :]


def autoregressive(
    noise: Float[np.ndarray, "T ..."], memory: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "T ..."]:
    """Filter white noise to a stationary AR(1) process of unit variance along the first axis.

    Args:
        noise: Standard normal numbers.
        memory: Correlation with the previous step, broadcast to the shape of ``noise``.

    Returns:
        ``x[0] = noise[0]``, ``x[t] = memory[t] x[t-1] + sqrt(1 - memory[t]^2) noise[t]``.
    """
    memory = np.broadcast_to(memory, noise.shape)
    innovation = np.sqrt(1.0 - memory**2)
    process = np.empty_like(noise)
    process[0] = noise[0]
    for t in range(1, len(noise)):
        process[t] = memory[t] * process[t - 1] + innovation[t] * noise[t]
    return process


def draw_spikes(
    log_rates_hz: Float[np.ndarray, "W T N"],
    start_s: Float[np.ndarray, " W"],
    generator: np.random.Generator,
) -> tuple[Float[np.ndarray, " spikes"], Int[np.ndarray, " spikes"]]:
    """Draw Poisson counts per bin and place the spikes uniformly in their bins.

    Args:
        log_rates_hz: Natural log of the rates (log Hz).
        start_s: Starts of the trials (s), rising.
        generator: Source of randomness.

    Returns:
        Sorted spike times (s), and the unit of each spike.
    """
    times, units = [], []
    for first_s, log_rates in zip(start_s, log_rates_hz, strict=True):
        counts = generator.poisson(np.exp(log_rates) * np.float32(BIN_SIZE_S))
        bins, unit = np.nonzero(counts)
        repeats = counts[bins, unit]
        # Clear of the edges, so that rounding cannot move a spike to the next bin.
        within = 1e-6 + (1 - 2e-6) * generator.random(repeats.sum())
        time_s = first_s + (np.repeat(bins, repeats) + within) * BIN_SIZE_S
        order = np.argsort(time_s)
        times.append(time_s[order])
        units.append(np.repeat(unit, repeats)[order])
    return np.concatenate(times), np.concatenate(units).astype(np.int64)
