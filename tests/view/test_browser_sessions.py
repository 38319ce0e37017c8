"""Sessions of all kinds in a real browser: chosen, odd, hostile, with parts missing."""

from __future__ import annotations

import numpy as np
import pytest
from browser import wait_until, watched
from page_seen import READY, details, place, shown, state
from recordings_to_see import write_pose, write_recording
from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries, SessionDescription

from neuroduet.data.recording import load, save
from neuroduet.view import serve


def test_another_session_can_be_chosen_and_names_run_nothing(browser, tmp_path):
    write_recording(tmp_path / "one.h5", 20.0, 6)
    path = write_recording(tmp_path / "two.h5", 20.0, 6, seed=1)
    recording = load(path, lazy=False)
    hostile = "<img src=x onerror=window.hurt=1>"
    recording.units.__dict__["id"] = np.array([hostile] + [f"u{i}" for i in range(5)])
    recording.units.__dict__["region"] = np.array([hostile] * 6)
    save(recording, path)
    with serve(tmp_path) as running, watched(browser, running.url) as page:
        wait_until(page, READY)
        page.select_option("#sessions", "two")
        wait_until(page, "neuroduetView.session === 'two' && neuroduetView.complete")
        page.mouse.click(*place(page, "raster", 10.0, share=0.01))
        assert hostile in details(page, "unit")
        assert hostile in page.locator(".panel-raster .region").first.inner_text()
        assert page.evaluate("window.hurt") is None


def test_names_of_everything_are_shown_as_they_are_and_run_nothing(browser, tmp_path):
    hostile = "<img src=x onerror=window.hurt=1>"
    times, domain = np.arange(500) / 50, Interval(0.0, 10.0)
    recording = Data(
        domain=domain,
        session=SessionDescription(id=hostile),
        spikes=IrregularTimeSeries(times, unit_index=np.arange(500) % 5, domain=domain),
        units=ArrayDict(id=np.array([hostile] + list("bcde")), region=np.array([hostile] * 5)),
        mood=IrregularTimeSeries(times, state=np.arange(500.0), domain=domain),
        behaviours=ArrayDict(
            name=np.array([hostile]),
            source=np.array(["mood.state"]),
            kind=np.array(["continuous"]),
            per=np.array(["bin"]),
        ),
        pose=IrregularTimeSeries(times, xy=np.ones((500, 2, 2, 2)), domain=domain),
        keypoints=ArrayDict(name=np.array([hostile, "b"])),
        labels=IrregularTimeSeries(times, classes=np.arange(500) // 100 % 2, domain=domain),
        label_classes=ArrayDict(name=np.array([hostile, "b"])),
    )
    save(recording, tmp_path / "one.h5")
    with serve(tmp_path) as running, watched(browser, running.url) as page:
        wait_until(page, READY)
        page.mouse.click(*place(page, "raster", 5.0, share=0.05))
        assert hostile in details(page, "unit")
        page.mouse.click(*place(page, "actions", 1.0, share=0.5))
        assert hostile in details(page, "Labelled bout")
        for panel in ("raster", "trace", "actions"):
            page.mouse.move(*place(page, panel, 1.0, share=0.05))
            assert hostile in page.locator("#hover").inner_text()
        assert page.locator("#sessions").input_value() == hostile
        assert page.locator("#classes .name").first.inner_text() == hostile
        assert page.evaluate("window.hurt") is None
        assert page.locator("img").count() == 0


def test_a_recording_of_pose_alone_shows_a_large_skeleton_and_its_labels(browser, tmp_path):
    write_pose(tmp_path / "arena.h5", 30.0)
    with serve(tmp_path / "arena.h5") as running, watched(browser, running.url) as page:
        wait_until(page, READY)
        assert page.locator(".panel-raster").count() == 0
        skeleton = page.locator("#pose").bounding_box()
        assert skeleton["width"] > 600
        assert skeleton["height"] > 300
        page.keyboard.press("n")
        details(page, "Labelled bout")


def test_a_session_that_was_chosen_last_is_the_one_shown(browser, tmp_path):
    for name in ("one", "two", "three"):
        write_recording(tmp_path / f"{name}.h5", 20.0, 6)

    def later(route):
        page.wait_for_timeout(300)
        route.continue_()

    with serve(tmp_path) as running, watched(browser, running.url) as page:
        wait_until(page, READY)
        page.route("**/api/session?id=two", later)
        page.select_option("#sessions", "two")
        page.select_option("#sessions", "one")
        wait_until(page, "neuroduetView.session === 'one' && neuroduetView.pending === 0")
        page.wait_for_timeout(400)
        assert state(page, "session") == "one"
        assert page.locator("#sessions").input_value() == "one"
        # Keys work while the list has the focus.
        page.locator("#sessions").focus()
        page.keyboard.press("+")
        assert shown(page) == pytest.approx((5.0, 15.0), abs=0.05)


def test_a_session_that_cannot_be_opened_leaves_the_other_one_shown(browser, tmp_path):
    for name in ("one", "two"):
        write_recording(tmp_path / f"{name}.h5", 20.0, 6)
    with serve(tmp_path) as running, watched(browser, running.url, expected="400") as page:
        wait_until(page, READY)
        (tmp_path / "two.h5").write_bytes(b"no")
        page.select_option("#sessions", "two")
        page.locator("#status.wrong").wait_for(timeout=5000)
        assert page.locator("#sessions").input_value() == "one"


def test_what_was_not_recorded_is_covered_and_what_is_missing_is_said(browser, tmp_path):
    times = np.concatenate([np.arange(0, 5, 0.01), np.arange(10, 15, 0.01)])
    domain = Interval(np.array([0.0, 10.0]), np.array([5.0, 15.0]))
    recording = Data(
        domain=domain,
        session=SessionDescription(id="cut"),
        spikes=IrregularTimeSeries(times, unit_index=np.arange(1000) % 5, domain=domain),
        units=ArrayDict(id=np.array(list("abcde"))),
    )
    save(recording, tmp_path / "cut.h5")
    with serve(tmp_path) as running, watched(browser, running.url) as page:
        wait_until(page, READY)
        seen = "document.querySelector('.panel-raster canvas')"
        at = f"{seen}.getContext('2d').getImageData({seen}.width / 2, 20, 1, 1).data[3]"
        assert page.evaluate(at) == 255
        assert "neuroduet view RUN --data DIR" in page.locator("#details").inner_text()


def test_very_many_bouts_are_counted_about(browser, tmp_path):
    frames = np.arange(40_000) / 100
    domain = Interval(0.0, 400.0)
    recording = Data(
        domain=domain,
        session=SessionDescription(id="many"),
        pose=IrregularTimeSeries(frames, xy=np.zeros((40_000, 2, 2)), domain=domain),
        labels=IrregularTimeSeries(frames, classes=np.arange(40_000) % 2, domain=domain),
        label_classes=ArrayDict(name=np.array(["a", "b"])),
    )
    save(recording, tmp_path / "many.h5")
    with serve(tmp_path) as running, watched(browser, running.url) as page:
        wait_until(page, READY)
        count = page.locator("#classes .count").first
        assert count.inner_text().startswith("≈ ")
        assert "approximate" in count.get_attribute("title")
