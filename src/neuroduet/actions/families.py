"""The segmentation models by name."""

from __future__ import annotations

from neuroduet.actions.hmm import ARHMM, HMM
from neuroduet.actions.model import Family
from neuroduet.actions.networks import GRU, LSTM, MLP, MS_TCN, TCN
from neuroduet.actions.s3lds import GMDGM, S3LDS, SLDS
from neuroduet.actions.trees import BOOSTING, RANDOM_FOREST

FAMILIES: dict[str, Family] = {
    "random_forest": RANDOM_FOREST,
    "boosting": BOOSTING,
    "mlp": MLP,
    "lstm": LSTM,
    "gru": GRU,
    "tcn": TCN,
    "ms_tcn": MS_TCN,
    "hmm": HMM,
    "arhmm": ARHMM,
    "slds": SLDS,
    "gmdgm": GMDGM,
    "s3lds": S3LDS,
}
