"""Random forests and boosted trees on frames with their surroundings.

Trees know no time: each labelled frame is one example, described by its own features, those of
its neighbours and statistics of windows around it (:mod:`neuroduet.actions.lags`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier

from neuroduet.actions.frames import Frames
from neuroduet.actions.lags import POSE_WINDOWS, Surroundings
from neuroduet.actions.model import Arrays, Family, Report
from neuroduet.actions.tree_examples import Examples, gather, held_out
from neuroduet.actions.tree_growers import GROWERS, forest
from neuroduet.actions.tree_nodes import Trees, trees_from
from neuroduet.actions.tree_options import BoostingOptions, ForestOptions, TreeOptions
from neuroduet.actions.tree_rounds import BLOCK_ROUNDS, best_rounds, logits, steps
from neuroduet.errors import UserError

BLOCK_TREES = 25
"""Trees of a forest grown at a time."""


@dataclass(frozen=True, kw_only=True)
class FittedTrees:
    """Trees that give probabilities.

    Attributes:
        trees: The trees.
        baseline: What sums of boosted trees are added to, ``(C,)``; empty for a forest, whose
            trees are averaged.
        present: Classes that had labels, ``(P,)``; all others get probability 0.
        n_classes: All classes K.
        surroundings: What describes a frame.
    """

    trees: Trees
    baseline: Float64[np.ndarray, " C"]
    present: Int[np.ndarray, " P"]
    n_classes: int
    surroundings: Surroundings

    def predict_proba(
        self, features: Sequence[Float[np.ndarray, "_ D"]]
    ) -> list[Float64[np.ndarray, "_ K"]]:
        """Probability of every class in every frame, ``(T, K)`` per recording."""
        return [self._one(recording) for recording in features]

    def arrays(self) -> Arrays:
        """Trees, baseline and classes."""
        own = {
            "baseline": self.baseline,
            "present": self.present,
            "n_classes": np.array([self.n_classes]),
        }
        return {**self.trees.arrays(), **own}

    def _one(self, features: Float[np.ndarray, "T D"]) -> Float64[np.ndarray, "T K"]:
        probabilities = np.zeros((len(features), self.n_classes))
        for frames, columns in self.surroundings.blocks(features):
            probabilities[frames, self.present] = self._of_present(columns)
        return probabilities

    def _of_present(self, x: Float32[np.ndarray, "N P"]) -> Float64[np.ndarray, "N _"]:
        asked = int(self.trees.feature.max(initial=0))
        if asked >= x.shape[1]:
            raise UserError(
                f"the trees ask for column {asked + 1} of {x.shape[1]}; fit the model again, or "
                "restore its files"
            )
        if len(self.baseline) == 0:
            return self.trees.mean(x)
        return softmax(logits(self.trees.sums(x, len(self.baseline)) + self.baseline), axis=1)


def fit_forest(
    frames: Sequence[Frames], n_classes: int, options: ForestOptions, seed: int, report: Report
) -> FittedTrees:
    """Fit a random forest to labelled frames.

    Args:
        frames: Recordings; at least one labelled frame.
        n_classes: Number of classes K.
        options: Of the forest.
        seed: Of frames and trees.
        report: Told how many trees are grown; a forest has no loss, so the value is NaN.
    """
    examples, present = _examples(frames, options, seed)
    estimator = RandomForestClassifier(
        min_samples_leaf=options.min_leaf_frames,
        max_depth=options.max_depth,
        warm_start=True,
        random_state=seed,
        n_jobs=options.jobs or -1,
    )
    for done in steps(options.trees, BLOCK_TREES):
        estimator.set_params(n_estimators=done)
        estimator.fit(examples.x, examples.y, sample_weight=examples.weight)
        report(done, options.trees, float("nan"))
    return FittedTrees(
        trees=forest(estimator),
        baseline=np.zeros(0),
        present=present,
        n_classes=n_classes,
        surroundings=options.surroundings,
    )


def fit_boosting(
    frames: Sequence[Frames], n_classes: int, options: BoostingOptions, seed: int, report: Report
) -> FittedTrees:
    """Fit boosted trees to labelled frames.

    Args:
        frames: Recordings; at least one labelled frame.
        n_classes: Number of classes K.
        options: Of boosting.
        seed: Of frames and columns.
        report: Told the rounds grown and the held-out loss, NaN where nothing is held out.
    """
    examples, present = _examples(frames, options, seed)
    if len(present) == 1:
        # Nothing to tell apart; a forest of one leaf says so.
        return fit_forest(frames, n_classes, ForestOptions(trees=1), seed, report)
    rounds = _rounds(examples, options, seed, report)
    grow = GROWERS[options.library](examples, options, seed)
    for done in steps(rounds, BLOCK_ROUNDS):
        boosted = grow(done)
        report(done, rounds, float("nan"))
    return FittedTrees(
        trees=boosted.trees,
        baseline=boosted.baseline,
        present=present,
        n_classes=n_classes,
        surroundings=options.surroundings,
    )


def restore(arrays: Arrays, options: TreeOptions) -> FittedTrees:
    """The fitted trees that ``arrays`` came from."""
    return FittedTrees(
        trees=trees_from(arrays),
        baseline=arrays["baseline"],
        present=arrays["present"],
        n_classes=int(arrays["n_classes"][0]),
        surroundings=options.surroundings,
    )


def _examples(
    frames: Sequence[Frames], options: TreeOptions, seed: int
) -> tuple[Examples, Int[np.ndarray, " P"]]:
    return gather(frames, options.surroundings, options.max_train_frames, options.balance, seed)


def _rounds(examples: Examples, options: BoostingOptions, seed: int, report: Report) -> int:
    """Rounds to grow: the best ones by held-out examples, or all where none can be held out."""
    mask = held_out(examples) if options.patience else None
    if mask is None:
        return options.rounds
    grow = GROWERS[options.library](examples.only(~mask), options, seed)
    return best_rounds(grow, examples.only(mask), options.rounds, options.patience, report)


RANDOM_FOREST = Family(
    options=ForestOptions,
    fit=fit_forest,
    restore=restore,
    needs_labels=True,
    uses_unlabelled=False,
    for_pose=lambda _: {"windows": POSE_WINDOWS, "min_leaf_frames": 3},
)
BOOSTING = Family(
    options=BoostingOptions,
    fit=fit_boosting,
    restore=restore,
    needs_labels=True,
    uses_unlabelled=False,
    for_pose=lambda _: {"windows": POSE_WINDOWS},
)
