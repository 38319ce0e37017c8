"""Behaviours of a laboratory's own NWB file: what is proposed, what a mapping makes of it."""

from __future__ import annotations

import io
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pynwb", reason="it writes the NWB file")

import pynwb

from neuroduet.cli import main
from neuroduet.data.readers.event_rate import event_rate
from neuroduet.data.readers.mapping import keys_at, read_mapping
from neuroduet.data.readers.nwb import NwbReader
from neuroduet.data.readers.nwb_behaviours import choose_behaviours
from neuroduet.data.readers.nwb_mapping import NwbChoice
from neuroduet.data.readers.nwb_proposal import propose
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.data.readers.table_mapping import TableMapping
from neuroduet.data.readers.trial_columns import blanked, class_counts, kind_of
from neuroduet.data.recording import describe, load
from neuroduet.errors import UserError

READER = NwbReader()
TRIALS = 90
LICKS = np.sort(np.random.default_rng(1).uniform(20, 200, 300))
SIDES = np.array(["left", "right"] * 42 + ["none"] * 6)
CONTRASTS = np.resize([-1.0, -0.25, 0.0, 0.25, 1.0], TRIALS)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with names of its own: licks as events, a wheel's angle, text labels, contrasts."""
    draw = np.random.default_rng(0)
    file = pynwb.NWBFile("a", "b", datetime(2024, 5, 17, tzinfo=timezone.utc))
    device = file.create_device("probe")
    group = file.create_electrode_group("imec0", "a", "b", device)
    for place in ("CA1", "root"):
        file.add_electrode(location=place, group=group)
    for unit in range(4):
        spikes = np.sort(draw.uniform(0, 280, 500))
        file.add_unit(spike_times=spikes, electrodes=[unit % 2])
    columns = ("go_cue_time", "response_side", "stimulus_contrast", "rewarded", "number", "on")
    for name in columns:
        file.add_trial_column(name, "a")
    for trial in range(TRIALS):
        start = 3.0 * trial + 1
        values = (start + 0.5, SIDES[trial], CONTRASTS[trial], trial % 3 > 0, trial, trial % 2)
        file.add_trial(start, start + 2, **dict(zip(columns, values, strict=True)))
    times = np.arange(0, 280, 0.05)
    series = {
        "rotary_encoder": {"data": 5 * times + draw.normal(size=len(times)), "rate": 20.0},
        "eye_area": {"data": np.sin(times), "timestamps": times},
        "lick_times": {"data": np.ones(len(LICKS)), "timestamps": LICKS},
        "idle": {"data": np.zeros(len(times)), "rate": 20.0},
    }
    module = file.create_processing_module("behavior", "a")
    for name, sampled in series.items():
        module.add(pynwb.TimeSeries(name=name, unit="a", **sampled))
    path = tmp_path_factory.mktemp("lab") / "day1.nwb"
    with pynwb.NWBHDF5IO(path, "w") as out:
        out.write(file)
    return path


def written(folder: Path, behaviours: dict[str, Any]) -> Path:
    path = folder / "map.yaml"
    path.write_text(yaml.safe_dump({"behaviours": behaviours}, sort_keys=False), encoding="utf-8")
    return path


def look(path: Path, mapping: Path | None = None) -> Found:
    return READER.inspect(path, ReadOptions(mapping=mapping))


def test_what_is_no_behaviour_is_told_and_a_mapping_file_is_proposed(lab: Path) -> None:
    found = look(lab)
    assert [line.split(":")[0] for line in found.items["behaviour"].splitlines()] == [
        "eye_area",
        "rotary_encoder",
    ]
    assert found.unused == tuple(
        f"trials.{name}"
        for name in ("number", "on", "response_side", "rewarded", "stimulus_contrast")
    )
    licks, idle = sorted(found.dropped, reverse=True)
    assert licks.startswith("behaviour lick_times (the same value in all 300 samples")
    assert "rate: true" in licks
    assert idle.startswith("behaviour idle")
    assert found.items["regions"] == "1 (beryl); 2 of 4 units in none (root)"
    expected = {
        "eye_area": "eye_area",
        "lick_times_rate": {"series": "lick_times", "rate": True},
        "rotary_encoder_speed": {"series": "rotary_encoder", "speed": True},
        "number": {"series": "trials.number", "kind": "continuous"},
        "on": "trials.on",
        "response_side": "trials.response_side",
        "rewarded": "trials.rewarded",
        "stimulus_contrast": "trials.stimulus_contrast",
    }
    assert yaml.safe_load(found.mapping) == {"behaviours": expected}
    assert "{series: trials.response_side, missing: none}" in found.mapping
    assert "left 42, none 6, right 42" in found.mapping
    assert "{series: trials.stimulus_contrast, kind: continuous}" in found.mapping
    assert "# idle" in found.mapping
    assert found.mapping.splitlines()[-1].endswith(": go_cue_time")


