"""Train a model on recordings: from a configuration and a folder to a run folder."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import get_args

import torch

from neuroduet.catalogue import find_entries
from neuroduet.config import Config
from neuroduet.data.few import few_said
from neuroduet.data.opened import OPEN_RECORDINGS
from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError
from neuroduet.masking import drawable, region_index
from neuroduet.models import Model, build, set_up_session
from neuroduet.models.plugin import PluginModel, check_answers
from neuroduet.terminal import Trained, counted, training_progress, write
from neuroduet.training.curves import read_curves
from neuroduet.training.engine import run_lightning
from neuroduet.training.files import own_run, read_tensors
from neuroduet.training.folder import check_folder, ensemble_folder, prepare_folder
from neuroduet.training.given import as_config, as_names, path_of
from neuroduet.training.info import cut_short
from neuroduet.training.jobs import finish_ensemble, member_config, only_here, run_jobs
from neuroduet.training.module import TrainingModule, best_path
from neuroduet.training.ranks import Ranks, ranks_of
from neuroduet.training.runs import save_model
from neuroduet.training.state import MEAN, load_checkpoint
from neuroduet.training.steps import Steps, with_targets
from neuroduet.training.threads import using_threads
from neuroduet.training.validation import scored_tasks
from neuroduet.types import NEURAL, Split

log = logging.getLogger(__name__)


def train(
    config: Config | str,
    data: Path | str,
    out: Path | str,
    sessions: Sequence[str] | str | None = None,
    resume: bool = False,
    report: Trained | None = None,
    verbose: bool = False,
) -> Path:
    """Train from scratch (or go on with a stopped run).

    Started by ``torchrun`` or ``srun``, several processes train one model: they divide the windows
    of every step, and the result is that of a single process.

    Args:
        config: Everything about the run, or the name of a preset.
        data: A recording, or a folder of recordings.
        out: Run folder to write.
        sessions: Ids of the sessions to train on, or one id; ``None`` takes all.
        resume: Continue from the last checkpoint in ``out``.
        report: Called after every validation with the counters, the used fraction of the budget
            and the validation scores; the members of an ensemble do not call it.
        verbose: Show how far it is on standard error, unless ``report`` is told instead, and in
            the end what came of it.

    Returns:
        The run folder.

    Raises:
        UserError: Data, configuration and run folder do not fit each other.
        KeyboardInterrupt: It was interrupted; the run folder keeps the last checkpoint.
    """
    data, config = path_of(data, "data"), as_config(config)
    out, names = path_of(out, "out"), as_names(sessions)
    check_folder(out, config, resume)
    _check_published(config)
    check_ranks(config)
    opened = open_sessions(data, config.data, names)
    _check_names(opened, config)
    verbose = verbose and ranks_of().writes
    if config.training.members > 1:
        _train_members(config, data, out, names, resume, verbose)
    else:
        with training_progress(report, verbose) as told:
            torch.manual_seed(config.training.seed)
            model = build(config.model, [session.info for session in opened])
            for session in opened:
                set_up_session(model, session)
            fit(model, opened, config, out, resume, told)
    if verbose:
        say_outcome(out)
    return out


def say_outcome(run: Path) -> None:
    """Say on standard error what a training came to."""
    for one in find_entries(run):
        many = f"{len(one.sessions)} session{'' if len(one.sessions) == 1 else 's'}"
        best = "" if one.score is None else f", best mean validation score {one.score:.3f}"
        write(f"trained {one.model} on {many}{best}", stderr=True)
    ended = cut_short(run)
    if ended:
        write(ended, stderr=True)


def fit(
    model: Model,
    sessions: Sequence[Session],
    config: Config,
    out: Path,
    resume: bool = False,
    report: Trained | None = None,
) -> Path:
    """Train a given model on opened sessions and write its run folder.

    Args:
        model: Model with stitchers for all the sessions.
        sessions: Where training and validation windows come from.
        config: Everything about the run.
        out: Run folder.
        resume: Continue from the last checkpoint in ``out``.
        report: See :func:`train`.

    Returns:
        The run folder.

    Raises:
        UserError: There is nothing to train on.
    """
    _check_names(sessions, config)
    _check_published(config)
    check_ranks(config)
    check_folder(out, config, resume)
    ranks = ranks_of()
    try:
        with (
            using_threads(config.training.threads),
            own_run(out) if ranks.writes else nullcontext(),
        ):
            _fit(model, sessions, config, out, resume, report, ranks)
    finally:
        # The engine's cycles would keep a finished training and the files it read for a while.
        OPEN_RECORDINGS.close()
        gc.collect()
    return out


def _fit(
    model: Model,
    sessions: Sequence[Session],
    config: Config,
    out: Path,
    resume: bool,
    report: Trained | None,
    ranks: Ranks,
) -> None:
    if isinstance(model, PluginModel):
        for session in sessions:
            check_answers(model, session)
    sessions = with_targets(model, sessions)
    total = total_steps(sessions, config)
    _check_schemes(sessions, config)
    if ranks.writes:
        _warn_of_few(sessions)
    log.debug("training on %d sessions, at most %d steps, into %s", len(sessions), total, out)
    if ranks.writes:
        prepare_folder(out, config, resume, sessions)
    module = TrainingModule(model, sessions, config, out, total, report, ranks)
    if resume and (out / "checkpoints" / "last.safetensors").is_file():
        module.progress = load_checkpoint(
            out / "checkpoints" / "last.safetensors", model, module.average, module.optimizer
        )
        rows = read_curves(out / "metrics.csv")
        module.rows = [row for row in rows if row["step"] <= module.progress.step]
    if not module.finished():
        steps = Steps(sessions, config, module.progress.step, total, ranks)
        run_lightning(module, steps, out)
    if ranks.writes:
        if MEAN not in module.progress.best:
            log.warning("no validation windows: the last weights are kept")
        save_model(out, config, model, _best_weights(out, module))


def total_steps(sessions: Sequence[Session], config: Config) -> int:
    """Optimiser steps of a whole run, exactly: epochs times batches, or ``max_steps``."""
    per_epoch = Steps(sessions, config, 0, 0).per_epoch
    total = per_epoch * config.training.max_epochs
    return min(total, config.training.max_steps or total)


def _check_names(sessions: Sequence[Session], config: Config) -> None:
    """Weights are chosen by name of what they predict: behaviours must have names of their own."""
    tasks = scored_tasks(config.masking) if config.model.behaviours else ()
    taken = {NEURAL, MEAN, *tasks}
    for session in sessions:
        for behaviour in session.info.behaviours:
            if behaviour.name in taken:
                raise UserError(
                    f"session {session.info.id} has a behaviour called '{behaviour.name}', which "
                    "is a name of neuroduet's own; rename it, or leave it out with data.behaviours"
                )


def _check_schemes(sessions: Sequence[Session], config: Config) -> None:
    """Refuse at once the schemes that the first step of a session could not draw from."""
    strangers = only_here(config)
    if strangers and config.training.workers:
        raise UserError(
            f"{strangers[0]} is known to this process alone, but training.workers="
            f"{config.training.workers} prepares the steps in others; set it to 0, or add an "
            "entry point of a package"
        )
    if config.masking.kind == "published" and config.model.name != "mtm_published":
        return
    for session in sessions:
        drawable(config.masking.schemes, region_index(session.info.regions) is not None)


def _warn_of_few(sessions: Sequence[Session]) -> None:
    """Tell before, not after, a training whose scores will say little."""
    splits = get_args(Split)
    said = few_said({one.info.id: {s: len(one.indices(s)) for s in splits} for one in sessions})
    if said:
        log.warning("%s", said)


def _check_published(config: Config) -> None:
    """Published masks hide the tokens of the published models, and are scored by their losses."""
    published = config.model.name.endswith("_published") and config.loss.kind == "published"
    if config.masking.kind == "published" and not published:
        raise UserError(
            "masking.kind=published goes with loss.kind=published and with model.name="
            "neds_published or mtm_published, whose tokens it hides; set all three or none"
        )


def check_ranks(config: Config) -> None:
    """Refuse what the processes that were started cannot do.

    Args:
        config: Everything about the run.

    Raises:
        UserError: There are several, for an ensemble or a published loss; or they have no GPU.
    """
    if config.training.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "training.device is cuda, but torch finds no GPU here; set it to auto or cpu, or see "
            "what neuroduet doctor says of torch"
        )
    world = ranks_of().world
    if world > 1 and config.training.members > 1:
        raise UserError(
            f"training.members is {config.training.members} and {world} processes were started; "
            "train an ensemble in one process, which starts its own, or one member with many"
        )
    if world > 1 and config.loss.kind == "published":
        raise UserError(
            f"loss.kind=published is no mean over windows that {world} processes could divide; "
            "train it in one process"
        )


def _best_weights(
    out: Path, module: TrainingModule
) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """The weights to keep, the mean's first, one set in memory at a time."""
    if MEAN not in module.progress.best:
        yield MEAN, module.average.shadow
        return
    others = module.progress.best if module.config.training.select == "task" else ()
    for key in (MEAN, *(key for key in others if key != MEAN)):
        yield key, read_tensors(best_path(out, key))[0]


def _train_members(
    config: Config,
    data: Path,
    out: Path,
    sessions: list[str] | None,
    resume: bool,
    verbose: bool,
) -> Path:
    """Train each member in a process and with a thread of its own: faster than sharing threads."""
    members = [member_config(config, index) for index in range(config.training.members)]
    jobs = [
        (member, data, out / "members" / f"{index:02d}", sessions, resume)
        for index, member in enumerate(members)
    ]
    with counted("members", verbose=verbose) as told, ensemble_folder(out, config, resume):
        run_jobs([(train, job) for job in jobs], report=told, known_here=only_here(config))
    return finish_ensemble(out)
