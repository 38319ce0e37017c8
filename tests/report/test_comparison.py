from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import chromium, watched
from hypothesis import given, settings
from hypothesis import strategies as st
from run_folders import HOSTILE, score
from scipy.stats import ttest_rel, wilcoxon

from neuroduet.errors import UserError
from neuroduet.report.comparison import write_comparison
from neuroduet.report.comparison_checks import check_runs, differing_settings
from neuroduet.report.comparison_figures import unit_pairs, unit_scatter
from neuroduet.report.comparison_runs import distinct_names, read_runs, side_by_side
from neuroduet.report.comparison_scores import ask_questions, unpaired, verdict
from neuroduet.report.comparison_tables import cost_table
from neuroduet.report.comparison_words import signed

BASE = (0.10, 0.20, 0.15, 0.30, 0.25, 0.18)
GAIN = (0.11, 0.09, 0.10, 0.12, 0.08, 0.10)


def config_text(seed: int = 0, width: int = 64) -> str:
    split = f"    kind: random\n    seed: {seed}\n    blocks: {5 + seed}\n"
    windows = "    length_s: 1.0\n    jitter_s: 0.0\n"
    return f"preset: duet\ndata:\n  split:\n{split}  windows:\n{windows}model:\n  width: {width}\n"


def make(run: Path, scores: dict[str, list[float]], *, n: int = 10, bin_size_s: float = 0.02,
         config: str | None = None, unit: str = "u", shift: float = 0.0) -> Path:  # fmt: skip
    """A run folder: scores of encoding by session, and of three units in each."""
    (run / "model").mkdir(parents=True)
    (run / "config.yaml").write_text(config_text() if config is None else config)
    infos = [
        {"id": s, "subject": f"animal {s}", "units": [unit] * 3, "bin_size_s": bin_size_s}
        for s in scores
    ]
    (run / "model" / "config.json").write_text(json.dumps({"sessions": infos}))
    rows, units = [], []
    for session, (encoding, decoding) in scores.items():
        rows += [
            score("duet", session, "encoding", "spikes", "bits_per_spike", encoding, oracle=0.9),
            score("duet", session, "decoding", "wheel", "r2", decoding),
            score("duet", session, "decoding", "wheel", "r2_per_trial", decoding / 2),
            score("ridge", session, "decoding", "wheel", "r2", 0.4),
        ]
        for value in (0.1, 0.2, 0.3):
            units.append(
                {"session": session, "task": "encoding", "unit": unit, "metric": "bits_per_spike",
                 "value": value + shift}
            )  # fmt: skip
    pd.DataFrame(rows).assign(n=n).to_csv(run / "scores.csv", index=False)
    pd.DataFrame(units).to_parquet(run / "scores_units.parquet")
    return run


def scores_of(values, wheel=None) -> dict[str, list[float]]:
    wheel = values if wheel is None else wheel
    return {f"s{i}": [a, b] for i, (a, b) in enumerate(zip(values, wheel, strict=True))}


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    higher = [a + b for a, b in zip(BASE, GAIN, strict=True)]
    mixed = [a + d for a, d in zip(BASE, (0.1, -0.1, 0.05, -0.06, 0.02, 0.0), strict=True)]
    return [
        make(tmp_path / "small", scores_of(BASE)),
        make(
            tmp_path / "large", scores_of(higher, mixed), config=config_text(width=128), shift=0.1
        ),
    ]


def asked(paths, tested=True):
    runs = read_runs(paths)
    wide = side_by_side(runs)
    return ask_questions(runs, wide, tested), wide


def page_of(paths, out: Path) -> str:
    return write_comparison(paths, out).read_text(encoding="utf-8")


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


