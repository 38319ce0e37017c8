"""From finished runs to predictions for the brain-wide benchmark.

A run is asked about the test windows of every recording it knows. Its seed is that of its
configuration; several runs are several seeds, or runs of one seed on different recordings.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch_brain.data import Data

from neuroduet.benchmark.checks import check_layout
from neuroduet.benchmark.decode import decode_behaviour
from neuroduet.benchmark.layout import every_window, find_benchmark, trial_intervals
from neuroduet.benchmark.regions import build_notes, predict_regions
from neuroduet.benchmark.staging import stage, window_starts
from neuroduet.benchmark.submission import Entry
from neuroduet.benchmark.suites import (
    ACTIVITY_TASKS,
    BIN_SIZE_S,
    FORECAST_BINS,
    TARGET_BINS,
    TARGET_S,
    check_suite,
    task_id,
)
from neuroduet.benchmark.truth import pack_names, scored_units
from neuroduet.config import load_config
from neuroduet.data.recording import load, save
from neuroduet.data.schema import recording_id
from neuroduet.data.session import Session
from neuroduet.data.windows import Windows
from neuroduet.errors import UserError
from neuroduet.tasks.activity import Forward, one_question, question_masks
from neuroduet.tasks.collect import blinded
from neuroduet.tasks.known import as_predictor, open_known_sessions
from neuroduet.tasks.task import ActivityOptions, Variant, batches_of
from neuroduet.training.runs import load_run
from neuroduet.training.trained import Ensemble, TrainedModel
from neuroduet.types import NEURAL, Batch, Masks, Predictor, UnitQuestions

log = logging.getLogger(__name__)

AT_ONCE = 256
"""Windows predicted together."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A run opened for prediction."""

    path: Path
    seed: int
    model: TrainedModel | Ensemble

    @property
    def context_s(self) -> float:
        """Length of its windows (s)."""
        longest = max(info.max_bins for info in self.model.sessions)
        return max(TARGET_S, longest * BIN_SIZE_S)


def predict_suite(runs: Sequence[Path], suite: str, data: Path) -> Iterator[Entry]:
    """Predict everything a suite asks about.

    Args:
        runs: Run folders, trained on recordings that
            :func:`~neuroduet.benchmark.staging.stage_benchmark` wrote for the same suite.
        suite: ``ts1``, ``ts2`` or ``ts3``.
        data: Folder of benchmark recordings, as published; ``ts3`` learns regions from
            those in ``pretrain``.

    Yields:
        Predictions, run by run and recording by recording.

    Raises:
        UserError: A run cannot be read, was not trained for the suite or knows none of the
            recordings, or a recording does not have the benchmark's layout.
    """
    check_suite(suite)
    files = find_benchmark(data, "eval")
    if not files:
        raise UserError(f"no recordings (*.h5) in {data}; give a folder of benchmark recordings")
    for path in runs:
        run = _open(path)
        if suite == "ts3":
            yield predict_regions(run.model, run.seed, data)
            continue
        known = {info.id for info in run.model.sessions}
        used = 0
        for file in files:
            with load(file) as recording:
                if recording_id(recording) not in known:
                    log.warning("%s does not know %s: not predicted", path, file.name)
                    continue
                check_layout(recording, suite, file)
                used += 1
                yield from _predict_recording(run, suite, recording)
        if used == 0:
            raise UserError(
                f"{path} knows none of the {len(files)} recordings in {data}; train it on them, "
                "made ready by neuroduet benchmark"
            )


def _open(path: Path) -> _Run:
    model = load_run(path)
    config = load_config(path / "config.yaml")
    if abs((config.data.windows.bin_size_s or BIN_SIZE_S) - BIN_SIZE_S) > 1e-9:
        raise UserError(
            f"{path} was trained in bins of {config.data.windows.bin_size_s} s, expected "
            f"{BIN_SIZE_S} s; train it with data.windows.bin_size_s unset"
        )
    return _Run(path=path, seed=config.training.seed, model=model)


def _predict_recording(run: _Run, suite: str, recording: Data) -> Iterator[Entry]:
    """Stage a recording as the run was trained on it, and ask about its test windows."""
    notes = build_notes(recording)
    with tempfile.TemporaryDirectory(prefix="neuroduet-") as folder:
        file = Path(folder) / "staged.h5"
        save(stage(recording, suite, run.context_s), file)
        session = open_known_sessions(run.model, file)[0]
        _check_windows(run, session)
        predictor = as_predictor(run.model, [session])
        for task, tensors in _answers(predictor, session, suite, recording):
            yield Entry(
                task=task_id(suite, task),
                recording=session.info.id,
                seed=run.seed,
                tensors=tensors,
                notes=notes,
            )


