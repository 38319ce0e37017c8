"""Make what a report needs and a run folder lacks: scores, baselines, predictions, embeddings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from neuroduet.errors import UserError
from neuroduet.plain import file_name
from neuroduet.report.folder import read_scores
from neuroduet.tasks.crossval_tables import LINEAR_MODELS
from neuroduet.tasks.known import open_known_sessions
from neuroduet.tasks.run import embed, evaluate, score_baselines, write_predictions
from neuroduet.terminal import Asked
from neuroduet.training.runs import load_run

log = logging.getLogger(__name__)

Show = Callable[[float, str], None]
"""Told the share that is done, 0 to 1, and what is being done."""

SHARES = {"scores.csv": 0.5, "baselines.csv": 0.35, "predictions": 0.1, "embeddings.csv": 0.05}
"""What is made, in this order, and about how much of the time each takes."""


def complete_run(
    run: Path | str, data: Path | str, show: Show = lambda share, said: None
) -> tuple[str, ...]:
    """Make what is missing in a run folder, or older than the weights of the model.

    Args:
        run: Run folder; ``scores.csv``, ``baselines.csv``, ``predictions`` and
            ``embeddings.csv`` are written into it.
        data: A recording, or a folder of recordings.
        show: Told how far it is.

    Returns:
        Names of what was made. The baselines are left out where ``scores.csv`` holds some.

    Raises:
        UserError: The run or the data cannot be read.
    """
    run = Path(run)
    model = load_run(run)
    names = [session.info.id for session in open_known_sessions(model, data)]
    made = _missing(run, names)
    done = 0.0
    for file in made:
        share = SHARES[file] / sum(SHARES[one] for one in made)
        log.debug("making %s of %s", file, run)
        if file == "scores.csv":
            evaluate(run, data, progress=_stage(show, "scoring", done, share))
        elif file == "baselines.csv":
            told = _stage(show, "linear baselines", done, share)
            score_baselines(data, run / file, names, model.config, progress=told)
        elif file == "predictions":
            told_files = _counted(show, "predicting", done, share)
            write_predictions(run, data, run / file, report=told_files)
        else:
            show(done, "embedding")
            embed(run, run / file)
        done += share
    show(1.0, "everything is there")
    return made


def _missing(run: Path, sessions: Iterable[str]) -> tuple[str, ...]:
    """What a run folder lacks, or holds of earlier weights, in the order of :data:`SHARES`."""
    trained = _trained_at(run)
    unscored = _is_stale([run / "scores.csv"], trained)
    unfitted = _is_stale([run / "baselines.csv"], trained)
    predicted = [run / "predictions" / f"{file_name(name)}.npz" for name in sessions]
    lacks = {
        "scores.csv": unscored,
        "baselines.csv": unfitted and (unscored or not _has_linear(run / "scores.csv")),
        "predictions": _is_stale(predicted, trained),
        "embeddings.csv": all(
            _is_stale([run / f"embeddings.{end}"], trained) for end in ("csv", "parquet")
        ),
    }
    return tuple(file for file in SHARES if lacks[file])


def _stage(show: Show, what: str, start: float, share: float) -> Asked:
    """Tell of the whole what an evaluation, a share of it, tells of itself."""

    def progress(about: str, done: int, count: int) -> None:
        show(start + share * done / max(count, 1), f"{what}, {about}")

    return progress


def _counted(
    show: Show, what: str, start: float, share: float
) -> Callable[[int, int, float], None]:
    def report(done: int, count: int, value: float) -> None:
        show(start + share * done / max(count, 1), f"{what}, {done} of {count} sessions")

    return report


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
