"""How headlines stand beside null and linear baseline, and what is said about it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from run_folders import make_run, prediction_arrays, score

from neuroduet.report.answers import constant_answers
from neuroduet.report.certainty import session_intervals
from neuroduet.report.folder import read_folder
from neuroduet.report.headlines import headlines
from neuroduet.report.intervals import Interval
from neuroduet.report.judgement import judgements
from neuroduet.report.page import write_page
from neuroduet.report.summary import tile_groups
from neuroduet.report.tables import summary_table

WHEEL = ("decoding", "wheel", "r2")


def over_windows(low: float, high: float) -> Interval:
    return Interval(value=(low + high) / 2, low=low, high=high, n=30, over="test windows")


def judge(tmp_path, pairs, intervals, question=WHEEL, rival="ridge"):
    """The judgement of one question, from the run's and the rival's score of each session."""
    run = make_run(tmp_path / "run")
    rows = []
    for i, (own, other) in enumerate(pairs):
        rows.append(score("duet", f"s{i}", *question, own))
        rows.append(score(rival, f"s{i}", *question, other))
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    folder = read_folder(run)
    found = headlines(summary_table(folder.scores), "duet")
    known = {(*question, f"s{i}"): one for i, one in enumerate(intervals)}
    (judged,) = judgements(folder, found, known, {}).values()
    return judged


@pytest.mark.parametrize(
    ("own", "other", "low", "high", "expected"),
    [
        (0.786, 0.793, 0.638, 0.985, "level"),
        (0.844, 0.878, 0.804, 0.877, "below"),
        (0.674, 0.229, 0.564, 0.747, "above"),
        (0.5, 0.5004, 0.5, 0.5, "level"),
        (0.5, 0.6, 0.5, 0.5, "below"),
        (0.5, 0.6, np.nan, np.nan, "below"),
    ],
)
def test_one_session_is_level_within_its_own_interval(tmp_path, own, other, low, high, expected):
    assert judge(tmp_path, [(own, other)], [over_windows(low, high)]).rival == expected


def test_the_card_says_by_how_much_the_best_linear_is_missed(tmp_path):
    judged = judge(tmp_path, [(0.6, 0.7)], [over_windows(0.45, 0.72)])
    assert judged.gain == pytest.approx((-0.1, -0.25, 0.02))
    folder = read_folder(tmp_path / "run")
    (one,) = headlines(summary_table(folder.scores), "duet")
    ((_, (tile,)),) = tile_groups([one], {one: judged}, None)
    assert tile.verdict is not None
    assert (tile.verdict.text, tile.verdict.kind) == ("level with the best linear", "even")
    assert tile.verdict.note == "difference -0.100 (-0.250 to 0.020)"


def test_the_null_is_judged_by_the_same_rule(tmp_path):
    assert judge(tmp_path, [(0.1, 0.5)], [over_windows(-0.1, 0.3)]).null == "level"
    (tmp_path / "two").mkdir()
    assert judge(tmp_path / "two", [(0.1, 0.5)], [over_windows(0.05, 0.3)]).null == "above"


@pytest.mark.parametrize(("reach", "expected"), [(0.13, "above"), (0.15, "level")])
def test_intervals_of_two_sessions_add_up_as_squares(tmp_path, reach, expected):
    # Differences of 0.1 with ends 0.1 +- r / sqrt(2): 0 is within them from r = 0.1414 on.
    pairs = [(0.5, 0.4), (0.7, 0.6)]
    ends = [over_windows(0.5 - reach, 0.5 + reach), over_windows(0.7 - reach, 0.7 + reach)]
    assert judge(tmp_path, pairs, ends).rival == expected


@pytest.mark.parametrize(
    ("gains", "expected"),
    [((0.02, 0.021, 0.019), "above"), ((0.3, -0.1, 0.1), "level"), ((-0.1, -0.11), "below")],
)
def test_several_sessions_are_judged_by_their_paired_differences(tmp_path, gains, expected):
    # Scores far apart between sessions say nothing against a difference that all of them show.
    pairs = [(0.2 * i + gain, 0.2 * i) for i, gain in enumerate(gains)]
    assert judge(tmp_path, pairs, []).rival == expected


def test_units_that_both_models_have_are_compared_one_by_one(tmp_path):
    question = ("co_smoothing", "spikes", "bits_per_spike")
    values = np.linspace(0.0, 1.0, 20)
    wide = Interval(value=0.5, low=0.3, high=0.7, n=20, over="units")
    units = pd.DataFrame({"unit": [f"u{i}" for i in range(20)], "session": "s0", "rate_hz": 1.0})
    units = units.assign(task=question[0], target=question[1], metric=question[2])
    (tmp_path / "run").mkdir()
    run = make_run(tmp_path / "run" / "inner")
    rows = [
        score("duet", "s0", *question, 0.5),
        score("reduced_rank_units", "s0", *question, 0.45),
    ]
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    units.assign(model="duet", value=values).to_parquet(run / "scores_units.parquet")

    def rival() -> str:
        folder = read_folder(run)
        found = headlines(summary_table(folder.scores), "duet")
        (judged,) = judgements(folder, found, {(*question, "s0"): wide}, {}).values()
        return judged.rival

    assert rival() == "level"
    theirs = units.assign(model="reduced_rank_units")
    theirs.assign(value=values - 0.05).to_parquet(run / "baselines_units.parquet")
    assert rival() == "above"
    # These are no scores of units that average to the score of the table.
    theirs.assign(value=values - 0.2).to_parquet(run / "baselines_units.parquet")
    assert rival() == "level"


def with_answers(tmp_path, answered: np.ndarray):
    """A run whose classifier answers so in test windows."""
    run = make_run(tmp_path / "run")
    arrays = prediction_arrays()
    arrays["decoding/choice"] = np.eye(2, dtype=np.float32)[answered]
    (run / "predictions" / "one.npz").unlink()
    np.savez(run / "predictions" / "mouse_1.npz", **arrays)
    question = ("decoding", "choice", "balanced_accuracy")
    test = arrays["split"] == "test"
    right = (answered == arrays["true/choice"])[test]
    value = np.mean([right[arrays["true/choice"][test] == k].mean() for k in (0, 1)])
    rows = [
        score("duet", "mouse_1", *question, value, null=0.5),
        score("logistic", "mouse_1", *question, 0.7, null=0.5),
    ]
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    return run


def test_a_classifier_that_always_says_the_same_is_told_on_its_card(tmp_path):
    run = with_answers(tmp_path, np.ones(24, dtype=np.int64))
    text = write_page(run).path.read_text(encoding="utf-8")
    assert "It says “1” in all 12 test windows." in text
    assert "Logistic does better here: use it." in text
    assert "level with the null" in text


def test_a_classifier_that_changes_its_mind_once_is_not_told(tmp_path):
    answered = np.ones(24, dtype=np.int64)
    answered[5] = 0  # a test window
    folder = read_folder(with_answers(tmp_path, answered))
    found = headlines(summary_table(folder.scores), "duet")
    assert constant_answers(folder, found, ["mouse_1"]) == {}


def test_a_small_p_below_the_null_is_explained_on_the_card(tmp_path):
    run = make_run(tmp_path / "run")
    rows = [score("duet", "mouse_1", "forward", "spikes", "bits_per_spike", -0.02)]
    pd.DataFrame(rows).assign(p_value=0.016).to_csv(run / "scores.csv", index=False)
    text = write_page(run).path.read_text(encoding="utf-8")
    assert "below the null" in text
    assert "p 0.016 is no contradiction" in text
    pd.DataFrame(rows).assign(p_value=0.5).to_csv(run / "scores.csv", index=False)
    assert "contradiction" not in write_page(run).path.read_text(encoding="utf-8")


def test_the_first_sentence_tells_of_pretraining(tmp_path):
    run = make_run(tmp_path / "run")
    known = {"run": "first", "sessions": 4, "subjects": 3}
    (run / "env.json").write_text(json.dumps({"pretrained": known}))
    text = write_page(run).path.read_text(encoding="utf-8")
    assert (
        "Pretrained on 4 sessions of 3 animals, then finetuned on 1 session of 1 animal (6 units)"
    ) in text


def test_judgements_of_real_intervals_hold_the_interval_of_the_card(tmp_path):
    folder = read_folder(with_answers(tmp_path, np.arange(24) // 2 % 2))
    found = headlines(summary_table(folder.scores), "duet")
    intervals = session_intervals(folder, found, ["mouse_1"], [])
    (judged,) = judgements(folder, found, intervals, {}).values()
    assert judged.spread is not None
    assert (judged.spread.low, judged.spread.high) == (1.0, 1.0)
    assert (judged.null, judged.rival) == ("above", "above")