class Tags(HTMLParser):
    """Tags, links and ids of a page; refuses tags that do not nest."""

    VOID = ("meta", "br", "wbr", "hr", "img", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.links, self.ids = [], set(), [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_differences_are_tested_over_sessions_and_adjusted(pair):
    questions, _ = asked(pair)
    by = {one.named: one for one in questions}
    encoding = by["encoding", "spikes", "bits_per_spike"]
    wheel = by["decoding", "wheel", "r2"]
    found = encoding.differences["large"]
    first, other = encoding.values["small"], encoding.values["large"]
    assert found.mean == pytest.approx(0.1)
    assert found.p_value == pytest.approx(ttest_rel(other, first).pvalue)
    assert found.wilcoxon == pytest.approx(wilcoxon(other, first).pvalue)
    # Two primary scores are the family; the second metric of the wheel is none of it.
    assert encoding.p_holm["large"] == pytest.approx(2 * found.p_value)
    assert wheel.p_holm["large"] == pytest.approx(wheel.differences["large"].p_value)
    assert np.isnan(by["decoding", "wheel", "r2_per_trial"].p_holm["large"])
    assert verdict(encoding, "large") == "higher"
    assert verdict(wheel, "large") == "not told apart"


def test_references_are_those_of_the_shared_sessions(pair):
    by = {one.named: one for one in asked(pair)[0]}
    assert by["encoding", "spikes", "bits_per_spike"].oracle == pytest.approx(0.9)
    wheel = by["decoding", "wheel", "r2"]
    assert (wheel.linear, wheel.linear_name) == (pytest.approx(0.4), "ridge")


def test_linear_baselines_in_a_file_of_their_own_are_set_beside(pair):
    for run, value in zip(pair, (0.11, 0.12), strict=True):
        rows = [
            score("poisson_glm", f"s{i}", "encoding", "spikes", "bits_per_spike", value)
            for i in range(len(BASE))
        ]
        pd.DataFrame(rows).to_csv(run / "baselines.csv", index=False)
    by = {one.named: one for one in asked(pair)[0]}
    encoding = by["encoding", "spikes", "bits_per_spike"]
    assert (encoding.linear, encoding.linear_name) == (pytest.approx(0.11), "poisson_glm")


def test_a_run_that_was_pretrained_differs_from_one_that_was_not(pair, tmp_path):
    known = {"run": "first", "sessions": 4, "subjects": 3}
    (pair[1] / "env.json").write_text(json.dumps({"pretrained": known}))
    text = words(page_of(pair, tmp_path / "page.html"))
    assert "small: not pretrained; large: pretrained on 4 sessions of 3 animals." in text
    (pair[0] / "env.json").write_text(json.dumps({"pretrained": known}))
    assert "not pretrained" not in words(page_of(pair, tmp_path / "page.html"))


def test_the_summary_says_who_wins_where_by_how_much_and_how_surely(pair, tmp_path):
    text = words(page_of(pair, tmp_path / "page.html"))
    assert "large compared with small on 6 shared sessions in 3 questions" in text
    assert "large scores higher than small in 2 of 2 primary scores" in text
    assert "1 of 2 tested differences are certain" in text
    assert "encoding +0.100 bits per spike (95 % +0.085 to +0.115)" in text
    assert "model.width 64 128" in text
    assert "The training cost of small is not known" in text


@settings(max_examples=6, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=8), st.data())
def test_swapping_the_runs_turns_every_difference_around(tmp_path_factory, values, data):
    other = data.draw(st.lists(st.floats(-1, 1), min_size=len(values), max_size=len(values)))
    folder = tmp_path_factory.mktemp("swap")
    paths = [make(folder / "a", scores_of(values)), make(folder / "b", scores_of(other))]
    (there, _), (back, _) = asked(paths), asked(paths[::-1])
    for one, two in zip(there, back, strict=True):
        a, b = one.differences["b"], two.differences["a"]
        np.testing.assert_allclose([a.mean, a.low, a.high], [-b.mean, -b.high, -b.low])
        np.testing.assert_allclose(a.p_value, b.p_value)


def test_only_common_rows_are_paired_and_the_rest_is_named(pair, tmp_path):
    rows = pd.read_csv(pair[1] / "scores.csv")
    rows[(rows["session"] != "s2") | (rows["task"] != "encoding")].to_csv(
        pair[1] / "scores.csv", index=False
    )
    questions, wide = asked(pair)
    encoding, *rest = questions
    assert list(encoding.values.index) == ["s0", "s1", "s3", "s4", "s5"]
    assert all(len(one.values) == 6 for one in rest)
    left = unpaired(wide, questions)
    assert left == {"small": ["encoding · spikes · bits_per_spike · s2"], "large": []}
    text = words(page_of(pair, tmp_path / "page.html"))
    assert "1 scores have no counterpart" in text
    assert "small: encoding · spikes · bits_per_spike · s2" in text


def test_the_means_of_three_runs_are_over_the_same_sessions(pair, tmp_path):
    third = make(tmp_path / "third", scores_of(BASE[:4]))
    questions, _ = asked([*pair, third])
    assert all(len(one.values) == 4 for one in questions)
    assert set(questions[0].differences) == {"large", "third"}
    assert verdict(questions[0], "third") == "equal"


def test_two_sessions_give_no_test(tmp_path):
    paths = [
        make(tmp_path / name, scores_of(v)) for name, v in (("a", [0.1, 0.2]), ("b", [0.3] * 2))
    ]
    questions, _ = asked(paths)
    assert all(np.isnan(one.differences["b"].p_value) for one in questions)
    assert verdict(questions[0], "b") == "no test"
    text = words(page_of(paths, tmp_path / "page.html"))
    assert "No test is possible with 2 shared sessions" in text
    assert "certain (" not in text
    assert " ± " not in text


def test_another_split_is_said_and_nothing_is_tested(pair, tmp_path):
    (pair[1] / "config.yaml").write_text(config_text(seed=3))
    text = words(page_of(pair, tmp_path / "page.html"))
    assert "large were split otherwise than those of small (data.split.seed 3, not 0)" in text
    assert "no winner is named and nothing is tested" in text
    assert "higher than" not in text
    assert "+0.085" not in text


def test_a_split_that_the_recordings_give_needs_no_equal_seed(pair):
    for path, seed in zip(pair, (0, 3), strict=True):
        (path / "config.yaml").write_text(config_text(seed).replace("random", "given"))
    assert check_runs(read_runs(pair)).fatal == ()


def test_settings_that_move_no_test_window_are_no_matter(pair):
    text = (
        config_text().replace("jitter_s: 0.0", "jitter_s: 0.5").replace("blocks: 5", "blocks: 9")
    )
    (pair[1] / "config.yaml").write_text(text)
    assert check_runs(read_runs(pair)).fatal == ()
    assert len(differing_settings(read_runs(pair))) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bin_size_s": 0.05}, "bins of b last 0.05 s and those of a 0.02 s"),
        ({"config": config_text() + "data:\n  windows:\n    length_s: 2\n"}, "could not be read"),
        ({"unit": "v"}, "see other units in 3 of 3 common sessions"),
        ({"config": config_text().replace("length_s: 1.0", "length_s: 2.0")},
         "cut into other windows than those of a (data.windows.length_s 2, not 1)"),
        ({"n": 11}, "3 of 3 questions rest on other numbers of scored"),
    ],
)  # fmt: skip
def test_what_does_not_compare_is_said(tmp_path, change, said):
    if said == "could not be read":
        said = "b has no readable config.yaml"
    paths = [
        make(tmp_path / "a", scores_of(BASE[:3])),
        make(tmp_path / "b", scores_of(GAIN[:3]), **change),
    ]
    assert said in words(page_of(paths, tmp_path / "page.html"))


