from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from run_folders import BINS, UNITS, WINDOWS, prediction_arrays

from neuroduet.metrics import bits_per_spike_by_unit
from neuroduet.report.activity import (
    FEWEST_SPIKES,
    chosen_units,
    smoothed,
    unit_averages,
    unit_title,
)
from neuroduet.report.behaviour import agreement, confusion_counts, shown_windows, traces
from neuroduet.report.predicted import Decoded, combinations, conditions, from_arrays
from neuroduet.report.rasters import MAX_TRIALS, trial_order, unit_rasters

TEST = np.arange(WINDOWS) % 2 == 1


def decoded(true, predicted, observed=None, classes=()):
    true = np.asarray(true)
    observed = np.ones(true.shape[: 1 if classes else 2], bool) if observed is None else observed
    return Decoded(
        name="behaviour",
        true=true,
        predicted=np.asarray(predicted, dtype=np.float64),
        observed=observed,
        classes=classes,
    )


def test_only_test_windows_are_compared():
    found = from_arrays("one", prediction_arrays())
    assert found.activity is not None
    assert found.activity.observed.shape == (TEST.sum(), BINS, UNITS)
    assert found.trial.tolist() == np.flatnonzero(TEST).tolist()
    assert [b.name for b in found.behaviours] == ["wheel", "choice"]


def test_rates_are_in_hertz():
    arrays = prediction_arrays()
    activity = from_arrays("one", arrays).activity
    assert activity is not None
    expected = np.exp(arrays["encoding/log_rates"][TEST].astype(np.float64)) / 0.02
    np.testing.assert_allclose(activity.predicted, expected)
    np.testing.assert_allclose(activity.observed, arrays["true/counts"][TEST] / 0.02)


def test_units_are_ranked_by_bits_per_spike_in_test_windows():
    arrays = prediction_arrays()
    activity = from_arrays("one", arrays).activity
    assert activity is not None
    bits = bits_per_spike_by_unit(
        np.exp(arrays["encoding/log_rates"][TEST].astype(np.float64)),
        arrays["true/counts"][TEST],
        arrays["valid"][TEST],
    )
    np.testing.assert_allclose(activity.score, bits)
    assert activity.ranked().tolist() == np.argsort(-bits).tolist()
    assert chosen_units(activity) == activity.ranked().tolist()  # 4 best and 2 worst of 6


def test_a_silent_unit_is_not_ranked():
    arrays = prediction_arrays()
    arrays["true/counts"] = arrays["true/counts"].copy()
    arrays["true/counts"][:, :, 3] = 0
    activity = from_arrays("one", arrays).activity
    assert activity is not None
    assert 3 not in activity.ranked()


def test_units_with_few_spikes_are_drawn_only_where_there_are_no_others():
    arrays = prediction_arrays()
    arrays |= {k: np.tile(arrays[k], 2) for k in ("encoding/log_rates", "true/counts", "units")}
    counts = arrays["true/counts"] = arrays["true/counts"].copy()
    counts[:, :, 0] = 0
    counts[TEST, 0, 0] = np.arange(TEST.sum()) < 3  # three spikes
    activity = from_arrays("one", arrays).activity
    assert activity is not None
    spikes = (counts[TEST] * arrays["valid"][TEST][:, :, None]).sum(axis=(0, 1))
    assert (spikes[1:] >= FEWEST_SPIKES).all()
    assert 0 in activity.ranked()
    assert 0 not in chosen_units(activity)


def test_traces_are_compared_as_they_are():
    arrays = prediction_arrays()
    values = arrays.pop("encoding/log_rates")
    del arrays["true/counts"]
    arrays |= {"encoding/traces": values, "true/traces": values}
    activity = from_arrays("one", arrays).activity
    assert activity is not None
    assert not activity.is_poisson
    np.testing.assert_array_equal(activity.predicted, activity.observed)
    np.testing.assert_allclose(activity.score, 1.0)


def test_infinite_rates_are_left_out_of_the_drawing():
    arrays = prediction_arrays()
    arrays["encoding/log_rates"] = np.full_like(arrays["encoding/log_rates"], 1e4)
    activity = from_arrays("one", arrays).activity
    assert activity is not None
    assert np.isnan(activity.predicted).all()
    assert len(activity.ranked()) == 0


