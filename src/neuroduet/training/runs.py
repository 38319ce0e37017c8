"""The trained model in a run folder: ``model/`` is written at the end of training, and opened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from neuroduet.config import Config, ModelConfig, from_mapping, load_config
from neuroduet.data.boundary import reading
from neuroduet.errors import UserError, unknown
from neuroduet.models import MODELS, Model, build
from neuroduet.nn.stitch import module_key
from neuroduet.plugins import all_names
from neuroduet.training.description import (
    SCHEMA,
    behaviour_of,
    read_description,
    session_info_of,
)
from neuroduet.training.files import read_tensors, write_tensors, write_text
from neuroduet.training.given import path_of
from neuroduet.training.state import MEAN
from neuroduet.training.trained import Ensemble, TrainedModel, Weights
from neuroduet.types import Behaviour, SessionInfo

IMPORT_FIRST = (
    "the run was trained with it, so import the module that registers it first, or install the "
    "package that has it as an entry point"
)


def save_model(
    out: Path, config: Config, model: Model, best: Iterable[tuple[str, Weights]]
) -> None:
    """Write ``model/``: a configuration, the weights, and the best weights per target.

    Args:
        out: Run folder.
        config: Resolved configuration.
        model: The model (its buffers and session descriptions are saved too).
        best: Parameters per target, those of :data:`~neuroduet.training.state.MEAN` among them.
    """
    folder, files = out / "model", {}
    for key, weights in best:
        if key == MEAN:
            write_tensors(folder / "model.safetensors", model.state_dict() | weights)
        else:
            files[key] = f"best-{module_key(key)}.safetensors"
            write_tensors(folder / files[key], weights)
    description = {
        "schema": SCHEMA,
        "config": config.model_dump(mode="json"),
        "behaviours": [asdict(behaviour) for behaviour in model.behaviours],
        "sessions": [asdict(info) for info in model.session_infos.values()],
        "best": files,
    }
    write_text(folder / "config.json", json.dumps(description, indent=1))


def load_run(run: Path | str) -> TrainedModel | Ensemble:
    """Open a run folder for prediction.

    Args:
        run: A folder written by ``train`` or ``finetune``.

    Returns:
        The model, or the ensemble of its ``members``.

    Raises:
        UserError: The folder is not a finished run, or a file in it is damaged.
    """
    run = path_of(run, "run")
    if not (run / "members").is_dir():
        return _load_one(run)
    members = sorted(path.parent for path in (run / "members").glob("*/config.yaml"))
    count = load_config(run / "config.yaml").training.members
    if len(members) < count:
        raise UserError(
            f"{run} is not a finished run: {len(members)} of its {count} members have begun; go "
            "on with it by resume=True (--resume)"
        )
    parts = [_load_one(member) for member in members]
    ensemble = Ensemble(parts[0].name, parts)
    ensemble.origin = run
    return ensemble


def _load_one(run: Path) -> TrainedModel:
    with reading(run / "model"):
        found = _from_description(run, read_description(run))
    found.origin = run
    return found


def _from_description(run: Path, description: dict[str, Any]) -> TrainedModel:
    config = from_mapping(description["config"])
    try:
        sessions = [session_info_of(values) for values in description["sessions"]]
        behaviours = [behaviour_of(values) for values in description["behaviours"]]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{run / 'model' / 'config.json'} does not describe its sessions in full ({error}); "
            "restore it or train again"
        ) from None
    known = all_names("neuroduet.models", MODELS)
    if config.model.name not in known:
        raise UserError(f"{unknown('model', config.model.name, known)}; {IMPORT_FIRST}")
    weights, _ = read_tensors(run / "model" / "model.safetensors")
    _require_no_more(run, config.model, sessions, behaviours, weights)
    model = build(config.model, sessions, behaviours)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"the weights in {run} do not fit its configuration: {reason}") from None
    best = {MEAN: {name: p.detach().clone() for name, p in model.named_parameters()}}
    for key, name in description["best"].items():
        best[key] = _best_weights(run / "model" / Path(name).name, best[MEAN])
    return TrainedModel(config.preset, config, model, best)


def _require_no_more(
    run: Path,
    config: ModelConfig,
    sessions: Sequence[SessionInfo],
    behaviours: Sequence[Behaviour],
    weights: Weights,
) -> None:
    """Refuse a description of a model that is larger than its weights, before it is built."""
    if config.name not in MODELS:  # what a plugin reads of its settings is its own affair
        return
    held = sum(x.numel() for x in weights.values())
    sizes = {key: size for key, size in config.model_dump().items() if isinstance(size, int)}
    claimed = held + 1
    if max(sizes.values()) <= held and config.layers <= len(weights):
        try:
            with torch.device("meta"):  # shapes alone, without memory
                model = build(config, sessions, behaviours)
            claimed = sum(x.numel() for x in model.state_dict().values())
        except RuntimeError:  # a model that needs numbers to be built
            claimed = 0
    if claimed > held:
        raise UserError(
            f"the weights in {run} do not fit its configuration: it describes a larger model than "
            f"their {held:,} numbers; restore it or train again"
        )


def _best_weights(path: Path, like: Weights) -> Weights:
    """One target's weights, which must have the names and shapes of the model's."""
    weights, _ = read_tensors(path)
    if {k: x.shape for k, x in weights.items()} != {k: x.shape for k, x in like.items()}:
        raise UserError(f"{path} holds other weights than this model's; restore it or train again")
    return weights