def test_other_numbers_of_scored_values_are_not_tested(tmp_path):
    paths = [
        make(tmp_path / "a", scores_of(BASE)),
        make(tmp_path / "b", scores_of(GAIN), n=11),
    ]
    questions, _ = asked(paths)
    assert {one.differences["b"].test for one in questions} == {"none: the test sets differ"}


def test_units_are_paired_by_session_and_name_and_counted(pair):
    small, large = read_runs(pair)
    pairs = unit_pairs(small, large)
    # Three units of one name in each of six sessions: paired in their order.
    assert len(pairs) == 18
    np.testing.assert_allclose(pairs["other"] - pairs["first"], 0.1)
    drawn = unit_scatter(pairs, "small", "large", "units-0")
    assert drawn is not None
    assert "18 above (1.00)" in drawn.svg
    assert "0 below" in drawn.svg
    assert unit_scatter(pairs[:0], "small", "large", "units-0") is None


def test_settings_that_are_equal_are_not_listed(pair):
    assert differing_settings(read_runs(pair)) == [("model.width", ["64", "128"])]


def test_the_cost_of_an_ensemble_is_the_sum_of_its_members():
    training = {"windows": 100, "windows_exact": True, "minutes": 1.5, "steps": 20,
                "stopped_by": "patience", "gpu": None, "device": "cpu"}  # fmt: skip
    cost = {
        "parameters": {"total": 12345, "core": 12000},
        "members": 2,
        "trainings": [training] * 2,
    }
    table = cost_table([("a", cost)])
    said = {row[0].text: row[1].text for row in table.rows}
    assert said["parameters"] == "12,345"
    assert (said["windows seen"], said["minutes"], said["steps"]) == ("200", "3.0", "40")
    assert (said["stopped by"], said["device"]) == ("patience", "cpu")
    unknown = cost | {"trainings": [training, training | {"windows": None, "minutes": None}]}
    said = {row[0].text: row[1].text for row in cost_table([("a", unknown)]).rows}
    assert (said["windows seen"], said["minutes"]) == ("–", "–")


