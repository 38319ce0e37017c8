"""Trials that a mapping file leaves out, and what it says that fits no trial."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.cli import main
from neuroduet.config import DataConfig
from neuroduet.data.readers.leave_out import LeaveOut, leave_out, overlap
from neuroduet.data.readers.nwb import NwbReader
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.data.readers.trial_columns import blanked
from neuroduet.data.recording import load, save
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError

TRIALS = 40
STARTS = 3.0 * np.arange(TRIALS) + 1
CHOICES = np.array(["left", "right", "none", "left"] * 10)
LASER = [(STARTS[10] + 0.5, STARTS[10] + 1), (STARTS[20] - 2, STARTS[20]), (119.5, 124.0)]
"""In trial 10; from within trial 19 to the start of trial 20; and from within the last on."""


def lab(path: Path, choices: np.ndarray = CHOICES, laser: bool = True) -> Path:
    """40 trials of 2 s, every 3 s from 1 s on, with a table of laser pulses."""
    pynwb = pytest.importorskip("pynwb", reason="it writes the NWB file")
    draw = np.random.default_rng(0)
    file = pynwb.NWBFile("a", "b", datetime(2024, 5, 17, tzinfo=timezone.utc))
    for _ in range(3):
        file.add_unit(spike_times=np.sort(draw.uniform(0, 125, 800)))
    file.add_trial_column("choice", "a")
    file.add_trial_column("rewarded", "a")
    file.add_trial_column("contrast", "a")
    for trial, start in enumerate(STARTS):
        file.add_trial(start, start + 2, choice=choices[trial], rewarded=trial % 5 > 0,
                       contrast=[0.1, 0.5][trial % 2])  # fmt: skip
    if laser:
        table = pynwb.epoch.TimeIntervals(name="optogenetics", description="a")
        for start, stop in LASER:
            table.add_row(start_time=start, stop_time=stop)
        file.add_time_intervals(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    with pynwb.NWBHDF5IO(path, "w") as out:
        out.write(file)
    return path


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lab(tmp_path_factory.mktemp("lab") / "day1.nwb")


def written(folder: Path, **sections: Any) -> Path:
    path = folder / "map.yaml"
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    return path


def kept(day: Path, folder: Path, **left: Any) -> list[int]:
    """The trials that remain."""
    options = ReadOptions(mapping=written(folder, leave_out=left))
    found = NwbReader().read(day, options).trials.start
    assert NwbReader().inspect(day, options).items["trials"].startswith(f"{len(found)} kept")
    return np.searchsorted(STARTS, found).tolist()


def without(*trials: int) -> list[int]:
    return [trial for trial in range(TRIALS) if trial not in trials]


def test_trials_are_left_out_by_number_by_value_and_by_interval(day: Path, tmp_path: Path) -> None:
    assert kept(day, tmp_path, first=3) == without(0, 1, 2)
    assert kept(day, tmp_path, where={"trials.choice": "none"}) == without(*range(2, 40, 4))
    assert kept(day, tmp_path, where={"trials.choice": ["none", "left"]}) == [*range(1, 40, 4)]
    assert kept(day, tmp_path, where={"trials.rewarded": False}) == without(*range(0, 40, 5))
    assert kept(day, tmp_path, during="optogenetics") == without(10, 19, 39)
    every = {"first": 3, "where": {"trials.choice": "none"}, "during": ["optogenetics"]}
    assert kept(day, tmp_path, **every) == without(0, 1, 10, 19, 39, *range(2, 40, 4))
    assert kept(day, tmp_path) == without()


def test_nothing_but_the_trials_goes_and_they_are_in_no_split(day: Path, tmp_path: Path) -> None:
    whole = NwbReader().read(day, ReadOptions())
    mapping = written(tmp_path, leave_out={"first": 3, "where": {"trials.choice": "none"}})
    fewer = NwbReader().read(day, ReadOptions(mapping=mapping))
    np.testing.assert_array_equal(fewer.spikes.timestamps, whole.spikes.timestamps)
    save(fewer, tmp_path / "day1.h5")
    (session,) = open_sessions(tmp_path / "day1.h5", DataConfig())
    used = np.concatenate([session.indices(split) for split in ("train", "valid", "test")])
    starts = np.sort(session.windows.start_s[used])
    np.testing.assert_allclose(starts, STARTS[without(0, 1, *range(2, 40, 4))])


def test_how_many_are_left_out_and_why_is_told_by_looking_and_by_inspect(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = {"first": 3, "where": {"trials.choice": "none"}, "during": "optogenetics"}
    words = ["ingest", str(day), str(tmp_path / "out"), "--mapping"]
    words.append(str(written(tmp_path, leave_out=left)))
    assert main([*words, "--check", "--json"]) == 0
    (looked,) = json.loads(capsys.readouterr().out)
    reasons = ["3 trials (the first 3)", "10 trials (trials.choice is none)",
               "3 trials (during optogenetics)"]  # fmt: skip
    assert looked["found"]["dropped"] == reasons
    assert looked["found"]["items"]["trials"].startswith("26 kept")
    assert main(words) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "out")]) == 0
    assert f"session day1: left out by ingest: {', '.join(reasons)}" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["left_out"] == ", ".join(reasons)


WRONG = {
    "no such column": ({"where": {"trials.choise": "none"}}, "did you mean 'trials.choice'"),
    "a column without its table": ({"where": {"choice": "none"}}, "mean 'trials.choice'"),
    "a number among words": ({"where": {"trials.choice": 0}}, "holds text; .*, in quotes"),
    "a word among numbers": ({"where": {"trials.contrast": "low"}}, "it holds numbers"),
    "a key that is none": ({"frist": 3}, "did you mean 'first'"),
    "all of them": ({"first": 40}, "has 40 trials, of which leave_out .* keeps none"),
    "fewer than none": ({"first": -1}, "first = -1: input should be greater"),
    "true for a number": ({"first": True}, "first = True: input should be a valid integer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_left_out_is_refused_alike_by_looking_and_by_reading(
    day: Path, tmp_path: Path, name: str
) -> None:
    left, sentence = WRONG[name]
    options = ReadOptions(mapping=written(tmp_path, leave_out=left))
    with pytest.raises(UserError, match=sentence) as looked:
        NwbReader().inspect(day, options)
    with pytest.raises(UserError) as read:
        NwbReader().read(day, options)
    assert str(looked.value) == str(read.value)


UNMATCHED = {
    "missing": (
        {"behaviours": {"c": {"series": "trials.choice", "missing": "None"}}},
        "c has missing: None, but in day1 trials.choice holds left, none, right; correct",
    ),
    "a value": (
        {"leave_out": {"where": {"trials.choice": "None"}}},
        "leave_out says where trials.choice is None, but in day1 trials.choice holds left, none,",
    ),
    "a number": (
        {"leave_out": {"where": {"trials.contrast": [0.1, 0.3]}}},
        "leave_out says where trials.contrast is 0.3, but in day1 trials.contrast holds 0.1, 0.5",
    ),
    "a table": (
        {"leave_out": {"during": "optogentics"}},
        "leave_out says during optogentics, but in day1 the tables of intervals are: optogenetics",
    ),
}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", UNMATCHED)
def test_what_fits_no_trial_of_any_session_is_refused(
    day: Path, tmp_path: Path, name: str, check: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    sections, sentence = UNMATCHED[name]
    words = ["ingest", str(day), str(tmp_path / "out"), *["--check"] * check, "--mapping"]
    assert main([*words, str(written(tmp_path, **sections))]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_one_of_several_sessions_may_lack_what_the_others_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab(tmp_path / "nwb" / "day1.nwb")
    lab(tmp_path / "nwb" / "day2.nwb", np.array(["left", "right"] * 20), laser=False)
    left = {"where": {"trials.choice": "none"}, "during": "optogenetics"}
    chosen = {"c": {"series": "trials.choice", "missing": "none"}}
    mapping = written(tmp_path, behaviours=chosen, leave_out=left)
    words = ["ingest", str(tmp_path / "nwb"), str(tmp_path / "out"), "--mapping", str(mapping)]
    assert main([*words, "--check", "--json"]) == 0
    first, second = (one["found"]["warnings"] for one in json.loads(capsys.readouterr().out))
    assert first == []
    assert second == [
        "leave_out says where trials.choice is none, but trials.choice holds left, right; "
        "correct the mapping file",
        "leave_out says during optogenetics, but the tables of intervals are: none; "
        "correct the mapping file",
        "c has missing: none, but trials.choice holds left, right; correct the mapping file",
    ]
    assert main(words) == 0
    with load(tmp_path / "out/day1.h5") as one, load(tmp_path / "out/day2.h5") as two:
        assert (len(one.trials), len(two.trials)) == (40 - 12, 40)
    mapping = written(tmp_path, leave_out={"where": {"trials.choice": "no"}})
    assert main([*words[:2], str(tmp_path / "new"), "--mapping", str(mapping)]) == 2
    assert "nor does it fit any of 1 others" in capsys.readouterr().err


def test_an_interval_without_an_end_is_refused(tmp_path: Path) -> None:
    day = lab(tmp_path / "day1.nwb")
    with h5py.File(day, "a") as file:
        file["intervals/optogenetics/stop_time"][1] = np.nan
    options = ReadOptions(mapping=written(tmp_path, leave_out={"during": "optogenetics"}))
    with pytest.raises(UserError, match="when the interval of row 1 starts and ends"):
        NwbReader().inspect(day, options)


def arrays(folder: Path, **mapping: Any) -> tuple[Path, Path]:
    """Counts by trial, a running speed per bin, and what the laser did in each trial."""
    draw = np.random.default_rng(0)
    path = folder / "a.npz"
    np.savez(path, x=draw.poisson(2.0, size=(20, 10, 4)), speed=draw.normal(size=(20, 10)),
             side=np.arange(20) % 2, laser=np.arange(20) % 4 == 3, short=np.zeros(3))  # fmt: skip
    behaviours = {"speed": "speed", "choice": "side"}
    return path, written(folder, bin_size_s=0.02, counts="x", behaviours=behaviours, **mapping)


def test_arrays_leave_trials_out_by_another_array(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, mapping = arrays(tmp_path, leave_out={"first": 2, "where": {"laser": True}})
    words = ["ingest", str(path), str(tmp_path / "out"), "--mapping", str(mapping)]
    assert main([*words, "--check", "--json"]) == 0
    (looked,) = json.loads(capsys.readouterr().out)
    reasons = ["2 trials (the first 2)", "5 trials (laser is 1)"]
    assert looked["found"]["dropped"] == [*reasons, "array short (not in the mapping)"]
    assert main(words) == 0
    trials = [trial for trial in range(2, 20) if trial % 4 != 3]
    with np.load(path) as given, load(tmp_path / "out" / "a.h5", lazy=False) as found:
        np.testing.assert_array_equal(found.trials.choice, given["side"][trials])
        np.testing.assert_array_equal(found.counts.values, given["x"].reshape(200, 4))
        (session,) = open_sessions(tmp_path / "out" / "a.h5", DataConfig())
        batch = session.batch(np.arange(len(trials)))
        np.testing.assert_array_equal(batch.activity, given["x"][trials])
        np.testing.assert_allclose(batch.behaviours["speed"].squeeze(-1), given["speed"][trials],
                                   rtol=1e-5)  # fmt: skip


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ({"lazer": True}, "did you mean 'laser'"),
        ({"short": 0}, "short has 3 entries, but there are 20 trials"),
        ({"laser": 2}, "where laser is 2, but in a laser holds 0, 1"),
        ({"laser": [True, False]}, "keeps none"),
    ],
)
def test_arrays_that_do_not_say_what_to_leave_out_are_refused(
    tmp_path: Path, where: dict[str, Any], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, mapping = arrays(tmp_path, leave_out={"where": where})
    words = ["ingest", str(path), str(tmp_path / "out"), "--mapping", str(mapping)]
    assert main(words) == 2
    assert sentence in capsys.readouterr().err


def test_missing_numbers_and_rounded_ones_are_found() -> None:
    columns = {"rt": np.array([0.1, np.nan, 0.5], dtype=np.float32)}
    asked = LeaveOut(where={"rt": (0.1, float("nan"))})
    assert leave_out(asked, columns, 3, "a").keep.tolist() == [False, False, True]
    np.testing.assert_array_equal(np.isnan(blanked(columns["rt"], [0.1])), [True, True, False])


TIMES = st.lists(st.integers(0, 12), min_size=2, max_size=2)


@given(st.lists(TIMES, max_size=6), st.lists(TIMES, max_size=6))
def test_overlap_is_that_of_each_trial_with_each_interval(
    trials: list[list[int]], intervals: list[list[int]]
) -> None:
    spans = np.array([(min(one), max(one) + 1) for one in trials], dtype=float).reshape(-1, 2)
    others = np.array(sorted(map(sorted, intervals)), dtype=float).reshape(-1, 2)[::-1]
    expected = [
        any(low < end and (high > start or low == high == start) for low, high in others)
        for start, end in spans
    ]
    assert overlap(*spans.T, *others.T).tolist() == expected
