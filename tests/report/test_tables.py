from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from run_folders import score

from neuroduet.errors import UserError
from neuroduet.report.headlines import headlines, main_model
from neuroduet.report.tables import (
    best_models,
    number,
    session_table,
    summary_table,
    uneven_models,
)

NAN = float("nan")
SPIKES = ("encoding", "spikes", "bits_per_spike")
WHEEL = ("decoding", "wheel", "r2")

SCORES = pd.DataFrame(
    [
        score("duet", "a", *WHEEL, 0.5),
        score("ridge", "a", *WHEEL, 0.25),
        score("duet", "a", *SPIKES, 0.1, oracle=0.4),
        score("duet", "b", *SPIKES, 0.3, oracle=0.6),
        score("poisson_glm", "a", *SPIKES, 0.2, oracle=0.4),
        score("poisson_glm", "b", *SPIKES, NAN, oracle=0.6),
        score("duet", "b", *WHEEL, 0.7),
    ]
)


def test_a_row_is_the_mean_over_sessions():
    table = summary_table(SCORES)
    assert table.loc[SPIKES, "duet"] == pytest.approx((0.1 + 0.3) / 2)
    assert table.loc[WHEEL, "duet"] == pytest.approx((0.5 + 0.7) / 2)
    assert table.loc[WHEEL, "ridge"] == 0.25


def test_undefined_scores_do_not_enter_a_mean():
    assert summary_table(SCORES).loc[SPIKES, "poisson_glm"] == 0.2


def test_a_model_without_an_answer_has_no_number():
    table = summary_table(SCORES)
    assert np.isnan(table.loc[SPIKES, "ridge"])
    assert np.isnan(table.loc[WHEEL, "poisson_glm"])


def test_null_and_oracle_are_means_over_sessions_not_over_models():
    # Session a has two rows with an oracle of 0.4; a mean over rows would read 0.5 only by luck.
    three = pd.concat([SCORES, pd.DataFrame([score("psth", "a", *SPIKES, 0.0, oracle=0.4)])])
    table = summary_table(three)
    assert table.loc[SPIKES, "oracle"] == pytest.approx((0.4 + 0.6) / 2)
    assert table.loc[SPIKES, "null"] == 0.0
    assert np.isnan(table.loc[WHEEL, "oracle"])
    assert table.loc[SPIKES, "sessions"] == 2


def test_models_stand_in_order_of_appearance_and_encoding_comes_first():
    table = summary_table(SCORES)
    names = ["duet", "ridge", "poisson_glm", "null", "oracle", "sessions"]
    assert table.columns.tolist() == names
    assert table.index.tolist() == [SPIKES, WHEEL]


def test_equal_rows_count_once():
    twice = pd.concat([SCORES, SCORES.assign(value=9.0)])
    pd.testing.assert_frame_equal(summary_table(twice), summary_table(SCORES))


def test_only_test_windows_count_where_there_are_any():
    mixed = pd.concat([SCORES.assign(split="train", value=9.0), SCORES])
    pd.testing.assert_frame_equal(summary_table(mixed), summary_table(SCORES))
    train_only = summary_table(SCORES.assign(split="train"))
    assert train_only.loc[WHEEL, "ridge"] == 0.25


def test_oracle_models_are_references_and_never_the_best():
    rows = [
        score("oracle_behaviour", "a", *WHEEL, 0.8),
        score("oracle_rates", "a", *WHEEL, 0.9),
    ]
    table = summary_table(pd.concat([SCORES, pd.DataFrame(rows)]))
    assert "oracle_behaviour" not in table.columns
    assert table.loc[WHEEL, "oracle"] == 0.8
    assert table.loc[WHEEL, "oracle_rates"] == 0.9
    assert best_models(table.loc[WHEEL]) == {"duet"}


def test_the_null_is_not_taken_from_a_model_that_is_its_own_null():
    region = ("regions", "region", "macro_f1")
    rows = [score("majority", "a", *region, 0.1, null=0.1), score("duet", "a", *region, 0.5, 0.2)]
    assert summary_table(pd.DataFrame(rows)).loc[region, "null"] == 0.2


