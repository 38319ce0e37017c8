"""Options of random forests and boosted trees."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from neuroduet.actions.lags import Surroundings, Windows
from neuroduet.actions.model import ModelOptions


class TreeOptions(ModelOptions):
    """What forests and boosted trees share.

    Attributes:
        n_lags: Neighbours to either side of a frame that describe it (published: 4; on motion
            capture and on rats, windows did more, and lags nothing beside them).
        lag_stride: Frames from one neighbour to the next.
        windows: Lengths (frames, odd) of centred windows whose mean, standard deviation, minimum
            and maximum describe it too.
        balance: 0 counts every frame alike, 1 every class alike.
        max_train_frames: Most labelled frames learnt from, drawn at random; memory is about 16
            bytes times these times the columns.
        jobs: Threads; all if not given (boosting with scikit-learn always takes all).
    """

    n_lags: int = Field(0, ge=0)
    lag_stride: int = Field(1, ge=1)
    windows: Windows = (5, 15, 31)
    balance: float = Field(1.0, ge=0.0, le=1.0)
    max_train_frames: int = Field(100_000, ge=1)
    jobs: int | None = Field(None, ge=1)

    @property
    def surroundings(self) -> Surroundings:
        """Which frames describe a frame."""
        return Surroundings(n_lags=self.n_lags, stride=self.lag_stride, windows=self.windows)


class ForestOptions(TreeOptions):
    """Options of ``random_forest``.

    Attributes:
        trees: Number of trees (published: 6000, which is no better and 20 times as slow).
        min_leaf_frames: Fewest frames of a leaf.
        max_depth: Most decisions of a tree; as many as it takes if not given.
    """

    trees: int = Field(300, ge=1)
    min_leaf_frames: int = Field(1, ge=1)
    max_depth: int | None = Field(None, ge=1)


class BoostingOptions(TreeOptions):
    """Options of ``boosting``.

    Attributes:
        library: Who grows the trees; ``xgboost`` must be installed by the user.
        rounds: Most rounds; each grows one tree per class.
        depth: Most decisions of a tree.
        learning_rate: Share of each tree that is added.
        min_leaf_frames: Fewest frames of a leaf.
        l2: Penalty on leaf values.
        feature_fraction: Share of columns looked at for each decision.
        patience: Rounds without a better held-out loss after which growing stops. Held out is
            every fifth recording, or the last fifth of each where there are few; the trees are
            then grown anew from all labelled frames for the best number of rounds. 0, or too few
            labels to hold any out: all rounds.
    """

    library: Literal["sklearn", "xgboost"] = "sklearn"
    rounds: int = Field(300, ge=1)
    depth: int = Field(6, ge=1)
    learning_rate: float = Field(0.1, gt=0.0, le=1.0)
    min_leaf_frames: int = Field(20, ge=1)
    l2: float = Field(1.0, ge=0.0)
    feature_fraction: float = Field(0.3, gt=0.0, le=1.0)
    patience: int = Field(50, ge=0)
