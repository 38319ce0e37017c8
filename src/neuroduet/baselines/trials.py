"""Decoding of values given once per trial: ridge, logistic regression and the majority class."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from neuroduet.baselines.encoders import DECODING_TASKS, answers
from neuroduet.baselines.signals import Signal, fit_signal
from neuroduet.baselines.smoothing import window_means
from neuroduet.types import Batch, Behaviour, Masks, Prediction, SessionInfo

PARTS = (1, 2, 5, 10)
"""Numbers of equal parts of a window whose mean activity are the features."""
