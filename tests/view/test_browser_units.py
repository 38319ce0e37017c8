"""Units in a real browser: one by one, a region at a time, and what is said of them."""

from __future__ import annotations

import pytest
from browser import wait_until
from page_seen import UNITS, answers, details, pixels, place, shown, state


def test_a_click_on_a_unit_tells_what_is_known_of_it(page, view):
    page.mouse.click(*place(page, "raster", 10.0, share=2.5 / UNITS))
    text = details(page, "unit")
    assert page.locator("#details figure").count() == 3
    assert "region\nCA1" in text
    assert "PSTH, 3 test trials" in text
    first = page.locator("#details h2").inner_text()
    page.keyboard.press("]")
    wait_until(page, f"document.querySelector('#details h2').textContent !== {first!r}")


def test_a_region_is_seen_alone_and_units_are_zoomed_into(page):
    assert state(page, "rows") == [0, UNITS]
    before = pixels(page, "raster")
    page.locator(".panel-raster .region", has_text="DG").click()
    assert state(page, "rows") == [8, 16]
    assert page.locator(".panel-raster .region:visible").all_inner_texts() == ["DG"]
    assert "8 of 40 units" in page.locator(".panel-rates .title").inner_text()
    assert pixels(page, "raster") != before
    page.mouse.click(*place(page, "raster", 10.0, share=2.5 / 8))
    assert "region\nDG" in details(page, "unit")
    page.keyboard.press("]")
    for _ in range(10):
        page.keyboard.press("]")
    wait_until(page, "neuroduetView.rows[1] > 20")
    for _ in range(3):
        page.keyboard.press("Escape")
        page.keyboard.press("r")
    page.locator(".panel-raster .region:visible").first.wait_for()
    x, y = place(page, "raster", 10.0, share=0.5)
    page.mouse.move(x, y)
    start = shown(page)
    page.keyboard.down("Alt")
    page.mouse.wheel(0, 3000)
    wait_until(page, f"neuroduetView.rows[1] - neuroduetView.rows[0] === {UNITS}")
    page.mouse.wheel(0, -400)
    wait_until(page, f"neuroduetView.rows[1] - neuroduetView.rows[0] < {UNITS}")
    page.keyboard.up("Alt")
    assert shown(page) == start


def test_a_drag_moves_through_units_where_only_some_are_shown(page):
    def drag(down):
        x, y = place(page, "raster", 10.0, share=0.5)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x, y + down, steps=3)
        page.mouse.up()

    drag(-40)
    assert state(page, "rows") == [0, UNITS]
    page.locator(".panel-raster .region", has_text="DG").click()
    tall = page.locator(".panel-raster canvas").bounding_box()["height"]
    drag(-tall / 4)
    assert state(page, "rows") == [10, 18]
    drag(tall / 8)
    assert state(page, "rows") == [9, 17]


def test_names_of_regions_too_low_for_them_are_left_out(page):
    names = page.locator(".panel-raster .region span:visible")
    assert names.count() == 5
    page.evaluate(
        "document.querySelector('.panel-raster').style.cssText = 'flex: none; height: 55px'"
    )
    page.set_viewport_size({"width": 1279, "height": 800})
    try:
        wait_until(page, "!document.querySelector('.panel-raster .region:not(.low)')")
        assert names.count() == 0
        assert page.locator(".panel-raster .region:visible").count() == 5
    finally:
        page.set_viewport_size({"width": 1280, "height": 800})


def test_rates_that_are_still_being_read_are_asked_for_again(page, view):
    said = []

    def answer(route):
        said.append(route.request.url)
        if len(said) < 3:
            route.fulfill(status=202, json={"error": "wait a moment"})
        else:
            route.continue_()

    page.route("**/api/rates*", answer)
    page.goto(view.url)
    wait_until(page, "window.neuroduetView?.first_view_ms != null")
    page.unroute("**/api/rates*")
    assert len(said) >= 3
    assert page.locator("#status").inner_text() == ""


@pytest.mark.parametrize(("first", "count", "share", "factor"), [(0, 40, 0.5, 0.5), (10, 9, 0, 2)])
def test_zooming_into_units_keeps_the_one_under_the_pointer(page, first, count, share, factor):
    found = answers(
        page,
        "rows",
        "{ const rows = new m.Rows(Array(40).fill({ region: '' })); "
        f"rows.show({first}, {count}); rows.zoom({share}, {factor}); "
        "return [rows.first, rows.count]; }",
    )
    assert found[1] == count * factor
    assert found[0] + share * found[1] == pytest.approx(first + share * count, abs=0.5)


def test_regions_are_walked_through_and_then_all_is_shown(page):
    walked = answers(
        page,
        "rows",
        "{ const rows = new m.Rows('AABBBBBC'.split('').map((region) => ({ region }))); "
        "return Array.from({ length: 5 }, () => (rows.next(), [rows.first, rows.end])); }",
    )
    assert walked == [[0, 2], [2, 7], [7, 8], [0, 8], [0, 2]]


def test_the_value_under_the_pointer_is_said(page):
    box = page.locator(".panel-trace canvas").first.bounding_box()
    page.mouse.move(box["x"] + 80, box["y"] + 20)
    text = page.locator("#hover").inner_text()
    assert text.startswith("wheel ")
    assert "predicted" in text
    page.mouse.move(*place(page, "rates", 2.0))
    assert " Hz · " in page.locator("#hover").inner_text()
    page.mouse.move(*place(page, "trials", 2.0))
    assert "choice=" in page.locator("#hover").inner_text()
