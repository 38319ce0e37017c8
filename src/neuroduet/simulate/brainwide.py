"""Simulated recordings in the layout of the IBL brain-wide benchmark.

Keys, splits, windows and scales are those of its published files (data version 0.1.0), the content
is not: few trials, few units, and chunks of a minute where the benchmark has five. A unit's
log-rate follows wheel, whisker, licks, choice, contrast, reward and a latent that all units share.
"""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from torch_brain.data import (
    ArrayDict,
    BrainsetDescription,
    Data,
    Interval,
    IrregularTimeSeries,
    RegularTimeSeries,
    SessionDescription,
    SubjectDescription,
)

from neuroduet.data.brainwide import DATA_SET, HELD_OUT, RATE_HZ, REGIONS, SMALLEST_GAP_S
from neuroduet.data.recording import save
from neuroduet.simulate.brainwide_signals import (
    GRID_START_S,
    Trials,
    draw_behaviour,
    draw_spikes,
    draw_trials,
)
from neuroduet.simulate.streams import stream

CHUNK_S = 60.0
"""Length of the stretches that ``ts2`` alternates between its splits (s)."""

PATTERN = ("train", "test", "train", "val", "test")


def simulate_brainwide(
    out: Path,
    evaluation: int = 2,
    pretraining: int = 0,
    seed: int = 0,
    trials: int = 60,
    units: int = 24,
) -> list[Path]:
    """Write a data set in the layout of the benchmark.

    Args:
        out: Folder; files are ``ibl_brain_wide_bench_2026/eval/<recording>.h5`` and
            ``.../pretrain/<recording>.h5``.
        evaluation: Number of evaluation recordings.
        pretraining: Number of pretraining recordings.
        seed: Seed of the world.
        trials: Trials per recording, at least 60 for every split to hold some.
        units: Units per recording.

    Returns:
        The files, evaluation recordings first.
    """
    paths = []
    for index in range(evaluation + pretraining):
        regime = "eval" if index < evaluation else "pretrain"
        recording = simulate_recording(
            seed=seed, index=index, trials=trials, units=units, regime=regime
        )
        folder = out / DATA_SET / regime
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{recording.session.id}.h5"
        save(recording, path)
        paths.append(path)
    return paths


def simulate_recording(
    *, seed: int, index: int, trials: int = 60, units: int = 24, regime: str = "eval"
) -> Data:
    """Simulate one recording in memory.

    Args:
        seed: Seed of the world.
        index: Which recording of the world.
        trials: Number of trials.
        units: Number of units.
        regime: ``eval`` or ``pretrain``, which have different splits.

    Returns:
        The recording.
    """
    generator = stream(seed, 7, index)
    events = draw_trials(trials, generator)
    duration_s = float(events.feedback_s[-1]) + 8.0
    series = draw_behaviour(events, duration_s, generator)
    regions = generator.integers(len(REGIONS), size=units)
    times_s, unit_index = draw_spikes(events, series, regions, seed, generator)
    domain = Interval(0.0, duration_s)
    session = str(uuid.UUID(bytes=generator.bytes(16), version=4))
    intervals = _task_intervals(events, series["paws"])
    recording = Data(
        brainset=BrainsetDescription(
            id=DATA_SET,
            origin_version="simulated",
            derived_version="0.1.0",
            source="simulated",
            description="Simulated.",
        ),
        session=SessionDescription(id=session),
        subject=SubjectDescription(id=f"animal{index:02d}"),
        spikes=IrregularTimeSeries(timestamps=times_s, unit_index=unit_index, domain=domain),
        units=_unit_table(session, regions, unit_index, duration_s, generator, regime),
        trials=_trial_table(events),
        task_aligned_intervals=intervals,
        **series,
        domain=domain,
    )
    for name, part in _splits(domain, intervals.domain, regime).items():
        setattr(recording, name, part)
    scope = "ts1" if regime == "eval" else "pretrain"
    train = getattr(recording, f"{scope}_train_domain")
    setattr(recording, f"{scope}_normalize", _normalisation(recording, train))
    return recording


def _unit_table(
    session: str,
    regions: Int[np.ndarray, " N"],
    unit_index: Int[np.ndarray, " E"],
    duration_s: float,
    generator: np.random.Generator,
    regime: str,
) -> ArrayDict:
    n = len(regions)
    ids = [str(uuid.UUID(bytes=generator.bytes(16), version=4)) for _ in range(n)]
    acronyms = np.array(REGIONS)[regions]
    table = {
        "id": np.array(ids),
        **{f"region_{atlas}": acronyms for atlas in ("allen", "beryl", "cosmos")},
        "firing_rate": np.bincount(unit_index, minlength=n) / duration_s,
        "label": np.ones(n),
        "depths": np.sort(generator.uniform(0, 3800, n)),
        "probe_id": np.full(n, f"{session[:8]}-probe00"),
        "qc_neural": np.full(n, "PASS"),
        "qc_neural_alignment": np.full(n, "PASS"),
    }
    if regime == "eval":
        table |= {f"{HELD_OUT}{split}": held_out(ids, split) for split in ("val", "test")}
    return ArrayDict(**table)


