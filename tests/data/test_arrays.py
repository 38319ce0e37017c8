from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.multiclass import type_of_target

from neuroduet.data.arrays import from_arrays
from neuroduet.data.schema import describe_behaviours
from neuroduet.errors import UserError

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(0.5, (12, 10, 4))


def build(**changes):
    return from_arrays(**{"session_id": "s", "counts": COUNTS, "bin_size_s": 0.1, **changes})


def kinds(recording):
    return {b.name: (b.kind, b.per) for b in describe_behaviours(recording)}


def test_trials_are_laid_out_one_second_apart():
    recording = build()
    np.testing.assert_allclose(recording.trials.start, np.arange(12) * 2.0)
    np.testing.assert_allclose(recording.trials.end, np.arange(12) * 2.0 + 1.0)
    np.testing.assert_allclose(recording.counts.timestamps[9:12], [0.95, 2.05, 2.15])
    np.testing.assert_array_equal(recording.counts.values, COUNTS.reshape(-1, 4))
    assert recording.bin_size_s == 0.1


def test_ragged_trials_keep_their_own_lengths():
    recording = build(
        counts=[COUNTS[0], COUNTS[1, :7], COUNTS[2, :3]],
        behaviours={"speed": [np.ones(10), np.ones(7), np.ones(3)]},
    )
    np.testing.assert_allclose(recording.trials.end - recording.trials.start, [1.0, 0.7, 0.3])
    assert len(recording.counts.timestamps) == len(recording.speed.timestamps) == 20
    np.testing.assert_allclose(recording.counts.timestamps, recording.speed.timestamps)


def test_continuous_activity_starts_at_zero():
    recording = build(counts=COUNTS[:, :, 0].T, behaviours={"x": np.zeros((10, 2))})
    np.testing.assert_allclose(recording.counts.timestamps, (np.arange(10) + 0.5) * 0.1)
    assert recording.x.values.shape == (10, 2)
    assert "trials" not in recording


def test_type_and_shape_say_what_a_behaviour_is():
    recording = build(
        behaviours={
            "speed": RNG.normal(size=(12, 10)),
            "position": RNG.normal(size=(12, 10, 2)),
            "state": RNG.integers(0, 3, (12, 10)),
            "phase": RNG.choice(["go", "stop"], (12, 10)),
            "choice": np.arange(12) % 2 == 0,
            "prior": np.tile([0.2, 0.5, 0.8], 4),
            "block": np.tile([0.2, 0.5, 0.8], 4).astype(str),
            "outcome": np.tile([-1.0, 1.0, np.nan], 4),
            "stimulus": np.array(["left", "right"] * 6),
            "reaction": RNG.normal(size=12),
        }
    )
    assert kinds(recording) == {
        "speed": ("continuous", "bin"),
        "position": ("continuous", "bin"),
        "state": ("categorical", "bin"),
        "phase": ("categorical", "bin"),
        "choice": ("categorical", "trial"),
        "prior": ("continuous", "trial"),
        "block": ("categorical", "trial"),
        "outcome": ("categorical", "trial"),
        "stimulus": ("categorical", "trial"),
        "reaction": ("continuous", "trial"),
    }
    assert recording.position.values.shape == (120, 2)
    assert recording.trials.choice.tolist() == [1, 0] * 6


@given(st.lists(st.sampled_from([0, 0.0625, 0.125, 0.25, 1, -1, 3, 1e6]), min_size=1, max_size=8))
def test_a_fraction_makes_repeated_floats_continuous_as_in_scikit_learn(levels):
    values = np.tile(np.array(levels, dtype=float), 3)
    recording = build(counts=np.ones((len(values), 2, 1), int), behaviours={"b": values})
    expected = "continuous" if type_of_target(values) == "continuous" else "categorical"
    assert kinds(recording) == {"b": (expected, "trial")}


@pytest.mark.parametrize(("distinct", "kind"), [(20, "categorical"), (21, "continuous")])
def test_whole_floats_per_trial_are_classes_up_to_twenty_values(distinct, kind):
    values = np.arange(30.0) % distinct
    recording = build(counts=np.ones((30, 2, 1), int), behaviours={"b": values})
    assert kinds(recording) == {"b": (kind, "trial")}


