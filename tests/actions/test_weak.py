from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from neuroduet.actions import weak
from neuroduet.actions.metrics.segments import run_lengths
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

label_arrays = st.lists(
    st.tuples(st.integers(-1, 2), st.integers(1, 5)), min_size=1, max_size=12
).map(lambda parts: np.repeat(*np.array(parts).T))


def moving(active: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Coordinates of two keypoints that jitter a little at rest and much when active."""
    steps = generator.normal(0, np.where(active, 3.0, 0.05)[:, None], (len(active), 4))
    return steps.cumsum(0)


def test_energy_tells_movement_from_rest_and_runs_from_0_to_1():
    active = np.repeat([0, 1, 0, 1], 100).astype(bool)
    energy = weak.denoised_energy(moving(active, np.random.default_rng(0)))
    assert energy.min() >= 0
    assert energy.max() <= 1
    assert (energy[active] > 0.05).mean() > 0.95
    assert (energy[~active] < 0.05).mean() > 0.95


def test_energy_does_not_depend_on_the_unit():
    values = moving(np.ones(80, bool), np.random.default_rng(0))
    np.testing.assert_allclose(weak.denoised_energy(values), weak.denoised_energy(1000 * values))


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_missing_coordinates_count_as_no_movement(missing):
    values = moving(np.ones(50, bool), np.random.default_rng(0))
    values[10:30, 1] = missing
    energy = weak.denoised_energy(values, weight=0.0)
    np.testing.assert_allclose(energy[10:31], 0.0, atol=1e-12)
    assert (energy[32:] > 0).all()
    np.testing.assert_array_equal(weak.denoised_energy(np.full((5, 2), missing)), np.zeros(5))
    assert weak.denoised_energy(np.zeros((0, 2))).shape == (0,)


def test_the_rules_of_the_fly_label_a_fly_that_walks_stands_and_grooms():
    names = ["still", "walk", "front_groom", "back_groom", "abdomen-move"]
    rest = np.zeros(6)
    signals = {
        "ball": np.array([0.8, 0.01, 0.01, 0.01, 0.3, 0.01]),
        "front": np.array([0.3, 0.0, 0.5, 0.0, 0.0, 0.5]),
        "back": np.array([0.3, 0.0, 0.0, 0.5, 0.0, 0.5]),
        "abdomen": rest,
    }
    found = weak.heuristic_labels(signals, weak.FLY_RULES, names)
    assert [names[k] if k >= 0 else "-" for k in found] == [
        *("walk", "still", "front_groom", "back_groom"),
        *("-", "still"),
    ]


def test_the_rules_of_the_mouse_prefer_grooming_and_leave_the_middle_open():
    names = ["still", "move", "wheel_turn", "groom"]
    signals = {
        "paw": np.array([0.0, 0.03, 0.2, 0.2, np.nan]),
        "paw_nose_px": np.array([200.0, 200.0, 200.0, 50.0, np.nan]),
        "wheel_speed": np.array([0.0, 0.0, 0.9, 0.9, np.nan]),
    }
    found = weak.heuristic_labels(signals, weak.IBL_RULES, names)
    assert found.tolist() == [0, UNLABELLED, 2, 3, UNLABELLED]


def test_a_rule_can_ask_for_a_shortest_bout():
    rule = weak.Rule(
        name="fidget", thresholds=(weak.Threshold(signal="leg", at_least=0.1),), min_frames=3
    )
    signal = np.array([0, 1, 1, 0, 1, 1, 1, 0], float)
    found = weak.heuristic_labels({"leg": signal}, [rule], ["fidget"])
    assert found.tolist() == [-1, -1, -1, -1, 0, 0, 0, -1]


def test_unknown_signals_and_classes_are_named():
    with pytest.raises(UserError, match="unknown signal 'ball'"):
        weak.heuristic_labels({"bal": np.zeros(3)}, weak.FLY_RULES, ["walk"])
    signals = {name: np.zeros(3) for name in ("ball", "front", "back", "abdomen")}
    with pytest.raises(UserError, match="unknown class 'walk'"):
        weak.heuristic_labels(signals, weak.FLY_RULES, ["wlk", "still"])


@given(label_arrays, st.integers(1, 6))
def test_only_bouts_shorter_than_asked_are_dropped(labels, min_frames):
    kept = weak.drop_short_bouts(labels, min_frames)
    before, after = run_lengths(labels, 3), run_lengths(kept, 3)
    for k in range(3):
        assert after[k] == [n for n in before[k] if n >= min_frames]


def test_gaps_are_filled_between_bouts_of_one_class_only():
    labels = np.array([-1, 0, -1, 0, -1, -1, 0, -1, 1, -1])
    assert weak.fill_gaps(labels, 1).tolist() == [-1, 0, 0, 0, -1, -1, 0, -1, 1, -1]
    assert weak.fill_gaps(labels, 2).tolist() == [-1, 0, 0, 0, 0, 0, 0, -1, 1, -1]


def test_gaps_can_be_shared_by_their_neighbours():
    labels = np.array([-1, 0, -1, -1, -1, 1, -1])
    assert weak.fill_gaps(labels, 3, nearest=True).tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert weak.fill_gaps(labels, 1, nearest=True).tolist() == [0, 0, -1, -1, -1, 1, 1]


@given(label_arrays, st.integers(0, 6), st.booleans())
def test_filling_changes_no_label_and_only_short_gaps_remain_open(labels, longest, nearest):
    filled = weak.fill_gaps(labels, longest, nearest)
    known = labels != UNLABELLED
    np.testing.assert_array_equal(filled[known], labels[known])
    if nearest and known.any():
        gaps = run_lengths(np.where(filled == UNLABELLED, 0, UNLABELLED), 1)[0]
        assert all(gap > longest for gap in gaps)