def held_out(ids: list[str], split: str) -> Bool[np.ndarray, " N"]:
    """A tenth of the units, at least one, chosen by a hash of their ids.

    Args:
        ids: Unit ids.
        split: ``val`` or ``test``, which choose independently of each other.
    """
    digests = [
        hashlib.sha256(f"ts2_co_smoothing_{split}:{name}".encode()).digest() for name in ids
    ]
    first = sorted(range(len(ids)), key=digests.__getitem__)[: max(1, round(0.1 * len(ids)))]
    return np.isin(np.arange(len(ids)), first)


def _trial_table(events: Trials) -> Interval:
    return Interval(
        start=events.stimulus_s - 1.2,
        end=events.feedback_s + 1.5,
        timekeys=["start", "end", "stim_on_time", "movement_onset_time", "feedback_time"],
        stim_on_time=events.stimulus_s,
        movement_onset_time=events.movement_s,
        feedback_time=events.feedback_s,
        choice=events.choice,
        stimulus_contrast=events.contrast,
        reward=events.reward,
        is_valid=np.ones(len(events.choice), dtype=bool),
        trial_index=np.arange(len(events.choice)),
    )


def _task_intervals(events: Trials, paws: RegularTimeSeries) -> Data:
    """Windows of one second around the events, and the task time of every trial."""
    index = np.arange(len(events.choice))
    stimulus, movement, feedback = events.stimulus_s, events.movement_s, events.feedback_s
    first = np.ceil((movement - GRID_START_S) * RATE_HZ).astype(int)
    rows = (first[:, None] + np.arange(int(RATE_HZ))).clip(max=len(paws) - 1)
    confident = {
        f"num_{side}_paw_confident": getattr(paws, f"is_{side}_paw_confident")[rows].sum(axis=1)
        for side in ("left", "right")
    }
    starts = {
        "choice": (movement - 1.0, {"choice": events.choice}),
        "reward": (feedback, {"reward": events.reward}),
        "stimulus_contrast": (stimulus - 0.9, {"stimulus_contrast": events.contrast}),
        "movement_window": (movement, confident),
        "licking_window": (feedback, {}),
    }
    tables = {
        name: Interval(start=start, end=start + 1.0, trial_index=index, **columns)
        for name, (start, columns) in starts.items()
    }
    # The earliest window starts 1 s before the stimulus (that of the block prior).
    return Data(**tables, domain=Interval(start=stimulus - 1.0, end=feedback + 1.0))


def _splits(domain: Interval, task_time: Interval, regime: str) -> dict[str, Interval]:
    """Chronological splits, and for evaluation also the alternating chunks of ``ts2``."""
    start, end = float(domain.start[0]), float(domain.end[0])
    n = len(task_time)
    shares = (0.4, 0.6) if regime == "eval" else (0.9, 1.0)
    cuts = [float(task_time.end[int(share * n) - 1]) for share in shares]
    gap = SMALLEST_GAP_S + 1e-9
    scope = "ts1" if regime == "eval" else "pretrain"
    splits = {f"{scope}_train_domain": Interval(start, cuts[0])}
    if regime != "eval":
        return splits | {f"{scope}_val_domain": Interval(_clear(task_time, cuts[0] + gap), end)}
    splits["ts1_val_domain"] = Interval(_clear(task_time, cuts[0] + gap), cuts[1])
    splits["ts1_test_domain"] = Interval(_clear(task_time, cuts[1] + gap), end)
    edges = [_clear(task_time, t) for t in np.arange(start + CHUNK_S, end, CHUNK_S)]
    chunks: dict[str, list[tuple[float, float]]] = {name: [] for name in PATTERN}
    for place, (left, right) in enumerate(zip([start - gap, *edges], [*edges, end], strict=True)):
        chunk = (_clear(task_time, left + gap), right)
        if chunk[0] < chunk[1]:
            chunks[PATTERN[place % len(PATTERN)]].append(chunk)
    return splits | {
        f"ts2_{name}_domain": Interval(*(np.array(side) for side in zip(*found, strict=True)))
        for name, found in chunks.items()
    }


def _clear(task_time: Interval, moment_s: float) -> float:
    """The moment, or the end of the trial it would cut."""
    cut = (task_time.start < moment_s) & (moment_s < task_time.end)
    return float(task_time.end[cut][0]) if cut.any() else float(moment_s)


def _normalisation(recording: Data, train: Interval) -> Data:
    """Mean and standard deviation of series over the movement windows of the training split."""
    window = recording.task_aligned_intervals.movement_window
    kept = (window.start >= train.start[0]) & (window.end <= train.end[0])
    first = np.ceil((window.start[kept] - GRID_START_S) * RATE_HZ).astype(int)
    rows = (first[:, None] + np.arange(int(RATE_HZ))).ravel()
    paws, whisker = recording.paws, recording.whisker.whisker_motion_energy[rows]
    statistics = {
        name: getattr(paws, name)[rows][getattr(paws, f"is_{name[:-6]}_confident")[rows]]
        for name in ("left_paw_speed", "right_paw_speed")
    }
    return Data(
        whisker=Data(whisker_motion_energy=_moments(whisker)),
        paws=Data(**{name: _moments(values) for name, values in statistics.items()}),
    )


def _moments(values: np.ndarray) -> Data:
    return Data(mean=np.float64(values.mean()), std=np.float64(max(values.std(), 1e-8)))
