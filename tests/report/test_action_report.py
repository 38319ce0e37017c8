from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import chromium, watched
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.actions import Segmenter
from neuroduet.actions.compare import grid
from neuroduet.actions.experiments import Grid, compare_models, density_curve
from neuroduet.actions.metrics import score_actions
from neuroduet.actions.out_of_fold import out_of_fold, recording_folds
from neuroduet.actions.run import Inputs
from neuroduet.errors import UserError
from neuroduet.report.action_report import _alarms, shown_recordings, write_action_report
from neuroduet.report.action_report_data import (
    Predictions,
    predict,
    read_action_folder,
    scores_of,
)
from neuroduet.report.action_report_figures import (
    bout_durations,
    busiest_stretch,
    calibration_curve,
    time_budget,
)
from neuroduet.report.action_report_tables import (
    bout_ratio,
    bout_table,
    recording_scores,
    state_table,
)
from neuroduet.report.action_report_words import said as about_predictions
from neuroduet.types import UNLABELLED

NAMES = ("rest", "<b>run</b>", "turn & go")
T = 400


def signals(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that tell most of the classes, and the classes."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.integers(0, 3, T // 20), 20)
    return np.eye(3)[labels] + 0.5 * rng.normal(size=(T, 3)), labels


def write(folder: Path, n: int = 4, labelled: bool = True, first: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    for seed in range(first, first + n):
        features, labels = signals(seed)
        said = {"labels": np.where(np.arange(T) < 40, -1, labels), "names": np.array(NAMES)}
        np.savez(
            folder / f"film{seed}.npz",
            features=features,
            timestamps=np.arange(T) / 2.0,
            **(said if labelled else {}),
        )
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("films") / "labelled")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    pairs = [signals(seed) for seed in range(2)]
    forest = Segmenter("random_forest", classes=NAMES, trees=3, jobs=1)
    forest.fit([x for x, _ in pairs], [y for _, y in pairs])
    return forest.save_pretrained(tmp_path_factory.mktemp("models") / "forest")


@pytest.fixture(scope="module")
def states(tmp_path_factory) -> Path:
    found = Segmenter("hmm", n_states=2).fit([signals(0)[0]])
    return found.save_pretrained(tmp_path_factory.mktemp("models") / "hmm")


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("experiments") / "grid"
    candidates = Grid(models=("random_forest",), options={"random_forest": {"trees": 3}})
    compare_models(inputs=Inputs(data=data), candidates=candidates, folds=2, seed=1, out=out)
    return out


@pytest.fixture(scope="module")
def page(model, data, tmp_path_factory) -> Path:
    """The page of labelled recordings."""
    out = tmp_path_factory.mktemp("pages") / "page.html"
    return write_action_report(model, data, out, "<script>x</script>")


def words(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


def said(truth: list, predicted: list, names=("a", "b", "c"), **more) -> Predictions:
    probabilities = [np.eye(len(names))[np.asarray(one)] for one in predicted]
    return Predictions(
        **{
            "recordings": [f"r{i}" for i in range(len(truth))],
            "steps": [None] * len(truth),
            "truth": [np.asarray(one) for one in truth],
            "predicted": [np.asarray(one) for one in predicted],
            "probabilities": probabilities,
            "names": tuple(names),
            "classes": tuple(names),
            "by": "m",
            "out_of_fold": True,
        }
        | more
    )


def test_a_page_of_labelled_recordings_scores_and_warns(page, model, data):
    text = words(page)
    assert "Whether the segmenter was trained on these recordings is not written" in text
    assert "neuroduet actions compare" in text
    found = predict(read_action_folder(model), data)
    scores = score_actions(found.truth, found.predicted, NAMES, found.probabilities)
    macro = scores[scores["metric"] == "macro_f1"].iloc[0]
    assert f"Macro F1 {macro.value:.3f} (95 % {macro.low:.3f} to {macro.high:.3f}" in text
    assert "4 recordings (1,600 frames, 13.3 minutes)" in text
    assert "labelled 90 % of the frames" in text
    for part in ("Which classes are confused", "Time budget", "How long bouts last",
                 "Bouts and transitions", "Whether probabilities mean what they say",
                 "the 60 s in which most bouts begin", "Every recording"):  # fmt: skip
        assert part in text
    assert "Shown are 3 of 4 recordings" in text


def test_names_cannot_become_markup_and_nothing_is_loaded(page):
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<b>run" not in text
    links = re.findall(r'\b(?:src|href)="([^"]*)"', text)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert len(text) < 10_000_000


def test_a_phone_in_the_dark_shows_the_page_without_scrolling_sideways(page):
    with chromium() as browser, watched(browser, page.as_uri(), 400, dark=True) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= 400
        colour = "getComputedStyle(document.querySelector('{}')).color"
        paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        for part in ("svg", "td", ".tile .value", ".alarm"):
            ink = shown.evaluate(colour.format(part))
            light = [sum(map(int, one[4:-1].split(","))) for one in (ink, paper)]
            assert light[0] - light[1] > 300, part


def test_without_recordings_the_page_says_what_the_model_is(model, tmp_path):
    text = words(write_action_report(model, None, tmp_path / "page.html"))
    assert "A segmenter (random_forest) that tells 3 classes" in text
    assert "from 3 features" in text
    assert "All options" in text
    assert "Ethogram" not in text
    assert "Whether the segmenter was trained" not in text


def test_the_page_lies_beside_the_model_if_not_told_otherwise(model):
    path = write_action_report(model)
    assert path == model / "report.html"
    path.unlink()


@pytest.mark.parametrize(
    ("step_s", "length"), [(0.04, "500 frames, 20 s"), (0.3, "500 frames, 2.5 minutes")]
)
def test_the_length_of_recordings_has_a_fitting_unit(step_s, length):
    found = said([np.full(500, -1)], [np.zeros(500, int)], steps=[step_s])
    assert f"({length})" in about_predictions(found, None)[0]


def test_without_labels_there_are_bouts_and_no_scores(model, tmp_path):
    films = write(tmp_path / "films", 2, labelled=False)
    text = words(write_action_report(model, films, tmp_path / "page.html"))
    assert "no labels" in text
    assert "Time goes to" in text
    assert "Ethogram of film0" in text
    assert "human" not in text
    assert "Macro F1" not in text


def test_states_are_matched_and_shown_without_names(states, data, tmp_path):
    text = words(write_action_report(states, data, tmp_path / "page.html"))
    assert "2 states that it found without labels" in text
    assert "What the states are called by humans" in text
    assert "one-to-one accuracy" in text
    assert "Which classes are confused" not in text


def test_a_state_divides_over_the_classes():
    found = said(
        [[0, 0, 0, 1, 2, -1]], [[0, 0, 1, 1, 1, 1]], classes=("a", "b", "c"),
        names=("state 0", "state 1"), probabilities=[np.eye(2)[[0, 0, 1, 1, 1, 1]]],
    )  # fmt: skip
    rows = [[cell.text for cell in row] for row in state_table(found).rows]
    assert rows == [
        ["state 0", "2", "1.000", "0.000", "0.000"],
        ["state 1", "3", "0.333", "0.333", "0.333"],
    ]


def test_a_comparison_shows_what_models_said_of_recordings_they_had_not_seen(
    compared, data, tmp_path
):
    found = predict(read_action_folder(compared), data)
    films = Inputs(data=data).read()
    labels = [one.labels for one in films]
    frames = [one.frames for one in films]
    (candidate,) = grid(["random_forest"], classes=NAMES, options={"random_forest": {"trees": 3}})
    again = out_of_fold(candidate, frames, labels, recording_folds(labels, 2, 1), seed=1)
    assert found.recordings == [one.name for one in films]
    for one, other in zip(found.probabilities, again.probabilities, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    text = words(write_action_report(compared, data, tmp_path / "page.html"))
    assert "out of fold" in text
    assert "Whether the segmenter was trained" not in text
    assert "each recording scored by models that had not seen it" in text


def test_other_recordings_than_those_compared_are_refused(compared, tmp_path):
    others = write(tmp_path / "others", 4, first=10)
    with pytest.raises(UserError, match="are of other recordings than those given"):
        write_action_report(compared, others, tmp_path / "page.html")
    fewer = write(tmp_path / "fewer", 3)
    with pytest.raises(UserError, match="are of other recordings than those given"):
        write_action_report(compared, fewer, tmp_path / "page.html")


def test_a_density_folder_has_curves_and_a_table_and_no_predictions(data, tmp_path):
    out = tmp_path / "density"
    candidates = Grid(models=("random_forest",), options={"random_forest": {"trees": 2}})
    table = density_curve(
        inputs=Inputs(data=data),
        candidates=candidates,
        goals=(20, 60),
        seeds=2,
        test=None,
        out=out,
    )
    text = words(write_action_report(out, None, tmp_path / "page.html"))
    main = table[(table["metric"] == "macro_f1") & (table["goal"] == 60)]["value"]
    assert f"{main.mean():.3f} ± {main.std():.3f}" in text
    assert f"{main.mean():.3f} with 60 labelled frames per class" in text
    assert "How scores grow with labels" in text
    with pytest.raises(UserError, match="no predictions to show"):
        write_action_report(out, data, tmp_path / "page.html")


def test_a_folder_without_any_of_the_files_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no segmenter.json, compare.csv, density.csv or"):
        write_action_report(tmp_path)
    (tmp_path / "compare.csv").write_text("model\ntcn\n")
    with pytest.raises(UserError, match="lacks the columns features"):
        write_action_report(tmp_path)


def test_a_lone_recording_has_intervals_of_frames_over_its_pieces():
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.integers(0, 3, 30), 10)
    predicted = np.where(rng.random(300) < 0.3, rng.integers(0, 3, 300), truth)
    found = said([truth], [predicted])
    table = scores_of(found).set_index(["metric", "class"])
    whole = score_actions([truth], [predicted], ("a", "b", "c"), intervals=False)
    np.testing.assert_allclose(table["value"][: len(whole)], whole["value"])
    pieces = score_actions(
        np.array_split(truth, 10), np.array_split(predicted, 10), ("a", "b", "c")
    ).set_index(["metric", "class"])
    for key in (("accuracy", "all"), ("f1", "b")):
        np.testing.assert_allclose(table.loc[key, ["low", "high"]].astype(float),
                                   pieces.loc[key, ["low", "high"]].astype(float))  # fmt: skip
    assert table.loc[[("edit", "all"), ("f1@50", "all")], ["low", "high"]].isna().all(axis=None)


def test_bouts_are_compared_within_the_labels():
    # Human: a, b, a; model within the labels: a, b, a, b; its bouts of c are unlabelled.
    found = said(
        [[-1, -1, 0, 0, 1, 1, 0, 0, 0, -1]],
        [[2, 2, 0, 0, 1, 1, 0, 1, 1, 2]],
        steps=[0.5],
    )
    assert bout_ratio(found) == pytest.approx(4 / 3)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in bout_table(found).rows}
    # bouts, mean, median and share, each human and model; the ratio.
    assert rows["a"] == ["2", "2", "1.25", "0.75", "1.25", "0.75", "0.714", "0.429", "1.00"]
    assert rows["b"] == ["1", "2", "1.00", "1.00", "1.00", "1.00", "0.286", "0.571", "2.00"]
    assert rows["c"] == ["0", "0", "–", "–", "–", "–", "0.000", "0.000", "–"]
    scores = recording_scores(found).iloc[0]
    assert scores["accuracy"] == pytest.approx(5 / 7)
    assert scores["edit"] == pytest.approx(75)
    assert scores["ratio"] == pytest.approx(4 / 3)


def test_the_best_a_middling_and_the_worst_recording_are_shown():
    truth = [[0, 1] * 10] * 5
    wrong = (4, 0, 12, 8, 2)
    predicted = [[1 - y if i < n else y for i, y in enumerate(truth[0])] for n in wrong]
    assert shown_recordings(said(truth, predicted, names=("a", "b"))) == [1, 0, 2]
    assert shown_recordings(said(truth[:2], predicted[:2], names=("a", "b"))) == [1, 0]
    nothing = [[-1] * 20] * 5
    assert shown_recordings(said(nothing, predicted, names=("a", "b"))) == [0, 2, 4]


@given(st.lists(st.integers(-1, 2), min_size=1, max_size=40), st.integers(1, 12))
def test_no_stretch_begins_more_bouts_than_the_busiest(labels, frames):
    array = np.array(labels)
    begins = [i > 0 and array[i] != array[i - 1] and array[i] >= 0 for i in range(len(array))]
    counts = [sum(begins[i : i + frames]) for i in range(max(len(array) - frames, 0) + 1)]
    assert busiest_stretch(array, frames) == int(np.argmax(counts))


def test_the_time_budget_has_two_bars_where_a_human_spoke():
    labels = [np.array([0, 0, 1, -1])]
    both = time_budget(labels, labels, ["film"], NAMES)
    assert {"film human", "film model"} <= set(re.findall(r">([^<>]*)</text>", both.svg))
    alone = time_budget(None, labels * 30, [f"film{i}" for i in range(30)], NAMES)
    assert "6 more recordings are not drawn" in alone.caption
    assert "human" not in alone.svg


def test_classes_that_never_occur_have_no_panel():
    labels = [np.array([0, 0, 1, 1, 0])]
    found = bout_durations(labels, labels, NAMES, frame_s=0.5)
    assert found is not None
    assert "turn" not in found.svg
    assert "human (2)" in found.svg
    assert bout_durations(None, [np.full(4, -1)], NAMES) is None
    assert calibration_curve([np.full(4, -1)], [np.full((4, 3), 1 / 3)]) is None


def test_equal_inputs_give_an_equal_page(model, data, tmp_path):
    one, two = (
        write_action_report(model, data / "film0.npz", tmp_path / name).read_bytes()
        for name in ("a", "b")
    )
    assert one == two


def test_the_grid_lists_the_best_first(tmp_path):
    rows = [
        {"model": m, "features": "auto", "metric": metric, "class": "all", "value": value,
         "low": value - 0.1, "high": value + 0.1, "definition": "d", "fit_s": 1.0}
        for m, value in (("tcn", 0.5), ("gru", 0.7))
        for metric in ("macro_f1", "accuracy", "edit", "f1@50")
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "compare.csv", index=False)
    text = words(write_action_report(tmp_path))
    assert "gru with auto features has the highest macro F1: 0.700 (95 % 0.600 to 0.800)" in text
    table = text[text.index("fit (s)") :]
    assert table.index("gru") < table.index("tcn")


def test_the_table_of_an_evaluation_becomes_a_page_beside_it(tmp_path):
    truth = [np.array([0, 0, 1, 1, 2]), np.array([2, 2, 1, 0, 0])]
    predicted = [np.array([0, 0, 1, 2, 2]), np.array([2, 1, 1, 0, 0])]
    scores = score_actions(truth, predicted, NAMES)
    scores.to_csv(tmp_path / "mine.csv", index=False)
    path = write_action_report(tmp_path / "mine.csv")
    assert path == tmp_path / "mine.html"
    text = words(path)
    assert "accuracy 0.800" in text
    assert "&lt;b&gt;run&lt;/b&gt;" in text


def test_the_page_names_scored_recordings_that_training_saw():
    found = said([[0, 1], [1, 0], [UNLABELLED] * 2], [[0, 1]] * 3, out_of_fold=False)
    (known,) = _alarms(found, {"recordings": ["r1", "r2", "other"]})
    assert "trained on r1:" in known
    assert _alarms(found, {"recordings": ["other"]}) == ()
    assert "not written in its folder" in _alarms(found, {"recordings": []})[0]
    assert _alarms(said([[0]], [[0]]), {"recordings": ["r0"]}) == ()