def test_the_session_table_keeps_every_session_apart():
    table = session_table(SCORES)
    assert table.loc[(*SPIKES, "b"), "duet"] == 0.3
    assert table.loc[(*SPIKES, "a"), "oracle"] == 0.4
    assert len(table) == 4


def test_a_missing_column_is_named():
    with pytest.raises(UserError, match="lacks the columns null"):
        summary_table(SCORES.drop(columns="null"))


def test_no_scores_give_an_empty_table():
    table = summary_table(SCORES.iloc[:0])
    assert len(table) == 0
    assert table.index.names == ["task", "target", "metric"]
    assert "oracle" in table.columns
    assert len(session_table(SCORES.iloc[:0])) == 0


def test_the_best_models_of_a_row_share_ties_at_the_printed_precision():
    row = pd.Series({"a": 0.50001, "b": 0.49999, "c": 0.4, "null": 9.0, "oracle": 9.0})
    assert best_models(row) == {"a", "b"}
    assert best_models(row[["a", "null"]]) == set()


def test_numbers_have_three_decimals_and_no_negative_zero():
    assert [number(x) for x in (0.12345, -0.0001, NAN, -2.0)] == ["0.123", "0.000", "–", "-2.000"]


def test_models_scored_on_fewer_sessions_are_named():
    assert uneven_models(SCORES) == ["ridge", "poisson_glm"]
    assert uneven_models(SCORES[SCORES["session"] == "a"]) == []


def test_headlines_set_the_primary_metric_beside_the_best_linear_model():
    rows = [
        score("duet", "a", "decoding", "choice", "accuracy", 0.9),
        score("duet", "a", "decoding", "choice", "balanced_accuracy", 0.8, null=0.5),
        score("duet", "a", "decoding", "position", "r2", 0.4),
        score("duet", "a", "decoding", "position[0]", "r2", 0.3),
        score("duet", "a", "encoding_from", "wheel", "bits_per_spike", 0.1),
    ]
    found = headlines(summary_table(pd.concat([SCORES, pd.DataFrame(rows)])), "duet")
    assert [(h.target, h.metric) for h in found] == [
        ("spikes", "bits_per_spike"),
        ("wheel", "r2"),
        ("choice", "balanced_accuracy"),
        ("position", "r2"),
    ]
    assert (found[0].rival, found[0].rival_value) == ("poisson_glm", 0.2)
    assert (found[2].rival, found[2].null) == ("", 0.5)
    assert found[0].share(found[0].value) == pytest.approx(0.2 / 0.5)


def test_the_report_is_about_the_preset_or_the_first_model_that_is_no_baseline():
    assert main_model(SCORES, "poisson_glm") == "poisson_glm"
    assert main_model(SCORES.iloc[[1, 0]], "neds") == "duet"
    assert main_model(SCORES.iloc[[1]], None) == "ridge"


@settings(max_examples=15)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.permutations(range(6)))
def test_the_order_of_sessions_does_not_change_the_mean(values, order):
    rows = [score("duet", str(i), *WHEEL, value) for i, value in enumerate(values)]
    shuffled = [rows[i] for i in order if i < len(rows)]
    for given_rows in (rows, shuffled):
        table = summary_table(pd.DataFrame(given_rows))
        assert table.loc[WHEEL, "duet"] == pytest.approx(np.mean(values))


def test_the_largest_p_value_of_the_sessions_stands_beside_one_model_that_was_tested():
    tested = SCORES.assign(p_value=NAN)
    own = tested["model"] == "duet"
    tested.loc[own, "p_value"] = [0.01, 0.02, 0.2, 0.03]
    table = summary_table(tested)
    assert table.loc[SPIKES, "p_value"] == 0.2
    assert table.loc[WHEEL, "p_value"] == 0.03
    assert "p_value" not in summary_table(SCORES)
    assert "p_value" not in summary_table(tested.assign(p_value=0.5))  # of several models
    assert best_models(table.loc[WHEEL]) == {"duet"}
