"""Labels corrected by mouse and keyboard in a real browser, and what is saved of it."""

from __future__ import annotations

import numpy as np
import pytest
from browser import chromium, shoot, wait_until, watched
from recordings_to_see import CLASSES, write_recording

from neuroduet.data.actions import read_labels
from neuroduet.data.readers.labels import load_labels
from neuroduet.data.recording import load
from neuroduet.types import UNLABELLED
from neuroduet.view import serve

FRAME_HZ = 30.0
READY = "window.neuroduetView?.first_view_ms != null && neuroduetView.pending === 0"
IDLE = "neuroduetView.pending === 0"


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def recording(tmp_path):
    return write_recording(tmp_path / "mouse.h5", 40.0, 12)


@pytest.fixture
def page(browser, recording):
    with serve(recording) as running, watched(browser, running.url) as opened:
        wait_until(opened, READY)
        # Half of a frame must be more than the pixel to which the mouse is rounded.
        opened.keyboard.press("+")
        opened.keyboard.press("Home")
        yield opened


def labels_of(path):
    with load(path) as recording:
        return read_labels(recording, np.asarray(recording.labels.timestamps))[0]


def predicted_of(path):
    with load(path) as recording:
        return np.asarray(recording.actions.classes)


def bouts_of(classes):
    """First and next frame and class of every bout, counted frame by frame."""
    found = []
    for frame, code in enumerate(classes):
        if code == UNLABELLED:
            continue
        if found and found[-1][1:] == [frame, code]:
            found[-1][1] += 1
        else:
            found.append([frame, frame + 1, code])
    return found


def x_of(page, frame):
    box = page.locator(".panel-actions canvas").bounding_box()
    start, end = (page.evaluate(f"neuroduetView.{name}") for name in ("start", "end"))
    return box["x"] + (frame / FRAME_HZ - start) / (end - start) * box["width"]


def row_y(page, row):
    return page.locator(".panel-actions .plot").bounding_box()["y"] + 13 + 30 * row


def drag(page, first, last):
    page.mouse.move(x_of(page, first), row_y(page, 0))
    page.mouse.down()
    page.mouse.move(x_of(page, last), row_y(page, 0), steps=4)
    page.mouse.up()
    wait_until(page, IDLE)


def press(page, key):
    page.keyboard.press(key)
    page.wait_for_timeout(30)
    wait_until(page, IDLE)


def saved(page, path, n_frames):
    """Labels read back from the file that the page says it wrote."""
    press(page, "Control+s")
    wait_until(page, "neuroduetView.edits === 0")
    assert str(path) in page.locator("#status").inner_text()
    track = load_labels(path, n_frames=n_frames, classes=CLASSES)
    return track.classes


def edits(page):
    return page.evaluate("neuroduetView.edits")


def select_bout(page, frame):
    page.mouse.click(x_of(page, frame), row_y(page, 0))
    wait_until(page, "neuroduetView.selection?.class != null")
    return page.evaluate("neuroduetView.selection")


def test_dragged_frames_get_the_class_of_a_key_and_are_saved_beside_the_recording(page, recording):
    expected, before = labels_of(recording).copy(), recording.read_bytes()
    drag(page, 60, 150)
    chosen = page.evaluate("neuroduetView.selection")
    assert (chosen["start_frame"], chosen["end_frame"]) == (60, 150)
    press(page, "4")
    expected[60:150] = 3
    assert edits(page) == 1
    assert page.locator("#edits").inner_text() == "1 unsaved"
    drag(page, 240, 270)
    page.get_by_role("button", name="unlabelled").click()
    wait_until(page, "neuroduetView.edits === 2")
    expected[240:270] = UNLABELLED
    found = saved(page, recording.with_name("mouse.labels.csv"), len(expected))
    np.testing.assert_array_equal(found, expected)
    assert recording.read_bytes() == before


def test_undo_brings_the_labels_of_before_back(page, recording):
    expected = labels_of(recording)
    drag(page, 60, 150)
    press(page, "1")
    press(page, "3")
    assert edits(page) == 2
    press(page, "Control+z")
    assert edits(page) == 1
    page.get_by_role("button", name="undo").click()
    wait_until(page, "neuroduetView.edits === 0")
    assert page.locator("#undo").is_disabled()
    found = saved(page, recording.with_name("mouse.labels.csv"), len(expected))
    np.testing.assert_array_equal(found, expected)


