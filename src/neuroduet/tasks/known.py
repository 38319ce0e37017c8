"""Open the recordings of sessions that a trained model knows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from neuroduet.data.parts import difference
from neuroduet.data.recording import find_recordings, load
from neuroduet.data.schema import recording_id
from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError
from neuroduet.tasks.frozen import FrozenReadout
from neuroduet.training.trained import Ensemble, TrainedModel
from neuroduet.types import Predictor, SessionInfo

log = logging.getLogger(__name__)


def open_known_sessions(
    model: TrainedModel | Ensemble, data: Path | str, wanted: Sequence[str] | None = None
) -> list[Session]:
    """Open recordings as the model was trained on them.

    Args:
        model: A run opened for prediction.
        data: A recording, or a folder of recordings.
        wanted: Session ids; ``None`` takes every recording whose session the model knows.

    Returns:
        Sessions sorted by id, read with the configuration and the classes of the run.

    Raises:
        UserError: A wanted session is not one of the model's, none of the recordings is, or a
            recording no longer has the units the model was trained on.
    """
    known = {info.id: info for info in model.sessions}
    names = sorted(set(wanted)) if wanted is not None else _known_ids(known, data)
    strangers = [name for name in names if name not in known]
    if strangers:
        raise UserError(
            f"the run has not seen session {', '.join(map(repr, strangers))} (it knows "
            f"{_listed(known)}); finetune it on new sessions first"
        )
    opened = open_sessions(Path(data), model.config.data, names, model.behaviours)
    for session in opened:
        told = difference(session.info, known[session.info.id])
        if told:
            raise UserError(
                f"session '{session.info.id}' {told}; use the same recording, or finetune on "
                "this one"
            )
    return opened


def _known_ids(known: dict[str, SessionInfo], data: Path | str) -> list[str]:
    found = _recorded_ids(Path(data))
    names = sorted(name for name in found if name in known)
    if not names:
        raise UserError(
            f"no recording in {data} is of a session of the run: found {_listed(found)}, the run "
            f"knows {_listed(known)}; finetune it on new sessions first"
        )
    skipped = [name for name in found if name not in known]
    if skipped:
        log.warning("the run does not know %s: not used", _listed(skipped))
    return names


def _recorded_ids(data: Path) -> list[str]:
    names = []
    for path in find_recordings(data):
        with load(path) as recording:
            names.append(recording_id(recording))
    return names


def _listed(names: Sequence[str] | dict[str, SessionInfo]) -> str:
    shown = ", ".join(list(names)[:10])
    return shown + (" ..." if len(names) > 10 else "")


def as_predictor(model: TrainedModel | Ensemble, sessions: Sequence[Session]) -> Predictor:
    """A model that answers every task it can.

    Args:
        model: A run opened for prediction.
        sessions: The sessions it is asked about.

    Returns:
        The model; one of activity alone with linear read-outs of behaviour from its features.
    """
    return model if model.config.model.behaviours else FrozenReadout(model, sessions)
