"""The report of a run with something to show in every section, as a reader sees it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import chromium, shoot, watched
from run_folders import make_run, score

from neuroduet.report.page import write_report

UNITS, WINDOWS, BINS = 48, 120, 40
REGIONS = ("VISp", "CA1", "DG", "LP", "PO", "VPM")
SESSIONS = ("mouse_1", "mouse_2", "mouse_3")
ACTIVITY = {"co_smoothing": 0.36, "forward": 0.24, "intra_region": 0.33}
NAMES = [f"unit{i:03d}" for i in range(UNITS)]
REGION = np.arange(UNITS) * len(REGIONS) // UNITS


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The page of a trained model, where ``NEURODUET_SCREENSHOT_DEMO`` names a demo."""
    demo = os.environ.get("NEURODUET_SCREENSHOT_DEMO")
    if demo is not None:
        return write_report(
            Path(demo).resolve() / "finetuned", out=tmp_path_factory.mktemp("page") / "report.html"
        )
    run = make_run(tmp_path_factory.mktemp("runs") / "duet")
    generator = np.random.default_rng(0)
    (run / "predictions" / "one.npz").unlink()
    np.savez(run / "predictions" / "mouse_1.npz", **predictions(generator))
    infos = [{"id": one, "subject": one, "units": NAMES, "bin_size_s": 0.02} for one in SESSIONS]
    (run / "model" / "config.json").write_text(json.dumps({"sessions": infos}))
    scores().to_csv(run / "scores.csv", index=False)
    curves(generator).to_csv(run / "metrics.csv", index=False)
    about = pd.DataFrame(
        {"session": "mouse_1", "unit": NAMES, "region": np.array(REGIONS)[REGION]}
    )
    about.assign(
        task="encoding",
        metric="bits_per_spike",
        rate_hz=generator.gamma(2.0, 4.0, UNITS),
        value=0.15 + 0.1 * generator.normal(size=UNITS),
    ).to_parquet(run / "scores_units.parquet")
    places = 3 * generator.normal(size=(len(REGIONS), 3))[REGION]
    places += generator.normal(size=places.shape)
    found = about.assign(**{f"e{i}": places[:, i] for i in range(3)})
    found.to_csv(run / "embeddings.csv", index=False)
    return write_report(run)


def predictions(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """A stimulus to the left or right, which every unit answers in its own time."""
    choice = generator.integers(2, size=WINDOWS)
    time_s = np.arange(BINS) * 0.02
    answer = np.exp(-((time_s[:, None] - generator.uniform(0.2, 0.6, UNITS)) ** 2) / 0.006)
    gain = generator.gamma(2.0, 0.6, (2, UNITS))[choice][:, None]
    log_rates = np.log(generator.gamma(2.0, 0.04, UNITS) + 0.3 * answer * gain)
    wheel = np.cumsum(generator.normal(size=(WINDOWS, BINS, 1)), 1) / 3
    seen = np.ones((WINDOWS, BINS), dtype=bool)
    chosen = np.where(generator.random(WINDOWS) < 0.85, choice, 1 - choice)
    return {
        "start_s": np.arange(WINDOWS) * 2.0,
        "split": np.array(["train", "test"] * (WINDOWS // 2)),
        "trial": np.arange(WINDOWS),
        "valid": seen,
        "units": np.array(NAMES),
        "bin_size_s": np.asarray(0.02),
        "encoding/log_rates": log_rates.astype(np.float32),
        "true/counts": generator.poisson(np.exp(log_rates)).astype(np.uint8),
        "decoding/wheel": (wheel + generator.normal(size=wheel.shape) / 3).astype(np.float32),
        "true/wheel": wheel.astype(np.float32),
        "observed/wheel": seen,
        "decoding/choice": (0.2 + 0.6 * np.eye(2)[chosen]).astype(np.float32),
        "classes/choice": np.array([-1, 1]),
        "true/choice": choice,
        "observed/choice": np.ones(WINDOWS, dtype=bool),
    }


def scores() -> pd.DataFrame:
    """A model that beats linear models in three sessions."""
    rows = []
    for i, session in enumerate(SESSIONS):
        more = 0.03 * i
        encoding = ("encoding", "spikes", "bits_per_spike")
        choice = ("decoding", "choice", "balanced_accuracy")
        for task, value in ACTIVITY.items():
            rows.append(score("duet", session, task, *encoding[1:], value + more))
            rows.append(score("poisson_glm", session, task, *encoding[1:], 0.6 * value + more))
        rows += [
            score("duet", session, *encoding, 0.31 + more, oracle=0.42 + more),
            score("poisson_glm", session, *encoding, 0.22 + more, oracle=0.42 + more),
            score("duet", session, "decoding", "wheel", "r2", 0.71 + more),
            score("ridge", session, "decoding", "wheel", "r2", 0.58 + more),
            score("duet", session, *choice, 0.88 + more, 0.5),
            score("logistic", session, *choice, 0.8 + more, 0.5),
        ]
    return pd.DataFrame(rows)


def curves(generator: np.random.Generator) -> pd.DataFrame:
    """Losses that fall and scores that rise."""
    step = np.arange(0, 2001, 50)
    found = {"step": step, "minutes": step / 200}
    for name, floor in (("activity", 0.31), ("wheel", 0.42), ("choice", 0.25)):
        noise = 0.01 * generator.normal(size=len(step))
        found[f"train_loss/{name}"] = floor + 0.5 * np.exp(-step / 350) + noise
        found[f"valid/{name}"] = 0.8 - floor - 0.4 * np.exp(-step / 300) + noise
    return pd.DataFrame(found)


def test_every_link_of_a_full_report_leads_somewhere_and_it_looks_well(browser, report, tmp_path):
    with watched(browser, report.as_uri(), 1280, 1500) as page:
        assert page.locator("figure svg").count() >= 4
        for link in page.locator("nav a").all():
            link.click()
            assert page.locator(page.evaluate("location.hash")).count() == 1
        page.evaluate("window.scrollTo(0, 0)")
        shoot(page, "report.png", tmp_path)


def test_a_full_report_needs_no_sideways_scrolling_on_a_telephone(browser, report):
    with watched(browser, report.as_uri(), 400) as page:
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_names_that_are_scripts_are_words_in_a_browser(browser, hostile_run):
    with watched(browser, (hostile_run / "report.html").as_uri(), 400) as page:
        asked = []
        page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
        page.reload()
        assert asked == []
        assert "<script>" in page.locator("body").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
