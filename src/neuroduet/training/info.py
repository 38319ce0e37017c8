"""What a finished run is made of and what its training cost, read from the run folder alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuroduet.config import Config, TrainingConfig, load_config
from neuroduet.data.boundary import reading
from neuroduet.masking import hide, to_masks
from neuroduet.models import Model
from neuroduet.models.micro_batches import silence
from neuroduet.nn.stitch import module_key
from neuroduet.training.curves import Row, read_curves, valid_scores
from neuroduet.training.files import read_environment
from neuroduet.training.runs import load_run
from neuroduet.training.state import MEAN
from neuroduet.training.trained import Ensemble, TrainedModel
from neuroduet.types import SessionInfo, is_region

OPERATIONS_RULE = (
    "an estimate: 6 x core parameters x tokens of a window x windows seen, that is a "
    "multiplication and an addition for every weight and token, once forward and twice backward; "
    "stitchers and attention weights are not counted"
)
"""How the floating point operations of a training are estimated."""

Fields = dict[str, Any]


def describe_run(run: Path | str) -> Fields:
    """Describe a finished run.

    Args:
        run: A folder written by ``train`` or ``finetune``.

    Returns:
        Plain data, ready for JSON; what the folder does not tell is ``None``. ``parameters`` are
        those of one member, ``trainings`` has an entry for every member (one for a run without
        members). There, ``windows`` counts windows as often as they were seen, to within a step;
        where the folder does not tell how many an epoch has, it is an upper bound, and
        ``windows_exact`` is false.

    Raises:
        UserError: The folder is not a finished run, or a file in it is damaged.
    """
    run = Path(run)
    with reading(run):
        return _describe(run)


def _describe(run: Path) -> Fields:
    found = load_run(run)
    members = found.members if isinstance(found, Ensemble) else [found]
    folders = _member_folders(run) if isinstance(found, Ensemble) else [run]
    model = members[0].model
    parameters = count_parameters(model)
    tokens = tokens_per_window(model)
    trainings = [
        _describe_training(folder, member, parameters["core"] * tokens)
        for folder, member in zip(folders, members, strict=True)
    ]
    operations = [one["operations"] for one in trainings]
    return {
        "run": str(run),
        "preset": found.config.preset,
        "model": found.config.model.name,
        "members": len(members),
        "sessions": [_describe_session(model, info) for info in found.sessions],
        "behaviours": [
            {name: getattr(behaviour, name) for name in ("name", "kind", "per", "size")}
            for behaviour in found.behaviours
        ],
        "parameters": parameters,
        "tokens_per_window": tokens,
        "trainings": trainings,
        "operations": None if None in operations else sum(operations),
        "operations_rule": OPERATIONS_RULE,
        "bytes": _sizes(run),
        "packages": read_environment(folders[0]).get("packages", {}),
    }


def cut_short(run: Path) -> str:
    """What there is to say of a training that ended because its minutes did.

    Args:
        run: Folder of a run; of an ensemble the member that came least far counts.

    Returns:
        A sentence; empty where something else ended it.
    """
    ends = []
    for folder in _member_folders(run) or [run]:
        rows = read_curves(folder / "metrics.csv")
        if not rows:
            continue
        config = load_config(folder / "config.yaml")
        stopped_by = _stopped_by(config.training, rows, _validation(rows))
        if stopped_by == "max_minutes":
            steps = int(rows[-1]["step"])
            epochs = _extent(config, steps, stopped_by, read_environment(folder))[0]
            if epochs is not None and epochs < config.training.max_epochs:
                ends.append((epochs, config.training.max_epochs))
    if not ends:
        return ""
    had, asked = min(ends)
    return f"its time ended after {had:.3g} of {asked} epochs; scores may grow with more minutes"


def count_parameters(model: Model) -> dict[str, int]:
    """Numbers of parameters: ``total``, the shared ``core``, and the ``stitchers`` of sessions."""
    total = sum(p.numel() for p in model.parameters())
    own = sum(p.numel() for p in model.stitchers())
    return {"total": total, "core": total - own, "stitchers": own}


@torch.inference_mode()
def tokens_per_window(model: Model) -> int:
    """Tokens of a window: the longest sequence that a linear layer of the core sees.

    Args:
        model: The model; it is asked about a window of silence of every session.

    Returns:
        The largest number over sessions, each with windows of full length.
    """
    own = {id(p) for p in model.stitchers()}
    longest = 0

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal longest
        longest = max(longest, math.prod(inputs[0].shape[:-1]))

    hooks = [
        layer.register_forward_pre_hook(note)
        for layer in model.modules()
        if isinstance(layer, nn.Linear) and id(layer.weight) not in own
    ]
    try:
        for info in model.session_infos.values():
            window = silence(info, 1)
            model([window], [to_masks(window, hide(window, {})).visible])
    finally:
        for hook in hooks:
            hook.remove()
    return longest


def steps_per_epoch(windows: Sequence[int], training: TrainingConfig) -> int:
    """Optimiser steps in which every training window is seen once.

    Args:
        windows: Number of training windows of each session.
        training: Batch size and sessions per batch.

    Returns:
        The steps that :func:`neuroduet.data.batch.plan_epoch` plans.
    """
    size = training.batch_size // training.sessions_per_batch
    pieces = sum(math.ceil(count / size) for count in windows)
    return math.ceil(pieces / training.sessions_per_batch)


def _describe_session(model: Model, info: SessionInfo) -> Fields:
    own, key = {id(p) for p in model.stitchers()}, module_key(info.id)
    stitchers = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if id(parameter) in own and key in name.split(".")
    )
    return {
        "id": info.id,
        "subject": info.subject,
        "activity": info.neural,
        "units": len(info.units),
        "regions": None if info.regions is None else _counted(info.regions),
        "bins": info.max_bins,
        "bin_size_s": info.bin_size_s,
        "behaviours": [behaviour.name for behaviour in info.behaviours],
        "stitchers": stitchers,
    }


def _counted(regions: Sequence[str]) -> dict[str, int]:
    """Units of every region that is known."""
    return dict(sorted(Counter(filter(is_region, regions)).items()))


def _describe_training(folder: Path, member: TrainedModel, weights_times_tokens: int) -> Fields:
    config, environment = member.config, read_environment(folder)
    rows = read_curves(folder / "metrics.csv")
    steps = int(rows[-1]["step"]) if rows else None
    validation = _validation(rows)
    stopped_by = _stopped_by(config.training, rows, validation)
    epochs, windows, exact = _extent(config, steps, stopped_by, environment)
    return {
        "seed": config.training.seed,
        "device": config.training.device,
        "gpu": environment.get("cuda"),
        "threads": environment.get("threads"),
        "precision": config.training.precision,
        "steps": steps,
        "stopped_by": stopped_by,
        "epochs": epochs,
        "minutes": rows[-1]["minutes"] if rows else None,
        "windows": windows,
        "windows_exact": exact,
        "operations": None if windows is None else 6 * weights_times_tokens * windows,
        "validation": validation,
    }


def _extent(
    config: Config, steps: int | None, stopped_by: str | None, environment: Fields
) -> tuple[float | None, int | None, bool]:
    """Epochs, windows seen, and whether these are counted rather than bounded."""
    if steps is None:
        return None, None, False
    counts = list(environment.get("training_windows", {}).values())
    if counts:
        epochs = steps / steps_per_epoch(counts, config.training)
        return epochs, round(epochs * sum(counts)), True
    # Without limits of another kind, training ends with the last step of the last epoch.
    whole = float(config.training.max_epochs) if stopped_by == "max_epochs" else None
    return whole, steps * config.training.batch_size, False


def _stopped_by(training: TrainingConfig, rows: list[Row], validation: Fields) -> str | None:
    """The setting whose limit the training reached."""
    if not rows:
        return None
    scored = [row["step"] for row in rows if valid_scores(row)]
    if training.patience is not None and scored:
        stale = sum(step > validation[MEAN]["best_step"] for step in scored)
        if stale >= training.patience:
            return "patience"
    if training.max_minutes is not None and rows[-1]["minutes"] >= training.max_minutes:
        return "max_minutes"
    return "max_steps" if rows[-1]["step"] == training.max_steps else "max_epochs"


def _validation(rows: list[Row]) -> Fields:
    """Last and best validation score of every target and of their mean, and the best one's step.

    Of equal scores the first is the best, as when weights are chosen.
    """
    found: Fields = {}
    for row in rows:
        scores = valid_scores(row)
        if scores:
            scores[MEAN] = sum(scores.values()) / len(scores)
        for target, value in scores.items():
            known = found.setdefault(target, {"best": -math.inf, "best_step": 0})
            known["final"] = value
            if value > known["best"]:
                known["best"], known["best_step"] = value, int(row["step"])
    return found


def _member_folders(run: Path) -> list[Path]:
    return [path.parents[1] for path in sorted((run / "members").glob("*/model/config.json"))]


def _sizes(run: Path) -> dict[str, int]:
    """Bytes of the whole folder, and of the trained weights in it."""
    files = [path for path in run.rglob("*") if path.is_file()]
    return {
        "run": sum(path.stat().st_size for path in files),
        "model": sum(path.stat().st_size for path in files if path.parent.name == "model"),
    }
