from __future__ import annotations

import json

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file, save_file
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from neuroduet.actions import tree_growers
from neuroduet.actions.frames import Frames
from neuroduet.actions.lags import Surroundings, lagged, window_statistics
from neuroduet.actions.model import Family, silent
from neuroduet.actions.tree_examples import gather, held_out
from neuroduet.actions.tree_growers import Boosted, forest, xgboost_trees
from neuroduet.actions.tree_nodes import Grown, join, rounded_down, trees_from
from neuroduet.actions.tree_rounds import best_rounds
from neuroduet.actions.trees import BOOSTING, RANDOM_FOREST, FittedTrees
from neuroduet.errors import UserError

FAMILIES = {
    "forest": (RANDOM_FOREST, {"trees": 12, "n_lags": 1, "windows": (), "jobs": 1}),
    "boosting": (BOOSTING, {"rounds": 15, "n_lags": 1, "windows": (), "min_leaf_frames": 5}),
}


def world(n_recordings: int = 3, n_frames: int = 240, n_classes: int = 3, seed: int = 0):
    """Sticky classes, seen through two noisy features and one of noise."""
    rng = np.random.default_rng(seed)
    recordings = []
    for _ in range(n_recordings):
        labels = np.repeat(rng.permutation(np.arange(n_frames // 20) % n_classes), 20)
        means = np.stack([np.cos(2 * labels), np.sin(2 * labels), 0 * labels], axis=1)
        x = (means + 0.7 * rng.normal(size=(n_frames, 3))).astype(np.float32)
        recordings.append(Frames(features=x, labels=labels))
    return recordings


def fitted(family: Family, options: dict, frames: list[Frames], n_classes: int = 3):
    return family.fit(frames, n_classes, family.options(**options), 0, silent)


def accuracy(model, frames):
    said = model.predict_proba([one.features for one in frames])
    return np.mean([np.mean(p.argmax(1) == f.labels) for p, f in zip(said, frames, strict=True)])


# Neighbours and windows


@given(
    x=arrays(np.float32, (17, 2), elements=st.floats(-50, 50, width=32)),
    n_lags=st.integers(0, 4),
    stride=st.integers(1, 6),
)
@settings(max_examples=30, deadline=None)
def test_every_neighbour_is_the_frame_at_that_lag_or_the_edge(x, n_lags, stride):
    found = lagged(x, n_lags, stride)
    for frame in range(17):
        at = [np.clip(frame + k * stride, 0, 16) for k in range(-n_lags, n_lags + 1)]
        assert np.array_equal(found[frame], x[at].ravel())


@given(
    x=arrays(np.float32, (13, 2), elements=st.floats(-50, 50, width=32)),
    size=st.sampled_from([3, 5, 31]),
)
@settings(max_examples=30, deadline=None)
def test_window_statistics_are_those_of_the_frames_in_the_window(x, size):
    found = window_statistics(x, size)
    for frame in range(13):
        window = x[max(frame - size // 2, 0) : frame + size // 2 + 1].astype(float)
        by_hand = [window.mean(0), window.std(0), window.min(0), window.max(0)]
        assert found[frame] == pytest.approx(np.concatenate(by_hand), abs=1e-5)


def test_spread_of_a_feature_far_from_zero_is_not_lost():
    x = 1e6 + np.array([[0.0], [1.0], [0.0], [1.0], [0.0]])
    assert window_statistics(x, 3)[2, 1] == pytest.approx(np.std([1, 0, 1]), rel=1e-6)


def test_blocks_tile_a_recording_and_equal_all_columns_at_once(monkeypatch):
    monkeypatch.setattr("neuroduet.actions.lags.BLOCK_FRAMES", 7)
    x = np.random.default_rng(0).normal(size=(31, 2)).astype(np.float32)
    surroundings = Surroundings(n_lags=2, stride=2, windows=(3, 9))
    blocks = list(surroundings.blocks(x))
    assert np.concatenate([np.arange(31)[at] for at, _ in blocks]).tolist() == list(range(31))
    together = np.concatenate([columns for _, columns in blocks])
    assert together == pytest.approx(surroundings.columns(x), abs=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_recording_is_predicted_alike_alone_and_among_others(name):
    frames = world()
    model = fitted(*FAMILIES[name], frames)
    together = model.predict_proba([one.features for one in frames])
    for one, expected in zip(frames, together, strict=True):
        assert np.array_equal(model.predict_proba([one.features])[0], expected)


# Trees as arrays


@given(
    thresholds=arrays(np.float64, 8, elements=st.floats(-(2.0**99), 2.0**99)),
    x=arrays(np.float32, 8, elements=st.floats(-(2.0**99), 2.0**99, width=32)),
)
@settings(deadline=None)
def test_thresholds_in_single_precision_decide_alike(thresholds, x):
    close = np.nextafter(thresholds.astype(np.float32), np.float32(np.inf))
    for values in (x, close, thresholds.astype(np.float32)):
        expected = values.astype(np.float64) <= thresholds
        assert np.array_equal(values <= rounded_down(thresholds), expected)


def test_a_tree_written_by_hand_sends_frames_where_it_says():
    tree = Grown(
        left=np.array([2, -1, -1, 1, -1]),
        right=np.array([3, -1, -1, 4, -1]),
        feature=np.array([0, 0, 0, 1, 0]),
        threshold=np.array([0.5, 0, 0, -1.0, 0]),
        value=np.array([[0.0], [20.0], [10.0], [0.0], [1.0]]),
    )
    x = np.array([[0.5, 9], [0.6, -1], [0.6, -0.9], [np.inf, 0]], np.float32)
    found = join([tree, tree]).sums(x, 1)
    assert found[:, 0].tolist() == [20.0, 40.0, 2.0, 2.0]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_forest_probabilities_agree_with_scikit_learn(n_classes):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 6)).astype(np.float32)
    y = rng.integers(n_classes, size=500)
    estimator = RandomForestClassifier(20, random_state=0).fit(x, y, rng.random(500))
    unseen = rng.normal(size=(200, 6)).astype(np.float32)
    found = forest(estimator).mean(unseen)
    assert np.abs(found - estimator.predict_proba(unseen)).max() < 1e-9


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9),
    reason="thresholds of features are those of scikit-learn 1.9",
)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_boosted_probabilities_agree_with_scikit_learn(n_classes):
    frames = world(n_classes=n_classes)
    options = {"rounds": 25, "patience": 0, "n_lags": 2, "windows": (), "balance": 0.0}
    options["feature_fraction"] = 1.0
    model = fitted(BOOSTING, options, frames, n_classes)
    x = np.concatenate([lagged(one.features, 2) for one in frames])
    y = np.concatenate([one.labels for one in frames])
    estimator = HistGradientBoostingClassifier(
        max_iter=25, max_depth=6, l2_regularization=1.0, early_stopping=False, random_state=0
    ).fit(x, y)
    found = np.concatenate(model.predict_proba([one.features for one in frames]))
    assert np.abs(found - estimator.predict_proba(x)).max() < 1e-9


def test_trees_of_a_library_that_mean_something_else_are_refused(monkeypatch):
    read = tree_growers._histogram_tree

    def reversed_thresholds(predictor, edges):
        tree = read(predictor, edges)
        return Grown(**{**vars(tree), "threshold": -tree.threshold})

    monkeypatch.setattr(tree_growers, "_histogram_tree", reversed_thresholds)
    with pytest.raises(RuntimeError, match="other scores"):
        fitted(*FAMILIES["boosting"], world())


def test_xgboost_models_are_read_from_their_documented_format():
    def tree(value):
        return {
            "left_children": [1, -1, -1],
            "right_children": [2, -1, -1],
            "split_indices": [1, 0, 0],
            "split_conditions": [0.5, value, -value],
        }

    model = {"trees": [tree(1.0), tree(2.0), tree(4.0), tree(8.0)], "tree_info": [0, 1, 0, 1]}
    described = {"learner": {"gradient_booster": {"model": model}}}
    trees = xgboost_trees(json.dumps(described).encode())
    x = np.array([[0, 0.49], [0, 0.5]], np.float32)
    assert trees.sums(x, 2).tolist() == [[5.0, 10.0], [-5.0, -10.0]]


def test_asking_for_xgboost_without_having_it_names_the_command(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(UserError, match="pip install xgboost"):
        fitted(BOOSTING, {"library": "xgboost", "windows": ()}, world())


def test_xgboost_trees_give_the_probabilities_of_xgboost():
    xgboost = pytest.importorskip("xgboost")
    frames = world()
    options = {"library": "xgboost", "rounds": 10, "patience": 0, "windows": (), "balance": 0.0}
    model = fitted(BOOSTING, options, frames)
    x = np.concatenate([one.features for one in frames])
    y = np.concatenate([one.labels for one in frames])
    settings_ = {
        "objective": "multi:softprob",
        "num_class": 3,
        "min_child_weight": 10,
        "colsample_bynode": 0.3,
        "eta": 0.1,
        "tree_method": "hist",
        "seed": 0,
    }
    booster = xgboost.train(settings_, xgboost.DMatrix(x, label=y), 10)
    found = np.concatenate(model.predict_proba([one.features for one in frames]))
    assert found == pytest.approx(booster.predict(xgboost.DMatrix(x)), abs=1e-5)


# Families


@pytest.mark.parametrize("name", FAMILIES)
def test_planted_classes_are_found_in_new_recordings(name):
    model = fitted(*FAMILIES[name], world())
    assert accuracy(model, world(seed=1)) > 0.75


@pytest.mark.parametrize("name", FAMILIES)
def test_neighbours_help_where_single_frames_are_noisy(name):
    family, options = FAMILIES[name]
    alone = accuracy(fitted(family, {**options, "n_lags": 0}, world()), world(seed=1))
    among = accuracy(fitted(family, {**options, "n_lags": 3}, world()), world(seed=1))
    assert among > alone + 0.05


@pytest.mark.parametrize("name", FAMILIES)
def test_saving_and_restoring_changes_no_probability(name, tmp_path):
    family, options = FAMILIES[name]
    model = fitted(family, options, world())
    save_file({k: np.ascontiguousarray(v) for k, v in model.arrays().items()}, tmp_path / "m")
    restored = family.restore(load_file(tmp_path / "m"), family.options(**options))
    x = [one.features for one in world(seed=2)]
    for before, after in zip(model.predict_proba(x), restored.predict_proba(x), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("name", FAMILIES)
def test_probabilities_cover_every_frame_and_sum_to_one(name):
    model = fitted(*FAMILIES[name], world())
    lengths = [1, 2, 53]
    said = model.predict_proba([np.zeros((n, 3), np.float32) for n in lengths])
    assert [one.shape for one in said] == [(n, 3) for n in lengths]
    assert np.concatenate(said).sum(1) == pytest.approx(1.0)


@pytest.mark.parametrize("name", FAMILIES)
def test_unlabelled_frames_teach_nothing_but_are_neighbours(name):
    family, options = FAMILIES[name]
    plain = {**options, "n_lags": 0}
    frames = world()
    part = [
        Frames(features=f.features, labels=np.where(f.labels == 2, -1, f.labels)) for f in frames
    ]
    less = [
        Frames(features=f.features[f.labels != 2], labels=f.labels[f.labels != 2]) for f in frames
    ]
    x = [one.features for one in world(seed=1)]
    with_gaps = fitted(family, plain, part).predict_proba(x)[0]
    assert np.array_equal(with_gaps, fitted(family, plain, less).predict_proba(x)[0])
    assert not with_gaps[:, 2].any()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_single_labelled_class_is_certain(name):
    frames = [Frames(features=world()[0].features, labels=np.full(240, 1))]
    said = fitted(*FAMILIES[name], frames).predict_proba([frames[0].features])[0]
    assert np.array_equal(said, np.tile([0.0, 1.0, 0.0], (240, 1)))


@pytest.mark.parametrize("name", FAMILIES)
def test_equal_seeds_give_equal_models_and_others_do_not(name):
    family, options = FAMILIES[name]
    options = family.options(**{**options, "n_lags": 2})
    x = [one.features for one in world(seed=1)]
    first, again, other = (
        family.fit(world(), 3, options, seed, silent).predict_proba(x)[0] for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", FAMILIES)
def test_balancing_finds_more_of_a_rare_class(name):
    family, options = FAMILIES[name]
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.05).astype(int)
    x = (rng.normal(size=(2000, 1)) + 1.2 * y[:, None]).astype(np.float32)
    options = {**options, "n_lags": 0, "min_leaf_frames": 40}
    frames = [Frames(features=x, labels=y)]
    found = [
        (fitted(family, {**options, "balance": b}, frames, 2).predict_proba([x])[0].argmax(1) == 1)
        for b in (0.0, 1.0)
    ]
    assert found[1][y == 1].mean() > found[0][y == 1].mean() + 0.3


@pytest.mark.parametrize("name", FAMILIES)
def test_progress_reaches_its_end(name):
    family, options = FAMILIES[name]
    told: list[tuple[int, int]] = []
    family.fit(world(), 3, family.options(**options), 0, lambda *now: told.append(now[:2]))
    assert told[-1][0] == told[-1][1]


# Examples


def test_no_more_frames_are_learnt_from_than_allowed():
    surroundings = Surroundings(n_lags=0)
    many, _ = gather(world(), surroundings, 100, 1.0, seed=0)
    again, _ = gather(world(), surroundings, 100, 1.0, seed=0)
    assert len(many.y) == 100
    assert np.array_equal(many.x, again.x)


def test_balanced_classes_weigh_the_same_and_the_mean_weight_is_one():
    frames = [Frames(features=np.zeros((100, 1), np.float32), labels=np.repeat([0, 3], [90, 10]))]
    examples, present = gather(frames, Surroundings(n_lags=0), 1000, 1.0, seed=0)
    assert present.tolist() == [0, 3]
    assert np.bincount(examples.y, examples.weight) == pytest.approx([50, 50])


@pytest.mark.parametrize("n_recordings", [1, 3, 5, 11])
def test_held_out_frames_are_whole_recordings_or_their_ends(n_recordings):
    examples, _ = gather(world(n_recordings), Surroundings(n_lags=0), 10**6, 1.0, seed=0)
    mask = held_out(examples)
    assert mask is not None
    per_recording = mask.reshape(n_recordings, 240)
    if n_recordings >= 5:
        assert per_recording.all(1).sum() == n_recordings // 5
        assert not per_recording[~per_recording.all(1)].any()
    else:
        assert np.array_equal(per_recording, np.tile(np.arange(240) >= 192, (n_recordings, 1)))


def test_nothing_is_held_out_where_a_class_would_be_lost():
    labels = np.repeat([0, 1], [191, 49])
    frames = [Frames(features=np.zeros((240, 1), np.float32), labels=labels)]
    assert held_out(gather(frames, Surroundings(n_lags=0), 999, 1.0, 0)[0]) is not None
    labels = np.repeat([0, 1], [192, 48])
    frames = [Frames(features=np.zeros((240, 1), np.float32), labels=labels)]
    assert held_out(gather(frames, Surroundings(n_lags=0), 999, 1.0, 0)[0]) is None


def test_the_best_number_of_rounds_has_the_least_held_out_loss(monkeypatch):
    monkeypatch.setattr("neuroduet.actions.tree_rounds.BLOCK_ROUNDS", 4)
    step = Grown(
        left=np.array([-1]),
        right=np.array([-1]),
        feature=np.array([0]),
        threshold=np.zeros(1),
        value=np.array([[0.1]]),
    )
    grown: list[int] = []

    def grow(rounds: int) -> Boosted:
        grown.append(rounds)
        return Boosted(trees=join([step] * rounds), baseline=np.zeros(1))

    frames = [Frames(features=np.zeros((40, 1), np.float32), labels=np.repeat([0, 1], [10, 30]))]
    judge, _ = gather(frames, Surroundings(n_lags=0), 40, 0.0, seed=0)
    # Three in four are of class 1, and eleven steps of .1 come closest to log-odds of log 3.
    assert best_rounds(grow, judge, 100, 6, silent) == 11
    assert grown == [4, 8, 12, 16, 20]


def test_noise_stops_boosting_early():
    frames = world(n_recordings=5)
    rng = np.random.default_rng(0)
    noise = [Frames(features=f.features, labels=rng.permutation(f.labels)) for f in frames]
    options = {"windows": (), "rounds": 60, "min_leaf_frames": 5}
    few = fitted(BOOSTING, {**options, "patience": 10}, noise)
    all_ = fitted(BOOSTING, {**options, "patience": 0}, noise)
    assert len(few.trees.roots) < 3 * 20
    assert len(all_.trees.roots) == 3 * 60


@pytest.mark.parametrize("windows", [(4,), (1,)])
def test_windows_must_be_odd_and_longer_than_a_frame(windows):
    with pytest.raises(ValueError, match="odd numbers"):
        RANDOM_FOREST.options(windows=windows)


@pytest.mark.parametrize("name", ["child", "roots", "value", "depths", "feature"])
@pytest.mark.parametrize("number", [-1, 10**6])
def test_files_whose_trees_point_nowhere_are_refused(name: str, number: int) -> None:
    trees = join([grown_stump()])
    x = np.zeros((3, 2), np.float32)
    assert trees.mean(x).shape == (3, 1)
    stored = {key: values.copy() for key, values in trees.arrays().items()}
    stored[name][0] = number
    if name == "feature" and number > 0:
        fitted = FittedTrees(
            trees=trees_from(stored),
            baseline=np.zeros(0),
            present=np.array([0]),
            n_classes=1,
            surroundings=Surroundings(n_lags=0),
        )
        with pytest.raises(UserError, match="the trees ask for column 1000001 of"):
            fitted.predict_proba([x.astype(float)])
    else:
        with pytest.raises(ValueError, match=f"'{name}' of the trees points beyond its end"):
            trees_from(stored)


def grown_stump() -> Grown:
    """One decision and two leaves."""
    return Grown(
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        feature=np.array([1, 0, 0]),
        threshold=np.array([0.5, 0.0, 0.0]),
        value=np.array([[0.0], [1.0], [2.0]]),
    )
