from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.report.action_scores import density_curves, interval_of_mean, model_grid
from neuroduet.report.actions import (
    COLUMNS,
    bouts_and_transitions,
    class_colours,
    confusion_matrix,
    ethogram,
)

NAMES = ("rest", "<b>groom</b> $x", "run")


def texts(svg: str) -> list[str]:
    return [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


def answer(n: int) -> tuple[np.ndarray, np.ndarray]:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), n)
    return probabilities.argmax(1), probabilities


def density(values: dict[tuple[str, int], list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": m, "goal": g, "seed": s, "metric": "macro_f1", "value": value}
            for (m, g), row in values.items()
            for s, value in enumerate(row)
        ]
    )


def test_the_ethogram_shows_human_and_model_and_names_the_classes():
    predicted, probabilities = answer(200)
    truth = np.where(np.arange(200) < 50, -1, predicted)
    found = ethogram(truth, predicted, probabilities, NAMES, title="rat & 1", frame_s=0.04)
    said = texts(found.svg)
    assert {"human", "model", "rest", "run", "time (s)", "8"} <= set(said)
    assert "&lt;b&gt;groom&lt;/b&gt; $x" in said
    alone = ethogram(None, predicted, probabilities, NAMES, title="rat & 1")
    assert "human" not in texts(alone.svg)
    assert "frame" in texts(alone.svg)
    assert "every" not in alone.caption.lower().replace("every frame", "").replace(
        "every class", ""
    )


def test_a_long_ethogram_says_what_it_leaves_out():
    predicted, probabilities = answer(2 * COLUMNS + 1)
    found = ethogram(None, predicted, probabilities, NAMES, title="long")
    assert "One frame in 3 is shown." in found.caption


def test_sixteen_classes_have_sixteen_colours():
    colours = class_colours(20)
    assert len(np.unique(colours[:16].round(6), axis=0)) == 16
    np.testing.assert_array_equal(colours[16:], colours[:4])
    assert ((colours >= 0) & (colours <= 1)).all()


def test_the_confusion_matrix_holds_fractions_of_the_true_classes():
    truth = [np.array([0, 0, 0, 0, 1]), np.array([-1, 1, 2, 2, 2])]
    predicted = [np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 2, -1])]
    said = texts(confusion_matrix(truth, predicted, NAMES).svg)
    # Rows: 3/4 and 1/4; 2/2; 2/3 of class 2, whose third frame was given no class.
    assert sorted(text for text in said if re.fullmatch(r"\d\.\d\d", text)) == sorted(
        ["0.75", "0.25", "0.00", "0.00", "1.00", "0.00", "0.00", "0.00", "0.67"]
    )
    assert {"rest (4)", "run (3)"} <= set(said)


def test_rows_of_classes_that_never_occur_are_empty():
    truth, predicted = [np.array([0, 0, 0, 1])], [np.array([0, 0, 2, 1])]
    said = texts(confusion_matrix(truth, predicted, NAMES).svg)
    fractions = [text for text in said if re.fullmatch(r"\d\.\d\d", text)]
    assert sorted(fractions) == ["0.00"] * 3 + ["0.33", "0.67", "1.00"]


def test_bouts_are_counted_and_followed():
    truth = [np.repeat([0, 1, 0, 2], [10, 4, 20, 2])]
    found = bouts_and_transitions(truth, [np.repeat([0, 2], [30, 6])], NAMES, frame_s=0.1)
    said = texts(found.svg)
    assert "duration of a bout (s)" in said
    # Human: two bouts of rest, one each of the others; model: one of rest and one of run.
    assert said.count("(2)") == 1
    assert said.count("(1)") == 4
    assert said.count("0.50") == 2
    assert {"next class (human)", "next class (model)"} <= set(said)
    assert not any("$" in text for text in said if "groom" not in text)


def test_without_labels_the_bouts_of_the_model_stand_alone():
    found = bouts_and_transitions(None, [np.repeat([0, 2], [30, 6])], NAMES)
    assert "next class (human)" not in texts(found.svg)
    assert "duration of a bout (frames)" in texts(found.svg)


def test_density_curves_have_their_goals_on_the_axis():
    table = density({("tcn", 50): [0.4, 0.6], ("tcn", 250): [0.7, 0.7], ("s3lds", 50): [0.5]})
    found = density_curves(table)
    assert found is not None
    assert {"50", "250", "tcn", "s3lds", "macro F1"} <= set(texts(found.svg))
    assert density_curves(table, ("edit",)) is None


def test_the_interval_of_a_mean_is_students():
    # By hand: mean .5, s.d. sqrt(.02), n 2: t(.975, 1) = 12.7062.
    mean, half = interval_of_mean(np.array([[0.4, 0.6, np.nan], [0.7, np.nan, np.nan]]))
    np.testing.assert_allclose(mean, [0.5, 0.7])
    np.testing.assert_allclose(half, [12.7062 * np.sqrt(0.02 / 2), 0.0], rtol=1e-5)
    mean, half = interval_of_mean(np.full((1, 2), np.nan))
    assert np.isnan(mean[0])
    assert half[0] == 0


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9), st.floats(-3, 3))
def test_shifting_the_scores_shifts_the_interval(values, shift):
    row = np.array([values])
    mean, half = interval_of_mean(row)
    moved, same = interval_of_mean(row + shift)
    np.testing.assert_allclose(moved, mean + shift, atol=1e-9)
    np.testing.assert_allclose(same, half, atol=1e-9)


def test_the_grid_has_a_row_per_model_and_a_panel_per_metric():
    rows = [
        {"model": m, "features": f, "metric": k, "value": 0.5, "low": 0.4, "high": 0.6}
        for m in ("tcn", "boosting")
        for f in ("position", "pairs")
        for k in ("macro_f1", "edit", "seconds")
    ]
    found = model_grid(pd.DataFrame(rows), ("macro_f1", "edit", "f1@50"))
    assert found is not None
    said = texts(found.svg)
    assert said.count("tcn") == said.count("boosting") == 2
    assert {"position", "pairs", "macro F1", "edit score"} <= set(said)
    assert "F1@50" not in said
    assert model_grid(pd.DataFrame(rows), ("accuracy",)) is None


@pytest.mark.parametrize("low", [np.nan, 0.4])
def test_a_missing_interval_is_no_obstacle(low):
    row = {"model": "m", "features": "f", "metric": "macro_f1", "value": 0.5, "low": low}
    assert model_grid(pd.DataFrame([row | {"high": low}])) is not None
