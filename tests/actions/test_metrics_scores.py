from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from neuroduet.actions import metrics
from neuroduet.actions.metrics.measures import MEASURES, PROBABILITY_MEASURES
from neuroduet.actions.metrics.nulls import shuffled_bouts
from neuroduet.actions.metrics.segments import edit_score, run_lengths
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

NAMES = ["still", "walk", "groom"]


def world(
    seed: int = 0, n: int = 6, wrong: float = 0.3
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Labels with gaps, bouts predicted wrong in part, and probabilities of those predictions."""
    generator = np.random.default_rng(seed)
    truth, predicted, probabilities = [], [], []
    for _ in range(n):
        classes = generator.choice(3, 30, p=[0.6, 0.3, 0.1])
        lengths = generator.integers(4, 15, 30)
        swapped = np.where(generator.random(30) < wrong, generator.integers(0, 3, 30), classes)
        labels, found = np.repeat(classes, lengths), np.repeat(swapped, lengths)
        labels[20:40] = UNLABELLED
        truth.append(labels)
        predicted.append(found)
        probabilities.append(0.7 * np.eye(3)[found] + 0.1)
    return truth, predicted, probabilities


def indexed(table):
    return table.set_index(["metric", "class"])


def test_a_table_holds_every_metric_once_with_its_definition():
    truth, predicted, probabilities = world()
    table = metrics.score_actions(truth, predicted, NAMES, probabilities)
    assert list(table.columns) == metrics.COLUMNS
    assert not table.duplicated(["metric", "class"]).any()
    assert (table["definition"].str.len() > 10).all()
    per_class = {"f1", "precision", "recall", "iou"}
    assert set(table["metric"][table["class"] != metrics.EVERY_CLASS]) == per_class
    assert {"log_loss", "brier", "calibration_error"} < set(table["metric"])
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    frames = sum(int((y != UNLABELLED).sum()) for y in truth)
    rows = indexed(table)
    assert rows["n"]["accuracy", "all"] == frames
    assert sum(rows["n"]["f1", name] for name in NAMES) == frames
    assert rows["n"]["edit", "all"] == len(truth)


@pytest.mark.parametrize("kind", [str, float])
def test_classes_that_are_no_integers_are_refused_in_a_sentence(kind):
    truth, predicted, _ = world()
    strange = [one.astype(kind) for one in truth]
    with pytest.raises(UserError, match="labels are of type .*; give numbers of classes"):
        metrics.score_actions(strange, predicted, NAMES)
    with pytest.raises(UserError, match="predictions are of type .*, expected integers"):
        metrics.score_states(truth, strange, NAMES)


def test_values_are_those_of_the_metrics_themselves():
    truth, predicted, _ = world()
    rows = indexed(metrics.score_actions(truth, predicted, NAMES))
    y, p = np.concatenate(truth), np.concatenate(predicted)
    known = y != UNLABELLED
    assert rows["value"]["accuracy", "all"] == pytest.approx((y == p)[known].mean())
    edits = [edit_score(a, b) for a, b in zip(truth, predicted, strict=True)]
    assert rows["value"]["edit", "all"] == pytest.approx(np.mean(edits))
    assert rows["value"]["macro_f1", "all"] == pytest.approx(metrics.macro_f1(truth, predicted, 3))


def test_the_segment_example_of_the_reference_as_a_table():
    truth = [np.repeat([1, 2, 1, 3], 10)]
    predicted = [np.repeat([1, 2, 3, 1, 3], [8, 12, 2, 10, 8])]
    rows = indexed(metrics.score_actions(truth, predicted))
    found = rows["value"].xs("all", level="class").round(3)
    assert found["accuracy"] == 0.85
    assert found["macro_f1"] == 0.850
    assert found["edit"] == 80.0
    assert found[["f1@10", "f1@25", "f1@50"]].tolist() == [88.889] * 3
    assert rows["low"].isna().all()


def test_a_good_prediction_beats_both_nulls_and_a_shuffled_one_does_not():
    truth, predicted, probabilities = world()
    rows = indexed(metrics.score_actions(truth, predicted, NAMES, probabilities))
    larger = ["accuracy", "balanced_accuracy", "macro_f1", "edit", "f1@50"]
    for metric in larger:
        row = rows.loc[(metric, "all")]
        assert row["low"] > max(row["null_shuffled"], row["null_constant"]), metric
    assert rows["value"]["log_loss", "all"] < rows["null_constant"]["log_loss", "all"]
    generator = np.random.default_rng(9)
    nonsense = [p[shuffled_bouts(p, generator)] for p in predicted]
    rows = indexed(metrics.score_actions(truth, nonsense, NAMES))
    row = rows.loc[("macro_f1", "all")]
    assert abs(row["value"] - row["null_shuffled"]) < 0.06


def test_the_constant_null_is_the_most_frequent_class():
    truth, predicted, probabilities = world()
    rows = indexed(metrics.score_actions(truth, predicted, NAMES, probabilities))
    y = np.concatenate(truth)
    share = np.bincount(y[y != UNLABELLED]) / (y != UNLABELLED).sum()
    assert rows["null_constant"]["accuracy", "all"] == pytest.approx(share.max())
    assert rows["null_constant"]["balanced_accuracy", "all"] == pytest.approx(1 / 3)
    entropy = -(share * np.log(share)).sum()
    assert rows["null_constant"]["log_loss", "all"] == pytest.approx(entropy)
    assert rows["null_constant"]["calibration_error", "all"] == pytest.approx(0, abs=1e-12)


@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(1, 4)), max_size=20), st.integers(0, 9999)
)
def test_shuffled_bouts_keep_number_and_durations_of_the_bouts_of_each_class(parts, seed):
    labels = np.repeat(*np.array(parts, int).reshape(-1, 2).T)
    order = shuffled_bouts(labels, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(labels)))
    before, after = (run_lengths(x + 1, 4) for x in (labels, labels[order]))
    assert {k: sorted(v) for k, v in before.items()} == {k: sorted(v) for k, v in after.items()}


def test_every_order_of_bouts_is_drawn_about_equally_often():
    labels = np.array([0, 1, 2])
    generator = np.random.default_rng(0)
    drawn = [tuple(shuffled_bouts(labels, generator).tolist()) for _ in range(1200)]
    orders, times = np.unique(drawn, axis=0, return_counts=True)
    assert len(orders) == 6
    assert times.min() > 150


def test_recordings_without_a_label_change_nothing():
    truth, predicted, _ = world()
    table = metrics.score_actions(truth, predicted, NAMES)
    more = metrics.score_actions(
        [*truth, np.full(50, UNLABELLED)], [*predicted, np.zeros(50, int)], NAMES
    )
    np.testing.assert_array_equal(table["value"], more["value"])
    np.testing.assert_array_equal(table["high"], more["high"])
    np.testing.assert_array_equal(table["n"], more["n"])


def test_a_class_that_never_occurs_has_a_row_of_nan():
    truth, predicted, _ = world()
    rows = indexed(metrics.score_actions(truth, predicted, [*NAMES, "rear"]))
    assert rows["n"]["f1", "rear"] == 0
    assert np.isnan(rows["value"]["f1", "rear"])


def test_equal_seeds_give_equal_tables_and_intervals_can_be_left_out():
    truth, predicted, _ = world()
    first, second = (metrics.score_actions(truth, predicted, NAMES, seed=3) for _ in range(2))
    assert first.equals(second)
    bare = metrics.score_actions(truth, predicted, NAMES, seed=3, intervals=False)
    np.testing.assert_array_equal(bare["value"], first["value"])
    assert bare["low"].isna().all()
    assert not first["low"].isna().any()


def test_states_that_are_renamed_classes_are_perfect_and_shuffled_ones_are_not():
    truth, _, _ = world()
    states = [(np.where(y < 0, 0, y) + 1) % 3 + 2 for y in truth]
    rows = indexed(metrics.score_states(truth, states, NAMES))["value"]
    assert rows[["one_to_one", "many_to_one", "v_measure", "adjusted_rand"]].tolist() == [1.0] * 4
    assert rows["f1"].tolist() == [1.0] * 3
    nulls = indexed(metrics.score_states(truth, states, NAMES))["null_shuffled"]
    assert nulls["one_to_one", "all"] < 0.7
    assert abs(nulls["adjusted_rand", "all"]) < 0.1


def test_the_cluster_examples_of_the_reference_as_tables():
    truth = [np.repeat([0, 1, 2], 4)]
    for digits, wanted in {
        "222200011111": {"one_to_one": 0.9167, "v_measure": 0.8181, "adjusted_rand": 0.7372},
        "003311122222": {"one_to_one": 0.75, "many_to_one": 0.9167, "v_measure": 0.7395},
    }.items():
        table = metrics.score_states(truth, [np.array([int(c) for c in digits])])
        found = indexed(table)["value"].xs("all", level="class")
        for metric, value in wanted.items():
            assert found[metric] == pytest.approx(value, abs=5e-5)


def test_models_are_compared_on_the_same_recordings():
    truth, good, _ = world(wrong=0.2)
    _, bad, _ = world(wrong=0.6)
    found = indexed(metrics.compare_actions(truth, good, bad, NAMES))
    assert found["low"]["accuracy", "all"] > 0
    same = metrics.compare_actions(truth, good, good, NAMES)
    assert (same[["value", "low", "high"]] == 0).all(axis=None)
    reverse = indexed(metrics.compare_actions(truth, bad, good, NAMES))
    np.testing.assert_allclose(found["value"], -reverse["value"])
    np.testing.assert_allclose(found["low"], -reverse["high"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y, p, q: (y, p[:-1], q), "frames by recording"),
        (lambda y, p, q: (y, [x[:-1] for x in p], q), "frames by recording"),
        (lambda y, p, q: ([np.full_like(x, -1) for x in y], p, q), "no frame is labelled"),
        (lambda y, p, q: ([x + 3 for x in y], p, q), "true labels run from"),
        (lambda y, p, q: (y, p, [np.log(x) for x in q]), "recording 0 are not positive"),
        (lambda y, p, q: (y, p, [x * np.nan for x in q]), "recording 0 are not positive"),
        (lambda y, p, q: (y, p, [np.pad(x, ((0, 0), (0, 1))) for x in q]), "columns"),
    ],
)
def test_what_does_not_fit_together_is_said(change, message):
    truth, predicted, probabilities = change(*world())
    with pytest.raises(UserError, match=message):
        metrics.score_actions(truth, predicted, NAMES, probabilities)


def test_every_metric_says_how_much_it_rests_on():
    # Hits, false and missed segments of two classes; edit scores of three recordings; frames.
    segments = np.array([[2, 5, 1], [0, 3, 4]])
    assert MEASURES["f1@50"].size(segments) == 2 + 1 + 0 + 4
    assert MEASURES["edit"].size(np.array([150.0, 3.0])) == 3
    assert MEASURES["edit"].metric(np.array([150.0, 3.0])) == 50
    assert MEASURES["edit"].metric(np.array([40.0, 1.0])) == 40
    assert MEASURES["accuracy"].size(np.array([[3, 1, 0], [2, 2, 1]])) == 9
    assert MEASURES["recall"].size(np.array([[3, 1, 0], [2, 2, 1]])).tolist() == [4, 5]
    for name in ("log_loss", "brier"):
        assert PROBABILITY_MEASURES[name].size(np.array([7.0, 2.0, 1.0])) == 7
    by_bin = np.array([[4.0, 1.0, 1.0], [6.0, 5.0, 3.0]])
    assert PROBABILITY_MEASURES["calibration_error"].size(by_bin) == 10
