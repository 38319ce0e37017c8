"""What a training will need, by calculation: disk, memory, parameters, operations and hours.

Parameters are counted on a model that is built, activations on windows that pass it; everything
else follows from the extent of the data. All sessions are taken to be alike.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neuroduet.config import Config
from neuroduet.data.recording import describe, find_recordings
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.models import Model, build
from neuroduet.models.modalities import union_of_behaviours
from neuroduet.training.info import steps_per_epoch
from neuroduet.training.operations import NUMBER, activation_bytes, operations_per_window
from neuroduet.training.validation import (
    REPEATS,
    scored_tasks,
    scores_decoding,
    scores_encoding,
)
from neuroduet.types import NEURAL, Behaviour, BehaviourKind, Per, SessionInfo

_TASK: tuple[tuple[str, str, BehaviourKind, Per, tuple[float, ...]], ...] = (
    ("wheel", "wheel.wheel_speed", "continuous", "bin", ()),
    ("whisker", "whisker.whisker_motion_energy", "continuous", "bin", ()),
    ("choice", "trials.choice", "categorical", "trial", (-1, 1)),
    ("block", "trials.block", "categorical", "trial", (0.2, 0.5, 0.8)),
)
IBL = tuple(
    Behaviour(
        name=name, source=source, kind=kind, per=per, size=len(classes) or 1, classes=classes
    )
    for name, source, kind, per, classes in _TASK
)
"""Behaviours of the International Brain Laboratory's task, as NEDS decodes them."""

TFLOPS = 31.2
"""Sustained operations per second (1e12): a tenth of the bf16 peak of an A100."""

STEP_MS = 20.0
"""Least time of a step on a GPU (ms): some thousand kernels must be launched, however small."""

TRAINED_COPIES = 5
"""Numbers in memory per parameter: itself, its gradient, two momenta and its average."""

CHECKPOINT_COPIES = 4
"""Numbers in a checkpoint per parameter: itself, its average and two momenta."""

FILE_BYTES, UNIT_BYTES, TRIAL_BYTES = 38_000, 28, 80
"""What a recording takes for itself, per unit (id, region, depth) and per trial (eight columns,
the intervals of recording and of the spikes)."""

Fields = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is recorded; the defaults are those of an IBL session.

    Attributes:
        sessions: Number of recordings.
        units: Units of a recording.
        trials: Trials of a recording.
        window_s: Length of a window (s), one per trial.
        bin_size_s: Bin width, where the configuration names none (s).
        rate_hz: Mean rate of a unit (Hz).
        recorded_s: Time a recording lasts (s); ``None`` for its windows alone.
        behaviour_hz: Samples per second of a behaviour that is sampled in time.
        behaviours: Behaviours of every recording.
    """

    sessions: int = 80
    units: int = 450
    trials: int = 400
    window_s: float = 2.0
    bin_size_s: float = 0.02
    rate_hz: float = 5.0
    recorded_s: float | None = None
    behaviour_hz: float = 100.0
    behaviours: tuple[Behaviour, ...] = IBL

    @property
    def lasting_s(self) -> float:
        """Time a recording lasts (s)."""
        return self.trials * self.window_s if self.recorded_s is None else self.recorded_s


def plan_training(
    config: Config, extent: Extent, tflops: float = TFLOPS, step_ms: float = STEP_MS
) -> Fields:
    """Calculate what a training will need.

    Args:
        config: Everything about the run.
        extent: How much is recorded.
        tflops: Operations per second that are sustained (1e12).
        step_ms: Least time of a step, whatever its size (ms).

    Returns:
        Plain data, ready for JSON: ``parameters``, ``disk_bytes``, ``memory_bytes`` (beside some
        0.5 GB of Python and its packages), ``steps``, ``operations`` and ``hours``.

    Raises:
        UserError: The extent is empty.
    """
    _check(extent)
    info = _session_info(config, extent)
    model = build(config.model, [info])
    parameters = _parameters(config, extent, model, info)
    operations = operations_per_window(config, model, info)
    steps, windows = _steps(config, extent)
    validation = _validation_operations(config, extent, operations, steps)
    training = operations * windows
    seconds = max(training / (tflops * 1e12), steps * step_ms / 1e3)
    return {
        "extent": asdict(extent) | {"behaviours": [b.name for b in extent.behaviours]},
        "parameters": parameters,
        "disk_bytes": disk_bytes(config, extent, parameters["total"]),
        "memory_bytes": memory_bytes(config, extent, parameters["total"], model, info),
        "steps": steps,
        "windows": windows,
        "operations": {"training": training, "validation": validation},
        "hours": {
            "training": seconds / 3600,
            "validation": validation / (tflops * 1e12) / 3600,
            "bound_by": "launches" if steps * step_ms / 1e3 >= seconds else "operations",
        },
        "assumed": {"tflops": tflops, "step_ms": step_ms},
    }


def measure_extent(path: Path | str, config: Config) -> Extent:
    """The extent of recordings that are there, each number a mean over them.

    Args:
        path: A recording, or a folder of them.
        config: How they are cut into windows.

    Raises:
        UserError: A recording cannot be used.
    """
    sessions = open_sessions(path, config.data)
    described = [describe(file) for file in find_recordings(path)]
    count = len(sessions)
    units = sum(len(session.info.units) for session in sessions)
    lasting_s = sum(one["duration_s"] for one in described)
    spikes = sum(
        sum(session.statistics.mean_activity) / session.info.bin_size_s
        for session in sessions
        if session.info.is_poisson
    )
    windows = sum(len(session.windows.bins) for session in sessions)
    longest_s = [session.info.max_bins * session.info.bin_size_s for session in sessions]
    return Extent(
        sessions=count,
        units=round(units / count),
        trials=round(windows / count),
        window_s=sum(longest_s) / count,
        bin_size_s=sessions[0].info.bin_size_s,
        rate_hz=float(spikes / units),
        recorded_s=lasting_s / count,
        behaviours=union_of_behaviours([session.info for session in sessions]),
    )


def recording_bytes(extent: Extent) -> int:
    """Size of a file of recorded spikes and behaviours.

    A spike has a time and a unit of eight bytes each; samples have a time and single precision.
    """
    spikes = extent.rate_hz * extent.units * extent.lasting_s
    per_bin = [b for b in extent.behaviours if b.per == "bin"]
    intervals = 16 * extent.trials * len(per_bin)
    return round(
        FILE_BYTES
        + UNIT_BYTES * extent.units
        + TRIAL_BYTES * extent.trials
        + 16 * spikes
        + intervals
        + behaviour_bytes(extent)
    )


def behaviour_bytes(extent: Extent) -> int:
    """Samples of a recording's behaviours: on disk, and in memory while it is open."""
    samples = extent.behaviour_hz * extent.lasting_s
    sizes = [8 if b.kind == "categorical" else 4 * b.size for b in extent.behaviours]
    per_bin = [size for b, size in zip(extent.behaviours, sizes, strict=True) if b.per == "bin"]
    return round(samples * sum(8 + size for size in per_bin))