def test_spikes_are_sorted_and_units_named():
    recording = from_arrays(
        session_id="s", spike_times=[0.3, 0.1, 0.2], spike_units=[2, 0, 1], subject_id="mouse"
    )
    np.testing.assert_allclose(recording.spikes.timestamps, [0.1, 0.2, 0.3])
    assert recording.spikes.unit_index.tolist() == [0, 1, 2]
    assert recording.units.id.tolist() == ["unit000", "unit001", "unit002"]
    assert recording.subject.id == "mouse"


def test_spike_units_may_be_ids():
    recording = from_arrays(
        session_id="s", spike_times=[0.1, 0.2], spike_units=["b", "a"],
        units={"id": ["b", "c", "a"], "region": ["X", "Y", "X"]},
    )  # fmt: skip
    assert recording.spikes.unit_index.tolist() == [0, 2]
    assert recording.units.region.tolist() == ["X", "Y", "X"]


def test_silent_units_at_the_end_come_from_the_unit_table():
    recording = from_arrays(
        session_id="s", spike_times=[0.1], spike_units=[0], units={"depth_um": [1.0, 2.0, 3.0]}
    )
    assert len(recording.units.id) == 3


def test_behaviours_beside_events_sit_at_bin_centres():
    recording = from_arrays(
        session_id="s",
        spike_times=[0.0, 4.0],
        spike_units=[0, 0],
        bin_size_s=0.5,
        trials={"start": [0.0, 2.0], "end": [1.0, 3.0]},
        behaviours={"speed": np.array([[1.0, 2.0], [3.0, 4.0]]), "whole": np.arange(8.0),
                    "free": ([0.3, 0.1], [1.0, 2.0])},
    )  # fmt: skip
    np.testing.assert_allclose(recording.speed.timestamps, [0.25, 0.75, 2.25, 2.75])
    np.testing.assert_allclose(recording.speed.values, [1, 2, 3, 4])
    np.testing.assert_allclose(recording.whole.timestamps, (np.arange(8) + 0.5) * 0.5)
    np.testing.assert_allclose(recording.free.timestamps, [0.1, 0.3])
    np.testing.assert_allclose(recording.free.values, [2, 1])


def test_traces_stay_continuous():
    recording = build(counts=None, traces=RNG.normal(size=(12, 10, 4)))
    assert recording.traces.values.dtype == np.float32
    assert "counts" not in recording


def test_given_splits_become_a_trial_column():
    split = ["train"] * 8 + ["valid"] * 2 + ["test"] * 2
    assert build(split=split).trials.split.tolist() == split


def test_trial_columns_and_given_times_are_kept():
    starts = np.arange(12) * 5.0 + 3
    recording = build(trials={"start": starts, "contrast": np.arange(12) / 12})
    np.testing.assert_allclose(recording.trials.start, starts)
    np.testing.assert_allclose(recording.counts.timestamps[10], 8.05)
    assert recording.trials.contrast[6] == 0.5


