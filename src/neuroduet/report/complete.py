"""Make what a report needs and a run folder lacks: scores, baselines, predictions, embeddings."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from neuroduet.errors import UserError
from neuroduet.report.folder import read_scores
from neuroduet.tasks.crossval_tables import LINEAR_MODELS
from neuroduet.tasks.export import file_name
from neuroduet.tasks.known import open_known_sessions
from neuroduet.tasks.questions import Progress
from neuroduet.tasks.run import baselines, embed_run, evaluate_run, predict_run
from neuroduet.training.runs import load_run

log = logging.getLogger(__name__)


def complete_run(
    run: Path | str, data: Path | str, progress: Progress | None = None
) -> tuple[str, ...]:
    """Make what is missing in a run folder, or older than the weights of the model.

    Args:
        run: Run folder; ``scores.csv``, ``baselines.csv``, ``predictions`` and
            ``embeddings.csv`` are written into it.
        data: A recording, or a folder of recordings.
        progress: Told how far the activity tasks are.

    Returns:
        Names of what was made. The baselines are left out where ``scores.csv`` holds some.

    Raises:
        UserError: The run or the data cannot be read.
    """
    run = Path(run)
    model = load_run(run)
    names = [session.info.id for session in open_known_sessions(model, data)]
    trained = _trained_at(run)
    made = []
    if _is_stale([run / "scores.csv"], trained):
        log.info("scoring the model on the test windows of %d sessions", len(names))
        evaluate_run(run, data, progress=progress)
        made.append("scores.csv")
    if _is_stale([run / "baselines.csv"], trained) and not _has_linear(run / "scores.csv"):
        log.info("fitting linear baselines to the same windows")
        baselines(data, run / "baselines.csv", names, model.config)
        made.append("baselines.csv")
    files = [run / "predictions" / f"{file_name(name)}.npz" for name in names]
    if _is_stale(files, trained):
        log.info("predicting every window")
        predict_run(run, data, run / "predictions")
        made.append("predictions")
    if all(_is_stale([run / f"embeddings.{end}"], trained) for end in ("csv", "parquet")):
        embed_run(run, run / "embeddings.csv")
        made.append("embeddings.csv")
    return tuple(made)


def _trained_at(run: Path) -> int:
    """When the weights were last written (ns since the epoch)."""
    files = [*run.glob("model/*.safetensors"), *run.glob("members/*/model/*.safetensors")]
    if not files:
        raise UserError(f"{run} holds no weights; give a finished run folder")
    return max(file.stat().st_mtime_ns for file in files)


def _is_stale(files: Iterable[Path], trained: int) -> bool:
    """Whether one of the files is absent or older than the weights."""
    return any(not file.is_file() or file.stat().st_mtime_ns < trained for file in files)


def _has_linear(scores: Path) -> bool:
    try:
        return bool(read_scores(scores)["model"].isin(LINEAR_MODELS).any())
    except (OSError, ValueError):
        return False
