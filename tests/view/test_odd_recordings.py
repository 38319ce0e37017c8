"""Recordings as they come: far from 0 s, in pieces, nearly empty, with clocks of their own."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries, SessionDescription
from viewed import CLASSES, N_FRAMES, RATE_HZ, Client, activity, events, film, spikes, write

from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.writers.labels import write_boris
from neuroduet.view import serve
from neuroduet.view.library import Library
from neuroduet.view.poses import encode_pose, open_pose
from neuroduet.view.segments import clock
from neuroduet.view.sources import find_sources


def wrote(path: Path, domain: Interval, **groups: object) -> Path:
    """A recording that was made at another time than those of ``viewed``."""
    save(Data(domain=domain, session=SessionDescription(id=path.stem), **groups), path)
    return path


def units(n: int) -> ArrayDict:
    """Units without regions."""
    return ArrayDict(id=np.array([f"u{number}" for number in range(n)]))


@pytest.mark.parametrize("first_s", [-100.0, 4397.0317, 9e8])
def test_frames_of_any_clock_keep_their_times(first_s: float) -> None:
    times = first_s + np.arange(3000) / 60
    pose = open_pose(clock(times), np.zeros((3000, 2, 2)), None, ())
    content = encode_pose(pose, first_s + 10, first_s + 20)
    found_s, step_s = np.frombuffer(content[16:32], "<f8")
    assert found_s == pytest.approx(first_s + 10, abs=1 / 60 + 1e-6)
    assert step_s == pytest.approx(1 / 60, rel=1e-4)


@pytest.mark.parametrize("first_s", [-50.0, 4397.0317, 9e8])
def test_a_recording_may_begin_at_any_time(tmp_path: Path, first_s: float) -> None:
    times, index = spikes()
    end_s = first_s + 40.0
    recorded = IrregularTimeSeries(times + first_s, unit_index=index, domain="auto")
    path = wrote(tmp_path / "far.h5", Interval(first_s, end_s), spikes=recorded, units=units(6))
    with serve(path) as view:
        client = Client(view)
        about = client.get("session", id="far")
        window = {"start": first_s + 10, "end": first_s + 12, "columns": 50}
        found, rows, _ = events(client.get("raster", id="far", **window))
        unit = client.get("unit", id="far", index=3)
    assert (about["start_s"], about["end_s"]) == (first_s, end_s)
    inside = (times + first_s >= first_s + 10) & (times + first_s < first_s + 12)
    np.testing.assert_allclose(found, times[inside] - 10, atol=1e-5)
    np.testing.assert_array_equal(rows, index[inside])
    assert unit["region"] == ""
    assert np.mean(unit["rate_over_time"]["hz"]) == pytest.approx(20, rel=0.15)
    at_s = np.array(unit["rate_over_time"]["time_s"])
    np.testing.assert_allclose(np.diff(at_s), 40 / len(at_s), rtol=1e-3)


def test_the_rate_of_a_recording_in_pieces_counts_what_was_recorded(tmp_path: Path) -> None:
    domain = Interval(np.array([0.0, 200.0]), np.array([100.0, 210.0]))
    times = np.concatenate([np.arange(0, 100, 0.1), np.arange(200, 210, 0.1)])
    recorded = IrregularTimeSeries(times, unit_index=np.zeros(1100, np.int64), domain=domain)
    with serve(wrote(tmp_path / "cut.h5", domain, spikes=recorded, units=units(1))) as view:
        client = Client(view)
        about = client.get("session", id="cut")
        unit = client.get("unit", id="cut", index=0)
    assert about["recorded"] == [[0.0, 100.0], [200.0, 210.0]]
    at_s, hz = (np.array(unit["rate_over_time"][name], np.float64) for name in ("time_s", "hz"))
    pause = (at_s > 101) & (at_s < 199)
    assert np.isnan(hz[pause]).all()
    np.testing.assert_allclose(hz[(at_s < 99) | (at_s > 201)], 10, rtol=0.2)
    assert np.nanmean(hz) == pytest.approx(unit["rate_hz"], rel=0.02)


def test_one_frame_of_pose_is_a_recording_to_look_at(tmp_path: Path) -> None:
    pose = IrregularTimeSeries(np.array([3.0]), xy=np.ones((1, 2, 2)), domain="auto")
    with serve(wrote(tmp_path / "still.h5", Interval(3.0, 3.0), pose=pose)) as view:
        client = Client(view)
        about = client.get("session", id="still")
        assert about["start_s"] < about["end_s"]
        window = {"start": about["start_s"], "end": about["end_s"], "columns": 10}
        assert np.frombuffer(client.get("pose", id="still", **window)[:16], "<u4")[1] == 1
        client.post("classes", {"name": "dig"}, id="still")
        client.post("labels", {"start_frame": 0, "end_frame": 1, "class": "dig"}, id="still")
        (only,) = client.get("actions", id="still", **window)["true"]
    assert (only["start_frame"], only["end_frame"], only["start"]) == (0, 1, 3.0)


def test_frames_that_share_a_time_are_no_trouble() -> None:
    pose = open_pose(clock(np.array([0.0, 0.0, 0.0, 0.1])), np.zeros((4, 2, 2)), None, ())
    assert pose.times.step_s == pytest.approx(0.1)
    assert len(encode_pose(pose, 0.0, 1.0)) > 32
    assert clock(np.zeros(5)).step_s > 0


def test_hundreds_of_keypoints_are_joined_within_seconds() -> None:
    rng = np.random.default_rng(0)
    line = np.stack([np.arange(300.0), np.zeros(300)], axis=-1)
    start = time.perf_counter()
    pose = open_pose(clock(np.arange(2000.0)), line + rng.normal(0, 0.1, (2000, 300, 2)), None, ())
    assert time.perf_counter() - start < 5
    assert pose.edges == [[n, n + 1] for n in range(299)]


def test_a_unit_without_spikes_has_empty_figures(tmp_path: Path) -> None:
    groups = activity("spikes")
    groups["spikes"] = IrregularTimeSeries(
        np.array([1.0]), unit_index=np.array([2]), domain=Interval(0.0, 40.0)
    )
    with serve(write(tmp_path / "day1.h5", **groups)) as view:
        found = Client(view).get("unit", id="day1", index=0)
    assert found["rate_hz"] == 0
    assert set(found["isi_ms"]["counts"]) == {0}
    assert set(found["rate_over_time"]["hz"]) == {0}


def test_classes_of_every_bin_are_segments_and_nothing_where_nothing_was_said(
    tmp_path: Path,
) -> None:
    times = 5.0 + np.arange(100) * 0.1
    state = np.repeat([0, -1, 1, 1], 25)
    path = write(
        tmp_path / "day1.h5",
        **activity("spikes"),
        mood=IrregularTimeSeries(times, state=state, domain=Interval(0.0, 40.0)),
        behaviours=ArrayDict(
            name=np.array(["mood"]),
            source=np.array(["mood.state"]),
            kind=np.array(["categorical"]),
            per=np.array(["bin"]),
        ),
    )
    with serve(path) as view:
        client = Client(view)
        found = client.get("trace", id="day1", name="mood", start=0, end=40, columns=100)
        after = client.get("trace", id="day1", name="mood", start=20, end=40, columns=100)
    told = [(one["start"], one["end"], one["class"]) for one in found["segments"]]
    assert told == [(5.0, 7.5, "0"), (pytest.approx(10.0), pytest.approx(15.0), "1")]
    assert after == {"segments": [], "predicted": None}


def test_a_behaviour_far_from_zero_keeps_its_course(tmp_path: Path) -> None:
    at_s = np.arange(0, 40, 0.02)
    recording = from_arrays(
        session_id="far",
        spike_times=np.arange(0.0, 40.0),
        spike_units=np.zeros(40, np.int64),
        behaviours={"encoder": (at_s, 1e6 + np.sin(at_s))},
    )
    save(recording, tmp_path / "far.h5")
    with serve(tmp_path / "far.h5") as view:
        client = Client(view)
        window = {"start": 0, "end": 40, "columns": 100}
        (drawn,) = client.get("trace", id="far", name="encoder", **window)["true"]
        (about,) = client.get("session", id="far")["behaviours"]
    middle_s = np.linspace(0, 40, 101)[:-1] + 0.2
    # What single precision leaves of a million, and half a column of the sine.
    np.testing.assert_allclose(drawn["low"], 1e6 + np.sin(middle_s), atol=0.3)
    assert (about["low"], about["high"]) == pytest.approx((1e6 - 1, 1e6 + 1), abs=0.01)


def test_actions_may_have_another_rate_than_the_pose(tmp_path: Path) -> None:
    groups = film()
    times = 0.2 + np.arange(300) / 10
    groups["actions"] = IrregularTimeSeries(
        times, classes=np.repeat([0, 1, 2], 100), domain=Interval(0.0, 40.0)
    )
    groups["action_classes"] = ArrayDict(name=np.array(CLASSES))
    with serve(write(tmp_path / "day1.h5", **groups)) as view:
        found = Client(view).get("actions", id="day1", start=0, end=40, columns=100)
    told = [(one["start"], one["end"], one["class"]) for one in found["predicted"]]
    expected = [(0.2, 10.2, "rest"), (10.2, 20.2, "groom"), (20.2, 30.2, "run")]
    for one, other in zip(told, expected, strict=True):
        assert one[2] == other[2]
        assert one[:2] == pytest.approx(other[:2], abs=0.06)


def test_a_label_file_of_another_program_is_said_and_the_recording_can_be_seen(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "day1.h5", **film())
    codes = np.zeros(N_FRAMES, np.int64)
    write_boris(tmp_path / "day1.labels.csv", codes, CLASSES, RATE_HZ)
    before = (tmp_path / "day1.labels.csv").read_bytes()
    with serve(path) as view:
        client = Client(view)
        about = client.get("session", id="day1")
        assert about["read_only"]
        assert "another program" in about["actions"]["problem"]
        status, content, _ = client.ask("POST", "/api/save?id=day1", body={})
    assert (status, b"another program" in content) == (400, True)
    assert (tmp_path / "day1.labels.csv").read_bytes() == before


def test_an_answer_whose_parts_do_not_fit_is_said_in_a_sentence(tmp_path: Path) -> None:
    path, out = write(tmp_path / "day1.h5", **film()), tmp_path / "out"
    out.mkdir()
    parts = {
        "classes": np.full(N_FRAMES, -7),
        "names": np.array(["a", "b"]),
        "probabilities": np.ones((N_FRAMES, 2)),
        "timestamps": np.arange(N_FRAMES) / RATE_HZ,
    }
    file = out / "day1.actions.npz"
    np.savez(file, **parts)
    with serve(out, data=path) as view:
        found = Client(view).get("actions", id="day1", start=0, end=40, columns=10)
    assert found["predicted"] == []
    backwards = parts["timestamps"][::-1]
    for wrong in ({"probabilities": np.ones((5, 2))}, {"timestamps": backwards}):
        np.savez(file, **{**parts, **wrong})
        with serve(out, data=path) as view:
            assert "belong together" in Client(view).refused("session", id="day1")


def test_very_many_bouts_are_said_to_be_thinned(tmp_path: Path) -> None:
    groups = film(labelled=False)
    groups["labels"] = IrregularTimeSeries(
        np.arange(N_FRAMES) / RATE_HZ, classes=np.arange(N_FRAMES) % 3, domain=Interval(0.0, 40.0)
    )
    groups["label_classes"] = ArrayDict(name=np.array(CLASSES))
    with serve(write(tmp_path / "day1.h5", **groups)) as view:
        client = Client(view)
        assert client.get("actions", id="day1", start=0, end=40, columns=200)["thinned"]
        assert not client.get("actions", id="day1", start=0, end=5, columns=200)["thinned"]


def test_of_a_hundred_recordings_only_the_first_is_opened(tmp_path: Path) -> None:
    for number in range(100):
        write(tmp_path / f"day{number:02d}.h5", **film(labelled=False))
    start = time.perf_counter()
    library = Library(find_sources(tmp_path, None, None), None)
    assert time.perf_counter() - start < 10
    assert not library._sessions
    library.session("day42")
    assert list(library._sessions) == ["day42"]
