"""Models, by name."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from neuroduet.config import ModelConfig
from neuroduet.errors import unknown
from neuroduet.models.translator import Translator
from neuroduet.types import SessionInfo

MODELS = {"translator": Translator}


def build(config: ModelConfig, sessions: Sequence[SessionInfo]) -> nn.Module:
    """Build an untrained model.

    Args:
        config: Architecture.
        sessions: Sessions it gets stitchers for.

    Returns:
        The model.

    Raises:
        UserError: ``config.name`` is not a model.
    """
    if config.name not in MODELS:
        raise unknown("model", config.name, MODELS)
    return MODELS[config.name](config, sessions)
