"""Recordings with everything that the viewer shows, made quickly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
)

from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import load, replace_groups, save
from neuroduet.types import UNLABELLED

CLASSES = ("still", "groom", "walk", "rear")
REGIONS = ("VISp", "CA1", "DG", "LP", "PO")
KEYPOINTS = ("nose", "neck", "left_ear", "right_ear", "tail_base")
SKELETON = ((0.9, 0.0), (0.35, 0.0), (0.45, 0.28), (0.45, -0.28), (-0.8, 0.0))
FRAME_HZ = 30.0
STEP_S = 0.25
TRIAL_S, EVERY_S = 2.0, 4.0
BIN_S, BINS = 0.02, 100


def write_recording(
    path: Path, length_s: float = 60.0, units: int = 40, rate_hz: float = 5.0, seed: int = 0
) -> Path:
    """Spikes that follow the actions, a wheel, choices, pose of two animals, labels, predictions.

    Args:
        path: File to write.
        length_s: Length (s).
        units: Number of units, in five regions.
        rate_hz: Mean rate of a unit.
        seed: Seed.
    """
    generator = np.random.default_rng(seed)
    frames = np.arange(int(length_s * FRAME_HZ)) / FRAME_HZ
    classes = actions(len(frames), generator)
    trials = np.arange(1.0, length_s - TRIAL_S, EVERY_S)
    times, index = spikes(length_s, units, rate_hz, classes, generator)
    speed = smooth(generator.normal(size=len(frames)) + 2.0 * (classes == 2), 12)
    region = np.array(REGIONS)[np.arange(units) * len(REGIONS) // units]
    recording = from_arrays(
        session_id=path.stem,
        subject_id="mouse",
        spike_times=times,
        spike_units=index,
        units={"region": region, "depth_um": np.linspace(100.0, 3800.0, units)},
        trials={"start": trials, "end": trials + TRIAL_S},
        split=splits(len(trials)),
        behaviours={
            "wheel": (frames, speed),
            "position": (frames, np.cumsum(generator.normal(size=(len(frames), 2)), 0) / 50),
            "choice": np.arange(len(trials)) * 7 // 3 % 2,
        },
    )
    save(recording, path)
    replace_groups(path, frame_groups(frames, classes, generator))
    return path


def write_pose(path: Path, length_s: float, seed: int = 0) -> None:
    """Pose, labels and actions of :func:`write_recording` without activity.

    Args:
        path: File to write.
        length_s: Length (s).
        seed: Seed.
    """
    generator = np.random.default_rng(seed)
    frames = np.arange(int(length_s * FRAME_HZ)) / FRAME_HZ
    groups = frame_groups(frames, actions(len(frames), generator), generator)
    recording = Data(
        domain=Interval(0.0, length_s), session=SessionDescription(id=path.stem), **groups
    )
    save(recording, path)


def write_predictions(run: Path, path: Path) -> Path:
    """A run folder whose predictions cover the trials of :func:`write_recording`.

    Args:
        run: Folder to make.
        path: The recording; rates and wheel resemble what it holds.
    """
    generator = np.random.default_rng(1)
    with load(path) as recording:
        start_s = np.asarray(recording.trials.start)
        edges_s = start_s[:, None] + np.arange(BINS + 1) * BIN_S
        units = [str(name) for name in np.asarray(recording.units.id)]
        times, index = (
            np.asarray(recording.spikes.timestamps),
            np.asarray(recording.spikes.unit_index),
        )
        wheel = np.interp(edges_s[:, :-1], recording.wheel.timestamps, recording.wheel.values)
        choice = np.asarray(recording.trials.choice)
    windows = len(start_s)
    counts = [np.histogram2d(times, index, [one, np.arange(len(units) + 1)])[0] for one in edges_s]
    likely = smooth(np.stack(counts, 1).reshape(BINS, -1), 30) + 0.01
    (run / "predictions").mkdir(parents=True)
    (run / "config.yaml").write_text("preset: duet\n")
    np.savez(
        run / "predictions" / f"{path.stem}.npz",
        start_s=start_s,
        split=splits(windows),
        trial=np.arange(windows),
        valid=np.ones((windows, BINS), dtype=bool),
        units=np.array(units),
        bin_size_s=np.asarray(BIN_S),
        **{
            "encoding/log_rates": np.log(likely).reshape(BINS, windows, -1).swapaxes(0, 1),
            "decoding/wheel": 0.85 * wheel[..., None]
            + smooth(0.5 * generator.normal(size=(BINS, windows)), 12).T[..., None],
            "decoding/choice": np.eye(2)[(choice + (np.arange(windows) % 6 == 4)) % 2],
            "classes/choice": np.array([0, 1]),
        },
    )
    return run


def splits(trials: int) -> np.ndarray:
    """A split for every trial."""
    return np.array(["train", "train", "train", "valid", "test"])[np.arange(trials) % 5]


def actions(n_frames: int, generator: np.random.Generator) -> np.ndarray:
    """Class of every frame; bouts of half a second to four seconds, some of them unlabelled."""
    lengths = generator.integers(15, 120, size=n_frames // 15 + 1)
    steps = generator.integers(1, len(CLASSES), size=len(lengths))
    classes = np.cumsum(steps) % len(CLASSES)
    classes[generator.random(len(lengths)) < 0.05] = UNLABELLED
    return np.repeat(classes, lengths)[:n_frames]


def spikes(
    length_s: float,
    units: int,
    rate_hz: float,
    classes: np.ndarray,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Times and units of spikes whose rates depend on the action."""
    steps = int(length_s / STEP_S)
    action = classes[(np.arange(steps) * STEP_S * FRAME_HZ).astype(int)]
    tuning = generator.gamma(2.0, 0.5, size=(len(CLASSES) + 1, len(REGIONS)))
    own = rate_hz * generator.gamma(1.5, 1 / 1.5, size=units)
    gain = tuning[:, np.arange(units) * len(REGIONS) // units]
    counts = generator.poisson(own * gain[action] * STEP_S).ravel()
    cell = np.repeat(np.arange(steps * units), counts)
    times = (cell // units + generator.random(len(cell))) * STEP_S
    order = np.argsort(times)
    return times[order], (cell % units)[order]


def frame_groups(
    frames: np.ndarray, classes: np.ndarray, generator: np.random.Generator
) -> dict[str, ArrayDict]:
    """Pose, labels and actions as a recording holds them."""
    names = ArrayDict(name=np.array(CLASSES))
    xy = walkers(frames, generator)
    likelihood = np.clip(generator.beta(8.0, 1.0, size=xy.shape[:-1]), 0.05, 1.0)
    guess = np.where(generator.random(len(frames)) < 0.5, classes, np.roll(classes, 9)) % 4
    evidence = smooth(np.eye(len(CLASSES))[guess], 7) + 0.03
    chance = evidence / evidence.sum(1, keepdims=True)
    guess = chance.argmax(1)
    return {
        "pose": IrregularTimeSeries(
            timestamps=frames, xy=xy.astype(np.float32), likelihood=likelihood.astype(np.float32)
        ),
        "keypoints": ArrayDict(name=np.array(KEYPOINTS)),
        "labels": IrregularTimeSeries(timestamps=frames, classes=classes.astype(np.int32)),
        "label_classes": names,
        "actions": IrregularTimeSeries(
            timestamps=frames,
            classes=guess.astype(np.int32),
            name=np.array(CLASSES)[guess],
            probabilities=chance.astype(np.float32),
        ),
        "action_classes": names,
    }


def walkers(frames: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Keypoints of two animals on their rounds, ``(frames, 2, keypoints, 2)``."""
    tracks = []
    for animal in range(2):
        phase = np.cumsum(0.02 + 0.02 * generator.random(len(frames))) + 2.4 * animal
        centre = np.stack([320 + 190 * np.cos(phase), 240 + 130 * np.sin(1.7 * phase)], -1)
        turn = np.arctan2(np.gradient(centre[:, 1]), np.gradient(centre[:, 0]))
        ahead = np.stack([np.cos(turn), np.sin(turn)], -1)
        aside = np.stack([-ahead[:, 1], ahead[:, 0]], -1)
        points = [centre + 70 * (x * ahead + y * aside) for x, y in SKELETON]
        tracks.append(np.stack(points, 1))
    return np.stack(tracks, 1) + generator.normal(size=(1, 1, 1, 2))


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over a running window along the first axis."""
    kernel = np.ones(width) / width
    return np.apply_along_axis(lambda x: np.convolve(x, kernel, "same"), 0, values)
