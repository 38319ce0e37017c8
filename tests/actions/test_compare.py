from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.actions.compare import compare, grid, scores_out_of_fold
from neuroduet.actions.experiment import Candidate
from neuroduet.actions.metrics import macro_f1
from neuroduet.actions.out_of_fold import out_of_fold, recording_folds
from neuroduet.errors import UserError


class Recorder:
    """Says class 0, or the truth; remembers which recordings it was given."""

    def __init__(self, log, seed, says_truth):
        self.log, self.seed, self.says_truth = log, seed, says_truth

    def fit(self, recordings, labels):
        self.learnt = {int(x[0, 0]) for x in recordings}

    def predict_proba(self, recordings):
        self.log.append((self.seed, self.learnt, {int(x[0, 0]) for x in recordings}))
        truth = [
            x[:, 1].astype(int) if self.says_truth else 0 * x[:, 1].astype(int) for x in recordings
        ]
        return [np.eye(3)[y] for y in truth]


def candidate(log=None, says_truth=True, name="oracle", setup=""):
    kept = [] if log is None else log
    return Candidate(
        model=name,
        features="raw",
        make=lambda seed: Recorder(kept, seed, says_truth),
        setup=setup,
    )


def world(n_recordings=6, n_frames=40):
    """Recordings that carry their number and their classes as features."""
    rng = np.random.default_rng(0)
    labels = [np.repeat(rng.permutation(4) % 3, n_frames // 4) for _ in range(n_recordings)]
    recordings = [np.column_stack([np.full(len(y), i), y]) for i, y in enumerate(labels)]
    return [x.astype(float) for x in recordings], labels


@given(n=st.integers(2, 20), folds=st.integers(2, 6), seed=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_folds_share_the_labelled_recordings_evenly(n, folds, seed):
    labels = [np.full(4, i % 5 - 1) for i in range(1, n + 1)]
    labelled = np.array([one.max() >= 0 for one in labels])
    if folds > labelled.sum():
        with pytest.raises(UserError, match="folds"):
            recording_folds(labels, folds, seed)
        return
    found = recording_folds(labels, folds, seed)
    assert np.array_equal(found >= 0, labelled)
    counts = np.bincount(found[found >= 0], minlength=folds)
    assert len(counts) == folds
    assert counts.max() - counts.min() <= 1


def test_one_recording_cannot_be_compared_in_folds_and_the_sentence_says_what_can():
    with pytest.raises(UserError, match="at least two labelled recordings.*found 1; .*by time"):
        recording_folds([np.zeros(4, int)], 2)


def test_a_group_is_never_in_two_folds_and_the_seed_shuffles():
    labels = [np.zeros(3, int)] * 12
    groups = [f"rat {i % 4}" for i in range(12)]
    found = recording_folds(labels, 2, 0, groups)
    assert all(
        len({int(f) for f, g in zip(found, groups, strict=True) if g == name}) == 1
        for name in groups
    )
    assert len({tuple(recording_folds(labels, 3, seed)) for seed in range(5)}) > 1


def test_nothing_is_learnt_from_the_group_that_is_scored_not_even_without_labels():
    recordings, labels = world(8)
    for bare in (2, 6, 7):
        labels[bare] = np.full_like(labels[bare], -1)
    groups = ["a", "b", "a", "b", "c", "d", "c", "e"]
    log: list = []
    found = compare([candidate(log)], recordings, labels, folds=2, groups=groups)
    for _, learnt, tested in log:
        assert not {groups[i] for i in learnt} & {groups[i] for i in tested}
        assert 7 in learnt  # nobody of its group is ever scored
    assert found.set_index(["metric", "class"])["value"]["macro_f1", "all"] == 1.0
    assert found.set_index(["metric", "class"])["n"]["macro_f1", "all"] == 5 * 40


def test_every_labelled_recording_is_predicted_once_by_a_model_that_never_saw_it():
    recordings, labels = world()
    labels[2] = np.full_like(labels[2], -1)
    log: list = []
    fold_of = recording_folds(labels, 3)
    found = out_of_fold(candidate(log), recordings, labels, fold_of, seed=7)
    assert [seed for seed, _, _ in log] == [7, 7, 7]
    assert all(not learnt & tested for _, learnt, tested in log)
    assert all(learnt | tested == set(range(6)) for _, learnt, tested in log)
    assert sorted(i for _, _, tested in log for i in tested) == [0, 1, 3, 4, 5]
    assert all(2 in learnt for _, learnt, _ in log)
    assert found.probabilities[2] is None


def test_scores_are_those_of_the_pooled_predictions():
    recordings, labels = world()
    table = compare([candidate(), candidate(says_truth=False, name="still")], recordings, labels)
    value = table.set_index(["model", "metric", "class"])["value"]
    assert value["oracle", "macro_f1", "all"] == 1.0
    still = [np.zeros_like(one) for one in labels]
    assert value["still", "macro_f1", "all"] == pytest.approx(float(macro_f1(labels, still, 3)))
    assert {"features", "low", "high", "fit_s"} <= set(table.columns)
    assert {"edit", "f1@50", "balanced_accuracy", "f1"} <= set(table["metric"])


def test_labels_may_be_names_as_a_segmenter_takes_them():
    recordings, labels = world()
    labels[0][:5] = -1
    words = [np.array(["rest", "run", "walk", ""])[y] for y in labels]
    plain = compare([candidate()], recordings, labels, names=["rest", "run", "walk"])
    found = compare([candidate()], recordings, words)
    pd.testing.assert_frame_equal(found.drop(columns="fit_s"), plain.drop(columns="fit_s"))


def test_a_stopped_comparison_goes_on_without_repeating_fits(tmp_path):
    recordings, labels = world()
    log: list = []
    fresh = compare([candidate(log)], recordings, labels, folds=3, folder=tmp_path)
    assert len(log) == 3
    next(tmp_path.iterdir()).unlink()
    told = []
    again = compare(
        [candidate(log)],
        recordings,
        labels,
        folds=3,
        folder=tmp_path,
        report=lambda done, total, _: told.append((done, total)),
    )
    assert len(log) == 4
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    pd.testing.assert_frame_equal(fresh.drop(columns="fit_s"), again.drop(columns="fit_s"))


def test_results_of_another_comparison_are_not_taken_up(tmp_path):
    recordings, labels = world()
    compare([candidate()], recordings, labels, folds=3, folder=tmp_path)
    other = [one + 1e-6 for one in recordings]
    attempts = [
        ([candidate(setup="other")], recordings, 0),
        ([candidate()], other, 0),
        ([candidate()], recordings, 1),
    ]
    for candidates, data, seed in attempts:
        with pytest.raises(UserError, match="other recordings, labels, folds or options"):
            compare(candidates, data, labels, folds=3, seed=seed, folder=tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(b"torn")
    with pytest.raises(UserError, match="choose another folder"):
        compare([candidate()], recordings, labels, folds=3, folder=tmp_path)


def test_a_class_missing_from_training_gets_probability_zero():
    recordings, labels = world(3)
    labels = [np.zeros(40, int), np.ones(40, int), np.repeat([0, 2], 20)]

    class Narrow(Recorder):
        def predict_proba(self, recordings):
            return [np.tile([0.4, 0.6], (len(x), 1)) for x in recordings]

    narrow = Candidate(model="m", features="f", make=lambda seed: Narrow([], seed, True))
    found = out_of_fold(narrow, recordings, labels, recording_folds(labels, 3))
    assert [one.shape for one in found.probabilities if one is not None] == [(40, 3)] * 3
    table = scores_out_of_fold(found, labels, names=["a", "b", "c", "d"])
    assert set(table["class"]) == {"all", "a", "b", "c", "d"}


def test_labels_must_fit_their_recordings():
    recordings, labels = world()
    with pytest.raises(UserError, match="one integer per frame"):
        compare([candidate()], recordings, [one[1:] for one in labels])
    with pytest.raises(UserError, match="unknown class 'c'"):
        compare([candidate()], recordings, [np.array(list("abc"))[y] for y in labels], names="ab")
    with pytest.raises(UserError, match="groups are given"):
        compare([candidate()], recordings, labels, groups=["a"])


def test_a_grid_has_every_model_with_every_feature_and_refuses_wrong_names():
    found = grid(
        ["random_forest", "boosting"],
        ["auto", "egocentric"],
        options={"random_forest": {"trees": 7}},
    )
    pairs = [(one.model, one.features) for one in found]
    assert pairs == [(m, f) for m in ("random_forest", "boosting") for f in ("auto", "egocentric")]
    assert found[0].make(3).options.trees == 7
    assert found[0].make(3).seed == 3
    assert len({one.setup for one in found[:2]}) == 1
    assert found[0].setup != found[2].setup
    with pytest.raises(UserError, match="did you mean 'boosting'"):
        grid(["bosting"])
    with pytest.raises(UserError, match="segmentation model"):
        grid(["boosting"], options={"forest": {}})
    with pytest.raises(UserError, match="model 'slds' leaves labels aside"):
        grid(["boosting", "slds"])


def test_real_segmenters_are_compared(tmp_path):
    recordings, labels = world(4, 80)
    noisy = [x[:, 1:] + 0.3 * np.random.default_rng(0).normal(size=(80, 2)) for x in recordings]
    candidates = grid(["random_forest"], options={"random_forest": {"trees": 5, "jobs": 1}})
    table = compare(candidates, noisy, labels, folds=2, names=["a", "b", "c"], folder=tmp_path)
    value = table.set_index(["metric", "class"])["value"]
    assert value["macro_f1", "all"] > 0.6
    assert {"log_loss", "brier"} & set(table["metric"])
