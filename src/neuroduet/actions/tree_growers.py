"""Libraries that grow trees, each reduced to the arrays of :mod:`neuroduet.actions.tree_nodes`.

Growing goes on in blocks of rounds, so that progress can be told and growing can stop.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from neuroduet.actions.tree_bins import edge_of, level_edges, levels
from neuroduet.actions.tree_examples import Examples
from neuroduet.actions.tree_nodes import Grown, Trees, join
from neuroduet.actions.tree_options import BoostingOptions
from neuroduet.errors import UserError

AGREEMENT = 1e-4
"""Largest difference between a library's scores and ours; xgboost adds up in single precision."""

CHECKED_FRAMES = 256
"""Training frames on which the two are compared whenever trees have been grown."""


@dataclass(frozen=True, kw_only=True)
class Boosted:
    """Boosted trees and what their sums are added to, ``(C,)``."""

    trees: Trees
    baseline: Float64[np.ndarray, " C"]


Grow = Callable[[int], Boosted]
"""Rounds in all to the trees grown so far; called with ever more rounds."""


def forest(estimator: RandomForestClassifier) -> Trees:
    """The trees of a fitted forest."""
    return join([_forest_tree(one.tree_) for one in estimator.estimators_])


def _forest_tree(tree: Any) -> Grown:
    counts = tree.value[:, 0, :].astype(np.float64)
    return Grown(
        left=tree.children_left.astype(np.int64),
        right=tree.children_right.astype(np.int64),
        feature=tree.feature.astype(np.int64),
        threshold=tree.threshold.astype(np.float64),
        value=counts / counts.sum(axis=1, keepdims=True),
    )


def sklearn_grower(examples: Examples, options: BoostingOptions, seed: int) -> Grow:
    """Boosting with scikit-learn's histogram trees.

    Args:
        examples: What to learn from; at least two classes.
        options: Of boosting; scikit-learn takes the number of threads from ``OMP_NUM_THREADS``.
        seed: Of the choice of columns.
    """
    estimator = HistGradientBoostingClassifier(
        max_depth=options.depth,
        learning_rate=options.learning_rate,
        min_samples_leaf=options.min_leaf_frames,
        l2_regularization=options.l2,
        max_features=options.feature_fraction,
        early_stopping=False,
        warm_start=True,
        random_state=seed,
    )
    edges = level_edges(examples.x)
    coarse = levels(examples.x, edges)

    def grow(rounds: int) -> Boosted:
        estimator.set_params(max_iter=rounds)
        estimator.fit(coarse, examples.y, sample_weight=examples.weight)
        grown = [_histogram_tree(one, edges) for step in estimator._predictors for one in step]
        some = _some(examples)
        scores = estimator.decision_function(levels(some, edges))
        return _checked(join(grown), some, scores)

    return grow


def _histogram_tree(predictor: Any, edges: Sequence[Float64[np.ndarray, " _"]]) -> Grown:
    nodes, is_leaf = predictor.nodes, predictor.nodes["is_leaf"].astype(bool)
    column = np.where(is_leaf, 0, nodes["feature_idx"].astype(np.int64))
    level = np.where(is_leaf, 0.0, nodes["num_threshold"].astype(np.float64))
    return Grown(
        left=np.where(is_leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(is_leaf, -1, nodes["right"].astype(np.int64)),
        feature=column,
        threshold=edge_of(edges, column, level),
        value=nodes["value"].astype(np.float64)[:, None],
    )


def xgboost_grower(examples: Examples, options: BoostingOptions, seed: int) -> Grow:
    """Boosting with xgboost; arguments as for :func:`sklearn_grower`.

    Raises:
        UserError: xgboost is not installed.
    """
    xgboost = _xgboost()
    data = xgboost.DMatrix(examples.x, label=examples.y, weight=examples.weight)
    n_classes = int(examples.y.max()) + 1
    settings = {
        "objective": "multi:softprob",
        "num_class": n_classes,
        "max_depth": options.depth,
        "eta": options.learning_rate,
        # xgboost bounds the curvature of a leaf, which a frame adds at most a half to.
        "min_child_weight": options.min_leaf_frames / 2,
        "lambda": options.l2,
        "colsample_bynode": options.feature_fraction,
        "tree_method": "hist",
        "nthread": options.jobs or 0,
        "seed": seed,
        "verbosity": 0,
    }
    booster: Any = None

    def grow(rounds: int) -> Boosted:
        nonlocal booster
        done = 0 if booster is None else booster.num_boosted_rounds()
        booster = xgboost.train(settings, data, rounds - done, xgb_model=booster)
        some = _some(examples)
        scores = booster.predict(xgboost.DMatrix(some), output_margin=True)
        return _checked(xgboost_trees(booster.save_raw("json")), some, scores)

    return grow


GROWERS: dict[str, Callable[[Examples, BoostingOptions, int], Grow]] = {
    "sklearn": sklearn_grower,
    "xgboost": xgboost_grower,
}
"""By the option ``library``: how boosted trees are grown from examples, options and a seed."""


def _xgboost() -> Any:
    try:
        return importlib.import_module("xgboost")
    except ImportError:
        raise UserError(
            "option 'library' is 'xgboost', and xgboost is not installed; run `pip install "
            "xgboost`, or use library 'sklearn'"
        ) from None


def xgboost_trees(model: bytes | bytearray) -> Trees:
    """Trees of an xgboost model in its documented JSON format, one per class and round."""
    described = json.loads(bytes(model))["learner"]["gradient_booster"]["model"]
    trees = [_xgboost_tree(one) for one in described["trees"]]
    # Rounds come one after another, but nothing promises the order of classes within a round.
    classes = np.array(described["tree_info"])
    rounds = np.arange(len(trees)) // max(int(classes.max()) + 1, 1)
    return join([trees[i] for i in np.lexsort([classes, rounds])])


def _xgboost_tree(described: dict[str, Any]) -> Grown:
    left = np.array(described["left_children"])
    conditions = np.array(described["split_conditions"], np.float32)
    # Values below a threshold go left, where ours are those up to it.
    below = np.nextafter(conditions, np.float32(-np.inf)).astype(np.float64)
    return Grown(
        left=left,
        right=np.array(described["right_children"]),
        feature=np.array(described["split_indices"]),
        threshold=below,
        value=conditions.astype(np.float64)[:, None],
    )


def _some(examples: Examples) -> Float32[np.ndarray, "N P"]:
    return examples.x[:: max(len(examples.x) // CHECKED_FRAMES, 1)]


def _checked(
    trees: Trees, x: Float32[np.ndarray, "N P"], scores: Float[np.ndarray, "N ..."]
) -> Boosted:
    """Boosted trees that give the library's own scores of some frames.

    The baseline is what the scores differ by, whatever the library calls it.

    Raises:
        RuntimeError: No baseline makes up the difference: the library means its trees otherwise.
    """
    theirs = np.asarray(scores, np.float64).reshape(len(x), -1)
    difference = theirs - trees.sums(x, theirs.shape[1])
    baseline = difference.mean(axis=0)
    if np.abs(difference - baseline).max() > AGREEMENT:
        raise RuntimeError(
            "boosted trees read from the library give other scores than the library itself"
        )
    return Boosted(trees=trees, baseline=baseline)
