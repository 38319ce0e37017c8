"""Training on arrays in memory, by way of a recording in a folder that is gone afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Shaped
from torch_brain.data import Data

from neuroduet.config import BehaviourConfig, Config, override
from neuroduet.data.arrays import from_arrays
from neuroduet.data.columns import column
from neuroduet.data.labels import draft_behaviours
from neuroduet.data.opened import OPEN_RECORDINGS
from neuroduet.data.recording import save
from neuroduet.data.schema import describe_behaviours, source_column
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError, unknown
from neuroduet.estimators import readouts
from neuroduet.presets import PRESETS
from neuroduet.training.fit import train
from neuroduet.training.hub import training_tables
from neuroduet.training.runs import Ensemble, TrainedModel, load_run
from neuroduet.training.threads import using_threads
from neuroduet.types import Behaviour, Predictor, SessionInfo

SESSION = "trials"
"""Id of the session that the arrays become."""

Activity = Literal["counts", "traces"]

LONGEST_BIN_S = 10.0
"""No trial is cut into wider bins, but for one whose bins are given in milliseconds (s)."""

PARAMETERS = {"training.seed": "seed", "training.max_minutes": "max_minutes"}
"""Settings that are parameters of an estimator."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What fitting found.

    Attributes:
        model: The trained model.
        readouts: Of behaviour, where the model is one of activity alone.
        single: Whether behaviour was given as one array.
        flat: Behaviours that were given without an axis of channels.
        split: ``train`` or ``valid`` for every trial.
        tables: Learning curves and environment, by their place in a run folder.
    """

    model: TrainedModel | Ensemble
    readouts: readouts.Readouts
    single: bool
    flat: frozenset[str]
    split: Shaped[np.ndarray, " W"]
    tables: Mapping[str, bytes]

    @property
    def predictor(self) -> Predictor:
        """Who answers every task that the model can."""
        if self.model.config.model.behaviours:
            return self.model
        return readouts.WithReadouts(model=self.model, readouts=self.readouts)

    @property
    def info(self) -> SessionInfo:
        """The session that was fitted."""
        return self.model.sessions[0]

    @property
    def behaviours(self) -> dict[str, Behaviour]:
        """What was fitted, by name."""
        return {behaviour.name: behaviour for behaviour in self.model.behaviours}


def configure(
    preset: str, settings: Mapping[str, Any] | None, seed: int, max_minutes: float | None
) -> Config:
    """The configuration of a run on arrays.

    Args:
        preset: A name of :data:`~neuroduet.presets.PRESETS`.
        settings: Values by ``section.key``, laid over everything else.
        seed: Seed of the training.
        max_minutes: Bound on wall-clock time, ``None`` for none.

    Raises:
        UserError: The preset or a setting is unknown, is about how recordings are cut, or is a
            parameter of the estimator.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    for key in PARAMETERS:
        if key in (settings or {}):
            raise UserError(
                f"setting '{key}' is a parameter of its own, expected it in one place; give "
                f"{PARAMETERS[key]}=... and leave it out of settings"
            )
    given = {"training.seed": seed, "training.max_minutes": max_minutes, **(settings or {})}
    cutting = [key for key in given if key.startswith("data.") and key != "data.behaviours"]
    if cutting:
        raise UserError(
            f"setting '{cutting[0]}' says how recordings are cut, but the arrays are trials "
            "already; leave it out"
        )
    return override(PRESETS[preset](), given)


def divide(n_trials: int, fraction: float, seed: int) -> Shaped[np.ndarray, " W"]:
    """Which trials train and which choose the weights to keep.

    Args:
        n_trials: Number of trials.
        fraction: Share that validates, at least one trial unless it is 0.
        seed: Seed of the draw.

    Returns:
        ``train`` or ``valid`` for each.

    Raises:
        UserError: The fraction is not in [0, 1) or leaves nothing to train on.
    """
    if not 0 <= fraction < 1:
        raise UserError(
            f"validation_fraction is {fraction}, expected a share of the trials from 0 to below 1"
        )
    n_valid = max(1, round(fraction * n_trials)) if fraction else 0
    if n_trials - n_valid < 1:
        raise UserError(
            f"found {n_trials} trials, of which {n_valid} would validate, expected at least one "
            "to train on; give more trials"
        )
    split = np.full(n_trials, "train")
    split[np.random.default_rng(seed).permutation(n_trials)[:n_valid]] = "valid"
    return split