def test_the_proposed_mapping_can_be_pasted_and_used(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["ingest", str(lab), str(out), "--check"]) == 0
    printed = capsys.readouterr().out
    proposal = printed[printed.index("# behaviours of day1") : printed.index("\n\n1 session")]
    assert proposal == look(lab).mapping
    mapping = tmp_path / "behaviours.yaml"
    mapping.write_text(proposal, encoding="utf-8")
    assert main(["ingest", str(lab), str(out), "--mapping", str(mapping)]) == 0
    assert "not offered" not in capsys.readouterr().out
    found = describe(out / "day1.h5")
    assert not found["problems"]
    assert {one["name"] for one in found["behaviours"]} == set(
        yaml.safe_load(proposal)["behaviours"]
    )


def test_ingesting_without_a_mapping_names_the_columns_that_are_not_used(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ingest", str(lab), str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "not offered as behaviours: trials.number, trials.on, trials.response_side" in said
    assert main(["ingest", str(lab), str(tmp_path)]) == 0
    assert "not offered" not in capsys.readouterr().out


def test_looking_with_a_mapping_says_what_becomes_what(lab: Path, tmp_path: Path) -> None:
    mapping = written(
        tmp_path,
        {
            "wheel": {"series": "rotary_encoder", "speed": True},
            "licks": {"series": "lick_times", "rate": True},
            "pupil": "eye_area",
            "choice": {"series": "trials.response_side", "missing": "none"},
            "contrast": {"series": "trials.stimulus_contrast", "kind": "continuous"},
        },
    )
    found = look(lab, mapping)
    assert found.items["behaviour"].splitlines() == [
        "wheel: speed of rotary_encoder (continuous, per bin)",
        "licks: rate of lick_times (continuous, per bin)",
        "pupil: eye_area (continuous, per bin)",
        "choice: trials.response_side (categorical, per trial, missing: none)",
        "contrast: trials.stimulus_contrast (continuous, per trial)",
    ]
    assert (found.unused, found.mapping, found.warnings) == ((), "", ())
    table = READER.read(lab, ReadOptions(mapping=mapping)).behaviours
    rows = zip(table.name, table.kind, table.per, strict=True)
    assert [f"{name}: {kind} {per}" for name, kind, per in rows] == [
        "wheel: continuous bin",
        "licks: continuous bin",
        "pupil: continuous bin",
        "choice: categorical trial",
        "contrast: continuous trial",
    ]


WRONG = {
    "no such series": ({"speed": {"series": "rotary", "speed": True}}, "did you mean 'rotary_en"),
    "no such source": ({"pupil": "eye"}, "unknown source of the behaviour 'pupil'"),
    "a column without its table": ({"c": "response_side"}, "did you mean 'trials.response_side'"),
    "another column": ({"c": "trials.choise"}, "'choise'; known: go_cue_time, number, on"),
    "text as numbers": (
        {"c": {"series": "trials.response_side", "kind": "continuous"}},
        "holds text, expected numbers",
    ),
    "truth as numbers": (
        {"c": {"series": "trials.rewarded", "kind": "continuous"}},
        "holds true and false, expected numbers",
    ),
    "a number among words": (
        {"c": {"series": "trials.response_side", "missing": False}},
        "holds text; write one of its values, in quotes",
    ),
    "a word among numbers": (
        {"c": {"series": "trials.stimulus_contrast", "missing": "none"}},
        "holds numbers; write one of its values",
    ),
    "regular samples as events": (
        {"c": {"series": "eye_area", "rate": True}},
        "eye_area is sampled every 0.05 s, expected the times of events",
    ),
    "a key that is none": (
        {"c": {"series": "eye_area", "knd": "continuous"}},
        "unknown key under behaviours.c in .*did you mean 'kind'.*series, speed, rate, kind, miss",
    ),
    "a kind that is none": (
        {"c": {"series": "eye_area", "kind": "number"}},
        "behaviours.c.kind = 'number'.*known keys are series, speed",
    ),
    "a position and events": (
        {"c": {"series": "eye_area", "speed": True, "rate": True}},
        "leave one out",
    ),
    "classes of a speed": (
        {"c": {"series": "eye_area", "speed": True, "kind": "categorical"}},
        "a speed or rate is continuous",
    ),
    "missing of a series": (
        {"c": {"series": "eye_area", "missing": 0}},
        "missing belongs to columns of the trials",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_mapping_is_refused_alike_by_looking_and_by_reading(
    lab: Path, tmp_path: Path, name: str
) -> None:
    behaviours, message = WRONG[name]
    mapping = written(tmp_path, behaviours)
    with pytest.raises(UserError, match=message) as looked:
        look(lab, mapping)
    with pytest.raises(UserError) as read:
        READER.read(lab, ReadOptions(mapping=mapping))
    assert str(looked.value) == str(read.value)
    assert main(["ingest", str(lab), str(tmp_path / "out"), "--mapping", str(mapping),
                 "--check"]) == 2  # fmt: skip


def test_a_mapping_is_checked_against_a_file_elsewhere_without_reading_its_series(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remfile = pytest.importorskip("remfile", reason="it reads files from a URL")
    monkeypatch.setattr(remfile, "File", lambda url: io.BytesIO(lab.read_bytes()))
    monkeypatch.setattr(
        "neuroduet.data.readers.nwb_found.read_all_series", lambda *_: pytest.fail("read")
    )
    there = Path("https://example.org/1.nwb")
    good = look(there, written(tmp_path, {"pupil": "eye_area", "side": "trials.response_side"}))
    assert good.items["behaviour"].splitlines() == [
        "pupil: eye_area (continuous, per bin)",
        "side: trials.response_side (categorical, per trial)",
    ]
    with pytest.raises(UserError, match="unknown source of the behaviour 'pupil'"):
        look(there, written(tmp_path, {"pupil": "eye"}))


def test_what_a_mapping_calls_missing_is_no_class(lab: Path, tmp_path: Path) -> None:
    mapping = written(
        tmp_path,
        {
            "side": {"series": "trials.response_side", "missing": "none"},
            "contrast": {"series": "trials.stimulus_contrast", "missing": [0, 1]},
            "raw": "trials.response_side",
        },
    )
    assert main(["ingest", str(lab), str(tmp_path / "o"), "--mapping", str(mapping)]) == 0
    with load(tmp_path / "o" / "day1.h5", lazy=False) as recording:
        assert class_counts(recording.trials.side) == {"left": 42, "right": 42}
        assert class_counts(recording.trials.response_side)["none"] == 6
        kept = recording.trials.contrast
        np.testing.assert_array_equal(np.isnan(kept), np.isin(CONTRASTS, [0, 1]))
        # Slicing shifts times; a table that was written anew must still know which they are.
        sliced = recording.slice(10.0, 60.0)
        assert (sliced.trials.go_cue_time < 50).all()
    missing = {
        one["name"]: one["missing"] for one in describe(tmp_path / "o/day1.h5")["behaviours"]
    }
    assert missing == pytest.approx({"side": 6 / TRIALS, "contrast": 0.4, "raw": 0})


def test_a_class_of_few_trials_and_a_word_that_is_none_are_told(lab: Path, tmp_path: Path) -> None:
    (rare,) = look(lab, written(tmp_path, {"side": "trials.response_side"})).warnings
    assert rare.startswith("side is none in 6 of 90 trials, too few to score it")
    assert rare.endswith("say missing: none in a mapping file")
    given = {"series": "trials.response_side", "missing": ["none", "late"]}
    (absent,) = look(lab, written(tmp_path, {"side": given})).warnings
    assert absent.startswith("side has missing: late, but trials.response_side holds left, none")


def test_a_constant_series_is_left_out_even_where_a_mapping_names_it(
    lab: Path, tmp_path: Path
) -> None:
    mapping = written(tmp_path, {"licks": "lick_times"})
    assert look(lab, mapping).dropped[0].startswith("behaviour licks (the same value in all 300")
    assert main(["ingest", str(lab), str(tmp_path / "o"), "--mapping", str(mapping)]) == 0
    assert describe(tmp_path / "o" / "day1.h5")["behaviours"] == []


def test_json_holds_the_proposal_too(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["ingest", str(lab), str(tmp_path / "o"), "--check", "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert "behaviours" in yaml.safe_load(found["found"]["mapping"])
    assert "trials.rewarded" in found["found"]["unused"]


def test_the_rate_of_events_is_their_number_over_time() -> None:
    times_s, rate = event_rate(np.array([2.0, 2.1, 7.0]), (0.0, 10.0), "licks")
    assert times_s[0] == pytest.approx(0.01)
    assert rate.sum() * 0.02 == pytest.approx(3)
    # One event is a Gaussian of 0.1 s: its peak is 1 / (0.1 sqrt(2 pi)).
    assert rate[np.abs(times_s - 7) < 0.03].max() == pytest.approx(3.99, rel=1e-2)
    assert (rate[(times_s > 3.5) & (times_s < 6)] == 0).all()
    assert times_s[-1] >= 9.98


@given(st.lists(st.floats(0, 50), min_size=1, max_size=9))
def test_no_event_is_lost_inside_the_span(moments: list[float]) -> None:
    times_s, rate = event_rate(np.sort(moments), (-5.0, 55.0), "licks")
    assert rate.sum() * 0.02 == pytest.approx(len(moments), rel=1e-3)
    assert times_s[0] < min(moments)
    assert times_s[-1] > max(moments)


def test_columns_are_classes_or_numbers_by_their_values() -> None:
    assert kind_of(CONTRASTS) == "categorical"
    assert kind_of(np.linspace(0, 1, 40)) == "continuous"
    assert kind_of(np.arange(40)) == "categorical"
    assert class_counts(np.array([0.5, -0.0, 0.0, np.nan])) == {"0": 2, "0.5": 1}
    np.testing.assert_array_equal(blanked(np.array([True, False]), [False]), [1, np.nan])


def test_keys_are_those_of_the_place_where_a_wrong_one_stands(tmp_path: Path) -> None:
    assert keys_at(NwbChoice, []) == ("behaviours", "leave_out")
    assert keys_at(NwbChoice, ["leave_out"]) == ("first", "where", "during")
    assert keys_at(NwbChoice, ["behaviours", "x"]) == (
        "series", "speed", "rate", "kind", "missing",
    )  # fmt: skip
    assert keys_at(TableMapping, ["spikes"]) == ("times", "units", "first_unit")
    assert keys_at(TableMapping, ["spikes", "times"]) == ("array", "unit", "rate_hz")
    assert keys_at(TableMapping, ["behaviours", "x", "times"]) == ("array", "unit", "rate_hz")
    path = tmp_path / "m.yaml"
    path.write_text("behavior: {}\n")
    with pytest.raises(UserError, match="unknown key in .* 'behavior'; did you mean 'behaviours'"):
        read_mapping(path, NwbChoice)


NAMES, WORDS = ("on", "no", "null", "a b", "x", "1"), ("none", "null", "a: b", "#", "'")


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(WORDS), min_size=1))
def test_every_proposal_is_yaml_that_names_what_is_there(words: dict[str, str]) -> None:
    columns = {name: np.array([word, "other"] * 9) for name, word in words.items()}
    text = propose("s", {}, {"start": np.arange(18.0), **columns}, ("start",))
    found = NwbChoice.model_validate(yaml.safe_load(text))
    chosen = choose_behaviours(found, [], columns, None)
    assert {one.column for one in chosen.values()} == set(words)
    assert all(isinstance(name, str) for name in chosen)


def test_nothing_to_choose_proposes_nothing() -> None:
    assert propose("s", {}, {"start": np.zeros(3), "end": np.ones(3)}, ("start", "end")) == ""