def test_mistakes_are_named(pair, tmp_path):
    out = tmp_path / "page.html"
    with pytest.raises(UserError, match="expected two or more"):
        write_comparison(pair[:1], out)
    with pytest.raises(UserError, match="given twice"):
        write_comparison([pair[0], pair[0]], out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no scores to compare"):
        write_comparison([pair[0], tmp_path / "empty"], out)
    stranger = make(tmp_path / "stranger", {"other": [0.1, 0.2]})
    with pytest.raises(UserError, match="shares no session"):
        write_comparison([pair[0], stranger], out)
    assert not out.exists()


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=4), min_size=2, max_size=5))
def test_names_of_runs_differ_and_end_their_paths(parts):
    paths = list(dict.fromkeys(Path("/", *one) for one in parts))
    names = distinct_names(paths)
    assert len(set(names)) == len(paths)
    assert all(str(path).endswith(name) for path, name in zip(paths, names, strict=True))


def test_differences_carry_their_sign():
    assert [signed(x) for x in (0.05, -0.05, 0.0001, float("nan"))] == [
        "+0.050", "-0.050", "0.000", "–",
    ]  # fmt: skip


def test_names_from_files_cannot_become_markup_and_nothing_is_loaded(tmp_path):
    rows = {HOSTILE + str(i): [a, a] for i, a in enumerate(BASE)}
    first = make(tmp_path / "a & b", rows, unit=HOSTILE)
    other = make(
        tmp_path / "<i>c", rows, config=config_text() + f'# "\nname: "{HOSTILE}"\n', shift=0.1
    )
    text = write_comparison([first, other], tmp_path / "p.html", HOSTILE).read_text()
    page = Tags(text)
    assert not {"script", "i", "link", "iframe", "img"} & page.tags
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_equal_runs_give_an_equal_page(pair, tmp_path):
    one, two = (page_of(pair, tmp_path / name) for name in ("one.html", "two.html"))
    assert one == two
    assert len(one) < 1_000_000


def test_a_phone_shows_the_page_without_scrolling_sideways(pair, tmp_path):
    path = write_comparison(pair, tmp_path / "page.html")
    with chromium() as browser, watched(browser, path.as_uri(), 400) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert page.locator("figure svg").count() == 2