def record(
    activity: str,
    values: Any,
    bin_size_s: float,
    behaviours: Mapping[str, Any],
    split: Sequence[str] | np.ndarray,
) -> Data:
    """A recording of the arrays.

    Raises:
        UserError: The kind of activity is unknown, bins are not in seconds, or the arrays do not
            fit each other.
    """
    if activity not in get_args(Activity):
        raise unknown("activity", activity, get_args(Activity))
    if isinstance(bin_size_s, Real) and LONGEST_BIN_S < bin_size_s < float("inf"):
        raise UserError(
            f"bin_size_s is {bin_size_s:g}, expected seconds, at most {LONGEST_BIN_S:g}; give the "
            f"width of a bin in seconds, such as {bin_size_s / 1000:g} for {bin_size_s:g} ms"
        )
    return from_arrays(
        session_id=SESSION,
        bin_size_s=bin_size_s,
        behaviours=behaviours,
        split=split,
        counts=values if activity == "counts" else None,
        traces=values if activity == "traces" else None,
    )


def require_classes(recording: Data) -> None:
    """Refuse behaviour that is not one array of classes.

    Raises:
        UserError: There are several behaviours, or the one is continuous.
    """
    found = describe_behaviours(recording)
    if [one.kind for one in found] != ["categorical"]:
        kinds = ", ".join(f"'{one.name}' ({one.kind})" for one in found)
        raise UserError(
            f"found the behaviour {kinds}, expected one array of classes for a classifier; give "
            "integers or text, or leave classifier out"
        )


def learn(
    config: Config, recording: Data, split: np.ndarray, single: bool, verbose: bool
) -> Fitted:
    """Train on a recording; its file and the run folder are gone afterwards.

    Args:
        config: Configuration; behaviours that it does not name are those of the recording.
        recording: Recording with a column ``split`` of trials.
        split: That column.
        single: Whether behaviour was given as one array.
        verbose: Whether to show how far it is.

    Raises:
        UserError: A behaviour is missing in all trials.
    """
    if config.data.behaviours is None:
        # New trials alone may not tell of which kind a behaviour is.
        offered = describe_behaviours(recording)
        _require_values(offered, draft_behaviours(recording, offered))
        data = config.data.model_copy(update={"behaviours": offered})
        config = config.model_copy(update={"data": data})
    with scratch() as folder, _as_before():
        path = folder / "data.h5"
        save(recording, path)
        run = train(config, path, folder / "run", verbose=verbose)
        model, tables = in_memory(run), training_tables(run)
        kept = {}
        if not model.config.model.behaviours:
            sessions = open_sessions(path, config.data, behaviours=model.behaviours)
            kept = readouts.fit(model, sessions[0])
    return Fitted(
        model=model,
        readouts=kept,
        single=single,
        flat=_flat(recording),
        split=split,
        tables=tables,
    )


def in_memory(run: Path) -> TrainedModel | Ensemble:
    """The model of a run, which no longer knows of the folder.

    Args:
        run: Run folder.

    Raises:
        UserError: It is not finished, or damaged.
    """
    model = load_run(run)
    for one in (model, *(model.members if isinstance(model, Ensemble) else ())):
        one.origin = None
    return model


def _require_values(offered: Sequence[BehaviourConfig], held: Collection[str]) -> None:
    missing = [one.name for one in offered if one.name not in held]
    if missing:
        raise UserError(
            f"behaviour '{missing[0]}' is missing in every trial, expected some values; leave it "
            "out"
        )


def _flat(recording: Data) -> frozenset[str]:
    found = {b.name: source_column(recording, b.source) for b in describe_behaviours(recording)}
    return frozenset(name for name, at in found.items() if at and column(*at).ndim == 1)


@contextmanager
def _as_before() -> Iterator[None]:
    """Training seeds torch and sets its threads; the caller's are as before when it ends."""
    with torch.random.fork_rng(devices=[]), using_threads(None):
        yield


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with TemporaryDirectory(prefix="neuroduet-", ignore_cleanup_errors=True) as folder:
        try:
            yield Path(folder)
        finally:
            OPEN_RECORDINGS.close()