def _answers(
    predictor: Predictor, session: Session, suite: str, recording: Data
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if suite == "ts1":
        found = decode_behaviour(predictor, session, recording)
        if not found:
            raise UserError(
                f"the run decodes no behaviour of session '{session.info.id}' in its test "
                "windows; train it on recordings made ready for ts1"
            )
        yield from found.items()
        return
    for task in ACTIVITY_TASKS:
        yield task, _predict_activity(predictor, session, recording, task)


def _check_windows(run: _Run, session: Session) -> None:
    windows = session.config.windows
    whole = windows.event is None and windows.align != "continuous"
    if not whole or int(session.windows.bins.min()) < TARGET_BINS:
        raise UserError(
            f"{run.path} was trained on other windows than the benchmark's; make recordings ready "
            "with neuroduet benchmark and train with data.windows as it is"
        )


def _predict_activity(
    predictor: Predictor, session: Session, recording: Data, task: str
) -> dict[str, Tensor]:
    """Log-rates of the scored units and bins of all test windows, one window per bin."""
    starts_s = every_window(trial_intervals(recording, "ts2", "test"))
    units = torch.from_numpy(scored_units(recording, task))
    if len(session.info.units) != len(units):
        raise UserError(
            f"the run left {len(units) - len(session.info.units)} units of session "
            f"'{session.info.id}' out, but all are asked about; train it with data.min_rate_hz=0"
        )
    moved = _moved(session, recording, starts_s)
    last = TARGET_BINS if task == "co_smoothing" else FORECAST_BINS
    parts = []
    name = "co_smoothing" if task == "co_smoothing" else "forward"
    for batch in batches_of(moved, np.arange(len(starts_s)), AT_ONCE):
        masks = _activity_masks(batch, units, task, moved)
        with torch.no_grad():
            found = predictor.predict(blinded(batch, masks), masks, name).activity
        if found is None:
            raise UserError(
                f"'{predictor.name}' predicts no activity; submit it to ts1, or train a model "
                "with activity"
            )
        # As published: log-rates are stored in half precision.
        parts.append(last_bins_of(found.cpu().float(), batch.valid, last)[:, :, units].half())
    return {
        "predictions": torch.cat(parts) if parts else torch.zeros(0, last, int(units.sum())),
        "window_timestamps": torch.from_numpy(starts_s),
        "unit_ids": pack_names(
            [f"{session.info.id}/{session.info.units[unit]}" for unit in np.flatnonzero(units)]
        ),
    }


def _moved(session: Session, recording: Data, starts_s: Float[np.ndarray, " W"]) -> Session:
    """The session with other windows, which end a second after the given times."""
    end_s = starts_s + TARGET_S
    first_s = window_starts(recording, end_s, session.info.max_bins * BIN_SIZE_S)
    windows = Windows(
        start_s=first_s,
        bins=np.round((end_s - first_s) / BIN_SIZE_S).astype(np.int64),
        trial=np.full(len(starts_s), -1),
        split=np.full(len(starts_s), "test"),
    )
    return replace(session, windows=windows, trials={})


def _activity_masks(batch: Batch, units: Tensor, task: str, session: Session) -> Masks:
    if task == "co_smoothing":
        questions = UnitQuestions(hidden=units[None], scored=units[None])
        hidden = frozenset(b.name for b in session.info.behaviours)
        variant = Variant(hidden=hidden, targets={NEURAL: "spikes"}, questions=questions)
        return one_question(question_masks(batch, variant), questions, 0)
    forward = Forward()
    options = ActivityOptions(horizon=FORECAST_BINS)
    return forward.masks(batch, forward.variants(session.info, options)[0])


def last_bins_of(
    values: Float[Tensor, "B T N"], valid: Tensor, count: int
) -> Float[Tensor, "B count N"]:
    """The last recorded bins of every window.

    Args:
        values: By bin.
        valid: Which bins exist, ``(B, T)``: windows are padded at their end.
        count: How many.
    """
    first = valid.sum(dim=1) - count
    rows = first[:, None] + torch.arange(count)
    return values[torch.arange(len(values))[:, None], rows]
