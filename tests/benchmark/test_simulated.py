"""The simulated data set: deterministic, in the layout, and with something to learn."""

from __future__ import annotations

import numpy as np

from neuroduet.data.brainwide import HELD_OUT, REGIONS
from neuroduet.simulate.brainwide import held_out, simulate_recording


def test_the_same_seed_gives_the_same_recording_and_another_index_another():
    one, two, other = (simulate_recording(seed=5, index=i, units=8) for i in (0, 0, 1))
    assert one.session.id == two.session.id != other.session.id
    np.testing.assert_array_equal(one.spikes.timestamps, two.spikes.timestamps)
    assert one.units.id.tolist() == two.units.id.tolist()


def test_it_has_the_keys_and_codings_of_the_benchmark(recording):
    table = recording.task_aligned_intervals
    assert set(np.unique(table.choice.choice)) == {0, 1}
    assert set(np.unique(table.reward.reward)) == {0, 1}
    assert set(np.unique(table.stimulus_contrast.stimulus_contrast)) == set(range(5))
    for name in ("movement_window", "licking_window", "choice", "reward", "stimulus_contrast"):
        window = getattr(table, name)
        np.testing.assert_allclose(window.end - window.start, 1.0)
    for group in ("whisker", "wheel", "paws", "licks"):
        assert getattr(recording, group).sampling_rate == 50
    assert (recording.licks.licking_rate % 50 == 0).all()
    assert set(recording.units.region_cosmos) <= set(REGIONS)
    assert table.movement_window.num_left_paw_confident.max() <= 50


def test_a_tenth_of_the_units_is_held_out_whatever_their_order():
    ids = [f"unit{i}" for i in range(40)]
    mask = held_out(ids, "test")
    assert mask.sum() == 4
    assert held_out(ids[::-1], "test").tolist() == mask[::-1].tolist()
    assert held_out(["only"], "val").tolist() == [True]


def test_units_held_out_for_validation_are_chosen_anew(recording):
    marks = {s: getattr(recording.units, f"{HELD_OUT}{s}") for s in ("val", "test")}
    assert all(mask.sum() == 2 for mask in marks.values())
    assert marks["val"].tolist() != marks["test"].tolist()


def test_units_follow_the_wheel(recording):
    times = recording.wheel.timestamps
    edges = np.append(times, times[-1] + 0.02)
    counts = np.stack(
        [
            np.histogram(recording.spikes.timestamps[recording.spikes.unit_index == n], edges)[0]
            for n in range(len(recording.units.id))
        ]
    )
    correlation = np.corrcoef(np.vstack([recording.wheel.wheel_speed, counts]))[0, 1:]
    assert np.abs(correlation).max() > 0.1
