"""Score a finished run, or the baselines, on recordings, and write the score tables."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Literal

import pandas as pd

from neuroduet.baselines import fit_baselines
from neuroduet.config import Config
from neuroduet.data.session import Session, open_sessions
from neuroduet.tasks import GROUPS, TASKS, answerable, task_names
from neuroduet.tasks.earlier import is_of, with_earlier
from neuroduet.tasks.evaluate import Evaluation, score_predictors
from neuroduet.tasks.export import embed, write_predictions
from neuroduet.tasks.known import as_predictor, open_known_sessions
from neuroduet.tasks.nulls import Null
from neuroduet.tasks.oracle import oracles
from neuroduet.tasks.questions import Notebook, Whole
from neuroduet.tasks.task import USUAL, ActivityOptions
from neuroduet.terminal import Asked, question_progress
from neuroduet.training.files import write_bytes, write_text
from neuroduet.training.given import as_config, as_names, path_of
from neuroduet.training.runs import load_run
from neuroduet.training.threads import using_threads
from neuroduet.types import Score

__all__ = ["embed", "evaluate", "score_baselines", "write_predictions"]

log = logging.getLogger(__name__)

COLUMNS = [field.name for field in fields(Score)]
"""Columns of ``scores.csv``, in order."""

SCORE_KEYS = ["model", "session", "task", "target", "metric", "split"]
"""Columns that say which score a row is."""

NULL_COLUMNS = ["null_mean", "null_sd", "p_value"]
"""Columns that scores with nulls have besides."""

UNIT_COLUMNS = [
    "model",
    "session",
    "task",
    "target",
    "unit",
    "region",
    "metric",
    "value",
    "rate_hz",
    "split",
]
"""Columns of ``scores_units.parquet``, in order."""

BASELINE_TASKS = ("encoding", "decoding", *GROUPS["activity"])


def evaluate(
    run: Path | str,
    data: Path | str,
    sessions: Sequence[str] | str | None = None,
    tasks: Sequence[str] | str | None = None,
    out: Path | str | None = None,
    options: ActivityOptions = USUAL,
    precision: Literal["32", "bf16"] = "32",
    progress: Asked | None = None,
    nulls: int = 0,
    verbose: bool = False,
) -> pd.DataFrame:
    """Score a finished run on its test windows and write the tables.

    Leaving out every unit of a large session in turn takes minutes: answers are kept in
    ``<out>.partial`` meanwhile, and the same call goes on with them after it was stopped.

    Args:
        run: Run folder.
        data: A recording, or a folder of recordings.
        sessions: Session ids, or one id; ``None`` takes every recording of a session that the run
            knows.
        tasks: Names of :data:`neuroduet.tasks.TASKS` or of :data:`~neuroduet.tasks.GROUPS`, or one
            name; ``None`` for all.
        out: The CSV file to write. By default that is ``scores.csv`` of the run folder, which
            keeps what it says of other sessions and tasks if it was written for the same weights;
            the unit-level
            table stands beside it as ``<name>_units.parquet``, and the region that was read out
            of each unit's embedding as ``<name>_regions.csv``.
        options: How the activity tasks are asked.
        precision: ``bf16`` computes the activity tasks in half precision, about twice as fast
            where the processor knows it; scores differ in the third decimal.
        progress: Told what is scored, how much is done, and how much there is.
        nulls: Draws of every null (:mod:`neuroduet.tasks.nulls`); 0 for none. Scores then have the
            columns :data:`NULL_COLUMNS` too, from the null ``shifted`` (``shuffled`` for regions),
            and all nulls are written to ``<name>_nulls.csv``.
        verbose: Show how far it is on standard error, unless ``progress`` is told instead.

    Returns:
        The scores, with the columns :data:`COLUMNS`.

    Raises:
        UserError: The run or the data cannot be read, a task is unknown, or the run does not know
            a session, whose stitchers then need finetuning first.
    """
    run, data = path_of(run, "run"), path_of(data, "data")
    names, tasks = as_names(sessions), as_names(tasks)
    task_names(tasks)  # before a model is loaded: a typing error must not cost minutes
    model = load_run(run)
    model.set_precision(precision)
    opened = open_known_sessions(model, data, names)
    path = run / "scores.csv" if out is None else path_of(out, "out")
    partial = path.with_name(f"{path.name}.partial")
    asked = (tasks, options, precision)
    log.debug("scoring %s on %d sessions of %s", run, len(opened), data)
    threads = model.config.training.threads
    with question_progress(progress, verbose) as told, using_threads(threads):
        whole = Whole(told)
        notebook = Notebook(partial, _fingerprint(run, opened, asked), whole.asked)
        predictor = as_predictor(model, opened)
        found = score_predictors(
            [predictor],
            opened,
            tasks,
            options=options,
            notebook=notebook,
            nulls=nulls,
            progress=whole.next,
        )
    # Scores that took minutes are not lost because one task is scored again.
    table = _write(found, path, earlier=out is None and is_of(path, run))
    partial.unlink(missing_ok=True)
    return table


def _fingerprint(run: Path, sessions: Sequence[Session], asked: object) -> str:
    """Changes whenever earlier answers are no longer the answers."""
    files = [*sorted(run.rglob("*.safetensors")), *(session.path for session in sessions)]
    stamps = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((stamps, asked)).encode()).hexdigest()


def score_baselines(
    data: Path | str,
    out: Path | str | None = None,
    sessions: Sequence[str] | str | None = None,
    config: Config | str | None = None,
    networks: bool = False,
    options: ActivityOptions = USUAL,
    progress: Asked | None = None,
    nulls: int = 0,
    verbose: bool = False,
) -> pd.DataFrame:
    """Fit the linear baselines of every session, score them by the same loop and write the tables.

    In simulated data the oracles are scored beside them.

    Args:
        data: A recording, or a folder of recordings.
        out: The CSV file to write (units beside it); ``None`` writes nothing.
        sessions: Session ids, or one id; ``None`` for all.
        config: Its ``data`` section says how recordings are read; the name of a preset does too.
        networks: Fit the MLP and LSTM decoders too.
        options: How the activity tasks are asked.
        progress: Told of which session the baselines are fitted or scored, how much is done, and
            how much there is.
        nulls: Draws of every null, as of :func:`evaluate`; the null ``imposter`` is not among
            them, because a baseline knows one session.
        verbose: As of :func:`evaluate`.

    Returns:
        The scores, with the columns :data:`COLUMNS`.

    Raises:
        UserError: The data cannot be read or a session is unknown.
    """
    data, names = path_of(data, "data"), as_names(sessions)
    out = None if out is None else path_of(out, "out")
    reading = Config().data if config is None else as_config(config).data
    found = Evaluation()
    with question_progress(progress, verbose) as told, using_threads(1):
        whole = Whole(told)
        opened = open_sessions(data, reading, names)
        for place, session in enumerate(opened):
            log.debug("fitting the baselines of session '%s'", session.info.id)
            whole.next(f"{session.info.id}: fitting", 2 * place, 2 * len(opened))
            predictors = [*fit_baselines(session, networks), *oracles([session])]
            whole.next(f"{session.info.id}: scoring", 2 * place + 1, 2 * len(opened))
            asked = answerable(BASELINE_TASKS, session.info, options)
            part = score_predictors(
                predictors, [session], asked, options=options, nulls=nulls, progress=whole.asked
            )
            found.add(part)
    return score_table(found) if out is None else _write(found, out)


def score_table(found: Evaluation) -> pd.DataFrame:
    """The scores as a table with the columns :data:`COLUMNS`, and with nulls their columns too."""
    table = pd.DataFrame([asdict(score) for score in found.scores], columns=COLUMNS)
    if not found.nulls:
        return table
    nulls = null_table(found)
    region = nulls.task == TASKS["regions"].name
    usual = nulls[(nulls.null == "shifted") | region]
    fewest, most = usual.draws.min(), nulls.draws.max()
    if fewest < most:
        log.warning(
            "there are only %d shifts of the test windows, so that no p-value can be below %.2g; "
            "more test trials allow smaller ones",
            fewest,
            1 / (1 + fewest),
        )
    usual = usual[[*SCORE_KEYS, *NULL_COLUMNS]]
    return table.merge(usual, how="left", on=SCORE_KEYS, validate="one_to_one")


def null_table(found: Evaluation) -> pd.DataFrame:
    """The nulls as a table with the fields of :class:`~neuroduet.tasks.nulls.Null`."""
    return pd.DataFrame(
        [asdict(null) for null in found.nulls], columns=[field.name for field in fields(Null)]
    )


def unit_table(found: Evaluation) -> pd.DataFrame:
    """The unit-level scores as a table with the columns :data:`UNIT_COLUMNS`."""
    return pd.DataFrame(found.units, columns=UNIT_COLUMNS)


def _write(found: Evaluation, path: Path, earlier: bool = False) -> pd.DataFrame:
    """Write the tables, and with ``earlier`` keep what those there say of other questions."""
    table, units, answered = score_table(found), io.BytesIO(), _answered(found)

    def whole(fresh: pd.DataFrame, file: Path) -> pd.DataFrame:
        return with_earlier(fresh, file, answered) if earlier else fresh

    file = path.with_name(f"{path.stem}_units.parquet")
    whole(unit_table(found), file).to_parquet(units, index=False)
    write_bytes(file, units.getvalue())
    regions = pd.DataFrame(found.regions).assign(task=TASKS["regions"].name)
    for name, more in {"nulls": null_table(found), "regions": regions}.items():
        file = path.with_name(f"{path.stem}_{name}.csv")
        rows = whole(more, file)
        if rows.empty:
            # That of an earlier evaluation would stand beside scores that are not its own.
            file.unlink(missing_ok=True)
        else:
            write_text(file, rows.to_csv(index=False))
    write_text(path, whole(table, path).to_csv(index=False))
    return table


def _answered(found: Evaluation) -> set[tuple[str, str]]:
    """Sessions and tasks that have a score; one session alone has another name for regions."""
    regions = {(row["session"], TASKS["regions"].name) for row in found.regions}
    return {(score.session, score.task) for score in found.scores} | regions
