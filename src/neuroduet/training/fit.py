"""Train a model on recordings: from a configuration and a folder to a run folder."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from neuroduet.config import Config, TrainingConfig, load_config
from neuroduet.data.opened import OPEN_RECORDINGS
from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError
from neuroduet.models import Model, build, set_up_session
from neuroduet.training.files import environment, own_run, read_tensors, write_text
from neuroduet.training.module import TrainingModule, best_path, read_metrics
from neuroduet.training.ranks import Ranks, ranks_of
from neuroduet.training.runs import save_model
from neuroduet.training.state import MEAN, Progress, load_checkpoint
from neuroduet.training.steps import Steps
from neuroduet.types import NEURAL

log = logging.getLogger(__name__)

Report = Callable[[Progress, float, dict[str, float]], None]


def train(
    config: Config,
    data: Path | str,
    out: Path | str,
    sessions: list[str] | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Path:
    """Train from scratch (or go on with a stopped run).

    Started by ``torchrun`` or ``srun``, several processes train one model: they divide the windows
    of every step, and the result is that of a single process.

    Args:
        config: Everything about the run.
        data: A recording, or a folder of recordings.
        out: Run folder to write.
        sessions: Ids of the sessions to train on; ``None`` takes all.
        resume: Continue from the last checkpoint in ``out``.
        report: Called after every validation with the counters, the used fraction of the budget
            and the validation scores; the members of an ensemble do not call it.

    Returns:
        The run folder.

    Raises:
        UserError: Data, configuration and run folder do not fit each other.
    """
    out = Path(out)
    check_folder(out, config, resume)
    published = config.model.name.endswith("_published") and config.loss.kind == "published"
    if config.masking.kind == "published" and not published:
        raise UserError(
            "masking.kind=published goes with loss.kind=published and with model.name="
            "neds_published or mtm_published, whose tokens it hides; set all three or none"
        )
    _check_ranks(config)
    opened = open_sessions(Path(data), config.data, sessions)
    _check_names(opened)
    if config.training.members > 1:
        return _train_members(config, data, out, sessions, resume)
    torch.manual_seed(config.training.seed)
    model = build(config.model, [session.info for session in opened])
    for session in opened:
        set_up_session(model, session)
    return fit(model, opened, config, out, resume, report)


def fit(
    model: Model,
    sessions: Sequence[Session],
    config: Config,
    out: Path,
    resume: bool = False,
    report: Report | None = None,
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
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    _check_names(sessions)
    _check_ranks(config)
    check_folder(out, config, resume)
    ranks = ranks_of()
    try:
        with own_run(out) if ranks.writes else nullcontext():
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
    report: Report | None,
    ranks: Ranks,
) -> None:
    total = total_steps(sessions, config)
    log.debug("training on %d sessions, at most %d steps, into %s", len(sessions), total, out)
    if ranks.writes:
        prepare_folder(out, config, resume)
        write_environment(out, config, sessions)
    module = TrainingModule(model, sessions, config, out, total, report, ranks)
    if resume and (out / "checkpoints" / "last.safetensors").is_file():
        module.progress = load_checkpoint(
            out / "checkpoints" / "last.safetensors", model, module.average, module.optimizer
        )
        module.rows = read_metrics(out / "metrics.csv", module.progress.step)
    if not module.finished():
        steps = Steps(sessions, config, module.progress.step, total, ranks)
        _run_lightning(module, steps, out)
    if ranks.writes:
        if MEAN not in module.progress.best:
            log.warning("no validation windows: the last weights are kept")
        save_model(out, config, model, _best_weights(out, module))


def total_steps(sessions: Sequence[Session], config: Config) -> int:
    """Optimiser steps of a whole run, exactly: epochs times batches, or ``max_steps``."""
    per_epoch = Steps(sessions, config, 0, 0).per_epoch
    total = per_epoch * config.training.max_epochs
    return min(total, config.training.max_steps or total)


def check_folder(out: Path, config: Config, resume: bool) -> None:
    """Check that a run folder is free, or holds the run to go on with; nothing is written.

    Raises:
        UserError: The folder is in use, or holds another configuration than the one to resume.
    """
    path = out / "config.yaml"
    if not ranks_of().writes:
        return
    if resume:
        if path.is_file() and load_config(path) != config:
            raise UserError(
                f"{path} differs from the given settings; resume with the settings the run was "
                "started with, or choose another --out"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} already holds files; choose another --out or add --resume")


def prepare_folder(out: Path, config: Config, resume: bool) -> None:
    """Create a run folder with its resolved configuration.

    Called once everything is known to fit: a mistyped session leaves no folder behind.
    """
    check_folder(out, config, resume)
    write_text(out / "config.yaml", config.to_yaml())
    write_environment(out, config, ())


def write_environment(out: Path, config: Config, sessions: Sequence[Session]) -> None:
    """Write ``env.json``: versions, seed, and how many training windows there are."""
    windows = {session.info.id: len(session.indices("train")) for session in sessions}
    found = environment(config.training.seed) | {"training_windows": windows}
    write_text(out / "env.json", json.dumps(found, indent=1))


def _check_names(sessions: Sequence[Session]) -> None:
    for session in sessions:
        for behaviour in session.info.behaviours:
            if behaviour.name in (NEURAL, MEAN):
                raise UserError(
                    f"session {session.info.id} has a behaviour called '{behaviour.name}', which "
                    "is a name of neuroduet's own; rename it, or leave it out with data.behaviours"
                )


def _check_ranks(config: Config) -> None:
    """What only a single process can do."""
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


def _run_lightning(module: TrainingModule, steps: Steps, out: Path) -> None:
    # Lightning's import takes seconds: only training pays for it.
    from lightning.pytorch import Trainer
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.plugins.environments import LightningEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    training, ranks = module.config.training, steps.ranks
    several = ranks.world > 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        # Of depthwise convolutions, whose kernels have an axis of length 1.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
        trainer = Trainer(
            max_epochs=1,
            min_epochs=0,
            accelerator={"cuda": "gpu"}.get(training.device, training.device),
            devices=ranks.per_node,
            num_nodes=ranks.nodes,
            # A step concerns a few sessions: the stitchers of all others have no gradient.
            strategy=DDPStrategy(find_unused_parameters=True) if several else "auto",
            # A script of a batch system is one process unless its launcher says otherwise.
            plugins=None if several else LightningEnvironment(),
            use_distributed_sampler=False,
            precision="bf16-mixed" if training.precision == "bf16" else "32-true",
            logger=TensorBoardLogger(out, name="", version="tensorboard"),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        # Without a collate function the loader would turn tuples into lists.
        loader = DataLoader(
            steps,
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=training.workers,
            # Forked processes would inherit the locks of this one's threads.
            multiprocessing_context="spawn" if training.workers else None,
        )
        try:
            trainer.fit(module, loader)
        except torch.linalg.LinAlgError as error:
            raise module.diverged(f"a matrix cannot be inverted ({error})") from None


def _as_it_is(step: Any) -> Any:
    return step


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
    data: Path | str,
    out: Path,
    sessions: list[str] | None,
    resume: bool,
) -> Path:
    """Train each member in a process and with a thread of its own: faster than sharing threads."""
    prepare_folder(out, config, resume)
    members = [member_config(config, index) for index in range(config.training.members)]
    jobs = [
        (member, data, out / "members" / f"{index:02d}", sessions, resume)
        for index, member in enumerate(members)
    ]
    run_jobs([(train, job) for job in jobs])
    return finish_ensemble(out)


def member_config(config: Config, index: int) -> Config:
    """Configuration of one member: its own seed, one thread."""
    changes = {"seed": config.training.seed + index, "members": 1, "threads": 1}
    training = TrainingConfig(**(config.training.model_dump() | changes))
    return config.model_copy(update={"training": training})


def run_jobs(
    jobs: Sequence[tuple[Callable[..., Path], tuple]],
    workers: int | None = None,
    report: Callable[[int, int, float], None] = lambda done, total, value: None,
) -> None:
    """Run training functions in parallel processes, by default as many as there are cores.

    Args:
        jobs: Functions and their arguments.
        workers: Processes at the same time.
        report: Told how many are done, of how many, and NaN.
    """
    workers = min(len(jobs), workers or os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    leave = partial(_leave_with_parent, os.getpid())
    with ProcessPoolExecutor(workers, mp_context=context, initializer=leave) as pool:
        futures = [pool.submit(function, *arguments) for function, arguments in jobs]
        for index, future in enumerate(as_completed(futures), start=1):
            future.result()
            log.debug("%d of %d parallel trainings are done", index, len(futures))
            report(index, len(futures), float("nan"))


def _leave_with_parent(parent: int) -> None:
    """End this process soon after its parent is killed, instead of training on unseen."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def finish_ensemble(out: Path) -> Path:
    """Show the first member's curves as the ensemble's, so that every run folder looks alike."""
    first = sorted((out / "members").iterdir())[0]
    shutil.copyfile(first / "metrics.csv", out / "metrics.csv")
    return out
