"""Regions of units for suite ``ts3``: read out of what a run has learnt about each unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch_brain.data import Data

from neuroduet.benchmark.checks import check_layout
from neuroduet.benchmark.layout import find_benchmark
from neuroduet.benchmark.submission import Entry
from neuroduet.benchmark.suites import REGION_TASK, task_id
from neuroduet.benchmark.truth import pack_names, unit_regions
from neuroduet.data.brainwide import REGIONS
from neuroduet.data.recording import load
from neuroduet.data.schema import recording_id
from neuroduet.errors import UserError
from neuroduet.tasks.region_classifier import name_regions
from neuroduet.training.trained import Ensemble, TrainedModel


@dataclass(frozen=True, kw_only=True)
class _Units:
    """Scored units of one recording."""

    session: str
    names: list[str]
    labels: Int[np.ndarray, " U"]
    embeddings: Float[np.ndarray, "U E"]
    notes: dict[str, str]


def predict_regions(model: TrainedModel | Ensemble, seed: int, data: Path) -> Entry:
    """Name the regions of the units of all evaluation recordings.

    The read-out is learnt from the pretraining recordings that the model knows; regions of
    evaluation recordings are never seen.

    Args:
        model: A run opened for prediction.
        seed: Its seed.
        data: Folder of benchmark recordings with the folders ``eval`` and ``pretrain``.

    Returns:
        Probabilities of all regions for every unit.

    Raises:
        UserError: The model does not know an evaluation recording, or no pretraining recording.
    """
    known = {info.id for info in model.sessions}
    embeddings = model.embeddings()
    asked = []
    for file in find_benchmark(data, "eval"):
        found = _read(file, "eval", model, embeddings)
        if found is None:
            raise UserError(
                f"the run does not know recording {file.name}, but ts3 asks about the units of "
                f"all of them (it knows {len(known)} sessions); finetune it there first"
            )
        asked.append(found)
    read = [
        _read(file, "pretrain", model, embeddings) for file in find_benchmark(data, "pretrain")
    ]
    learnt = [units for units in read if units is not None]
    if not learnt:
        raise UserError(
            f"the run knows no recording of {data / 'pretrain'}, from which regions are learnt "
            "(those of evaluation recordings are what is asked); train it on some of them too"
        )
    return Entry(
        task=task_id("ts3", REGION_TASK),
        recording="",
        seed=seed,
        tensors={
            "pred_proba": torch.from_numpy(_probabilities(learnt, asked, seed)),
            "entity_ids": pack_names([name for units in asked for name in units.names]),
        },
        notes=asked[0].notes | {"label_names": ",".join(REGIONS)},
    )


def _probabilities(
    learnt: list[_Units], asked: list[_Units], seed: int
) -> Float[np.ndarray, "U K"]:
    """One column for each region of the benchmark; 0 for those that no unit was learnt from."""
    classes, found = name_regions(
        np.concatenate([units.embeddings for units in learnt]),
        np.array(REGIONS)[np.concatenate([units.labels for units in learnt])],
        np.concatenate([np.full(len(units.names), units.session) for units in learnt]),
        np.concatenate([units.embeddings for units in asked]),
        seed=seed,
    )
    whole = np.zeros((len(found), len(REGIONS)), dtype=np.float32)
    whole[:, [REGIONS.index(name) for name in classes]] = found
    return whole


def _read(
    file: Path, regime: str, model: TrainedModel | Ensemble, embeddings: dict[str, np.ndarray]
) -> _Units | None:
    """The scored units of a recording, ``None`` if the model does not know it."""
    infos = {info.id: info for info in model.sessions}
    with load(file) as recording:
        session = recording_id(recording)
        if session not in infos:
            return None
        check_layout(recording, "ts3", file)
        names, labels = unit_regions(recording, regime)
        notes = build_notes(recording)
    place = {f"{session}/{unit}": row for row, unit in enumerate(infos[session].units)}
    missing = [name for name in names if name not in place]
    if missing:
        raise UserError(
            f"the run left {len(missing)} units of session '{session}' out, such as "
            f"'{missing[0]}', but all are asked about; train it with data.min_rate_hz=0"
        )
    rows = [place[name] for name in names]
    return _Units(
        session=session,
        names=names,
        labels=labels,
        embeddings=embeddings[session][rows].astype(np.float64),
        notes=notes,
    )


def build_notes(recording: Data) -> dict[str, str]:
    """Which build of the data a recording belongs to, as far as it says."""
    brainset = recording.__dict__.get("brainset")
    keys = {"unit_filtering": "unit_filtering", "derived_version": "dataset_version"}
    found = {note: getattr(brainset, key, None) for key, note in keys.items()}
    return {note: str(value) for note, value in found.items() if value is not None}
