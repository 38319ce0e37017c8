from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folders import make_run, prediction_arrays, score

from neuroduet.masking import SCHEMES
from neuroduet.metrics import DEFINITIONS, bits_per_spike, r2
from neuroduet.presets import PRESETS
from neuroduet.report.behaviour_classes import class_traces, class_trials, windows_by_quality
from neuroduet.report.certainty import over_sessions, session_intervals
from neuroduet.report.chance import chance_table
from neuroduet.report.folder import read_folder
from neuroduet.report.headlines import Headline, headlines
from neuroduet.report.holdings import holdings, holdings_table, unplaced_units
from neuroduet.report.judgement import by_decimals
from neuroduet.report.page import write_page
from neuroduet.report.predicted import from_arrays
from neuroduet.report.published import MTM_PRETRAINED, MTM_TABLES, published
from neuroduet.report.schemes import PURPOSES, scheme_table
from neuroduet.report.style import balanced
from neuroduet.report.summary import verdict_of
from neuroduet.report.tables import summary_table

WINDOWS = 24


def true_scores() -> list[dict]:
    """Scores of the test windows of the prediction file of ``run_folders``."""
    arrays = prediction_arrays()
    test, valid = arrays["split"] == "test", arrays["valid"]
    counts = arrays["true/counts"][test]
    bits = bits_per_spike(
        np.exp(arrays["encoding/log_rates"][test].astype(np.float64)), counts, valid[test]
    )
    wheel = (arrays["true/wheel"][test][valid[test]], arrays["decoding/wheel"][test][valid[test]])
    return [
        score("duet", "mouse_1", "encoding", "spikes", "bits_per_spike", bits),
        score("duet", "mouse_1", "decoding", "wheel", "r2", r2(*wheel)),
        score("duet", "mouse_1", "decoding", "choice", "balanced_accuracy", 1.0, null=0.5),
        score("ridge", "mouse_1", "decoding", "wheel", "r2", 0.3),
    ]


def make_agreeing_run(folder: Path) -> Path:
    """A run whose scores are those of its predictions, under the names predict gives them."""
    run = make_run(folder)
    (run / "predictions" / "one.npz").rename(run / "predictions" / "mouse_1.npz")
    pd.DataFrame(true_scores()).to_csv(run / "scores.csv", index=False)
    return run


def asked(scores: pd.DataFrame) -> list[Headline]:
    """The primary scores of the run's model."""
    return headlines(summary_table(scores), "duet")


@pytest.fixture
def run(tmp_path) -> Path:
    """A whole run folder."""
    return make_agreeing_run(tmp_path / "run")


@pytest.fixture
def bare(tmp_path) -> Path:
    """A run folder with settings and scores, whose page is quickly drawn."""
    run = make_agreeing_run(tmp_path / "bare")
    for name in ("predictions/mouse_1.npz", "scores_units.parquet", "embeddings.csv"):
        (run / name).unlink()
    (run / "metrics.csv").unlink()
    return run


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    """The page of a whole run."""
    run = make_agreeing_run(tmp_path_factory.mktemp("page") / "run")
    return write_page(run).path.read_text(encoding="utf-8")


