"""Supervised networks: temporal perceptron, LSTM, GRU, dilated TCN and MS-TCN."""

from __future__ import annotations

from neuroduet.actions.lags import POSE_WINDOWS
from neuroduet.actions.model import Family
from neuroduet.actions.networks.options import (
    GRUOptions,
    LSTMOptions,
    MLPOptions,
    MSTCNOptions,
    NetworkOptions,
    TCNOptions,
)
from neuroduet.actions.networks.prediction import restore
from neuroduet.actions.networks.training import fit


def _family(options: type[NetworkOptions]) -> Family:
    return Family(
        options=options,
        fit=fit,
        restore=restore,
        needs_labels=True,
        uses_unlabelled=True,
        for_pose={
            "windows": POSE_WINDOWS,
            "dropout": 0.5,
            "noise": 0.6,
            "label_smoothing": 0.1,
        },
    )


MLP = _family(MLPOptions)
LSTM = _family(LSTMOptions)
GRU = _family(GRUOptions)
TCN = _family(TCNOptions)
MS_TCN = _family(MSTCNOptions)

__all__ = ["GRU", "LSTM", "MLP", "MS_TCN", "TCN"]
