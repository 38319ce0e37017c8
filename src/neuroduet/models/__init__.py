"""Models, by name."""

from __future__ import annotations

from collections.abc import Sequence

from neuroduet.config import ModelConfig
from neuroduet.data.session import Session
from neuroduet.errors import unknown
from neuroduet.models.initialise import set_up_ranges, set_up_stitchers
from neuroduet.models.neds_published import NedsPublished
from neuroduet.models.translator import Translator
from neuroduet.types import Behaviour, SessionInfo

Model = Translator | NedsPublished

MODELS: dict[str, type[Translator] | type[NedsPublished]] = {
    "translator": Translator,
    "neds_published": NedsPublished,
}


def build(
    config: ModelConfig,
    sessions: Sequence[SessionInfo],
    behaviours: Sequence[Behaviour] | None = None,
) -> Model:
    """Build an untrained model.

    Args:
        config: Architecture.
        sessions: Sessions it gets stitchers for.
        behaviours: Behaviours it knows; default: all that the sessions have.

    Returns:
        The model.

    Raises:
        UserError: ``config.name`` is not a model.
    """
    if config.name not in MODELS:
        raise unknown("model", config.name, MODELS)
    return MODELS[config.name](config, sessions, behaviours)


def set_up_session(model: Model, session: Session) -> None:
    """Give a session's stitchers what they need from its training windows.

    Args:
        model: Model that already has stitchers for the session.
        session: The session; only its training windows are read.
    """
    if isinstance(model, NedsPublished):
        set_up_ranges(model, session)
    else:
        set_up_stitchers(model, session)
