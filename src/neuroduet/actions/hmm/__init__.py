"""Hidden Markov models: Gaussian and autoregressive states, with labels or without."""

from __future__ import annotations

from neuroduet.actions.hmm.model import fit, restore
from neuroduet.actions.hmm.options import ARHMMOptions, HMMOptions
from neuroduet.actions.model import Family

__all__ = ["ARHMM", "HMM", "ARHMMOptions", "HMMOptions"]

HMM = Family(
    options=HMMOptions,
    fit=fit,
    restore=restore,
    needs_labels=False,
    uses_unlabelled=True,
)

ARHMM = Family(
    options=ARHMMOptions,
    fit=fit,
    restore=restore,
    needs_labels=False,
    uses_unlabelled=True,
)
