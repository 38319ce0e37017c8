"""A real browser for tests of pages; absent browsers skip them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium without a window; skips where it, or playwright, is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} on the path")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def watched(
    browser: Browser,
    url: str,
    width: int = 1280,
    height: int = 800,
    dark: bool = False,
    expected: str | None = None,
) -> Iterator[Page]:
    """A page in a fresh profile that must report no error and ask no other server.

    Args:
        browser: Browser.
        url: Address.
        width: Width of the window (pixels).
        height: Height of the window (pixels).
        dark: Whether the reader prefers dark pages.
        expected: Part of the errors that the test provokes.
    """
    with browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    ) as context:
        page = context.new_page()
        asked: list[str] = []
        wrong: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.goto(url)
        yield page
        foreign = [one for one in asked if not allowed(one, url)]
        assert not foreign, foreign
        wrong = [one for one in wrong if expected is None or expected not in one]
        assert not wrong, wrong


def allowed(asked: str, url: str) -> bool:
    """Whether a page may ask for an address: a file only for itself, others their own server."""
    if asked.startswith("data:"):
        return True
    one, own = urlsplit(asked), urlsplit(url)
    return one[:3] == own[:3] if own.scheme == "file" else one[:2] == own[:2]


def wait_until(page: Page, expression: str, seconds: float = 15.0) -> None:
    """Wait until an expression is true in a page whose policy forbids playwright's own way."""
    until = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < until, f"never true: {expression}"
        page.wait_for_timeout(20)


def shoot(page: Page, name: str, otherwise: Path) -> None:
    """Take a screenshot, for the documentation where ``NEURODUET_SCREENSHOTS`` names a folder."""
    folder = Path(os.environ.get("NEURODUET_SCREENSHOTS") or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / name)
    assert (folder / name).stat().st_size < 400_000
