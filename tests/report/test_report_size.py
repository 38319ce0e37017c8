from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folders import score

from neuroduet.report.page import write_report

SESSIONS, UNITS = 100, 80
MOST_BYTES = 10_000_000


def make_big_run(run: Path) -> Path:
    """A run of a hundred sessions and eight thousand units, scored in two tasks."""
    (run / "model").mkdir(parents=True)
    generator = np.random.default_rng(0)
    names = [f"lab-subject{i:03d}-2023-01-01" for i in range(SESSIONS)]
    ids = [f"unit{i:03d}" for i in range(UNITS)]
    regions = [f"region{i % 40}" for i in range(UNITS)]
    rows, units = [], []
    for name in names:
        for task in ("encoding", "co_smoothing"):
            values = generator.normal(0.3, 0.2, UNITS)
            mean = float(values.mean())
            models = ("mtm", "poisson_glm", "reduced_rank_units", "smoothed", "psth", "mean_rate")
            for metric in ("bits_per_spike", "bits_per_spike_pooled", "r2", "psth_r2"):
                rows += [score(m, name, task, "spikes", metric, mean) for m in models]
            part = pd.DataFrame({"unit": ids, "region": regions, "value": values})
            part = part.assign(task=task, session=name, model="mtm", target="spikes")
            units.append(part.assign(metric="bits_per_spike", rate_hz=generator.gamma(2, 2)))
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    pd.concat(units).to_parquet(run / "scores_units.parquet")
    vectors = pd.DataFrame(generator.normal(size=(SESSIONS * UNITS, 2)), columns=["e0", "e1"])
    vectors = vectors.assign(session=np.repeat(names, UNITS), unit=ids * SESSIONS)
    vectors.assign(region=regions * SESSIONS).to_parquet(run / "embeddings.parquet")
    infos = [{"id": n, "subject": n, "units": ids, "regions": regions} for n in names]
    (run / "model" / "config.json").write_text(json.dumps({"sessions": infos}))
    (run / "config.yaml").write_text("preset: mtm\n")
    return run


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a big run."""
    return write_report(make_big_run(tmp_path_factory.mktemp("big") / "run"))


def test_the_page_of_a_big_run_can_be_mailed(path):
    assert path.stat().st_size < MOST_BYTES
    text = path.read_text(encoding="utf-8")
    assert text.count("<image") >= 3  # thousands of points are pixels
    assert "40 of 100 sessions" in text
    assert "Trained on 100 sessions of 100 animals (8,000 units)." in text
    # Long tables are folded: the page opens on what it says.
    assert re.search(r"<summary>Sessions \(100 rows\)</summary>", text)


def test_the_page_names_no_address_to_load_from(path):
    text = path.read_text(encoding="utf-8")
    loads = re.findall(r"(?:src|href|srcset|poster|data)\s*=\s*[\"']?([^\"' >]+)", text)
    loads += re.findall(r"url\(\s*[\"']?([^)\"']+)", text)
    assert loads
    assert all(one.startswith(("#", "data:image/png;base64,")) for one in loads)
    assert "@import" not in text
