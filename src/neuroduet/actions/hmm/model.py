"""Hidden Markov models as segmenters: fitted to frames, asked for classes, kept as arrays."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from neuroduet.actions.frames import Frames
from neuroduet.actions.hmm.autoregressive import Stream, join
from neuroduet.actions.hmm.fitting import (
    Climbed,
    Parameters,
    Prior,
    Step,
    climb,
    frame_likelihoods,
    make_prior,
    posteriors,
)
from neuroduet.actions.hmm.gaussian import Emissions
from neuroduet.actions.hmm.inference import viterbi
from neuroduet.actions.hmm.labelled import Claimed, codes, fit_labelled, state_classes
from neuroduet.actions.hmm.options import ARHMMOptions, HMMOptions
from neuroduet.actions.hmm.projection import Projection, fit_projection
from neuroduet.actions.hmm.starts import clustered
from neuroduet.actions.model import Arrays, Report

log = logging.getLogger(__name__)

STOPPED = (
    "the hidden Markov model was still improving when its %d iterations ended; allow it more, "
    "e.g. iterations=%d"
)


@dataclass(frozen=True, kw_only=True)
class HiddenMarkov:
    """A fitted hidden Markov model.

    Attributes:
        projection: From features to the components that the states know.
        parameters: The chain and what its states expect.
        classes: Probability of each class in each state; ``(K states, K classes)``.
        decoding: Posterior of every frame, or the most probable path.
    """

    projection: Projection
    parameters: Parameters
    classes: Float[np.ndarray, "S K"]
    decoding: str

    @property
    def order(self) -> int:
        """Earlier frames that predict a frame."""
        _, components, regressors = self.parameters.emissions.weights.shape
        return (regressors - 1) // components

    def predict_proba(
        self, features: Sequence[Float[np.ndarray, "_ D"]]
    ) -> list[Float[np.ndarray, "_ K"]]:
        """Probability of every class (state, if there were no labels) in every frame.

        Args:
            features: One array per recording, ``(T, D)``.

        Returns:
            One array per recording, ``(T, K)``; of zeros and ones if the path is decoded.
        """
        if not features:
            return []
        stream = join([self.projection.apply(one) for one in features], self.order)
        ends = np.cumsum([0, *stream.lengths])
        states = self._paths(stream, ends) if self.decoding == "viterbi" else self._smooth(stream)
        return [states[i:j] for i, j in zip(ends[:-1], ends[1:], strict=True)]

    def _smooth(self, stream: Stream) -> Float[np.ndarray, "T K"]:
        """Posteriors of classes."""
        found = np.empty((len(stream.values), self.classes.shape[1]))
        for piece in posteriors(stream, self.parameters):
            found[piece.begin : piece.begin + len(piece.states)] = piece.states @ self.classes
        return found

    def _paths(self, stream: Stream, ends: np.ndarray) -> Float[np.ndarray, "T K"]:
        """Classes of the most probable paths, as zeros and ones."""
        likely = np.eye(self.classes.shape[1])[self.classes.argmax(1)]
        initial, transition, emissions = self.parameters
        paths = [
            viterbi(initial, transition, frame_likelihoods(stream, emissions, i, j))[0]
            for i, j in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        ]
        return likely[np.concatenate(paths)]

    def arrays(self) -> Arrays:
        """Everything :func:`restore` needs besides the options."""
        return {
            "mean": self.projection.mean,
            "loadings": self.projection.loadings,
            "initial": self.parameters.initial,
            "transition": self.parameters.transition,
            "weights": self.parameters.emissions.weights,
            "covariances": self.parameters.emissions.covariances,
            "classes": self.classes,
        }


def restore(arrays: Arrays, options: HMMOptions) -> HiddenMarkov:
    """Rebuild a fitted model from its arrays."""
    return HiddenMarkov(
        projection=Projection(mean=arrays["mean"], loadings=arrays["loadings"]),
        parameters=Parameters(
            initial=arrays["initial"],
            transition=arrays["transition"],
            emissions=Emissions(arrays["weights"], arrays["covariances"]),
        ),
        classes=arrays["classes"],
        decoding=options.decoding,
    )


def fit(
    frames: Sequence[Frames],
    n_classes: int,
    options: HMMOptions,
    seed: int,
    report: Report,
) -> HiddenMarkov:
    """Fit a hidden Markov model: held in place by labels where there are some.

    Args:
        frames: Recordings, labelled or not.
        n_classes: Number of classes; of states, if no frame has a label.
        options: Of the model.
        seed: Of the starts.
        report: Told the log-likelihood per frame after each iteration.
    """
    projection = fit_projection(
        [one.features for one in frames],
        options.components,
        options.max_components,
        options.whiten,
    )
    known = [codes(one, n_classes) for one in frames]
    order = options.order if isinstance(options, ARHMMOptions) else 0
    stream = join([projection.apply(one.features) for one in frames], order, known)
    rng = np.random.default_rng(seed)
    found: Climbed | Claimed
    if not stream.codes.any():
        step = _counting(report, options.restarts * options.iterations, len(stream.values))
        prior = make_prior(stream, n_classes, options)
        found = fit_unlabelled(stream, n_classes, prior, options, rng, step)
        classes = np.eye(n_classes)
    else:
        step = _counting(report, 2 * options.restarts * options.iterations, len(stream.values))
        n_states = n_classes * options.states_per_class + options.free_states
        prior = make_prior(stream, n_states, options)
        found = fit_labelled(stream, n_classes, prior, options, rng, step)
        classes = state_classes(stream, found, n_classes)
    if not found.converged:
        log.warning(STOPPED, options.iterations, 2 * options.iterations)
    return HiddenMarkov(
        projection=projection,
        parameters=found.parameters,
        classes=classes,
        decoding=options.decoding,
    )


def fit_unlabelled(
    stream: Stream,
    n_states: int,
    prior: Prior,
    options: HMMOptions,
    rng: np.random.Generator,
    step: Step,
) -> Climbed:
    """The best of several fits without labels."""
    fits = [
        climb(stream, clustered(stream, n_states, prior, rng), prior, options, step)
        for _ in range(options.restarts)
    ]
    return max(fits, key=lambda one: one.objectives[-1])


def _counting(report: Report, total: int, frames: int) -> Step:
    """A step that counts itself and reports the objective per frame."""
    done = 0

    def step(objective: float) -> None:
        nonlocal done
        done += 1
        report(done, total, objective / frames)

    return step
