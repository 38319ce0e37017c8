from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from neuroduet.actions.metrics import segments
from neuroduet.types import UNLABELLED

TRUE = np.repeat([1, 2, 1, 3], 10)
PREDICTED = np.repeat([1, 2, 3, 1, 3], [8, 12, 2, 10, 8])

label_arrays = st.lists(
    st.tuples(st.integers(-1, 2), st.integers(1, 5)), min_size=1, max_size=12
).map(lambda parts: np.repeat(*np.array(parts).T))


def plain_levenshtein(a, b) -> int:
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[:, 0], table[0] = range(len(a) + 1), range(len(b) + 1)
    for i, x in enumerate(a, 1):
        for j, y in enumerate(b, 1):
            swap = table[i - 1, j - 1] + (x != y)
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, swap)
    return int(table[-1, -1])


def plain_hits(true, predicted, overlap) -> tuple[int, int, int]:
    """Hits, false segments and misses of fully labelled frames, by sets of frames."""

    def sets(labels):
        cuts = np.split(np.arange(len(labels)), np.flatnonzero(np.diff(labels)) + 1)
        return [(labels[c[0]], set(c.tolist())) for c in cuts if labels[c[0]] != UNLABELLED]

    wanted, given_ = sets(true), sets(predicted)
    taken: set[int] = set()
    for label, own in given_:
        overlaps = [
            len(own & other) / len(own | other) if k == label else 0.0 for k, other in wanted
        ]
        best = int(np.argmax(overlaps))
        if overlaps[best] >= overlap and best not in taken:
            taken.add(best)
    return len(taken), len(given_) - len(taken), len(wanted) - len(taken)


@pytest.mark.parametrize(
    ("overlap", "counts", "f1"),
    [
        (0.10, (4, 1, 0), 88.889),
        (0.25, (4, 1, 0), 88.889),
        (0.50, (4, 1, 0), 88.889),
        (0.75, (3, 2, 1), 66.667),
        (0.90, (0, 5, 4), 0.0),
    ],
)
def test_the_worked_example_of_the_reference(overlap, counts, f1):
    found = segments.segment_counts(TRUE, PREDICTED, 4, overlap)
    assert tuple(found.sum(0)) == counts
    assert segments.segment_f1(found) == pytest.approx(f1, abs=5e-4)
    assert segments.edit_score(TRUE, PREDICTED) == pytest.approx(80.0)


def test_over_segmentation_is_punished_as_in_the_reference():
    true, predicted = np.repeat([1, 2], 20), np.tile([1, 2], 20)
    assert (true == predicted).mean() == 0.5
    assert segments.edit_score(true, predicted) == pytest.approx(5.0)
    found = segments.segment_counts(true, predicted, 3, 0.10)
    assert tuple(found.sum(0)) == (0, 40, 2)
    assert segments.segment_f1(found) == 0.0


def test_run_lengths_of_the_reference():
    labels = np.array([1, 1, 1, 0, 0, 4, 4, 4, 4, 4, 4, 0, 1, 1, 1, 1])
    assert segments.run_lengths(labels) == {0: [2, 1], 1: [3, 4], 2: [], 3: [], 4: [6]}


FLY_HAND_LABELS = {
    "2019_06_26_fly2": (45_001, [300, 300, 350, 300, 706], [6, 6, 7, 6, 8], [50] * 4 + [87.5]),
    "2019_08_07_fly2": (
        50_001,
        [300, 300, 100, 300, 591],
        [6, 6, 1, 6, 7],
        [50, 50, 100, 50, 100],
    ),
}
FLY_CLASSES = ["still", "walk", "front_groom", "back_groom", "abdomen-move"]


@pytest.mark.parametrize("video", FLY_HAND_LABELS)
def test_the_hand_labels_of_the_fly_have_the_bouts_of_the_reference(shared_data, video):
    frames, counts, bouts, medians = FLY_HAND_LABELS[video]
    path = shared_data / "fly_labels" / f"{video}.csv"
    header = path.read_text().splitlines()[0].split(",")
    assert header == ["", "background", *FLY_CLASSES]
    one_hot = np.loadtxt(path, delimiter=",", skiprows=1, dtype=int)[:, 1:]
    assert (one_hot.sum(1) == 1).all()
    assert one_hot.shape == (frames, 6)
    table = segments.bout_statistics([one_hot.argmax(1) - 1], FLY_CLASSES, rate_hz=70.0)
    assert table["bouts"].tolist() == bouts
    assert table["median_frames"].tolist() == medians
    np.testing.assert_allclose(table["fraction"] * sum(counts), counts)
    np.testing.assert_allclose(table["median_s"] * 70, medians)
    np.testing.assert_allclose(table["bouts_per_minute"] * sum(counts) / 70 / 60, bouts)