def test_sessions_have_intervals_over_their_test_windows(run, text):
    folder = read_folder(run)
    missing: list[str] = []
    found = session_intervals(folder, asked(folder.scores), ["mouse_1"], missing)
    assert missing == []
    for row in true_scores()[:3]:
        own = found[(row["task"], row["target"], row["metric"], "mouse_1")]
        assert own.value == pytest.approx(row["value"], abs=1e-6)
        assert own.low <= own.value <= own.high
        assert (own.n, own.over) == (WINDOWS // 2, "test windows")
    assert 'id="figure-sessions"' in text
    assert re.search(r"<small>\[-?\d\.\d+, -?\d\.\d+\] 12 test windows</small>", text)


def test_predictions_of_another_model_give_no_interval_and_are_said(run):
    rows = true_scores()
    rows[1]["value"] += 0.1
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    folder = read_folder(run)
    missing: list[str] = []
    found = session_intervals(folder, asked(folder.scores), ["mouse_1"], missing)
    assert ("decoding", "wheel", "r2", "mouse_1") not in found
    assert ("encoding", "spikes", "bits_per_spike", "mouse_1") in found
    assert any("mouse_1.npz does not give the scores" in one for one in missing)


def test_scores_that_are_means_over_units_have_intervals_over_units(run):
    rows = [score("duet", "mouse_1", "co_smoothing", "spikes", "bits_per_spike", 0.5)]
    rows.append(score("duet", "mouse_1", "forward", "spikes", "bits_per_spike", 0.9))
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    values = np.linspace(0.3, 0.7, 9)
    units = pd.DataFrame({"unit": [f"u{i}" for i in range(9)], "value": values})
    units = units.assign(
        model="duet", session="mouse_1", target="spikes", metric="bits_per_spike", rate_hz=1.0
    )
    both = [units.assign(task=task) for task in ("co_smoothing", "forward")]
    pd.concat(both).to_parquet(run / "scores_units.parquet")
    folder = read_folder(run)
    found = session_intervals(folder, asked(folder.scores), [], [])
    # 0.9 is no mean of these units: the score is of another evaluation.
    assert set(found) == {("co_smoothing", "spikes", "bits_per_spike", "mouse_1")}
    (own,) = found.values()
    assert (own.n, own.over) == (9, "units")
    assert 0.3 < own.low < 0.5 < own.high < 0.7


def test_several_sessions_give_a_t_interval_and_two_a_range():
    low, high, words = over_sessions(np.array([1.0, 2.0, 3.0]))
    reach = 4.302653 * 1.0 / np.sqrt(3)
    assert (low, high) == pytest.approx((2 - reach, 2 + reach))
    assert words == "95 % interval over 3 sessions"
    assert over_sessions(np.array([1.0, np.nan, 0.5])) == (0.5, 1.0, "the 2 sessions")
    assert np.isnan(over_sessions(np.array([1.0]))[0])


@pytest.mark.parametrize(
    ("value", "rival", "expected"),
    [
        (0.2, 0.1, "good"),
        (0.1, 0.2, "low"),
        (0.2, 0.2, "even"),
        (-0.1, -0.2, "bad"),
        (0.0, float("nan"), "bad"),
        (0.1, float("nan"), "good"),
    ],
)
def test_a_score_is_judged_beside_null_and_linear(value, rival, expected):
    rows = [score("duet", "a", "decoding", "wheel", "r2", value)]
    rows += [score("ridge", "a", "decoding", "wheel", "r2", rival)] if rival == rival else []
    (headline,) = headlines(summary_table(pd.DataFrame(rows)), "duet")
    assert verdict_of(by_decimals(headline))[1] == expected


def test_baselines_of_the_run_folder_stand_beside_its_scores(bare):
    own = pd.DataFrame(true_scores()[:3])
    own.to_csv(bare / "scores.csv", index=False)
    assert any("no linear baseline" in one for one in write_page(bare).missing)
    rows = [score("poisson_glm", "mouse_1", "encoding", "spikes", "bits_per_spike", 0.1234)]
    pd.DataFrame(rows).to_csv(bare / "baselines.csv", index=False)
    page = write_page(bare)
    assert not any("no linear baseline" in one for one in page.missing)
    assert ">poisson glm</abbr> 0.123" in page.path.read_text(encoding="utf-8")


def test_a_damaged_table_of_baselines_is_said(bare):
    (bare / "baselines.csv").write_text("a,b\n1,2\n")
    assert any("baselines.csv could not be read" in one for one in write_page(bare).missing)


def test_nulls_are_shown_with_their_p_values(bare):
    rows = [
        {**row, "null": kind, "draws": 99, "null_mean": 0.01, "null_sd": 0.02, "p_value": p}
        for row, p in zip(true_scores()[:3], (0.01, 0.2, 0.03), strict=True)
        for kind in ("shifted", "shuffled")
    ]
    nulls = pd.DataFrame(rows)
    nulls.to_csv(bare / "scores_nulls.csv", index=False)
    found = headlines(summary_table(pd.DataFrame(true_scores())), "duet")
    table = chance_table(nulls, found, "duet")
    assert table is not None
    assert [row[2].text for row in table.rows] == ["shifted", "shuffled"] * 3
    p_values = [row[7].text for row in table.rows]
    assert p_values == ["0.01", "0.01", "0.2", "0.2", "0.03", "0.03"]
    assert "Against chance" in write_page(bare).path.read_text(encoding="utf-8")


def test_p_values_of_the_scores_stand_in_the_tiles(bare):
    rows = pd.DataFrame(true_scores()[:3]).assign(p_value=[0.012, 0.5, 0.03])
    rows.to_csv(bare / "scores.csv", index=False)
    text = write_page(bare).path.read_text(encoding="utf-8")
    assert ">p</abbr> 0.012" in text


def test_every_scheme_has_a_purpose_whose_task_exists():
    from neuroduet.tasks import TASKS

    assert set(PURPOSES) == set(SCHEMES)
    assert {one.task for one in PURPOSES.values()} <= {*TASKS, ""}


def test_schemes_stand_beside_the_scores_that_question_them():
    config = {
        "masking": {
            "schemes": {"encoding": 1.0, "neuron": 3.0, "temporal": 0.0},
            "ratio": 0.3,
            "unit_ratio": 0.2,
            "hide_visible": 0.1,
        }
    }
    rows = [score("duet", "a", "co_smoothing", "spikes", "bits_per_spike", 0.25)]
    table = scheme_table(config, pd.DataFrame(rows), "duet")
    assert table is not None
    texts = [[cell.text for cell in row[1:]] for row in table.rows]
    assert [row[0].text for row in table.rows] == ["encoding", "neuron"]
    assert [cells[1] for cells in texts] == ["25 %", "75 %"]
    assert [cells[2] for cells in texts] == ["–", "0.2"]
    assert [cells[4] for cells in texts] == ["–", "0.250 bits per spike (0.000)"]
    assert "10 % of what is visible" in table.text


@pytest.mark.parametrize("preset", ["7", "[duet]", "{a: b}", "null"])
def test_a_preset_that_is_no_name_is_not_fatal(bare, preset):
    (bare / "config.yaml").write_text(f"preset: {preset}\n")
    assert "encoding" in write_page(bare).path.read_text(encoding="utf-8")


def test_published_scores_are_those_of_the_same_family_task_and_metric_only():
    alone, pretrained = published("mtm_faithful", "co_smoothing", "bits_per_spike")
    assert (alone.value, pretrained.value) == (1.00, 1.11)
    assert "5 held-out IBL sessions" in alone.words()
    assert "Other data and splits" in alone.words()
    assert published("mtm", "co_smoothing", "bits_per_spike_pooled") == ()
    assert published("mtm", "encoding", "bits_per_spike") == ()
    assert published("duet", "co_smoothing", "bits_per_spike") == ()
    assert published(None, "forward", "bits_per_spike") == ()
    assert {*MTM_TABLES, *MTM_PRETRAINED} <= set(PRESETS)


def test_the_data_summary_counts_units_trials_and_hours(run, text):
    (found,) = holdings(read_folder(run))
    assert (found.units, found.bin_size_s) == (6, 0.02)
    assert dict(found.windows) == {"train": 12, "valid": 0, "test": 12}
    assert found.hours == pytest.approx((WINDOWS * 10 - 3) * 0.02 / 3600)
    assert found.by_trial
    table = holdings_table([found])
    assert table is not None
    cells = [cell.text for cell in table.rows[0]]
    assert cells[6:10] == ["–", "12", "0", "12"]
    assert "Trials: 12 for training, 12 held out for test" in text


def test_units_of_no_known_region_are_in_no_region(run):
    (found,) = holdings(read_folder(run))
    table = holdings_table([replace(found, regions=("CA1", "CA1", "PO", "", "Unknown", "root"))])
    assert table is not None
    assert table.rows[0][3].text == "2"


def test_units_of_no_known_region_are_said_where_others_have_one(run):
    (found,) = holdings(read_folder(run))
    placed = replace(found, regions=("CA1", "root", "PO", "", "root"))
    (said,) = unplaced_units([placed])
    assert said.startswith("3 of 5 units are labelled 'root', nothing, which names no region")
    assert unplaced_units([replace(found, regions=("", "root"))]) == ()
    assert unplaced_units([replace(found, regions=("CA1", "PO"))]) == ()


def test_the_page_calls_a_length_what_it_is(text):
    assert re.search(r"; [\d.]+ (s|minutes|hours) in windows\.", text)
    assert ">longest window</abbr>" in text


def test_what_only_some_readers_ask_for_is_folded(run):
    folder = pd.read_parquet(run / "scores_units.parquet")
    parts = [folder, folder.assign(task="co_smoothing")]
    pd.concat(parts).assign(unit=[f"u{i % 6}" for i in range(12)]).to_parquet(
        run / "scores_units.parquet"
    )
    rows = [*true_scores(), score("duet", "mouse_1", "encoding_from", "wheel", "r2", 0.1)]
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    text = write_page(run).path.read_text(encoding="utf-8")
    folded = re.findall(r"<summary>([^<]*)</summary>", text)
    for title in (
        "Which units are predicted: co-smoothing (figure)",
        "Training losses (figure)",
        "Encoding from one behaviour (1 rows)",
        "Units by name (6 rows)",
    ):
        assert title in folded
    assert "Which units are predicted: encoding (figure)" not in folded


def test_tiles_are_spread_evenly_over_the_rows_of_a_wide_page(bare):
    assert [balanced(n, 4) for n in range(1, 10)] == [1, 2, 3, 4, 3, 3, 4, 4, 3]
    text = write_page(bare).path.read_text(encoding="utf-8")
    assert text.count('<div class="tiles" style="--columns: 3">') == 2


def test_every_metric_and_baseline_has_a_definition_that_keys_reach(text):
    words = re.findall(r"<abbr ([^>]*)>([^<]*)</abbr>", text.replace("<wbr>", ""))
    assert {"bits_per_spike", "r2", "ridge", "null"} <= {word for _, word in words}
    assert all('tabindex="0"' in attributes for attributes, _ in words)
    listed = text[text.index('<h2 id="definitions"') :]
    assert "<dt>r2</dt><dd>" + DEFINITIONS["r2"][:20] in listed


def class_arrays(per_bin: bool) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shape = (WINDOWS, 10) if per_bin else (WINDOWS,)
    labels = generator.integers(0, 3, shape)
    chance = 0.2 + 0.4 * np.eye(3)[labels]
    return prediction_arrays() | {
        "decoding/state": chance.astype(np.float32),
        "true/state": labels,
        "classes/state": np.array(["rest", "run", "rear"]),
        "observed/state": np.ones(shape, dtype=bool),
    }


def test_classes_per_bin_are_drawn_over_time_and_classes_per_trial_over_trials():
    found = from_arrays("one", class_arrays(per_bin=True))
    drawn = class_traces(found, "classes")
    assert drawn is not None
    assert drawn.svg.count("100% of bins right") == 4
    assert class_traces(from_arrays("one", class_arrays(False)), "x") is None
    trials = class_trials(from_arrays("one", class_arrays(per_bin=False)), "x")
    assert trials is not None
    assert "state" in trials.svg
    assert "12 test trials" in trials.caption


def test_windows_of_classes_run_from_well_to_badly_decoded():
    chance = np.linspace(0.05, 0.95, 11)
    predicted = np.stack([chance, 1 - chance], axis=-1)[:, None].repeat(4, axis=1)
    arrays = {
        "decoding/state": predicted,
        "true/state": np.zeros((11, 4), dtype=np.int64),
        "observed/state": np.ones((11, 4), dtype=bool),
    }
    (behaviour,) = from_arrays("one", arrays).behaviours
    shown = windows_by_quality(behaviour)
    assert shown.tolist() == [9, 6, 4, 1]
    none = {**arrays, "observed/state": np.zeros((11, 4), dtype=bool)}
    assert len(windows_by_quality(from_arrays("one", none).behaviours[0])) == 0
