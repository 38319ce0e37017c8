"""Several trainings beside each other, each in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from neuroduet.config import Config, TrainingConfig
from neuroduet.errors import UserError
from neuroduet.masking import SCHEMES
from neuroduet.models import MODELS
from neuroduet.terminal import Count

log = logging.getLogger(__name__)

Job = tuple[Callable[..., Path], tuple[Any, ...]]
"""A function of a module, and what it is called with: paths, configurations, names, numbers."""

LOOKS_EVERY_S = 0.05
PACKAGE = "neuroduet."
CONFIG = "neuroduet.Config"
"""Key under which a configuration is sent to another process."""


def run_jobs(
    jobs: Sequence[Job],
    workers: int | None = None,
    report: Count = lambda done, total, value: None,
    known_here: Sequence[str] = (),
) -> None:
    """Run training functions in parallel processes, by default as many as there are cores.

    A process starts with nothing but this package (:mod:`neuroduet.training.worker`): neither the
    script nor the notebook that asks is run again in it.

    Args:
        jobs: Functions and their arguments.
        workers: Processes at the same time; 1 for this process alone.
        report: Told how many are done, of how many, and NaN.
        known_here: What other processes would not know (:func:`only_here`): if there is any, the
            jobs are done one after the other in this process.

    Raises:
        UserError: A job refused what it was given, or its process was ended from outside. Those
            that run at that time are finished, and no others are started.
    """
    if known_here:
        log.warning(
            "%s is known to this process alone, so that trainings go one after the other in it; "
            "an entry point of a package lets them go side by side",
            " and ".join(known_here),
        )
    if known_here or workers == 1 or len(jobs) == 1:
        for done, (function, arguments) in enumerate(jobs, start=1):
            function(*arguments)
            report(done, len(jobs), float("nan"))
        return
    with TemporaryDirectory(prefix="neuroduet-", ignore_cleanup_errors=True) as folder:
        _run_beside(jobs, workers or os.cpu_count() or 1, report, Path(folder))


def _run_beside(jobs: Sequence[Job], workers: int, report: Count, folder: Path) -> None:
    waiting = [(job, folder / f"{index}.json") for index, job in enumerate(jobs)]
    running: dict[subprocess.Popen[bytes], Path] = {}
    failure: Exception | None = None
    done = 0
    try:
        while running or (waiting and failure is None):
            while waiting and failure is None and len(running) < workers:
                job, answer = waiting.pop(0)
                running[_start(job, answer)] = answer
            for child in [child for child in running if child.poll() is not None]:
                found = _failure(child, running.pop(child))
                failure, done = failure or found, done + 1
                report(done, len(jobs), float("nan"))
            time.sleep(LOOKS_EVERY_S)
    except KeyboardInterrupt:
        log.warning(
            "stopped when %d of %d trainings were done; the same call with resume=True (--resume) "
            "goes on from their last checkpoints",
            done,
            len(jobs),
        )
        raise
    finally:
        for child in running:
            child.kill()
            child.wait()
    if failure is not None:
        raise failure


def _start(job: Job, answer: Path) -> subprocess.Popen[bytes]:
    """Start a process that does a job, and ends with this one: its standard input is then cut."""
    function, arguments = job
    asked = {
        "function": f"{function.__module__}:{function.__qualname__}",
        "arguments": arguments,
        "answer": answer,
    }
    found = [os.path.abspath(place) for place in sys.path]  # what can be imported here
    child = subprocess.Popen(
        [sys.executable, "-m", "neuroduet.training.worker"],
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(found), "PYTHONSAFEPATH": "1"},
        # An interrupt is for this process, which ends the others.
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # of Windows
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(asked, default=_as_json).encode() + b"\n")
    child.stdin.flush()
    return child


def _as_json(value: object) -> Any:
    """What stands for a value that JSON does not know."""
    if isinstance(value, Config):
        return {CONFIG: value.model_dump(mode="json")}
    return str(value) if isinstance(value, os.PathLike) else np.asarray(value).tolist()


def _failure(child: subprocess.Popen[bytes], answer: Path) -> Exception | None:
    """What went wrong in a process that has ended, if anything did."""
    assert child.stdin is not None
    child.stdin.close()
    if not answer.is_file():
        return UserError(
            f"a training's process was ended from outside (exit code {child.returncode}), perhaps "
            "for want of memory; go on by resume=True (--resume), with fewer processes at a time"
        )
    said = json.loads(answer.read_text(encoding="utf-8"))
    if said["kind"] == UserError.__name__:
        return UserError(said["message"])
    if said["kind"]:
        error = RuntimeError(f"{said['kind']}: {said['message']}")
        error.__cause__ = RuntimeError(said["traceback"])
        return error
    return None


def only_here(config: Config) -> list[str]:
    """What a configuration names that other processes would not know.

    Args:
        config: A configuration.

    Returns:
        Models and masking schemes that were added to our registries by assignment.
    """
    names = [name for name, weight in config.masking.schemes.items() if weight > 0]
    schemes = {name: SCHEMES[name] for name in names if name in SCHEMES}
    own = config.model.name
    models = {own: MODELS[own]} if own in MODELS else {}
    return [
        *(f"model '{name}'" for name, found in models.items() if is_added(found)),
        *(f"masking scheme '{name}'" for name, found in schemes.items() if is_added(found)),
    ]


def is_added(entry: object) -> bool:
    """Whether an entry of a registry comes from elsewhere: a script, a notebook, a module."""
    return not str(getattr(entry, "__module__", "")).startswith(PACKAGE)


def member_config(config: Config, index: int) -> Config:
    """Configuration of one member: its own seed, one thread."""
    changes = {"seed": config.training.seed + index, "members": 1, "threads": 1}
    training = TrainingConfig(**(config.training.model_dump() | changes))
    return config.model_copy(update={"training": training})


def finish_ensemble(out: Path) -> Path:
    """Show the first member's curves as the ensemble's, so that every run folder looks alike."""
    shutil.copyfile(out / "members" / "00" / "metrics.csv", out / "metrics.csv")
    return out
