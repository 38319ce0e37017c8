from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import chromium, wait_until, watched
from page_seen import LENGTH_S, READY, UNITS
from recordings_to_see import write_predictions, write_recording

from neuroduet.view import View, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from viewed import Client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A viewer of a recording with everything, and somebody who asks it."""
    from viewed import Client, everything

    with serve(everything(tmp_path / "day1.h5")) as view:
        yield Client(view)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """A viewer of a recording with predictions of activity, behaviours and actions."""
    folder = tmp_path_factory.mktemp("seen")
    write_recording(folder / "mouse.h5", LENGTH_S, UNITS)
    run = write_predictions(folder / "run", folder / "mouse.h5")
    with serve(run, data=folder / "mouse.h5") as running:
        yield running


@pytest.fixture(scope="module")
def window(browser: Browser, view: View) -> Iterator[Page]:
    with watched(browser, view.url) as opened:
        yield opened


@pytest.fixture
def page(window: Page, view: View) -> Page:
    window.goto(view.url)
    wait_until(window, READY)
    return window
