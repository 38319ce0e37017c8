"""Hidden Markov models: Gaussian and autoregressive states, with labels or without."""

from __future__ import annotations

from collections.abc import Sequence

from neuroduet.actions.frames import Frames
from neuroduet.actions.hmm.model import HiddenMarkov, fit_chain, restore
from neuroduet.actions.hmm.options import ARHMMOptions, HMMOptions
from neuroduet.actions.model import Family, Report

__all__ = ["ARHMM", "HMM", "ARHMMOptions", "HMMOptions", "HiddenMarkov"]


def fit_gaussian(
    frames: Sequence[Frames], n_classes: int, options: HMMOptions, seed: int, report: Report
) -> HiddenMarkov:
    """Fit states that know where the body is."""
    return fit_chain(frames, n_classes, options, 0, seed, report)


def fit_autoregressive(
    frames: Sequence[Frames], n_classes: int, options: ARHMMOptions, seed: int, report: Report
) -> HiddenMarkov:
    """Fit states that know how the body moves."""
    return fit_chain(frames, n_classes, options, options.order, seed, report)


HMM = Family(
    options=HMMOptions,
    fit=fit_gaussian,
    restore=restore,
    needs_labels=False,
    uses_unlabelled=True,
)

ARHMM = Family(
    options=ARHMMOptions,
    fit=fit_autoregressive,
    restore=restore,
    needs_labels=False,
    uses_unlabelled=True,
)