@given(label_arrays)
def test_runs_tile_the_recording_and_segments_leave_out_the_unlabelled(labels):
    start, end, label = segments.runs(labels)
    np.testing.assert_array_equal(np.repeat(label, end - start), labels)
    np.testing.assert_array_equal(start[1:], end[:-1])
    assert (np.diff(label) != 0).all()
    kept = segments.segments(labels)
    assert (kept.label != UNLABELLED).all()
    assert (kept.end - kept.start).sum() == (labels != UNLABELLED).sum()


@given(
    st.lists(st.integers(0, 2), max_size=12),
    st.lists(st.integers(0, 2), max_size=12),
)
def test_the_edit_distance_is_that_of_the_plain_table(a, b):
    found = segments.edit_distance(np.array(a, int), np.array(b, int))
    assert found == plain_levenshtein(a, b)


@given(
    label_arrays.filter(lambda x: (x >= 0).all()), label_arrays, st.sampled_from([0.1, 0.5, 0.75])
)
def test_hits_are_those_of_comparing_sets_of_frames(true, predicted, overlap):
    predicted = np.resize(predicted, len(true))
    found = segments.segment_counts(true, predicted, 3, overlap)
    assert tuple(found.sum(0)) == plain_hits(true, predicted, overlap)
    assert (found >= 0).all()


@given(label_arrays)
def test_the_truth_itself_is_perfect(labels):
    if (labels == UNLABELLED).all():
        assert np.isnan(segments.edit_score(labels, labels))
        assert np.isnan(segments.segment_f1(segments.segment_counts(labels, labels, 3, 0.5)))
        return
    assert segments.edit_score(labels, labels) == 100.0
    assert segments.segment_f1(segments.segment_counts(labels, labels, 3, 0.5)) == 100.0


@given(label_arrays, label_arrays, label_arrays)
def test_predictions_on_unlabelled_frames_change_nothing(true, predicted, other):
    predicted, other = np.resize(predicted, len(true)), np.resize(other, len(true))
    changed = np.where(true == UNLABELLED, other, predicted)
    a, b = (segments.segment_counts(true, p, 3, 0.25) for p in (predicted, changed))
    np.testing.assert_array_equal(a, b)
    scores = [segments.edit_score(true, p) for p in (predicted, changed)]
    np.testing.assert_equal(*scores)


def test_a_prediction_that_spans_a_gap_in_the_annotation_is_not_one_segment():
    true = np.array([0, 0, -1, -1, 0, 0])
    found = segments.segment_counts(true, np.zeros(6, int), 1, 0.9)
    assert tuple(found[0]) == (2, 0, 0)
    assert segments.edit_score(true, np.zeros(6, int)) == 100.0


def test_segments_are_never_compared_across_stretches():
    true = np.array([0, 0, -1, 1, 1])
    assert segments.edit_score(true, np.array([1, 1, 1, 0, 0])) == 0.0


def test_a_run_predicted_as_nothing_claims_nothing_but_splits():
    true = np.zeros(10, int)
    split = np.array([0] * 6 + [-1] + [0] * 3)
    assert tuple(segments.segment_counts(true, split, 1, 0.5)[0]) == (1, 1, 0)
    assert segments.edit_score(true, split) == 50.0
    nothing = np.full(10, UNLABELLED)
    assert tuple(segments.segment_counts(true, nothing, 1, 0.5)[0]) == (0, 0, 1)
    assert segments.edit_score(true, nothing) == 0.0


def test_bout_statistics_by_hand():
    labels = [np.array([0, 0, 1, -1, 1, 1, 1]), np.array([0, 0, 0, 0])]
    table = segments.bout_statistics(labels, ["a", "b", "c"], rate_hz=2.0).set_index("class")
    assert table["bouts"].tolist() == [2, 2, 0]
    assert table["mean_frames"].tolist()[:2] == [3.0, 2.0]
    assert np.isnan(table.loc["c", "mean_frames"])
    assert table["fraction"].tolist() == [0.6, 0.4, 0.0]
    assert table.loc["a", "mean_s"] == 1.5
    assert table.loc["a", "bouts_per_minute"] == pytest.approx(2 / 5 * 60)
    assert table.loc["a", "bouts_per_1000_frames"] == pytest.approx(200)


def test_transitions_are_counted_between_adjacent_bouts_only():
    labels = [np.array([0, 1, 1, 0, -1, 2, 0]), np.array([1, 0, 2])]
    counts = segments.transition_matrix(labels, 3, normalise=False)
    np.testing.assert_array_equal(counts, [[0, 1, 1], [2, 0, 0], [1, 0, 0]])
    shares = segments.transition_matrix(labels, 4)
    np.testing.assert_array_equal(shares.sum(1), [1, 1, 1, 0])


def test_a_segment_of_an_unknown_class_hits_nothing_and_is_not_false_either():
    true, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 2, 3])
    found = segments.segment_counts(true, predicted, 2, 0.5)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 1]])