def disk_bytes(config: Config, extent: Extent, parameters: int) -> dict[str, int]:
    """Recordings, the last checkpoint, the best weights kept in training, and the final model."""
    weights = NUMBER * parameters
    best = len(targets(config, extent.behaviours)) + 1 if config.training.select == "task" else 1
    return {
        "recordings": extent.sessions * recording_bytes(extent),
        "checkpoint": CHECKPOINT_COPIES * weights,
        "best_weights": best * weights,
        "model": best * weights,
    }


def memory_bytes(
    config: Config, extent: Extent, parameters: int, model: Model, info: SessionInfo
) -> dict[str, int]:
    """What is held at once: the first two where the model computes, the others by the processor.

    ``saving`` is what a checkpoint needs while it is written: a copy of its numbers and the file's
    content. The model is written one set of weights at a time, which takes less.
    """
    weights = NUMBER * parameters
    held = min(extent.sessions, config.data.open_recordings)
    return {
        "training": TRAINED_COPIES * weights,
        "activations": activation_bytes(config, model, info),
        "recordings": held * behaviour_bytes(extent),
        "saving": 2 * CHECKPOINT_COPIES * weights,
    }


def targets(config: Config, behaviours: tuple[Behaviour, ...]) -> list[str]:
    """What validation scores, hence what best weights are kept for beside those of the mean."""
    found = [NEURAL] if scores_encoding(config.masking) else []
    if config.model.behaviours and scores_decoding(config.masking):
        found += [b.name for b in behaviours]
    return [*found, *scored_tasks(config.masking)]


def _check(extent: Extent) -> None:
    for name in ("sessions", "units", "trials", "window_s", "rate_hz"):
        value = getattr(extent, name)
        if not 0 < value < math.inf:
            raise UserError(f"{name} is {value}, expected a finite number above 0; give one")


def _session_info(config: Config, extent: Extent, name: str = "a") -> SessionInfo:
    bin_size_s = config.data.windows.bin_size_s or extent.bin_size_s
    return SessionInfo(
        id=name,
        subject=name,
        neural="spikes",
        units=tuple(f"unit{n}" for n in range(extent.units)),
        regions=None,
        behaviours=extent.behaviours,
        bin_size_s=bin_size_s,
        max_bins=max(1, round(extent.window_s / bin_size_s)),
    )


def _parameters(config: Config, extent: Extent, model: Model, info: SessionInfo) -> dict[str, int]:
    """Counted on a model of one session and on one of two."""
    one = sum(p.numel() for p in model.parameters())
    both = build(config.model, [info, _session_info(config, extent, "b")])
    each = sum(p.numel() for p in both.parameters()) - one
    return {
        "total": one + (extent.sessions - 1) * each,
        "core": one - each,
        "stitchers": extent.sessions * each,
        "per_session": each,
    }


def _steps(config: Config, extent: Extent) -> tuple[int, int]:
    """Optimiser steps of the whole training, and windows seen in them."""
    windows = round(config.data.split.train * extent.trials)
    per_epoch = steps_per_epoch([windows] * extent.sessions, config.training)
    steps = per_epoch * config.training.max_epochs
    steps = min(steps, config.training.max_steps or steps)
    return steps, round(steps / per_epoch * windows * extent.sessions)


def _validation_operations(config: Config, extent: Extent, operations: int, steps: int) -> int:
    """Operations of all validations: a forward pass is a third of training."""
    windows = round(config.data.split.valid * extent.trials) * extent.sessions
    train = round(config.data.split.train * extent.trials)
    epoch = steps_per_epoch([train] * extent.sessions, config.training)
    validations = math.ceil(steps / (config.training.validate_every or max(epoch, 50)))
    return validations * validation_passes(config) * windows * operations // 3


def validation_passes(config: Config) -> int:
    """How often a validation asks each window, in sessions whose regions are known."""
    asked = scored_tasks(config.masking).values()
    own = scores_encoding(config.masking) + scores_decoding(config.masking)
    return own + sum(REPEATS.get(name, 1) for name in asked)
