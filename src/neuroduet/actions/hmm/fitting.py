"""Expectation maximisation: the states that make the recordings most probable.

The objective is the log-likelihood of all recordings plus the log-density of the prior; it never
decreases. Without a prior (all its options 0) it is the likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from neuroduet.actions.hmm.autoregressive import Stream
from neuroduet.actions.hmm.gaussian import (
    Emissions,
    Moments,
    log_density,
    log_prior,
    maximise,
    moments,
    prior_moments,
)
from neuroduet.actions.hmm.inference import Posterior, smooth_pieces
from neuroduet.actions.hmm.options import HMMOptions

LEAST_TRANSITION = 1e-12
"""Transitions stay positive, which keeps scaled arithmetic exact."""

PORTION = 32_768
"""Frames treated at once where the chain plays no part."""

Table = Float[np.ndarray, "E K"]
"""Log-evidence for every state given by every code of a stream."""

Step = Callable[[float], None]
"""Told the objective after each iteration."""


class Parameters(NamedTuple):
    """A hidden Markov model.

    Attributes:
        initial: Distribution of the state in the first frame of a recording; ``(K,)``.
        transition: ``p(next state j | state i)``; ``(K, K)``.
        emissions: What the states expect.
    """

    initial: Float[np.ndarray, " K"]
    transition: Float[np.ndarray, "K K"]
    emissions: Emissions


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is believed before any frame.

    Attributes:
        initial: Pseudo-counts of the first state; ``(K,)``.
        transition: Pseudo-counts of transitions; ``(K, K)``.
        emissions: Moments that every state is given.
    """

    initial: Float[np.ndarray, " K"]
    transition: Float[np.ndarray, "K K"]
    emissions: Moments


class Expected(NamedTuple):
    """What an E-step found.

    Attributes:
        log_likelihood: Of all recordings.
        opening: Expected number of recordings that start in each state; ``(K,)``.
        pairs: Expected number of transitions; ``(K, K)``.
        moments: Of the frames of each state.
    """

    log_likelihood: float
    opening: Float[np.ndarray, " K"]
    pairs: Float[np.ndarray, "K K"]
    moments: Moments


class Climbed(NamedTuple):
    """Where EM ended.

    Attributes:
        parameters: The model.
        objectives: Log-likelihood plus log-prior, iteration by iteration.
        converged: Whether the last iteration gained no more than the tolerance.
    """

    parameters: Parameters
    objectives: list[float]
    converged: bool


def make_prior(stream: Stream, n_states: int, options: HMMOptions) -> Prior:
    """The prior that the options ask for, centred on the model with one state."""
    everything = total_moments(stream, lambda begin, stop: np.ones((stop - begin, 1)))
    return Prior(
        initial=np.full(n_states, options.concentration),
        transition=options.concentration + options.sticky * np.eye(n_states),
        emissions=prior_moments(
            everything, stream.components, options.prior_frames, options.ridge, options.floor
        ),
    )


def total_moments(stream: Stream, weights: Callable[[int, int], np.ndarray]) -> Moments:
    """Moments of all frames that have a past, from weights given portion by portion."""
    parts = (
        _weighted_moments(stream, begin, weights(begin, min(begin + PORTION, len(stream.values))))
        for begin in range(0, len(stream.values), PORTION)
    )
    return reduce(add, parts)


def _weighted_moments(stream: Stream, begin: int, weights: Float[np.ndarray, "T K"]) -> Moments:
    """Moments of the frames from ``begin`` on that have a past."""
    stop = begin + len(weights)
    return moments(stream.rows(begin, stop), weights * stream.complete(begin, stop)[:, None])


def posteriors(
    stream: Stream, parameters: Parameters, evidence: Table | None = None
) -> Iterator[Posterior]:
    """Posterior of all frames, piece by piece.

    Args:
        stream: The frames. Those without a past say nothing about their states themselves.
        parameters: The model.
        evidence: What the codes of the stream mean; ``None``: nothing.
    """

    def likelihoods(begin: int, stop: int) -> Float[np.ndarray, "T K"]:
        density = frame_likelihoods(stream, parameters.emissions, begin, stop)
        return density if evidence is None else density + evidence[stream.codes[begin:stop]]

    return smooth_pieces(parameters.initial, parameters.transition, likelihoods, stream.lengths)


def frame_likelihoods(
    stream: Stream, emissions: Emissions, begin: int, stop: int
) -> Float[np.ndarray, "T K"]:
    """Log-density of some frames under every state; 0 for those without a past."""
    density = log_density(emissions, stream.rows(begin, stop))
    return np.where(stream.complete(begin, stop)[:, None], density, 0.0)


def expect(stream: Stream, parameters: Parameters, evidence: Table | None = None) -> Expected:
    """E-step: what the recordings say about states, in bounded memory."""
    n_states, size = len(parameters.initial), (stream.order + 1) * stream.components + 1
    pairs, opening = np.zeros((n_states, n_states)), np.zeros(n_states)
    seen = Moments(np.zeros(n_states), np.zeros((n_states, size, size)))
    log_likelihood = 0.0
    for piece in posteriors(stream, parameters, evidence):
        log_likelihood += piece.log_likelihood
        opening += piece.opening
        pairs += piece.pairs
        seen = seen + _weighted_moments(stream, piece.begin, piece.states)
    return Expected(log_likelihood, opening, pairs, seen)


def maximise_all(found: Expected, prior: Prior, components: int) -> Parameters:
    """M-step: the model under which what was expected, and the prior, are most probable."""
    return Parameters(
        initial=_shares(found.opening + prior.initial),
        transition=_shares(found.pairs + prior.transition),
        emissions=maximise(found.moments, prior.emissions, components),
    )


def _shares(counts: Float[np.ndarray, "*rows K"]) -> Float[np.ndarray, "*rows K"]:
    """Rows as positive shares."""
    raised = counts + np.maximum(LEAST_TRANSITION * counts.sum(-1, keepdims=True), 1e-30)
    return raised / raised.sum(-1, keepdims=True)


def log_prior_density(parameters: Parameters, prior: Prior) -> float:
    """Log-density of a model under the prior, up to a constant."""
    chain = (prior.transition * np.log(parameters.transition)).sum()
    first = (prior.initial * np.log(parameters.initial)).sum()
    return float(chain + first) + log_prior(parameters.emissions, prior.emissions)


def climb(
    stream: Stream,
    start: Parameters,
    prior: Prior,
    options: HMMOptions,
    step: Step,
    evidence: Table | None = None,
) -> Climbed:
    """Expectation maximisation until the objective gains nothing more.

    Args:
        stream: The frames.
        start: Where to begin.
        prior: What is believed before any frame.
        options: Number of iterations and tolerance.
        step: Told the objective after each iteration.
        evidence: What the codes of the stream mean; ``None``: nothing.
    """
    parameters, objectives = start, []
    for _ in range(options.iterations):
        found = expect(stream, parameters, evidence)
        objectives.append(found.log_likelihood + log_prior_density(parameters, prior))
        step(objectives[-1])
        if len(objectives) > 1:
            gain = objectives[-1] - objectives[-2]
            if gain <= options.tolerance * len(stream.values):
                return Climbed(parameters, objectives, converged=True)
        parameters = maximise_all(found, prior, stream.components)
    return Climbed(parameters, objectives, converged=False)
