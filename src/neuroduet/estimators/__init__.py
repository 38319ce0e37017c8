"""Estimators in the manner of scikit-learn: arrays in, ``fit``, ``predict``, ``score``."""

from __future__ import annotations

from neuroduet.estimators.decoder import Decoder
from neuroduet.estimators.encoder import Encoder

__all__ = ["Decoder", "Encoder"]
