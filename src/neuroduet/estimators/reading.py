"""New trials for a fitted model, read as its training trials were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch_brain.data import Data

from neuroduet.config import BehaviourConfig
from neuroduet.data.labels import draft_behaviours
from neuroduet.data.recording import save
from neuroduet.data.schema import source_column
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.estimators.fitting import Fitted, scratch
from neuroduet.types import Batch, Behaviour, SessionInfo

CHUNK = 64
"""Windows that are predicted at once, as by :func:`neuroduet.tasks.export.write_predictions`."""


def read_trials(fitted: Fitted, recording: Data, given: Iterable[str]) -> list[Batch]:
    """New trials as batches, read as the training trials were.

    Args:
        fitted: What the trials are for.
        recording: The trials; all of them are marked ``train``.
        given: Behaviours that were given with them.

    Returns:
        Batches with every behaviour that was fitted; what was not given, or is missing in all
        trials, is not observed.

    Raises:
        UserError: Units, lengths or behaviours differ from those that were fitted.
    """
    wanted = tuple(_wanted(fitted.behaviours[name]) for name in given)
    for one in wanted:
        if source_column(recording, one.source) is None:
            raise UserError(
                f"behaviour '{one.name}' is not given per {one.per}, expected it as it was "
                f"fitted; give one value per {one.per}"
            )
    held = draft_behaviours(recording, wanted)
    known = tuple(one for one in wanted if one.name in held)
    config = fitted.model.config.data.model_copy(update={"behaviours": known})
    with scratch() as folder:
        save(recording, folder / "data.h5")
        session = open_sessions(folder / "data.h5", config, None, fitted.model.behaviours)[0]
        _require_alike(session.info, fitted.info)
        every = np.arange(len(session.windows))
        parts = [every[start : start + CHUNK] for start in range(0, len(every), CHUNK)]
        return [_with_all(session.batch(part), fitted.info.behaviours) for part in parts]


def _with_all(batch: Batch, behaviours: Sequence[Behaviour]) -> Batch:
    """The batch with all behaviours; those that it lacks are not observed."""
    values, seen = dict(batch.behaviours), dict(batch.observed)
    for one in behaviours:
        if one.name in values:
            continue
        shape = batch.valid.shape[: 2 if one.per == "bin" else 1]
        seen[one.name] = torch.zeros(shape, dtype=torch.bool)
        values[one.name] = (
            torch.zeros(*shape, one.size)
            if one.kind == "continuous"
            else torch.zeros(shape, dtype=torch.int64)
        )
    return replace(batch, behaviours=values, observed=seen)


def _wanted(behaviour: Behaviour) -> BehaviourConfig:
    return BehaviourConfig(
        name=behaviour.name, source=behaviour.source, kind=behaviour.kind, per=behaviour.per
    )


def _require_alike(new: SessionInfo, fitted: SessionInfo) -> None:
    if len(new.units) != len(fitted.units):
        raise UserError(
            f"found {len(new.units)} units, expected the {len(fitted.units)} that were fitted; "
            "give the same units in the same order"
        )
    if new.max_bins > fitted.max_bins:
        raise UserError(
            f"found a trial of {new.max_bins} bins, expected at most {fitted.max_bins}, the "
            "longest that was fitted; cut it"
        )
