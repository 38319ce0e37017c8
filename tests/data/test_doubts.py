from __future__ import annotations

import warnings
from contextlib import nullcontext

import numpy as np
import pytest

from neuroduet.data.arrays import from_arrays

UNITS = 8


def recorded(*, spikes_s=3600.0, rate_hz=2.0, trials_s=(10.0, 3000.0), scale=1.0, **changes):
    """A session whose spikes, and the times of whose trials, are given in some unit of time."""
    generator = np.random.default_rng(0)
    n = round(spikes_s * rate_hz * UNITS)
    starts = np.linspace(*trials_s, 200)
    given = {
        "session_id": "s",
        "spike_times": generator.uniform(0, spikes_s, n) * scale,
        "spike_units": generator.integers(0, UNITS, n),
        "trials": {"start": starts, "end": starts + 1.5},
        **changes,
    }
    return from_arrays(**given)


def told(**changes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recorded(**changes)
    return [str(one.message) for one in caught]


def in_milliseconds(start=10.0, end=3000.0):
    starts = np.linspace(start, end, 200) * 1e3
    return {"start": starts, "end": starts + 1500}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        # A night of recording, of which the task is five minutes.
        {"spikes_s": 36_000.0, "trials_s": (20_000.0, 20_300.0)},
        {"spikes_s": 36_000.0, "rate_hz": 0.11, "trials_s": (20_000.0, 20_300.0)},
        # A probe that stopped early, but saw most trials.
        {"spikes_s": 1700.0},
        # Hardly any spikes, all at the beginning.
        {"spikes_s": 5.0, "rate_hz": 1.0},
        {"spike_times": [], "spike_units": []},
        # Sparse units; one trial; a clock that counts from 1970.
        {"rate_hz": 0.02},
        {"rate_hz": 0.02, "trials": {"start": [100.0], "end": [101.0]}},
        {"spike_times": np.arange(2e3) + 1.7e9, "spike_units": np.zeros(2000, int),
         "trials": {"start": [1.7e9 + 5], "end": [1.7e9 + 900]}},
        # A camera that ran for a day, and one that ran for a minute.
        {"behaviours": {"x": (np.arange(0, 86_400, 10.0), np.zeros(8640))}},
        {"behaviours": {"x": (np.arange(0, 60, 0.1), np.zeros(600))}},
        # Days of recording.
        {"spikes_s": 4e5, "rate_hz": 0.3, "trials": None},
    ],
)  # fmt: skip
def test_what_real_recordings_do_is_not_doubted(changes):
    assert told(**changes) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scale": 1e3}, "as if the times of spikes were in milliseconds"),
        ({"scale": 1e3, "rate_hz": 50.0}, "as if the times of spikes were in milliseconds"),
        ({"scale": 1e3, "trials_s": (3000.0, 3500.0)}, "spikes were in milliseconds"),
        ({"scale": 3e4}, "as if the times of spikes were in samples"),
        ({"scale": 3e4, "trials": None}, "as if times were in milliseconds or samples; give all"),
        ({"spikes_s": 30.0, "trials_s": (1.0, 28.0), "scale": 1e3, "rate_hz": 12.0},
         "as if the times of spikes were in milliseconds"),
        ({"spikes_s": 5.0, "trials_s": (0.5, 4.0), "scale": 3e4, "rate_hz": 12.0},
         "as if the times of spikes were in samples"),
        ({"trials": in_milliseconds()}, "as if the times of trials were in milliseconds"),
        ({"trials": in_milliseconds(3000, 3500)}, "200 of 200 trials lie outside the time in"),
        ({"scale": 1e3, "trials": in_milliseconds()}, "(42 days|days of units that fire)"),
        ({"trials_s": (5000.0, 8000.0)}, "200 of 200 trials lie outside"),
        ({"spikes_s": 1000.0}, "134 of 200 trials lie outside"),
        ({"behaviours": {"x": (np.arange(0, 3.6e6, 100), np.zeros(36_000))}},
         "as if the times of x were in milliseconds"),
        ({"behaviours": {"x": (np.arange(9000.0, 9500.0), np.zeros(500))}},
         "x run from 9,000 to 9,499 s, but spikes"),
    ],
)  # fmt: skip
def test_times_that_are_not_seconds_are_told(changes, sentence):
    with pytest.warns(UserWarning, match=sentence) as caught:
        recorded(**changes)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"counts": 0.1, "bin_size_s": 20.0}, r"bin_size_s is 20 s, .* such as 0\.02"),
        ({"traces": 0.1, "bin_size_s": 20.0}, "as if it were in milliseconds"),
        ({"counts": 0.1, "bin_size_s": 0.02}, None),
        ({"counts": 0.3, "bin_size_s": 2.0}, None),
        ({"traces": 0.3, "bin_size_s": 2.0}, None),
    ],
)
def test_bins_of_many_seconds_are_doubted_where_nothing_happens_in_them(given, sentence):
    kind, mean = next(iter(given.items()))
    activity = np.random.default_rng(0).poisson(mean, (40, 50, UNITS))
    expected = nullcontext() if sentence is None else pytest.warns(UserWarning, match=sentence)
    with expected:
        from_arrays(session_id="s", bin_size_s=given["bin_size_s"], **{kind: activity})


@pytest.mark.parametrize(
    ("columns", "doubted"),
    [
        (("regions",), ["regions"]),
        (("Region",), ["Region"]),
        (("brain_region",), ["brain_region"]),
        (("regoin",), ["regoin"]),
        (("region", "region_beryl"), []),
        (("probe", "ids", "depth_um", "origin"), []),
    ],
)
def test_a_column_near_one_that_is_read_gets_a_hint(columns, doubted):
    found = told(units={name: ["a"] * UNITS for name in columns})
    assert [f"'{name}'" in text for name, text in zip(doubted, found, strict=True)] == [
        True for _ in doubted
    ]
