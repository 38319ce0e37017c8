"""The viewer in a real browser: what is seen, and what answers the mouse and the keyboard."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from browser import shoot, wait_until, watched
from page_seen import LENGTH_S, READY, SETTLED, answers, details, pixels, place, shown, state
from recordings_to_see import CLASSES

from neuroduet.view import serve


def test_the_first_view_shows_every_panel_and_what_it_holds(page):
    assert shown(page) == (0.0, 20.0)
    for panel in ("overview", "trials", "raster", "rates", "trace", "actions"):
        assert page.locator(f".panel-{panel}").first.is_visible()
        marks = page.locator(f".panel-{panel} canvas").first.evaluate(
            "one => new Uint32Array(one.getContext('2d').getImageData(0, 0, one.width,"
            " one.height).data.buffer).reduce((sum, pixel) => sum + (pixel !== 0), 0)"
        )
        assert marks > 200
    regions = page.locator(".panel-raster .region").all_inner_texts()
    assert regions == ["CA1", "DG", "LP", "PO", "VISp"]
    assert page.locator("#classes .name").all_inner_texts() == [*CLASSES, "unlabelled"]


def test_dragging_moves_the_window_by_what_was_dragged(page):
    page.keyboard.press("+")
    page.keyboard.press("End")
    start, end = shown(page)
    x, y = place(page, "raster", (start + end) / 2)
    width = page.locator(".panel-raster canvas").bounding_box()["width"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + width / 4, y, steps=5)
    page.mouse.up()
    assert shown(page) == pytest.approx(
        (start - (end - start) / 4, end - (end - start) / 4), abs=0.05
    )
    wait_until(page, SETTLED)


def test_the_wheel_zooms_about_the_pointer(page):
    x, y = place(page, "raster", 5.0)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    wait_until(page, "neuroduetView.end - neuroduetView.start < 15")
    start, end = shown(page)
    box = page.locator(".panel-raster canvas").bounding_box()
    assert start + (x - box["x"]) / box["width"] * (end - start) == pytest.approx(5.0, abs=0.02)
    page.mouse.wheel(400, 0)
    wait_until(page, f"neuroduetView.start > {start} + 1")
    assert shown(page)[1] - shown(page)[0] == pytest.approx(end - start)


def test_keys_zoom_and_move_and_never_leave_the_recording(page):
    page.keyboard.press("+")
    assert shown(page) == (5.0, 15.0)
    page.keyboard.press("ArrowRight")
    assert shown(page) == (7.0, 17.0)
    page.keyboard.press("End")
    assert shown(page) == pytest.approx((LENGTH_S - 10, LENGTH_S), abs=0.1)
    page.keyboard.press("ArrowRight")
    assert shown(page) == pytest.approx((LENGTH_S - 10, LENGTH_S), abs=0.1)
    page.keyboard.press("Home")
    assert shown(page) == (0.0, 10.0)
    page.keyboard.press("f")
    assert shown(page) == pytest.approx((0.0, LENGTH_S), abs=0.1)
    page.keyboard.press("-")
    assert shown(page) == pytest.approx((0.0, LENGTH_S), abs=0.1)


def test_the_brush_of_the_overview_moves_the_window(page):
    box = page.locator(".panel-overview .plot").bounding_box()
    y = box["y"] + 10
    page.mouse.move(box["x"] + 0.1 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], y, steps=4)
    page.mouse.up()
    assert shown(page) == pytest.approx((0.3 * LENGTH_S, 0.3 * LENGTH_S + 20), abs=0.3)
    page.mouse.click(box["x"] + 0.75 * box["width"], y)
    assert sum(shown(page)) / 2 == pytest.approx(0.75 * LENGTH_S, abs=0.3)


def test_a_time_that_is_typed_is_brought_into_the_middle(page):
    page.keyboard.press("g")
    page.keyboard.type("0:31.5")
    page.keyboard.press("Enter")
    assert sum(shown(page)) / 2 == pytest.approx(31.5)
    assert page.locator("#readout").inner_text() == "0:31.500"
    page.fill("#time", "noon")
    page.press("#time", "Enter")
    assert page.locator("#status").inner_text() == (
        "'noon' is not a time; give seconds, or minutes:seconds"
    )


def test_a_click_on_a_bout_tells_its_class_and_its_frames(page):
    page.mouse.click(*place(page, "actions", 10.0, share=0.1))
    text = details(page, "Labelled bout")
    chosen = state(page, "selection")
    assert f"{chosen['start_frame']}–{chosen['end_frame'] - 1}" in text
    assert chosen["start_frame"] <= 10.0 * 30 < chosen["end_frame"]
    assert chosen["class"] in text.splitlines()[0]
    page.mouse.click(*place(page, "actions", 10.0, share=0.36))
    assert "probability\n0." in details(page, "Predicted bout")


def test_predictions_are_drawn_over_the_truth_and_can_be_hidden(page):
    panels = [("trace", 0), ("trace", 2), ("actions", 0), ("overview", 0)]
    before = [pixels(page, *one) for one in panels]
    page.keyboard.press("p")
    page.wait_for_timeout(100)
    assert not page.locator(".panel-rates").is_visible()
    assert all(pixels(page, *one) != old for one, old in zip(panels, before, strict=True))
    page.get_by_role("button", name="predictions").click()
    wait_until(page, SETTLED)
    page.wait_for_timeout(100)
    assert page.locator(".panel-rates").is_visible()
    assert [pixels(page, *one) for one in panels] == before


def test_playing_moves_the_cursor_and_the_skeleton(page):
    pose = "document.getElementById('pose').toDataURL()"
    before = page.evaluate(pose)
    page.select_option("#speed", "4")
    page.locator("#play").click()
    wait_until(page, "neuroduetView.cursor > 0.5")
    page.locator("#play").click()
    stopped = state(page, "cursor")
    page.wait_for_timeout(60)
    assert state(page, "cursor") == stopped
    assert page.evaluate(pose) != before
    page.keyboard.press(".")
    assert state(page, "cursor") == pytest.approx(stopped + 1 / 30)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("75", 75.0), ("1:15", 75.0), ("1:00:01,5", 3601.5), ("-0:02", -2.0), ("1:x", None)],
)
def test_times_are_read_as_people_write_them(page, text, seconds):
    found = answers(page, "axis", f"m.parseTime({text!r})")
    assert math.isnan(found) if seconds is None else found == seconds


@pytest.mark.parametrize(
    ("seconds", "step", "text"),
    [
        (75.25, 0.01, "1:15.25"),
        (3599.9996, 0.001, "1:00:00.000"),
        (0, 1, "0:00"),
        (-2, 1, "−0:02"),
    ],
)
def test_times_are_written_as_people_read_them(page, seconds, step, text):
    assert answers(page, "axis", f"m.clock({seconds}, {step})") == text


def test_disagreements_are_where_both_speak_and_differ(page):
    generator = np.random.default_rng(0)
    truth, guess = generator.integers(-1, 3, (2, 200)).repeat(2, axis=1)

    def listed(classes):
        edges = np.flatnonzero(np.diff(classes, prepend=-9, append=-9))
        pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        bouts = [{"start_frame": a, "end_frame": b, "class": str(classes[a])} for a, b in pairs]
        return [bout for bout in bouts if bout["class"] != "-1"]

    said = json.dumps([listed(truth), listed(guess)])
    found = answers(page, "labels", f"m.disagreements(...{said})")
    marked = np.zeros(len(truth), dtype=bool)
    for one in found:
        assert not marked[one["start_frame"] : one["end_frame"]].any()
        marked[one["start_frame"] : one["end_frame"]] = True
    np.testing.assert_array_equal(marked, (truth != guess) & (truth >= 0) & (guess >= 0))


def test_the_help_lists_the_keys_and_closes_with_escape(page):
    page.keyboard.press("?")
    assert "next disagreement of label and prediction" in page.locator("#help").inner_text()
    page.keyboard.press("+")
    assert shown(page) == (0.0, 20.0)
    keys = page.locator("#help kbd").all_inner_texts()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()
    text = (Path(__file__).parents[2] / "docs" / "seeing.md").read_text(encoding="utf-8")
    missing = [one for key in keys for one in key.split(", ") if f"`{one}`" not in text]
    assert not missing


def test_every_control_has_a_name(page):
    controls = page.locator("button, select, input").all()
    names = [
        one.evaluate("one => one.ariaLabel || one.textContent.trim() || one.placeholder")
        for one in controls
    ]
    assert len(names) > 12
    assert all(names)


def test_a_wrong_token_is_refused(browser, view):
    with watched(browser, view.url[:-1] + "_", expected="403") as page:
        assert page.evaluate("window.neuroduetView") is None
        assert page.request.get(view.url[:-1] + "_").status == 403


def test_what_a_browser_is_started_with_opens_the_page_and_reloads(browser, view):
    with watched(browser, view.url_for_browser()) as page:
        wait_until(page, READY)
        assert page.url == view.url
        page.reload()
        wait_until(page, READY)


def test_what_the_server_says_stands_in_the_status_line(browser, view):
    with watched(browser, view.url, expected="400") as page:
        wait_until(page, READY)
        page.fill("#classname", CLASSES[0])
        page.press("#classname", "Enter")
        page.locator("#status.wrong").wait_for(timeout=5000)
        said = page.locator("#status").inner_text()
        assert said == f"there is a class '{CLASSES[0]}' already; choose another name"


def test_a_narrow_window_needs_no_sideways_scrolling(browser, view):
    with watched(browser, view.url, 400, 800) as page:
        wait_until(page, READY)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        box = page.locator(".panel-raster canvas").bounding_box()
        assert box["width"] > 250


@pytest.fixture
def worth_seeing(view):
    """Predictions of a model that was trained, where ``NEURODUET_SCREENSHOT_DEMO`` names some."""
    demo = os.environ.get("NEURODUET_SCREENSHOT_DEMO")
    if demo is None:
        yield view
        return
    with serve(Path(demo) / "finetuned", data=Path(demo) / "data") as running:
        yield running


def test_the_viewer_is_worth_a_screenshot(browser, worth_seeing, tmp_path):
    with watched(browser, worth_seeing.url) as page:
        wait_until(page, READY)
        page.mouse.click(*place(page, "raster", sum(shown(page)) / 2, share=0.3))
        page.locator("#details figure").last.wait_for(timeout=5000)
        wait_until(page, SETTLED)
        page.mouse.move(0, 0)
        shoot(page, "viewer.png", tmp_path)