def test_missing_and_padded_bins_are_not_observed():
    arrays = prediction_arrays()
    arrays["observed/wheel"] = np.ones((WINDOWS, BINS), dtype=bool)
    arrays["observed/wheel"][3, :4] = False
    wheel = from_arrays("one", arrays).behaviours[0]
    assert wheel.observed[0].tolist() == [True] * 7 + [False] * 3  # window 1 has 7 bins
    assert wheel.observed[1].tolist() == [False] * 4 + [True] * 6


def test_windows_are_grouped_by_a_behaviour_given_once_per_trial():
    found = from_arrays("one", prediction_arrays())
    assert found.condition_names == ("choice -1", "choice 1")
    assert found.condition.tolist() == [0, 1] * (WINDOWS // 4)


def test_rare_and_unlabelled_windows_belong_to_no_condition():
    labels = np.array([0] * 5 + [1] * 5 + [2] * 2)
    observed = np.ones(12, dtype=bool)
    observed[0] = False
    behaviour = decoded(labels, np.zeros((12, 3)), observed, classes=("a", "b", "c"))
    index, names = conditions((behaviour,), 12)
    assert names == ("all trials",)  # only b is left with five windows
    index, names = conditions((decoded(labels, np.zeros((12, 3)), classes=("a", "b", "c")),), 12)
    assert names == ("behaviour a", "behaviour b")
    assert index.tolist() == [0] * 5 + [1] * 5 + [-1] * 2


def test_confusion_counts_by_hand():
    guesses = np.eye(3)[[0, 1, 1, 2, 0]]
    observed = np.array([True, True, True, True, False])
    behaviour = decoded([0, 0, 1, 2, 2], guesses, observed, classes=("a", "b", "c"))
    assert confusion_counts(behaviour).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_windows_from_well_to_badly_decoded_are_shown():
    error = np.array([5.0, 1.0, 0.0, 4.0, 3.0, 2.0, 9.0, 8.0, 7.0, 6.0, 10.0])
    true = np.zeros((11, 2, 1))
    behaviour = decoded(true, true + error[:, None, None])
    assert error[shown_windows(behaviour, 0)].tolist() == [1.0, 4.0, 6.0, 9.0]


def test_windows_without_an_observed_bin_are_never_shown():
    observed = np.zeros((5, 2), dtype=bool)
    observed[3] = True
    behaviour = decoded(np.zeros((5, 2, 1)), np.zeros((5, 2, 1)), observed)
    assert shown_windows(behaviour, 0).tolist() == [3]
    nothing = decoded(np.zeros((5, 2, 1)), np.zeros((5, 2, 1)), np.zeros((5, 2), dtype=bool))
    assert len(shown_windows(nothing, 0)) == 0


@given(st.floats(-3, 3), st.integers(2, 40), st.integers(0, 2**16))
def test_smoothing_keeps_a_constant(value, bins, seed):
    valid = np.random.default_rng(seed).random(bins) < 0.7
    result = smoothed(np.full((2, bins), value), 0.02, valid)
    assert result[:, valid] == pytest.approx(value)


def test_smoothing_does_not_look_at_bins_that_do_not_exist():
    values = np.array([1.0, 2.0, 999.0])
    seen = smoothed(values, 0.02, np.array([True, True, False]))
    np.testing.assert_allclose(seen[:2], smoothed(values[:2], 0.02, np.ones(2, dtype=bool)))


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=150))
def test_drawn_trials_are_sorted_by_condition_then_time(labels):
    condition = np.array(labels)
    order = trial_order(condition)
    assert len(order) == min(MAX_TRIALS, (condition >= 0).sum())
    assert (condition[order] >= 0).all()
    assert (np.diff(condition[order] * 1000 + order) > 0).all()


def test_windows_that_are_no_trials_are_joined_and_not_averaged():
    arrays = prediction_arrays() | {"trial": np.full(WINDOWS, -1)}
    found = unit_averages(from_arrays("one", arrays), "name")
    assert found is not None
    assert "time (s), windows joined" in found.svg
    assert "the first of 12 test windows, joined" in found.caption


