"""Actions decoded from spikes by somebody who knows the truth: the bound for simulations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from neuroduet.actions.hmm.inference import smooth
from neuroduet.simulate.bouts import STAGES, stationary

SMALLEST_RATE = 1e-9
"""Expected counts are raised to this before the logarithm."""


def decode_actions(
    counts: Float[np.ndarray, "T N"],
    expected: Float[np.ndarray, "_ K N"],
    transition: Float[np.ndarray, "KS KS"],
    lengths: Sequence[int] | None = None,
) -> Float[np.ndarray, "T K"]:
    """Posterior of the action in every bin, given Poisson counts and a known chain of bouts.

    Args:
        counts: Spike counts, windows one after another.
        expected: Counts expected of each action, ``(T, K, N)``, or ``(1, K, N)`` if they are the
            same in every bin. What else moves the rates is known to whoever gives the former, and
            overlooked by whoever gives the latter.
        transition: Chain of the stages of bouts, see :func:`~neuroduet.simulate.bouts.bout_chain`.
        lengths: Bins of each window; ``None``: all bins are one window.

    Returns:
        Probability of each action given all bins of its window; rows sum to 1.
    """
    rates = np.maximum(expected, SMALLEST_RATE)
    fit = (counts[:, None] * np.log(rates) - rates).sum(axis=2)
    by_stage = np.repeat(fit, STAGES, axis=1)
    posterior = smooth(stationary(transition), transition, by_stage, lengths).states
    return posterior.reshape(len(counts), -1, STAGES).sum(axis=2)
