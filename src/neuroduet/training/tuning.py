"""Ray's side of a search: which trial runs when and where, and which is stopped early."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from neuroduet.errors import UserError
from neuroduet.ray_start import environment, joined_ray, local_ray
from neuroduet.training.trials import Machines, Search, trial_run

GRACE, REDUCTION = 1, 2
"""Validations before a trial may be stopped, and how many compete for one place (as published)."""

NO_LIMIT = 2**30
"""Validations after which ASHA would end every trial: trials end by their own budget."""

QUIET = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
"""Tune leaves no logs beside the run folders, and Ctrl-C interrupts."""

TrainTrial = Callable[[int, Callable[[int, float], None]], None]
Record = Callable[[int, str, str], None]


def run_trials(
    train: TrainTrial,
    plan: Search,
    machines: Machines,
    waiting: Sequence[int],
    past: Mapping[int, Sequence[float]],
    record: Record,
) -> None:
    """Run trials until all have ended; Ray must be :func:`connected`.

    Args:
        train: Trains the trial of a number and calls back after every validation.
        plan: The search.
        machines: Where trials run.
        waiting: Numbers of the trials to run.
        past: Validation scores from before, by trial: the new ones are held against them.
        record: Called when a trial ends, with its number, status and message.
    """
    cpus = plan.config.training.threads or 1
    # Ray's own notes are of no use once the search is over: all that counts is in its folder.
    with tempfile.TemporaryDirectory(prefix=f"nd-{os.getpid()}-") as folder:
        trainable = tune.with_parameters(_run_trial, train=train)
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": cpus, "gpu": machines.gpus}),
            param_space={"number": tune.grid_search(list(waiting))},
            tune_config=tune.TuneConfig(
                scheduler=scheduler_after(past),
                max_concurrent_trials=machines.workers,
                # A process that does not let go of a stopped trial in time loses the next one.
                reuse_actors=False,
            ),
            run_config=tune.RunConfig(
                name="search", storage_path=folder, verbose=0, callbacks=[Watch(plan, record)]
            ),
        ).fit()


def scheduler_after(past: Mapping[int, Sequence[float]]) -> ASHAScheduler:
    """ASHA as published, knowing the validations of an earlier part of the search.

    Args:
        past: Validation scores by trial.
    """
    scheduler = ASHAScheduler(
        time_attr="validations",
        metric="score",
        mode="max",
        max_t=NO_LIMIT,
        grace_period=GRACE,
        reduction_factor=REDUCTION,
    )
    nobody: Any = None  # ASHA looks at results alone
    for number, scores in past.items():
        trial: Any = SimpleNamespace(trial_id=f"past-{number}")
        scheduler.on_trial_add(nobody, trial)
        for validations in range(1, len(scores) + 1):
            result = {"validations": validations, "score": max(scores[:validations])}
            scheduler.on_trial_result(nobody, trial, result)
    return scheduler


def _run_trial(assignment: dict[str, int], train: TrainTrial) -> None:
    """What runs in the process of a trial."""
    latest = {"validations": 0, "score": math.nan}

    def report(validations: int, score: float) -> None:
        latest.update(validations=validations, score=score)
        # When ASHA stops the trial, this call does not return.
        tune.report(dict(latest))

    try:
        train(assignment["number"], report)
    except Exception as error:
        tune.report({**latest, "failed": _sentence(error)})


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


class Watch(tune.Callback):
    """Tells when a trial ends, and how."""

    def __init__(self, plan: Search, record: Record) -> None:
        self.plan, self.record = plan, record
        self.failed: set[int] = set()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Take note of a failure that the trial reports itself."""
        if "failed" in result:
            self.failed.add(trial.config["number"])
            self.record(trial.config["number"], "failed", result["failed"])

    def on_trial_complete(
        self, iteration: int, trials: list[Any], trial: Any, **info: Any
    ) -> None:
        """A trial is through or was stopped: only the first has written its model."""
        number = trial.config["number"]
        if number not in self.failed:
            written = (trial_run(self.plan, number) / "model" / "config.json").is_file()
            self.record(number, "finished" if written else "stopped", "")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The process of a trial is gone."""
        message = "its process died, perhaps for lack of memory; try fewer --workers"
        self.record(trial.config["number"], "failed", message)


@contextmanager
def connected(machines: Machines, cpus: int) -> Iterator[None]:
    """Ray for the time of a search: a cluster's, or one of this machine alone.

    Args:
        machines: Where trials run.
        cpus: CPU threads of a trial.

    Raises:
        UserError: The cluster cannot be reached, or there are too few GPUs.
    """
    with environment(QUIET):
        if machines.address is not None:
            with joined_ray(machines.address):
                yield
        else:
            with local_ray(machines.workers * cpus):
                _require_gpus(machines.gpus)
                yield


def _require_gpus(wanted: float) -> None:
    found = ray.cluster_resources().get("GPU", 0.0)
    if wanted > found:  # Ray would wait for ever
        raise UserError(
            f"a trial is to have {wanted:g} GPUs, and this machine has {found:g}; lower "
            "--gpus-per-trial, or give the --address of a cluster"
        )
