"""Behaviours in a real browser: their scale, their classes, and predictions over them."""

from __future__ import annotations

import numpy as np
import pytest
from browser import wait_until, watched
from page_seen import READY, SETTLED, answers

from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.view import serve

LENGTH_S, WINDOW_S, BIN_S = 600.0, 4.0, 0.02
BINS, WINDOWS = 200, 150
LEVELS = np.array([-100.0, -25.0, -12.0, 0.0, 12.0, 25.0, 100.0])  # whole numbers are classes

WITHOUT = """async () => {
    const canvas = document.querySelector(".panel-trace:not(.states) canvas");
    const { width, height } = canvas;
    const copy = Object.assign(document.createElement("canvas"), { width, height });
    const read = () => {
        const context = copy.getContext("2d", { willReadFrequently: true });
        context.clearRect(0, 0, width, height);
        context.drawImage(canvas, 0, 0);
        return context.getImageData(0, 0, width, height).data;
    };
    const before = read();
    document.getElementById("predictions").click();
    await new Promise((done) => setTimeout(done, 200));
    const changed = read().findIndex((value, i) => Math.abs(value - before[i]) > 40);
    return Math.floor(changed / 4 / width) / height;
}"""
"""Uppermost row of pixels that predictions changed, as a share of the height."""


SHADES = """() => {
    const canvas = document.querySelector(".panel-trace.states canvas");
    const { width, height } = canvas;
    const copy = Object.assign(document.createElement("canvas"), { width, height });
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    return [0.06, 0.97].map((share) => {
        const { data } = context.getImageData(4, share * height, width - 8, 1);
        return new Set(new Uint32Array(data.buffer)).size;
    });
}"""
"""How many colours are in a row of pixels of the true classes, and in one of the predicted."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A long session: a wheel that is still but for short turns, contrasts of seven levels."""
    folder = tmp_path_factory.mktemp("peaks")
    starts = np.arange(WINDOWS) * WINDOW_S
    time_s = np.arange(0, LENGTH_S, BIN_S) + BIN_S / 2
    peaks = (np.arange(len(time_s)) % 100 == 50).astype(float)
    level = np.arange(WINDOWS) % 7
    recording = from_arrays(
        session_id="mouse",
        subject_id="mouse",
        spike_times=np.sort(np.random.default_rng(0).uniform(0, LENGTH_S, 4000)),
        spike_units=np.arange(4000) % 4,
        units={"region": np.array(["CA1"] * 4)},
        trials={"start": starts, "end": starts + WINDOW_S},
        behaviours={"wheel": (time_s, 100 * peaks), "contrast": LEVELS[level]},
    )
    save(recording, folder / "mouse.h5")
    (folder / "run" / "predictions").mkdir(parents=True)
    (folder / "run" / "config.yaml").write_text("preset: duet\n")
    np.savez(
        folder / "run" / "predictions" / "mouse.npz",
        start_s=starts,
        split=np.array(["train"] * 100 + ["test"] * 50),
        trial=np.arange(WINDOWS),
        valid=np.ones((WINDOWS, BINS), dtype=bool),
        units=np.array(["u0"]),
        bin_size_s=np.asarray(BIN_S),
        **{
            "decoding/wheel": 100 * peaks.reshape(WINDOWS, BINS, 1),
            "decoding/contrast": np.eye(7)[6 - level],
            "classes/contrast": LEVELS,
        },
    )
    return folder / "run"


@pytest.fixture(params=["light", "dark"])
def page(browser, run, request):
    with (
        serve(run, data=run.parent / "mouse.h5") as view,
        watched(browser, view.url) as opened,
    ):
        opened.emulate_media(color_scheme=request.param)
        wait_until(opened, READY)
        yield opened


def test_a_prediction_keeps_its_peaks_when_the_whole_recording_is_shown(page):
    page.keyboard.press("f")
    wait_until(page, SETTLED)
    page.wait_for_timeout(100)
    # The scale ends at 100, with room above it.
    assert page.evaluate(WITHOUT) == pytest.approx(0.08, abs=0.05)


def test_every_class_is_named_beside_its_colour(page):
    key = page.locator(".states .key")
    named = key.locator("span").all_inner_texts()
    assert named == [*(str(level) for level in LEVELS), "below: predicted"]
    assert key.evaluate("one => one.scrollHeight - one.clientHeight") <= 1
    gutter = page.locator(".states .gutter")
    assert gutter.evaluate("one => one.scrollHeight - one.clientHeight") <= 1
    box, drawn = gutter.bounding_box(), page.locator(".states canvas").bounding_box()
    assert drawn["height"] == pytest.approx(box["height"], abs=3)


def test_a_trial_that_two_requests_brought_has_no_seam(page):
    page.keyboard.press("g")
    page.keyboard.type("6")
    page.keyboard.press("Enter")
    for _ in range(5):
        page.keyboard.press("+")
    # Within the trial from 4 to 8 s, around a whole second, where tiles of this zoom end.
    wait_until(page, "neuroduetView.end - neuroduetView.start < 1 && " + SETTLED)
    page.wait_for_timeout(100)
    assert page.evaluate(SHADES) == [1, 1]


@pytest.mark.parametrize("card", ["#ffffff", "#1b1f25"])
def test_names_are_read_easily_on_every_colour(page, card):
    worst = page.evaluate(
        f"""async () => {{
            const {{ colour, contrast, inkOn, mixed }} = await import(
                "/theme.js?token=" + document.querySelector("meta[name=token]").content);
            const shades = [...Array(16).keys()].map(colour)
                .flatMap((one) => [one, mixed(one, "{card}", 0.45)]);
            return [contrast("#ffffff", "#000000"),
                Math.min(...shades.map((one) => contrast(one, inkOn(one))))];
        }}"""
    )
    assert worst[0] == pytest.approx(21)
    assert worst[1] >= 4.2


@pytest.mark.parametrize(
    ("value", "span", "text"),
    [
        (5e-8, 2.7, "0"), (-4e-9, 1, "0"), (0.01234, 0.1, "0.0123"), (5e-8, 1e-7, "5e-8"),
        (1000001.25, 2, "1000001.3"), (-1013.26, 5, "-1013.3"), (1013.26, 0, "1010"),
    ],
)  # fmt: skip
def test_numbers_have_the_digits_that_tell_them_apart(page, value, span, text):
    assert answers(page, "axis", f"m.short({value}, {span})") == text


def test_the_next_test_trial_is_a_key_away(page):
    page.keyboard.press("t")
    wait_until(page, "neuroduetView.cursor > 0")
    assert page.evaluate("neuroduetView.cursor") == pytest.approx(400.0)
    assert page.evaluate("neuroduetView.start <= 400 && neuroduetView.end >= 404")
    page.keyboard.press("t")
    wait_until(page, "neuroduetView.cursor > 401")
    page.keyboard.press("Shift+T")
    wait_until(page, "neuroduetView.cursor < 401")
    page.keyboard.press("Shift+T")
    page.locator("#status", has_text="there is no previous test trial").wait_for(timeout=5000)
