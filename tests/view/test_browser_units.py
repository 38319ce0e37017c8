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
    assert "PSTH, 15 trials" in text
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
