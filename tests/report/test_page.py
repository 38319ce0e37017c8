from __future__ import annotations

import re
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pandas as pd
import pytest
from run_folders import HOSTILE, make_run, prediction_arrays, score, score_rows

from neuroduet.errors import UserError
from neuroduet.report.page import write_report
from neuroduet.report.sections import shown_sessions

VOID = {"meta", "br", "wbr", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Collects what the tests ask for, and refuses tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._collect(attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self._collect(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def _collect(self, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "data", "action", "srcset", "poster"):
                self.links.append(value)


@pytest.fixture(scope="module")
def text(hostile_run):
    return (hostile_run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_the_page_loads_nothing_from_anywhere(page, text):
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert not {"script", "link", "iframe", "object", "img"} & set(page.tags)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_every_link_within_the_page_has_its_target(page):
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_names_from_files_cannot_become_markup(page, text):
    assert "script" not in page.tags
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_title_cannot_become_markup(tmp_path):
    path = write_report(tmp_path, title=HOSTILE)
    assert "<script" not in path.read_text(encoding="utf-8")


def test_everything_in_the_folder_is_drawn(page, text):
    expected = ("valid", "loss", "scores", "units", "embedding", "session-0-5")
    expected += ("session-0-0", "session-0-1", "session-0-2")
    assert {f"figure-{name}" for name in expected} <= set(page.ids)
    assert "Not shown" not in text


def test_the_summary_gives_the_score_beside_null_linear_and_oracle(text):
    assert "Trained on 1 session of 1 animal (6 units) for 20 steps in 1.5 minutes." in text
    assert (
        "It is better than the null in 2 of 2 questions; of 2 that linear baselines answer, too, "
        "it is above the best in 2, level with it in 0 and below it in 0; where the oracle is "
        "known, it goes 50 % of the way there" in text
    )
    tile = text[text.index('class="tile"') :]
    for name, value in (("null", "0.000"), ("poisson glm", "0.100"), ("oracle", "0.400")):
        assert f">{name}</abbr> {value}" in tile


def test_a_score_below_the_null_goes_no_part_of_the_way(tmp_path):
    run = make_run(tmp_path / "run")
    rows = [
        score("duet", "mouse_1", "encoding", "spikes", "bits_per_spike", 0.2, oracle=0.4),
        score("duet", "mouse_1", "forward", "spikes", "bits_per_spike", -0.1, oracle=0.4),
    ]
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    said = write_report(run).read_text(encoding="utf-8")
    assert "it goes -25 to 50 % of the way there from the null" in said


def test_the_page_is_small(hostile_run):
    assert (hostile_run / "report.html").stat().st_size < 1_000_000


def test_equal_contents_give_an_equal_page(hostile_run):
    before = (hostile_run / "report.html").read_bytes()
    assert write_report(hostile_run).read_bytes() == before


def test_drawing_leaves_the_settings_of_matplotlib_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    pd.DataFrame(score_rows("a")).to_csv(tmp_path / "scores.csv", index=False)
    write_report(tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_an_empty_folder_gives_a_page_that_says_what_is_missing(tmp_path):
    text = write_report(tmp_path).read_text(encoding="utf-8")
    names = ("config.yaml", "env.json", "metrics.csv", "scores.csv", "scores_units.parquet")
    for name in (*names, "embeddings.parquet", "predictions/"):
        assert name in text
    assert "<figure" not in text
    Page(text)


@pytest.mark.parametrize(
    "name",
    ["config.yaml", "env.json", "metrics.csv", "scores.csv", "scores_units.parquet"]
    + ["embeddings.csv", "predictions/one.npz", "model/config.json"],
)
def test_a_damaged_file_is_said_and_not_fatal(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\x93\xff[1, : not what it should be")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    missing = text[text.index('id="missing"') :]
    assert re.search(rf"{name.split('/')[-1]}.*?(could not be read|is not a readable)", missing)


def test_predictions_without_true_values_are_said(tmp_path):
    arrays = {k: v for k, v in prediction_arrays().items() if not k.startswith("true/")}
    (tmp_path / "predictions").mkdir()
    np.savez(tmp_path / "predictions" / "one.npz", **arrays)
    assert "holds no true values" in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_model_that_neither_encodes_nor_decodes_lacks_figures_and_nothing_fails(tmp_path):
    arrays = prediction_arrays()
    kept = ("start_s", "split", "trial", "valid", "units", "bin_size_s")
    (tmp_path / "predictions").mkdir()
    np.savez(tmp_path / "predictions" / "one.npz", **{name: arrays[name] for name in kept})
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "one.npz holds no encoding or decoding" in text
    assert "cannot be drawn" not in text


def test_predictions_that_do_not_fit_together_are_said(tmp_path):
    arrays = prediction_arrays() | {"valid": np.ones((3, 2), dtype=bool)}
    (tmp_path / "predictions").mkdir()
    np.savez(tmp_path / "predictions" / "one.npz", **arrays)
    assert "does not fit together" in write_report(tmp_path).read_text(encoding="utf-8")


def test_comparisons_stand_beside_the_scores_of_the_run(tmp_path):
    pd.DataFrame(score_rows("a")).to_csv(tmp_path / "scores.csv", index=False)
    other = pd.DataFrame([score("scratch", "a", "decoding", "wheel", "r2", 0.123)])
    text = write_report(tmp_path, comparisons=other).read_text(encoding="utf-8")
    assert '<th scope="col">scratch</th>' in text
    assert "<td>0.123</td>" in text


def test_comparisons_without_a_column_change_no_file(tmp_path):
    (tmp_path / "report.html").write_text("before")
    with pytest.raises(UserError, match="lacks the columns oracle"):
        write_report(tmp_path, comparisons=pd.DataFrame(score_rows("a")).drop(columns="oracle"))
    assert (tmp_path / "report.html").read_text() == "before"


def test_models_scored_on_different_sessions_are_pointed_out(tmp_path):
    rows = [*score_rows("a"), score("duet", "b", "decoding", "wheel", "r2", 0.1)]
    pd.DataFrame(rows).to_csv(tmp_path / "scores.csv", index=False)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Not every model was scored on every session (ridge)" in text


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no run folder"):
        write_report(tmp_path / "nowhere")


def test_an_ensemble_draws_one_curve_for_each_member(tmp_path):
    run = make_run(tmp_path / "run")
    curve = (run / "metrics.csv").read_text()
    for path in run.iterdir():
        if path.is_file() and path.name != "metrics.csv":
            path.unlink()
    (run / "predictions" / "one.npz").unlink()
    for member in ("00", "01"):
        (run / "members" / member).mkdir(parents=True)
        (run / "members" / member / "metrics.csv").write_text(curve)
    text = write_report(run).read_text(encoding="utf-8")
    assert "One line for each of 2 ensemble members." in text


def test_the_best_a_middling_and_the_worst_session_are_shown():
    rows = [
        score("duet", name, "encoding", "spikes", "bits_per_spike", value)
        for name, value in zip("abcde", (0.1, 0.5, 0.3, 0.2, 0.4), strict=True)
    ]
    scores = pd.DataFrame(rows)
    assert shown_sessions(list("abcde"), scores, "duet") == ["b", "c", "a"]
    assert shown_sessions(list("abcde"), None, None) == ["a", "c", "e"]
    assert shown_sessions(["b", "a"], scores, "duet") == ["b", "a"]