def test_touching_trials_are_allowed():
    recording = build(trials={"start": np.arange(12) * 1.0})
    assert (np.diff(recording.counts.timestamps) > 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": None}, "exactly one of counts, traces and spike_times; found none"),
        ({"traces": COUNTS}, "found counts and traces"),
        ({"bin_size_s": None}, "bin_size_s is missing"),
        ({"bin_size_s": -1.0}, "expected seconds above 0"),
        ({"counts": COUNTS.astype(str)}, r"counts is of type <U\d+, expected numbers"),
        ({"counts": COUNTS.astype(object) + 1j}, "counts is of type object, expected numbers"),
        ({"counts": [[1, 2], [3]]}, "counts has parts of different lengths"),
        ({"counts": np.ones((0, 10, 4), int)},
         "counts has 0 bins of 4 units, expected at least one of each; give an array"),
        ({"counts": np.ones((12, 10, 0), int)}, "counts has 120 bins of 0 units, expected at"),
        ({"bin_size_s": np.inf}, "bin_size_s is inf, expected seconds above 0"),
        ({"trials": {"day": np.arange(12).astype("datetime64[D]")}},
         r"trials.day holds dates or times of datetime64\[D\], .*; convert it to seconds"),
        ({"counts": np.ones(3)}, r"shape \(3,\), expected \(trials, bins, units\)"),
        ({"counts": -COUNTS - 1}, "negative or fractional"),
        ({"counts": COUNTS * 0.5}, "store them as traces"),
        ({"behaviours": {"x": np.zeros((12, 9))}}, r"shape \(12, 9\), expected .*\(12, 10"),
        ({"behaviours": {"x": np.zeros(11)}}, r"shape \(11,\), expected \(12,\)"),
        ({"behaviours": {"x": [np.zeros(10)] * 11}}, "11 trials, but there are 12"),
        ({"behaviours": {"x": [np.zeros(10)] * 11 + [np.zeros(9)]}}, "9 bins in trial 11"),
        ({"behaviours": {"x": ([0.0, 1.0], [1.0])}}, "2 times but values of shape"),
        ({"behaviours": {"x": ([0.0, np.nan], [1.0, 2.0])}}, "missing times"),
        ({"behaviours": {"x": np.array([None] * 12)}}, "expected numbers, booleans or text"),
        ({"behaviours": {"x": np.zeros((12, 10, 2), int)}}, "classes"),
        ({"behaviours": {"units": np.zeros(12)}}, "cannot be stored under this name"),
        ({"behaviours": {"a.b": np.zeros(12)}}, "letters, digits"),
        ({"units": {"region": ["A"] * 5}}, "5 entries, but there are 4 units"),
        ({"units": {"id": ["A"] * 4}}, "duplicate ids"),
        ({"units": {"region": ["A", "B", "C", "Großhirn"]}}, "outside ASCII"),
        ({"trials": {"a": [1, 2]}}, "a has 2, but the activity has 12"),
        ({"trials": {"start": np.arange(12) * 0.5}}, "ends at 1 s, after trial 1 starts"),
        ({"trials": {"start": np.arange(12) * 2.0, "end": np.arange(12) * 2.0 + 2}},
         "lasts 2 s, but has 10 bins"),
        ({"trials": {"start": np.full(12, np.nan)}}, "missing times"),
        ({"split": ["train"] * 3}, "3 entries, but there are 12 trials"),
        ({"split": ["training"] * 12}, "'training', expected train, valid or test"),
        ({"trials": {"c": np.arange(12)}, "behaviours": {"c": np.arange(12) % 2}},
         "both a behaviour and a column"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        build(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spike_units": None}, "needs spike_units"),
        ({"spike_units": [0]}, r"shape \(2,\) and spike_units \(1,\)"),
        ({"spike_units": [0.0, 1.0]}, "expected integers or unit ids"),
        ({"spike_units": ["a", "z"], "units": {"id": ["a"]}}, "'z'"),
        ({"spike_units": [0, 5], "units": {"region": ["a", "b"]}},
         r"units\['region'\] has 2 entries, but there are 6 units \(spike_units runs to 5\)"),
        ({"spike_times": [[0.0], [1.0]]}, "leave spike_units out"),
        ({"spike_times": [[0.0], [1.0]], "spike_units": None, "units": {"region": ["a"]}},
         r"units\['region'\] has 1 entries, but there are 2 units \(spike_times has an array"),
        ({"spike_times": [[0.0], [[1.0, 2.0], [3.0, 4.0]]], "spike_units": None},
         r"spike_times of unit 1 has shape \(2, 2\), expected one time per spike"),
        ({"spike_times": ["a", "b"]}, "spike_times is of type <U1, expected numbers"),
        ({"trials": {"start": ["0"], "end": ["1"]}}, "trials column start is of type <U1"),
        ({"spike_times": [0.0, np.inf]}, "not finite"),
        ({"trials": {"start": [0.0]}}, "columns start and end"),
        ({"trials": {"start": [1.0], "end": [0.0]}}, "do not end after they start"),
        ({"behaviours": {"x": np.zeros(7)}}, "bin_size_s to be given"),
    ],
)  # fmt: skip
def test_what_does_not_fit_events_is_named(changes, message):
    given = {"session_id": "s", "spike_times": [0.0, 1.0], "spike_units": [0, 1]}
    with pytest.raises(UserError, match=message):
        from_arrays(**{**given, **changes})


def test_transposed_activity_is_suspected():
    with pytest.warns(UserWarning, match="transposed"):
        from_arrays(session_id="s", counts=np.ones((10, 50), int), bin_size_s=0.1)


def test_a_unit_table_confirms_the_axes():
    counts = np.ones((10, 50), int)
    from_arrays(session_id="s", counts=counts, bin_size_s=0.1, units={"region": ["A"] * 50})


def test_many_integers_are_suspected_to_be_continuous():
    with pytest.warns(UserWarning, match="give floats"):
        build(behaviours={"x": np.arange(120).reshape(12, 10)})


def test_the_same_column_may_be_behaviour_and_trial_column():
    choice = np.arange(12) % 2
    recording = build(trials={"choice": choice}, behaviours={"choice": choice})
    assert kinds(recording) == {"choice": ("categorical", "trial")}


def test_times_of_spikes_may_be_given_by_unit():
    by_unit = [np.array([0.3, 0.1]), np.zeros(0), np.array([0.2])]
    recording = from_arrays(session_id="s", spike_times=by_unit, units={"region": list("ABC")})
    np.testing.assert_allclose(recording.spikes.timestamps, [0.1, 0.2, 0.3])
    assert recording.spikes.unit_index.tolist() == [0, 2, 0]
    assert recording.units.id.tolist() == ["unit000", "unit001", "unit002"]
    ragged = np.empty(3, dtype=object)
    ragged[:] = by_unit
    again = from_arrays(session_id="s", spike_times=ragged)
    np.testing.assert_array_equal(again.spikes.unit_index, recording.spikes.unit_index)


@pytest.mark.parametrize(
    "one", [0.2, np.array(0.2), np.array([[0.2]])], ids=["number", "0-D", "MATLAB column"]
)
@pytest.mark.parametrize("first", [True, False])
def test_a_unit_of_one_spike_may_be_given_as_a_number(one, first):
    rest = np.array([[0.1], [0.3]])
    recording = from_arrays(session_id="s", spike_times=[one, rest] if first else [rest, one])
    np.testing.assert_allclose(recording.spikes.timestamps, [0.1, 0.2, 0.3])
    assert recording.spikes.unit_index.tolist() == ([1, 0, 1] if first else [0, 1, 0])


def test_trials_without_a_split_are_left_out():
    split = ["train"] * 6 + [None] * 2 + ["test"] * 4
    found = build(split=np.array(split, dtype=object)).trials.split.tolist()
    assert found == ["train"] * 6 + [""] * 2 + ["test"] * 4


def test_tables_may_be_of_pandas():
    trials = pd.DataFrame({"start": [0.0, 2.0], "end": [1.0, 3.0], "cue": ["left", None]})
    units = pd.DataFrame({"region": ["A", "B"], "depth_um": [1.5, 2.5]}, index=[7, 3])
    recording = from_arrays(
        session_id="s",
        spike_times=[0.1, 2.2],
        spike_units=[0, 1],
        trials=trials,
        units=units,
        behaviours=pd.DataFrame({"choice": ["go", "stop"]}),
    )
    assert recording.trials.cue.tolist() == ["left", ""]
    assert recording.units.region.tolist() == ["A", "B"]
    assert recording.units.depth_um.tolist() == [1.5, 2.5]
    assert kinds(recording) == {"choice": ("categorical", "trial")}


@pytest.mark.parametrize(("distinct", "warned"), [(20, False), (21, True)])
def test_many_integers_per_trial_are_suspected_to_be_continuous(distinct, warned):
    values = np.arange(42) % distinct
    counts = np.ones((42, 2, 1), int)
    expected = pytest.warns(UserWarning, match="give floats") if warned else nullcontext()
    with expected:
        recording = build(counts=counts, behaviours={"x": values})
    assert kinds(recording) == {"x": ("categorical", "trial")}
    build(counts=counts, behaviours={"x": values.astype(str)})
