"""What predictions of the brain-wide benchmark are compared with, in the layout of its scorer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int
from safetensors.torch import save
from torch import Tensor
from torch_brain.data import Data

from neuroduet.benchmark.checks import NOT_SCORED, check_layout
from neuroduet.benchmark.layout import (
    behaviour_values,
    behaviour_windows,
    confident_samples,
    every_window,
    field,
    find_benchmark,
    has_behaviour,
    held_out_units,
    trial_intervals,
)
from neuroduet.benchmark.suites import (
    BEHAVIOUR_TASKS,
    BIN_SIZE_S,
    FORECAST_BINS,
    REGION_TASK,
    SUITES,
    TARGET_BINS,
    check_suite,
    task_id,
)
from neuroduet.data.binning import bin_events
from neuroduet.data.brainwide import REGIONS
from neuroduet.data.columns import groups
from neuroduet.data.recording import load
from neuroduet.data.schema import recording_id
from neuroduet.training.files import write_bytes

Tensors = dict[str, Tensor]


def behaviour_truth(recording: Data, name: str) -> Tensors:
    """True values of one behaviour in the test windows.

    Args:
        recording: A recording of the benchmark.
        name: Key of :data:`~neuroduet.benchmark.suites.BEHAVIOUR_TASKS`.

    Returns:
        ``values`` ``(N, 1)`` classes or ``(N, 50, 1)``, ``trial_id`` ``(N,)``, and for values
        ``timestamps`` ``(N, 50)`` (s from the start of the window) and, where only some are
        scored, ``mask`` ``(N, 50)``.
    """
    task = BEHAVIOUR_TASKS[name]
    windows = behaviour_windows(recording, name, "test")
    found = {"trial_id": torch.from_numpy(windows.trial)}
    if task.classes:
        return found | {"values": torch.from_numpy(windows.labels[:, None])}
    rows = windows.sample[:, None] + np.arange(TARGET_BINS)
    series = groups(recording)[task.source.partition(".")[0]]
    times_s = float(series.domain.start[0]) + rows * BIN_SIZE_S - windows.start_s[:, None]
    values = behaviour_values(recording, name)[rows][..., None]
    found |= {
        "values": torch.from_numpy(values.astype(np.float32)),
        "timestamps": torch.from_numpy(times_s.astype(np.float32)),
    }
    confident = confident_samples(recording, name)
    return found if confident is None else found | {"mask": torch.from_numpy(confident[rows])}


def activity_truth(recording: Data, task: str) -> Tensors:
    """True counts of the test windows of a task of ``ts2``.

    Args:
        recording: A recording of the benchmark.
        task: ``co_smoothing`` (held-out units, whole windows) or ``forecasting`` (all units, the
            last five bins).

    Returns:
        ``targets`` ``(W, bins, units)`` and ``window_timestamps`` ``(W,)``, double precision.
    """
    starts_s = every_window(trial_intervals(recording, "ts2", "test"))
    units = scored_units(recording, task)
    bins = slice(None) if task == "co_smoothing" else slice(TARGET_BINS - FORECAST_BINS, None)
    spikes = groups(recording)["spikes"]
    times, index = np.asarray(spikes.timestamps), np.asarray(spikes.unit_index)
    parts = []
    for first in range(0, len(starts_s), 1024):  # windows overlap fifty-fold: never all at once
        some = starts_s[first : first + 1024]
        counts = bin_events(times, index, some, TARGET_BINS, BIN_SIZE_S, len(units))
        parts.append(torch.from_numpy(counts[:, bins][:, :, units]))
    return {
        "targets": torch.cat(parts) if parts else torch.zeros(0, TARGET_BINS, int(units.sum())),
        "window_timestamps": torch.from_numpy(starts_s),
    }


def scored_units(recording: Data, task: str) -> Bool[np.ndarray, " N"]:
    """Units that a task of ``ts2`` asks about."""
    if task == "co_smoothing":
        return held_out_units(recording, "test")
    return np.ones(len(groups(recording)["units"].id), dtype=bool)


def region_truth(recordings: Sequence[tuple[list[str], Int[np.ndarray, " U"]]]) -> Tensors:
    """True regions of the scored units of all recordings.

    Args:
        recordings: What :func:`unit_regions` says of each.

    Returns:
        ``targets`` ``(U,)`` and ``entity_ids`` ``(U, letters)``.
    """
    names = [name for ids, _ in recordings for name in ids]
    targets = np.concatenate([labels for _, labels in recordings])
    return {"targets": torch.from_numpy(targets), "entity_ids": pack_names(names)}


def unit_regions(recording: Data, regime: str = "eval") -> tuple[list[str], np.ndarray]:
    """The units of a recording that ``ts3`` asks about, and their regions.

    Args:
        recording: A recording of the benchmark.
        regime: ``eval`` keeps units of probes that passed; ``pretrain`` those that did not fail.

    Returns:
        Ids, ``<recording>/<unit>``, and indices into :data:`~neuroduet.data.brainwide.REGIONS`.
    """
    units = groups(recording)["units"]
    region = np.asarray(units.region_cosmos).astype(str)
    kept = ~np.isin(region, NOT_SCORED)
    kept &= _quality(recording, "qc_neural", regime)
    kept &= _quality(recording, "qc_neural_alignment", "eval")
    for name, test in (("label", np.equal), ("firing_rate", np.greater)):
        values = field(recording, f"units.{name}")
        if values is not None:
            kept &= test(np.asarray(values), 1.0)
    index = {name: i for i, name in enumerate(REGIONS)}
    labels = np.array([index[name] for name in region[kept]], dtype=np.int64)
    session = recording_id(recording)
    return [f"{session}/{unit}" for unit in np.asarray(units.id).astype(str)[kept]], labels


def pack_names(names: Sequence[str]) -> Tensor:
    """Names as a matrix of bytes, one row each, padded with zeros."""
    rows = [np.frombuffer(name.encode("ascii"), dtype=np.uint8) for name in names]
    packed = np.zeros((len(rows), max((len(row) for row in rows), default=0)), dtype=np.uint8)
    for place, row in enumerate(rows):
        packed[place, : len(row)] = row
    return torch.from_numpy(packed)


def unpack_names(packed: Tensor) -> list[str]:
    """The names behind :func:`pack_names`."""
    return [bytes(row).rstrip(b"\0").decode("ascii") for row in packed.numpy()]


def truth_of(data: Path, suite: str) -> dict[tuple[str, str], Tensors]:
    """The truth of all tasks and recordings.

    Args:
        data: Folder of benchmark recordings.
        suite: ``ts1``, ``ts2`` or ``ts3``.

    Returns:
        By task with its suite, and recording (empty for tasks about all of them).

    Raises:
        UserError: A recording does not have the benchmark's layout.
    """
    check_suite(suite)
    found: dict[tuple[str, str], Tensors] = {}
    regions = []
    for file in find_benchmark(data, "eval"):
        with load(file) as recording:
            check_layout(recording, suite, file)
            name = recording_id(recording)
            if suite == "ts3":
                regions.append(unit_regions(recording))
                continue
            for task in SUITES[suite]:
                if suite == "ts2":
                    found[task_id(suite, task), name] = activity_truth(recording, task)
                elif has_behaviour(recording, BEHAVIOUR_TASKS[task]):
                    found[task_id(suite, task), name] = behaviour_truth(recording, task)
    if regions:
        found[task_id("ts3", REGION_TASK), ""] = region_truth(regions)
    return {place: truth for place, truth in found.items() if len(next(iter(truth.values())))}


def write_truth(data: Path, suite: str, out: Path) -> list[Path]:
    """Write the truth as the benchmark's own scorer reads it.

    Args:
        data: Folder of benchmark recordings.
        suite: ``ts1``, ``ts2`` or ``ts3``.
        out: Folder; files are ``<task>/<recording>/ground_truth.safetensors``.

    Returns:
        The files.
    """
    written = []
    for (task, recording), tensors in truth_of(data, suite).items():
        folder = out / task / recording if recording else out / task
        path = folder / "ground_truth.safetensors"
        notes = {"label_names": ",".join(REGIONS)} if suite == "ts3" else None
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        write_bytes(path, save(whole, metadata=notes))
        written.append(path)
    return written


def _quality(recording: Data, name: str, regime: str) -> np.ndarray:
    """Units whose probe has a good enough mark, all where marks are not stored."""
    units = groups(recording)["units"]
    if name not in units:
        return np.ones(len(units.id), dtype=bool)
    marks = np.asarray(getattr(units, name)).astype(str)
    good: np.ndarray = marks == "PASS" if regime == "eval" else marks != "FAIL"
    return good
