"""Options of the hidden Markov models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from neuroduet.actions.model import ModelOptions

Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, strict=True)]


class HMMOptions(ModelOptions):
    """Options of the Gaussian HMM, shared by the autoregressive one.

    Attributes:
        components: Principal components of the features that the model sees: their number (an
            integer), or the share of the variance they explain (a fraction; 1.0 is all).
        max_components: Upper limit where ``components`` is a share: states with full covariances
            need few dimensions.
        whiten: Whether components get the same variance; otherwise they keep their proportions.
        sticky: Pseudo-counts of staying in a state (frames).
        concentration: Pseudo-counts of every transition and of every state of a first frame.
        prior_frames: Weight of the model with one state only in every state's regression and
            covariance, in frames.
        ridge: Penalty of regression weights, for components of unit scale.
        floor: Sum of squares added to every state's covariance, for components of unit scale.
        restarts: Fits from different k-means starts, of which the best is kept.
        iterations: Most EM iterations of a fit.
        tolerance: EM stops when the objective gains less than this per frame.
        states_per_class: States of every class, where there are labels.
        free_states: States beyond those of the classes, where there are labels: they take up what
            no label names, and count as the class that labelled frames like theirs have.
        weak_trust: Probability that a weak label is right.
        decoding: Class probabilities of each frame, or the one most probable path.
    """

    components: Count | Share = 0.95
    max_components: int = Field(10, ge=1)
    whiten: bool = False
    sticky: float = Field(100.0, ge=0)
    concentration: float = Field(0.1, ge=0)
    prior_frames: float = Field(1.0, ge=0)
    ridge: float = Field(1e-3, ge=0)
    floor: float = Field(1e-3, ge=0)
    restarts: int = Field(3, ge=1)
    iterations: int = Field(100, ge=1)
    tolerance: float = Field(1e-5, ge=0)
    states_per_class: int = Field(1, ge=1)
    free_states: int = Field(0, ge=0)
    weak_trust: float = Field(0.7, gt=0, lt=1)
    decoding: Literal["posterior", "viterbi"] = "posterior"


class ARHMMOptions(HMMOptions):
    """Options of the autoregressive HMM.

    Attributes:
        order: Earlier frames that predict a frame. One is not enough where keypoints are noisy:
            the frame before then says too little about where the body was.
    """

    order: int = Field(2, ge=1)
