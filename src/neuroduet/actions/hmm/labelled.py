"""States that labels hold in place: what a label says about states, and which states are whose.

Labelled frames are CLAMPED: every state of another class is impossible there. The states are found
without labels first, because unlabelled frames are many; then each class gets the states that
explain its frames best, and expectation maximisation goes on with the labels.

Shape letters: ``T`` frames, ``K`` states, ``C`` classes, ``E`` codes of evidence.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from neuroduet.actions.frames import Frames
from neuroduet.actions.hmm.autoregressive import Stream
from neuroduet.actions.hmm.fitting import (
    Parameters,
    Prior,
    Step,
    Table,
    climb,
    expect,
    frame_likelihoods,
    log_prior_density,
    posteriors,
)
from neuroduet.actions.hmm.options import HMMOptions
from neuroduet.actions.hmm.starts import clustered
from neuroduet.types import UNLABELLED

FREE = -1
"""Owner of a state that belongs to no class."""


class Agreement(NamedTuple):
    """How well states, found without labels, agree with classes.

    Attributes:
        frames: Expected number of a class's labelled frames in each state; ``(K, C)``.
        log_likelihoods: Of a class's labelled frames under each state; ``(K, C)``.
    """

    frames: Float[np.ndarray, "K C"]
    log_likelihoods: Float[np.ndarray, "K C"]


class Claimed(NamedTuple):
    """A model whose states belong to classes.

    Attributes:
        parameters: The model.
        owners: Class of each state, :data:`FREE` for none; ``(K,)``.
        objective: Log-likelihood of all recordings, labels included, plus the log-prior.
        converged: See :class:`~neuroduet.actions.hmm.fitting.Climbed`.
    """

    parameters: Parameters
    owners: Int[np.ndarray, " K"]
    objective: float
    converged: bool


def codes(frames: Frames, n_classes: int) -> Int[np.ndarray, " T"]:
    """What is known about each frame: 0 nothing, 1 + c a label, 1 + C + c a weak label.

    >>> one = Frames(
    ...     features=np.zeros((3, 1), np.float32), labels=np.array([1, -1, -1]),
    ...     weak=np.array([0, 0, -1]),
    ... )
    >>> codes(one, 2).tolist()
    [2, 3, 0]
    """
    known = np.where(frames.labels != UNLABELLED, 1 + frames.labels, 0)
    if frames.weak is not None:
        hinted = np.where(frames.weak != UNLABELLED, 1 + n_classes + frames.weak, 0)
        known = np.where(known > 0, known, hinted)
    return known.astype(np.int16)


def evidence(owners: Int[np.ndarray, " K"], n_classes: int, trust: float) -> Table:
    """Log-evidence of every code for every state.

    Args:
        owners: Class of each state.
        n_classes: Number of classes C.
        trust: Probability that a weak label is right; wrong ones name all others alike.

    Returns:
        ``(1 + 2 C, K)``.
    """
    own = owners == np.arange(n_classes)[:, None]
    wrong = np.log1p(-trust) - np.log(max(n_classes - 1, 1))
    return np.concatenate(
        [
            np.zeros((1, len(owners))),
            np.where(own, 0.0, -np.inf),
            np.where(own, np.log(trust), wrong),
        ]
    )


def classes_of(stream: Stream, n_classes: int) -> Int[np.ndarray, " T"]:
    """Class that each frame is said to have, by a label or a weak one; -1 for none."""
    return np.where(stream.codes == 0, UNLABELLED, (stream.codes.astype(int) - 1) % n_classes)


def agreement(stream: Stream, parameters: Parameters, n_classes: int) -> Agreement:
    """Compare states with labels, which the states have not been told."""
    labels = classes_of(stream, n_classes)
    shape = (len(parameters.initial), n_classes)
    frames, log_likelihoods = np.zeros(shape), np.zeros(shape)
    one_hot = np.concatenate([np.eye(n_classes), np.zeros((1, n_classes))])
    for piece in posteriors(stream, parameters):
        stop = piece.begin + len(piece.states)
        said = one_hot[labels[piece.begin : stop]]
        frames += piece.states.T @ said
        density = frame_likelihoods(stream, parameters.emissions, piece.begin, stop)
        log_likelihoods += density.T @ said
    return Agreement(frames, log_likelihoods)


def assign(value: Float[np.ndarray, "K C"], per_class: int, free: int) -> Int[np.ndarray, " K"]:
    """Give every class its states, such that the sum of values is largest.

    Args:
        value: Of each state for each class.
        per_class: States of each class.
        free: States that are left over.

    >>> assign(np.array([[0.0, 5.0], [3.0, 4.0], [1.0, 1.0]]), per_class=1, free=1).tolist()
    [1, 0, -1]
    """
    n_states, n_classes = value.shape
    columns = np.concatenate(
        [np.repeat(value, per_class, axis=1), np.zeros((n_states, free))], axis=1
    )
    owners = np.repeat(np.arange(n_classes), per_class)
    owners = np.concatenate([owners, np.full(free, FREE)])
    states, taken = linear_sum_assignment(columns, maximize=True)
    found = np.empty(n_states, int)
    found[states] = owners[taken]
    return found


def claim(
    stream: Stream, parameters: Parameters, n_classes: int, prior: Prior, options: HMMOptions
) -> Claimed:
    """Give the states of a model to the classes whose labelled frames they explain best.

    Two ways of giving are tried, by the likelihood of labelled frames under each state and by the
    expected number of frames; the one under which recordings and labels together are more probable
    is kept. Neither alone finds the right one every time.
    """
    found = agreement(stream, parameters, n_classes)
    ways = [
        assign(value, options.states_per_class, options.free_states)
        for value in (found.log_likelihoods, found.frames)
    ]
    return max(
        (_claimed(stream, parameters, owners, n_classes, prior, options) for owners in ways),
        key=lambda one: one.objective,
    )


def _claimed(
    stream: Stream,
    parameters: Parameters,
    owners: Int[np.ndarray, " K"],
    n_classes: int,
    prior: Prior,
    options: HMMOptions,
) -> Claimed:
    table = evidence(owners, n_classes, options.weak_trust)
    total = expect(stream, parameters, table).log_likelihood
    objective = total + log_prior_density(parameters, prior)
    return Claimed(parameters, owners, objective, converged=False)


def fit_labelled(
    stream: Stream,
    n_classes: int,
    prior: Prior,
    options: HMMOptions,
    rng: np.random.Generator,
    step: Step,
) -> Claimed:
    """States of classes, from labelled and unlabelled frames.

    Args:
        stream: The frames; its codes say what is known.
        n_classes: Number of classes C.
        prior: What is believed before any frame.
        options: Numbers of states and of restarts.
        rng: Of the starts.
        step: Told the objective after each iteration.
    """
    n_states = n_classes * options.states_per_class + options.free_states
    starts = []
    for _ in range(options.restarts):
        start = clustered(stream, n_states, prior, rng)
        free = climb(stream, start, prior, options, step)
        starts.append(claim(stream, free.parameters, n_classes, prior, options))
    ends = []
    for one in starts:
        table = evidence(one.owners, n_classes, options.weak_trust)
        ended = climb(stream, one.parameters, prior, options, step, table)
        ends.append(Claimed(ended.parameters, one.owners, ended.objectives[-1], ended.converged))
    return max(ends, key=lambda one: one.objective)


def state_classes(stream: Stream, claimed: Claimed, n_classes: int) -> Float[np.ndarray, "K C"]:
    """Probability of each class in each state.

    A state that belongs to a class has that class; a free one has the classes of the labelled
    frames that it would explain if it were allowed to.
    """
    own = (claimed.owners[:, None] == np.arange(n_classes)).astype(float)
    if (claimed.owners != FREE).all():
        return own
    frames = agreement(stream, claimed.parameters, n_classes).frames
    # One frame spread over the classes: a state that explains no labelled frame knows none.
    shares = frames + 1 / n_classes
    shares /= shares.sum(1, keepdims=True)
    return np.where((claimed.owners == FREE)[:, None], shares, own)
