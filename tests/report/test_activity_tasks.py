from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folders import UNITS, make_run, score, score_rows

from neuroduet.report.contents import task_tables
from neuroduet.report.figures import decoding_by_region
from neuroduet.report.headlines import brief_table, headlines, main_model
from neuroduet.report.page import write_report
from neuroduet.report.sections import shown_sessions
from neuroduet.report.summary import tile_groups
from neuroduet.report.tables import summary_table
from neuroduet.report.units import unit_scores

TASKS = ("co_smoothing", "forward", "intra_region", "inter_region")
ORACLE = 0.6


def activity_rows(session: str) -> list[dict]:
    """Every model of the activity tasks; the value of a row says which it is."""
    models = {"mtm": 0.5, "mean_rate": 0.0, "smoothed": 0.1}
    rows = [
        score(model, session, task, "spikes", "bits_per_spike", value, oracle=ORACLE)
        for task in TASKS
        for model, value in models.items()
    ]
    for task in TASKS:
        linear = "reduced_rank_past" if task == "forward" else "reduced_rank_units"
        rows.append(score(linear, session, task, "spikes", "bits_per_spike", 0.3, oracle=ORACLE))
    return rows


def decoding_rows(session: str) -> list[dict]:
    """Decoding from all units and by region, networks above the linear model."""
    rows = [
        score(model, session, "decoding", "wheel", "r2", value)
        for model, value in (("mtm", 0.6), ("ridge", 0.5), ("mlp", 0.55), ("lstm", 0.58))
    ]
    for region, value in (("CA1", 0.4), ("DG", 0.1), ("LP", 0.2)):
        rows += [
            score("mtm", session, "decoding_by_region", f"wheel@{region}", "r2", value),
            score("mtm", session, "decoding_by_region", f"choice@{region}", "accuracy", 0.7, 0.5),
        ]
    return rows


