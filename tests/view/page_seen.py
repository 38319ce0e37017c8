"""What tests ask of a page of the viewer in a browser."""

from __future__ import annotations

UNITS, LENGTH_S = 40, 60.0
READY = "window.neuroduetView?.first_view_ms != null && neuroduetView.pending === 0"
SETTLED = "neuroduetView.complete && neuroduetView.pending === 0"


def state(page, name):
    return page.evaluate(f"neuroduetView.{name}")


def shown(page):
    return state(page, "start"), state(page, "end")


def place(page, panel, time, share=0.5):
    """Where a time is in a panel (pixels of the window)."""
    box = page.locator(f".panel-{panel} canvas").bounding_box()
    start, end = shown(page)
    x = box["x"] + (time - start) / (end - start) * box["width"]
    return x, box["y"] + share * box["height"]


def pixels(page, panel, number=0):
    """The drawing of a panel as text; equal drawings give equal text."""
    return page.locator(f".panel-{panel} canvas").nth(number).evaluate("one => one.toDataURL()")


def details(page, words):
    page.locator("#details h2", has_text=words).wait_for(timeout=5000)
    return page.locator("#details").inner_text()


def answers(page, module, expression):
    """What a module of the page says to an expression in which it is called ``m``."""
    address = f"/{module}.js?token={page.url.partition('token=')[2]}"
    said = expression if expression.startswith("{") else f"({expression})"
    return page.evaluate(f"import({address!r}).then((m) => {said})")
