"""Models, by name."""

from __future__ import annotations

from collections.abc import Sequence

from neuroduet.config import ModelConfig
from neuroduet.data.session import Session
from neuroduet.errors import UserError
from neuroduet.models.initialise import set_up_offsets, set_up_ranges, set_up_stitchers
from neuroduet.models.mtm_published import MtmPublished
from neuroduet.models.ndt2 import Ndt2
from neuroduet.models.neds_published import NedsPublished
from neuroduet.models.plugin import PluginModel
from neuroduet.models.poyo import Poyo
from neuroduet.models.translator import Translator
from neuroduet.plugins import find_plugin
from neuroduet.types import Behaviour, SessionInfo

Model = Translator | NedsPublished | MtmPublished | Ndt2 | Poyo | PluginModel

MODELS: dict[
    str, type[Translator] | type[NedsPublished] | type[MtmPublished] | type[Ndt2] | type[Poyo]
] = {
    "translator": Translator,
    "neds_published": NedsPublished,
    "mtm_published": MtmPublished,
    "ndt2": Ndt2,
    "poyo": Poyo,
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
        UserError: ``config.name`` is not a model, neither ours nor of another package
            (:mod:`neuroduet.plugins`).
    """
    if config.name in MODELS:
        return MODELS[config.name](config, sessions, behaviours)
    found = find_plugin("neuroduet.models", "model", config.name, MODELS)
    if not (isinstance(found, type) and issubclass(found, PluginModel)):
        raise UserError(
            f"the plugin '{config.name}' is no model but {found!r}, expected a class derived from "
            "neuroduet.models.plugin.PluginModel; correct the package that adds it"
        )
    return found(config, sessions, behaviours)


def set_up_session(model: Model, session: Session) -> None:
    """Give a session's stitchers what they need from its training windows: nothing, for MtM.

    Args:
        model: Model that already has stitchers for the session.
        session: The session; only its training windows are read.
    """
    if isinstance(model, NedsPublished):
        set_up_ranges(model, session)
    elif isinstance(model, Ndt2):
        set_up_offsets(model, session)
    elif isinstance(model, Poyo):
        model.set_statistics(session.info.id, session.statistics)
    elif isinstance(model, Translator):
        set_up_stitchers(model, session)
    elif isinstance(model, PluginModel):
        model.set_up_session(session)