SCORES = pd.DataFrame(
    [row for name in ("a", "b") for row in [*activity_rows(name), *decoding_rows(name)]]
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run scored in all tasks."""
    run = make_run(tmp_path_factory.mktemp("runs") / "run", "a")
    (run / "config.yaml").write_text("preset: mtm\n")
    SCORES.to_csv(run / "scores.csv", index=False)
    units = pd.DataFrame({"unit": [f"u{i}" for i in range(UNITS)], "metric": "bits_per_spike"})
    units = units.assign(model="mtm", value=np.linspace(0, 1, UNITS), region="CA1", rate_hz=2.0)
    pd.concat([units.assign(task=task) for task in TASKS]).to_parquet(run / "scores_units.parquet")
    return write_report(run).read_text(encoding="utf-8")


def test_each_activity_task_has_one_headline_beside_its_own_linear_baseline() -> None:
    found = {h.task: h for h in headlines(summary_table(SCORES), "mtm")}
    assert [task for task in found if task != "decoding"] == list(TASKS)
    assert {found[task].rival for task in TASKS} == {"reduced_rank_units", "reduced_rank_past"}
    assert found["forward"].rival == "reduced_rank_past"
    assert {found[task].rival_value for task in TASKS} == {0.3}
    assert found["co_smoothing"].share(0.3) == pytest.approx(0.5)


def test_decoding_by_region_stays_out_of_headlines_and_stands_in_a_block() -> None:
    table = summary_table(SCORES)
    found = headlines(table, "mtm")
    assert [h.target for h in found if h.task.startswith("decoding")] == ["wheel"]
    assert "decoding_by_region" not in brief_table(SCORES, ["mtm"]).index.get_level_values("task")
    last = task_tables(table, "mtm")[-1]
    assert last.title == "Decoding by region"
    names = [row[0].text for row in last.rows]
    assert sorted(names) == sorted(f"{b}@{r}" for b in ("wheel", "choice") for r in regions())


def regions() -> tuple[str, ...]:
    return ("CA1", "DG", "LP")


def test_networks_have_columns_and_are_neither_linear_nor_the_model() -> None:
    brief = brief_table(SCORES, ["mtm", "lstm"])
    assert brief.loc[("decoding", "wheel", "r2"), "best linear"] == 0.5
    assert brief.loc[("decoding", "wheel", "r2"), "lstm"] == 0.58
    baselines = SCORES[SCORES["model"] != "mtm"]
    ours = pd.DataFrame([score("poyo", "a", "decoding", "wheel", "r2", 0.1)])
    assert main_model(pd.concat([baselines, ours]), None) == "poyo"


def test_blocks_stand_in_the_order_of_questions_and_say_what_is_asked() -> None:
    shuffled = SCORES.sample(frac=1.0, random_state=0)
    tables = task_tables(summary_table(shuffled), "mtm")
    titles = ["Decoding", "Co-smoothing", "Forward prediction", "Intra-region", "Inter-region"]
    assert [table.title for table in tables] == [*titles, "Decoding by region"]
    assert all(table.text for table in tables)
    # A baseline that does not answer a task has no column there.
    by_title = {table.title: [c.text for c in table.columns] for table in tables}
    assert "reduced_rank_past" not in by_title["Co-smoothing"]
    assert "lstm" not in by_title["Forward prediction"]


def test_an_unknown_task_is_shown_under_its_own_name() -> None:
    rows = pd.DataFrame([score("mtm", "a", "some_task", "spikes", "r2", 0.1)])
    (table,) = task_tables(summary_table(rows), "mtm")
    assert (table.title, table.text) == ("Some task", "")


def test_tiles_name_tasks_as_a_reader_would() -> None:
    groups = tile_groups(headlines(summary_table(SCORES), "mtm"), {}, "mtm")
    assert [name for name, _ in groups] == ["Activity", "Behaviour"]
    _, shown = groups[0]
    assert [tile.what for tile in shown][:2] == ["co-smoothing", "forward prediction"]
    assert shown[0].bar is not None
    assert shown[0].bar.fill == pytest.approx(100 * 0.5 / ORACLE)


def test_the_page_draws_units_of_every_activity_task_and_regions_once(text: str) -> None:
    ids = re.findall(r'<figure id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert {f"figure-units-{task}" for task in TASKS} <= set(ids)
    assert "figure-units" not in ids  # this run has no scores of encoding
    assert "figure-by-region" in ids
    assert "Each unit predicted from the other units, behaviours hidden." in text


def test_the_tiles_speak_of_tasks_and_not_of_spikes_or_regions(text: str) -> None:
    tiles = text[text.index('class="tiles"') : text.index('<h2 id="scores"')]
    assert '<div class="what">co-smoothing</div>' in tiles
    assert "decoding <small>wheel</small>" in tiles
    assert "@" not in tiles


def test_units_of_another_task_are_not_mixed_in() -> None:
    units = pd.DataFrame({"unit": ["u", "v"], "metric": "bits_per_spike", "value": [0.1, 0.2]})
    units["task"] = ["encoding", "inter_region"]
    found = unit_scores(units, task="inter_region")
    assert found is not None
    assert found.caption.startswith("Bits per spike of 1 units in test windows, each predicted")
    assert unit_scores(units, task="forward") is None


def test_regions_are_drawn_from_the_best_to_the_worst() -> None:
    found = decoding_by_region(SCORES, "mtm")
    assert found is not None
    wheel = found.svg[found.svg.index("CA1") :]
    assert wheel.index("CA1") < wheel.index("LP") < wheel.index("DG")
    assert ">balanced accuracy<" not in found.svg
    assert ">accuracy<" in found.svg


def test_no_figure_by_region_without_scores_of_the_model_by_region() -> None:
    assert decoding_by_region(SCORES, "lstm") is None
    assert decoding_by_region(SCORES, "unheard of") is None
    assert decoding_by_region(pd.DataFrame(score_rows("a")), "duet") is None


def test_channels_of_a_behaviour_have_no_panel_of_their_own() -> None:
    rows = [
        score("mtm", "a", "decoding_by_region", target, "r2", 0.1)
        for target in ("position@CA1", "position@CA1[0]", "position@CA1[1]")
    ]
    found = decoding_by_region(pd.DataFrame(rows), "mtm")
    assert found is not None
    assert found.svg.count(">position<") == 1
    assert "[0]" not in found.svg


def test_sessions_are_ranked_by_co_smoothing_where_encoding_was_not_scored() -> None:
    rows = [
        score("mtm", name, "co_smoothing", "spikes", "bits_per_spike", value)
        for name, value in zip("abcde", (0.1, 0.5, 0.3, 0.2, 0.4), strict=True)
    ]
    assert shown_sessions(list("abcde"), pd.DataFrame(rows), "mtm") == ["b", "c", "a"]


def test_a_folder_without_unit_tasks_draws_its_units_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    units = pd.read_parquet(run / "scores_units.parquet").drop(columns="task")
    units.to_parquet(run / "scores_units.parquet")
    assert write_report(run).read_text().count('<figure id="figure-units') == 1