def test_the_edge_of_a_selected_bout_can_be_dragged(page, recording):
    expected = labels_of(recording).copy()
    first, last, code = next(one for one in bouts_of(expected) if one[0] > 60)
    chosen = select_bout(page, (first + last) // 2)
    assert [chosen["start_frame"], chosen["end_frame"]] == [first, last]
    assert chosen["class"] == CLASSES[code]
    drag(page, last, last + 12)
    expected[last : last + 12] = code
    assert edits(page) == 1
    drag(page, first, first + 6)
    expected[first : first + 6] = expected[first - 1]
    assert edits(page) == 2
    found = saved(page, recording.with_name("mouse.labels.csv"), len(expected))
    np.testing.assert_array_equal(found, expected)


def test_a_predicted_bout_becomes_a_label_with_one_key(page, recording):
    expected, predicted = labels_of(recording).copy(), predicted_of(recording)
    first, last, code = max(bouts_of(predicted)[:12], key=lambda bout: bout[1] - bout[0])
    page.mouse.click(x_of(page, (first + last) // 2), row_y(page, 1))
    wait_until(page, "neuroduetView.selection?.track === 'predicted'")
    press(page, "a")
    wait_until(page, "neuroduetView.edits === 1")
    expected[first:last] = code
    found = saved(page, recording.with_name("mouse.labels.csv"), len(expected))
    np.testing.assert_array_equal(found, expected)


def test_keys_walk_through_bouts_and_disagreements(page, recording):
    labels, predicted = labels_of(recording), predicted_of(recording)
    starts = [first for first, _, _ in bouts_of(labels)]
    walked = []
    for _ in starts:
        press(page, "n")
        walked.append(page.evaluate("neuroduetView.selection.start_frame"))
    # The first of them begins under the cursor.
    assert walked == starts
    press(page, "n")
    assert page.locator("#status").inner_text() == "there are no more bouts"
    press(page, "Shift+N")
    assert page.evaluate("neuroduetView.selection.start_frame") == starts[-2]
    press(page, "Escape")
    page.keyboard.press("g")
    page.keyboard.type("0")
    page.keyboard.press("Enter")
    differs = (labels != predicted) & (labels != UNLABELLED)
    stretches = [first for first, _, _ in bouts_of(np.where(differs, 1, UNLABELLED))]
    press(page, "d")
    assert page.evaluate("neuroduetView.selection.start_frame") == stretches[0]


def test_a_new_class_can_be_added_and_given(page, recording):
    page.fill("#classname", "sniff")
    page.press("#classname", "Enter")
    page.get_by_role("button", name="sniff").wait_for(timeout=5000)
    page.locator("#details").click()
    drag(page, 30, 60)
    press(page, "5")
    press(page, "Control+s")
    wait_until(page, "neuroduetView.edits === 0")
    text = recording.with_name("mouse.labels.csv").read_text()
    assert "30,59,sniff" in text


def test_work_goes_on_where_it_was_saved_and_unsaved_work_survives_a_reload(page, recording):
    drag(page, 60, 150)
    press(page, "2")
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    wait_until(page, READY)
    assert edits(page) == 1
    chosen = select_bout(page, 100)
    assert chosen["class"] == CLASSES[1]
    assert chosen["start_frame"] <= 60
    assert chosen["end_frame"] >= 150


def test_leaving_with_unsaved_labels_asks_first(page):
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    assert asked == []
    wait_until(page, READY)
    drag(page, 60, 150)
    press(page, "2")
    page.reload()
    assert asked == ["beforeunload"]


def test_keys_change_nothing_without_a_selection(page):
    press(page, "1")
    assert page.locator("#status").inner_text() == (
        "select a bout first, or drag across the row of labels"
    )
    assert edits(page) == 0


def test_correcting_is_worth_a_screenshot(browser, tmp_path):
    path = write_recording(tmp_path / "arena.h5", 60.0, 24, seed=4)
    with serve(path) as running, watched(browser, running.url, dark=True) as page:
        wait_until(page, READY)
        press(page, "+")
        press(page, "n")
        press(page, "n")
        press(page, "4")
        press(page, "n")
        page.mouse.move(
            x_of(page, page.evaluate("neuroduetView.selection.end_frame")), row_y(page, 0)
        )
        shoot(page, "viewer-actions.png", tmp_path)
