from __future__ import annotations

import numpy as np
import pytest
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    RegularTimeSeries,
    SessionDescription,
)

from neuroduet.data.schema import check, describe_behaviours, find_problems, neural_kind
from neuroduet.errors import UserError


def make(**changes):
    groups = {
        "session": SessionDescription(id="s"),
        "spikes": IrregularTimeSeries(
            timestamps=np.array([0.1, 0.2, 0.9]), unit_index=np.array([0, 1, 0])
        ),
        "units": ArrayDict(id=np.array(["a", "b"])),
        "trials": Interval(np.array([0.0, 0.5]), np.array([0.5, 1.0]), choice=np.array([1, -1])),
        "wheel": IrregularTimeSeries(timestamps=np.arange(10) / 10, wheel_speed=np.zeros(10)),
        **changes,
    }
    kept = {key: value for key, value in groups.items() if value is not None}
    return Data(domain=Interval(0.0, 1.0), **kept)


def table(**columns):
    row = {"name": "b", "source": "wheel.wheel_speed", "kind": "continuous", "per": "bin"}
    return ArrayDict(**{key: np.array([value]) for key, value in {**row, **columns}.items()})


def test_a_sound_recording_has_no_problems():
    assert find_problems(make()) == []
    check(make())


def test_every_problem_is_listed_at_once():
    broken = make(
        session=None,
        units=ArrayDict(id=np.array(["a", "a"])),
        spikes=IrregularTimeSeries(timestamps=np.array([0.2, 0.1]), unit_index=np.array([0, 7])),
        trials=Interval(np.array([0.5]), np.array([0.5])),
        behaviours=table(source="whisker.energy"),
    )
    with pytest.raises(UserError) as caught:
        check(broken)
    for part in ("session.id", "duplicate ids", "not sorted", "from 0 to 7", "do not end",
                 "whisker.energy"):  # fmt: skip
        assert part in str(caught.value)


COUNTS = IrregularTimeSeries(timestamps=np.array([0.1, 0.2]), values=np.ones((2, 2)))


TWICE = ArrayDict(
    name=np.array(["b", "b"]),
    source=np.array(["trials.choice"] * 2),
    kind=np.array(["categorical"] * 2),
    per=np.array(["trial"] * 2),
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spikes": None}, "found none of the neural groups"),
        ({"counts": COUNTS}, "found spikes and counts"),
        ({"units": None}, "no unit table"),
        ({"session": SessionDescription(id="a/b")}, "slash"),
        ({"units": ArrayDict(id=np.array(["ä", "b"]))}, "ASCII"),
        ({"units": ArrayDict(id=np.array(["a", "b"]), x=np.array([None, 1]))}, "Python objects"),
        ({"spikes": IrregularTimeSeries(timestamps=np.array([0.0, np.inf]),
                                        unit_index=np.array([0, 1]))}, "not finite"),
        ({"spikes": IrregularTimeSeries(timestamps=np.array([0.0]))}, "no spikes.unit_index"),
        ({"spikes": IrregularTimeSeries(timestamps=np.array([0.0]),
                                        unit_index=np.array([0.0]))}, "expected 1-D integers"),
        ({"spikes": None, "counts": COUNTS}, "found bin_size_s None"),
        ({"spikes": None, "bin_size_s": 0.1, "units": ArrayDict(id=np.array(["a"])),
          "counts": COUNTS}, r"shape \(2, 2\), expected \(time, 1 units\)"),
        ({"spikes": None, "bin_size_s": 0.1, "traces": IrregularTimeSeries(
            timestamps=np.array([0.1]), values=np.array([[np.nan, 0]]))}, "not finite"),
        ({"spikes": None, "bin_size_s": 0.1, "counts": IrregularTimeSeries(
            timestamps=np.array([0.1]), values=np.array([[0.5, 0]]))}, "fractional"),
        ({"trials": ArrayDict(start=np.array([0.0]))}, "expected Interval"),
        ({"behaviours": ArrayDict(name=np.array(["b"]))}, "lacks the columns source, kind, per"),
        ({"behaviours": table(kind="smooth")}, "kind is 'smooth'"),
        ({"behaviours": table(per="frame")}, "per is 'frame'"),
        ({"behaviours": table(per="trial")}, "write per=bin"),
        ({"behaviours": table(source="trials.choice", kind="categorical")}, "write per=trial"),
        ({"behaviours": TWICE}, "duplicates"),
    ],
)  # fmt: skip
def test_each_problem_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        check(make(**changes))


def test_known_columns_are_recognised_and_other_float_columns_are_continuous():
    trials = Interval(
        np.array([0.0]), np.array([1.0]), choice=np.array([1]), probabilityLeft=np.array([0.5])
    )
    recording = make(
        trials=trials,
        pupil=RegularTimeSeries(diameter=np.zeros(10), frame=np.arange(10), sampling_rate=10.0),
        pose=IrregularTimeSeries(timestamps=np.zeros(1), xy=np.zeros((1, 2))),
    )
    found = {b.name: (b.source, b.kind, b.per) for b in describe_behaviours(recording)}
    assert found == {
        "wheel": ("wheel.wheel_speed", "continuous", "bin"),
        "choice": ("trials.choice", "categorical", "trial"),
        "block": ("trials.probabilityLeft", "categorical", "trial"),
        "diameter": ("pupil.diameter", "continuous", "bin"),
    }


def test_the_behaviour_table_has_the_last_word():
    found = describe_behaviours(make(behaviours=table(name="speed")))
    assert [(b.name, b.source) for b in found] == [("speed", "wheel.wheel_speed")]


def test_the_neural_kind_is_the_group_that_exists():
    assert neural_kind(make()) == "spikes"
    assert neural_kind(make(spikes=None, counts=COUNTS, bin_size_s=0.1)) == "counts"
