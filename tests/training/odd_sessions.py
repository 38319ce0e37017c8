"""Sessions as they come: each is odd in one way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save

BINS, UNITS, BIN_S = 10, 6, 0.05
SPLIT = "a" * 14 + "v" * 4 + "e" * 6
"""One letter per trial: training, validation, test."""

Arrays = dict[str, Any]


def usual(seed: int = 0, split: str = SPLIT) -> Arrays:
    """Arrays of a good session: speed and state per bin, choice and latency per trial.

    Trial ``i`` starts at ``2 i`` seconds and lasts half a second.
    """
    generator = np.random.default_rng(seed)
    trials = len(split)
    starts = 2.0 * np.arange(trials)
    speed = generator.normal(size=(trials, BINS))
    rates = np.exp(0.3 + speed[..., None] * 0.7 * generator.normal(size=UNITS))
    counts = generator.poisson(rates)
    trial, step, unit = np.nonzero(counts)
    many = counts[trial, step, unit]
    times = np.repeat(starts[trial] + BIN_S * step, many)
    names = {"a": "train", "v": "valid", "e": "test"}
    return {
        "spike_times": times + generator.uniform(0.0, BIN_S, len(times)),
        "spike_units": np.repeat(unit, many),
        "units": {"region": ["A", "A", "A", "B", "B", "B"]},
        "bin_size_s": BIN_S,
        "trials": {"start": starts, "end": starts + BIN_S * BINS},
        "behaviours": {
            "speed": speed,
            "state": generator.integers(0, 3, (trials, BINS)),
            "choice": np.arange(trials) % 2,
            "latency": generator.normal(size=trials),
        },
        "split": [names[letter] for letter in split],
    }


def write(folder: Path, name: str, *changes: Callable[[Arrays], None], split: str = SPLIT) -> None:
    """Write a session with changes."""
    arrays = usual(split=split)
    for change in changes:
        change(arrays)
    folder.mkdir(parents=True, exist_ok=True)
    save(from_arrays(session_id=name, **arrays), folder / f"{name}.h5")


def keep_spikes(arrays: Arrays, kept: np.ndarray) -> None:
    """Remove all other spikes."""
    arrays["spike_times"] = arrays["spike_times"][kept]
    arrays["spike_units"] = arrays["spike_units"][kept]


def nan_samples(arrays: Arrays) -> None:
    arrays["behaviours"]["speed"][::3, 2] = np.nan


def nan_trial(arrays: Arrays) -> None:
    arrays["behaviours"]["speed"][[3, 20]] = np.nan
    arrays["behaviours"]["latency"][[3, 20]] = np.nan


def nan_in_all_test_trials(arrays: Arrays) -> None:
    arrays["behaviours"]["speed"][18:] = np.nan
    arrays["behaviours"]["latency"][18:] = np.nan


def nan_in_all_training_trials(arrays: Arrays) -> None:
    arrays["behaviours"]["speed"][:14] = np.nan
    arrays["behaviours"]["latency"][:14] = np.nan


def nan_everywhere(arrays: Arrays) -> None:
    arrays["behaviours"]["speed"][:] = np.nan
    arrays["behaviours"]["latency"][:] = np.nan


def infinite_samples(arrays: Arrays) -> None:
    arrays["behaviours"]["speed"][::4, 5] = np.inf
    arrays["behaviours"]["latency"][3] = -np.inf


def without_a_behaviour(arrays: Arrays) -> None:
    del arrays["behaviours"]["speed"], arrays["behaviours"]["choice"]


def without_behaviours(arrays: Arrays) -> None:
    arrays["behaviours"] = {}


def silent_unit(arrays: Arrays) -> None:
    keep_spikes(arrays, arrays["spike_units"] != 2)


def silent_last_units(arrays: Arrays) -> None:
    keep_spikes(arrays, arrays["spike_units"] < 4)


def unit_silent_in_training(arrays: Arrays) -> None:
    keep_spikes(arrays, (arrays["spike_units"] != 2) | (arrays["spike_times"] >= 28.0))


def unit_silent_in_test(arrays: Arrays) -> None:
    keep_spikes(arrays, (arrays["spike_units"] != 2) | (arrays["spike_times"] < 36.0))


def all_silent_in_test(arrays: Arrays) -> None:
    keep_spikes(arrays, arrays["spike_times"] < 36.0)


def all_silent(arrays: Arrays) -> None:
    keep_spikes(arrays, np.zeros(len(arrays["spike_times"]), dtype=bool))


def constant(arrays: Arrays) -> None:
    arrays["behaviours"]["speed"][:] = 0.1
    arrays["behaviours"]["choice"][:] = 1
    arrays["behaviours"]["state"][:] = 2


def class_in_validation_only(arrays: Arrays) -> None:
    arrays["behaviours"]["choice"][15] = 5


def class_in_test_only(arrays: Arrays) -> None:
    arrays["behaviours"]["choice"][20] = 7
    arrays["behaviours"]["state"][21] = 4


def spikes_outside_trials(arrays: Arrays) -> None:
    arrays["spike_times"] = np.concatenate([arrays["spike_times"], [-3.0, 0.9, 1.9, 500.0]])
    arrays["spike_units"] = np.concatenate([arrays["spike_units"], [0, 1, 2, 3]])


def trials_without_spikes(arrays: Arrays) -> None:
    for trial in (4, 15, 20):
        keep_spikes(arrays, arrays["spike_times"] // 2.0 != trial)


def equal_spike_times(arrays: Arrays) -> None:
    arrays["spike_times"] = np.floor(arrays["spike_times"] / 0.01) * 0.01
    arrays["spike_times"] = np.concatenate([arrays["spike_times"], [2.2] * 40])
    arrays["spike_units"] = np.concatenate([arrays["spike_units"], [3] * 40])


def trial_longer_than_the_recording(arrays: Arrays) -> None:
    arrays["trials"]["end"][-1] = 48.0
    for name in ("speed", "state"):
        values = arrays["behaviours"][name]
        times = (arrays["trials"]["start"][:, None] + BIN_S * (np.arange(BINS) + 0.5)).ravel()
        arrays["behaviours"][name] = (times, values.ravel())


ODD: dict[str, tuple[Callable[[Arrays], None], ...]] = {
    "usual": (),
    "missing": (nan_samples, nan_trial, infinite_samples),
    "missing_in_test": (nan_in_all_test_trials, unit_silent_in_test),
    "missing_in_training": (nan_in_all_training_trials, unit_silent_in_training),
    "missing_everywhere": (nan_everywhere,),
    "without_a_behaviour": (without_a_behaviour,),
    "without_behaviours": (without_behaviours,),
    "silent_units": (silent_unit, silent_last_units, trials_without_spikes),
    "silent_in_test": (all_silent_in_test,),
    "silent": (all_silent,),
    "constant": (constant,),
    "rare_classes": (class_in_validation_only, class_in_test_only),
    "spikes": (spikes_outside_trials, equal_spike_times, trial_longer_than_the_recording),
}
"""Sessions that can be used, and what is odd in them."""