def test_traces_are_drawn_without_spikes_and_bits():
    arrays = prediction_arrays()
    values = arrays.pop("encoding/log_rates")
    arrays |= {"encoding/traces": values, "true/traces": arrays.pop("true/counts") * 1.0}
    for draw in (unit_averages, unit_rasters):
        found = draw(from_arrays("one", arrays), "name")
        assert found is not None
        assert "bits" not in found.svg
        assert "spikes are smoothed" not in found.caption
        assert "tick is a bin" not in found.caption


def test_behaviours_of_every_shape_are_drawn():
    generator = np.random.default_rng(0)
    arrays = {
        "true/reaction": generator.normal(size=(WINDOWS, 2)),
        "decoding/reaction": generator.normal(size=(WINDOWS, 2)),
        "true/state": generator.integers(0, 8, (WINDOWS, BINS)),
        "decoding/state": generator.random((WINDOWS, BINS, 8)),
        "classes/state": np.array([f"<state {i}>" for i in range(8)]),
    }
    found = from_arrays("one", arrays)
    plate = agreement(found, "name")
    assert plate is not None
    for text in (
        "reaction [0]: R²",
        "reaction [1]: R²",
        "state: balanced acc.",
        "&lt;state 7&gt;",
    ):
        assert text in plate.svg
    assert traces(found, "name") is None


def with_side(side: np.ndarray) -> dict[str, np.ndarray]:
    """The prediction file with a second behaviour given once per trial."""
    return prediction_arrays() | {
        "decoding/side": np.eye(2, dtype=np.float32)[side],
        "true/side": side,
        "classes/side": np.array(["left", "right"]),
        "observed/side": np.arange(WINDOWS) != 1,
    }


def test_the_caption_names_the_conditions_of_psth_r2_and_their_trials():
    # Test windows are the odd ones; choice changes every second of them.
    side = np.zeros(WINDOWS, dtype=np.int64)
    side[[3, 7]] = 1
    found = from_arrays("one", with_side(side))
    # Choice 0: windows 1 (side unknown), 5, 9, 13, 17, 21; choice 1: 3 and 7 right, 4 left.
    assert combinations(found) == (("choice", "side"), (5,))
    drawn = unit_averages(found, "one")
    assert drawn is not None
    words = (
        "over averages of 1 combination of choice and side with at least 5 test trials (5 each,"
    )
    assert words in drawn.caption
    assert "5 of 12 in all" in drawn.caption
    assert "choice -1 (6)" in drawn.svg
    assert "choice 1 (6)" in drawn.svg


def test_the_caption_says_where_no_condition_has_enough_trials():
    arrays = with_side(np.arange(WINDOWS) // 4 % 2)
    drawn = unit_averages(from_arrays("one", arrays), "one")
    assert drawn is not None
    assert "No combination of choice and side has 5 test trials" in drawn.caption


def test_a_unit_is_called_a_unit_with_its_region():
    found = from_arrays("one", prediction_arrays())
    assert found.activity is not None
    named = replace(
        found.activity,
        units=np.array(["53", "unit5", *"abcd"]),
        regions=("VISp", "", *"wxyz"),
        score=np.array([0.5, 0.4, 0, 0, 0, 0]),
    )
    assert unit_title(named, 0) == "unit 53 (VISp): 0.50 bits/spike"
    assert unit_title(named, 1) == "unit5: 0.40 bits/spike"


def test_a_confusion_matrix_of_many_classes_holds_the_numbers_of_windows():
    labels = np.repeat(np.arange(7), [3, 0, 1, 1, 1, 1, 5])
    arrays = {
        "decoding/contrast": np.eye(7)[np.full(12, 6)],
        "true/contrast": labels,
        "classes/contrast": np.arange(7) / 8,
        "observed/contrast": np.ones(12, dtype=bool),
    }
    drawn = agreement(from_arrays("one", arrays), "one")
    assert drawn is not None
    written = [drawn.svg.count(f">{number}</text>") for number in ("0", "3", "1", "5")]
    assert written == [36, 1, 4, 1]  # the row of the class that no test window has is empty
