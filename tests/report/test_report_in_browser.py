"""The page of a run in a real browser: on a phone, in the dark, by keyboard, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from run_folders import make_run

from neuroduet.report.page import write_report


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small run."""
    return write_report(make_run(tmp_path_factory.mktemp("browser") / "run"))


def open_page(browser: Any, report: Path, width: int, scheme: str) -> tuple[Any, list[str]]:
    """A page and everything that it asked for or complained about."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("request", lambda one: found.append(one.url) if one.url.startswith("http") else None)
    page.goto(report.as_uri())
    return page, found


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_and_asks_for_nothing(
    browser: Any, report: Path, width: int, scheme: str
) -> None:
    page, found = open_page(browser, report, width, scheme)
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    light = [sum(map(int, one[4:-1].split(","))) for one in (ink, paper)]
    assert (light[0] < light[1]) == (scheme == "light")
    assert abs(light[0] - light[1]) > 400  # readable
    page.context.close()


def test_a_definition_shows_when_the_keyboard_reaches_it(browser: Any, report: Path) -> None:
    page, _ = open_page(browser, report, 1280, "light")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the contents"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "ABBR":
            break
    shown = page.evaluate("getComputedStyle(document.activeElement, '::after').content")
    title = page.evaluate("document.activeElement.title")
    assert len(title) > 20
    assert shown == f'"{title}"'
    page.context.close()


def test_every_drawing_has_a_name_for_those_who_cannot_see_it(browser: Any, report: Path) -> None:
    page, _ = open_page(browser, report, 1280, "light")
    names = page.evaluate("[...document.querySelectorAll('svg')].map(e => e.ariaLabel)")
    assert len(names) > 5
    assert all(names)
    page.context.close()


def test_folded_tables_and_settings_are_read_on_paper_and_fit_it(
    browser: Any, report: Path
) -> None:
    page, _ = open_page(browser, report, 703, "dark")  # A4 within its margins
    seen = "[...document.querySelectorAll('details > :last-child')].map(e => e.checkVisibility())"
    folded = page.evaluate(seen)
    page.emulate_media(media="print")
    assert len(folded) > 2
    assert not any(folded)
    assert all(page.evaluate(seen))
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    page.context.close()


def test_it_prints(browser: Any, report: Path) -> None:
    page, _ = open_page(browser, report, 1280, "dark")
    assert page.pdf()[:5] == b"%PDF-"
    page.emulate_media(media="print")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    page.context.close()
