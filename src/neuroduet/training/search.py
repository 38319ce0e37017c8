"""Search for good settings: many trials, each an ordinary run folder, the bad ones stopped early.

What each trial is made of is drawn beforehand. The state of a search is what lies in its folder:
``search.yaml`` (what is searched), ``search.csv`` (how each trial ended) and the run folders.
Ray (:mod:`neuroduet.training.tuning`) only decides when a trial starts and when it is stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from neuroduet.config import Config
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.terminal import Count, Trained
from neuroduet.training.files import write_text
from neuroduet.training.finetune import finetune
from neuroduet.training.fit import train
from neuroduet.training.jobs import only_here
from neuroduet.training.runs import load_run
from neuroduet.training.spaces import describe_space
from neuroduet.training.trials import (
    KEPT,
    Ends,
    Machines,
    Search,
    Trial,
    as_settings,
    best_trial,
    read_ends,
    read_trials,
    silent,
    trial_config,
    trial_run,
    validation_scores,
    write_trials,
)

log = logging.getLogger(__name__)

CHANGES_SCORES = ("masking.schemes", "model.behaviours", "model.inputs")
"""Settings that decide, beside the data, what validation asks."""


def search(
    plan: Search,
    machines: Machines,
    resume: bool = False,
    report: Count = silent,
) -> list[Trial]:
    """Train many trials, and stop those early that fall behind (ASHA).

    Args:
        plan: What is searched.
        machines: Where trials run.
        resume: Go on with the search that ``plan.out`` holds. Trials that ended are not trained
            again, those that failed or were interrupted go on from their checkpoints, and there
            may be more trials than before.
        report: Told how many trials ended, of how many, and the best score of the last; not with
            a Ray client.

    Returns:
        All trials, by number. ``search.csv`` holds the same as a table, ``best.yaml`` the
        configuration of the best.

    Raises:
        UserError: Ray Tune is missing, the space does not fit, the folder holds something else,
            or every trial failed.
    """
    _require_ray()
    check_plan(plan)
    _check_data(plan)
    _check_folder(plan, resume)
    ends = Ends(plan, read_ends(plan) if resume else {}, report)
    before = read_trials(plan, ends.known)
    if any(trial.status not in KEPT for trial in before):
        _run(plan, machines, before, ends)
    # With a Ray client the ends were recorded by a process elsewhere.
    trials = read_trials(plan, read_ends(plan))
    _warn_of_unfinished(trials)
    best = best_trial(trials)
    if best is None:
        messages = [trial.message for trial in trials if trial.message] or ["no validation"]
        raise UserError(
            f"none of the {len(trials)} trials has a score, the first because: {messages[0]}"
        )
    write_text(plan.out / "best.yaml", trial_config(plan, best.number).to_yaml())
    return trials


def _warn_of_unfinished(trials: Sequence[Trial]) -> None:
    """Say which trials have no end, for whatever reason, or failed."""
    left = [f"{trial.number} ({trial.status})" for trial in trials if trial.status not in KEPT]
    if left:
        log.warning(
            "%d of %d trials did not finish: %s; the same call with resume=True (--resume) runs "
            "them again",
            len(left),
            len(trials),
            ", ".join(left),
        )


def _run(plan: Search, machines: Machines, before: Sequence[Trial], ends: Ends) -> None:
    """Run the trials that have not ended; nothing is written before all is ready."""
    from neuroduet.training.tuning import connected, run_trials

    waiting = [trial.number for trial in before if trial.status not in KEPT]
    past = {trial.number: trial.scores for trial in before if trial.scores}
    with connected(machines, plan.config.training.threads or 1):
        write_text(plan.out / "search.yaml", yaml.safe_dump(_description(plan), sort_keys=False))
        write_trials(plan, before)
        run_trials(partial(train_trial, plan), plan, machines, waiting, past, ends.record)


def train_trial(plan: Search, number: int, report: Callable[[int, float], None]) -> None:
    """Train one trial, or go on with it.

    Args:
        plan: The search.
        number: Number of the trial.
        report: Called after every validation with the number of validations so far and the best
            mean score.

    Raises:
        UserError: The trial cannot be trained, or has no validation score any more.
    """
    run, config = trial_run(plan, number), trial_config(plan, number)

    def after_validation(progress: Any, used: float, scores: dict[str, float]) -> None:
        if not scores:
            raise UserError(
                f"no validation score is a number at step {progress.step}: training diverged; "
                "search lower learning rates"
            )
        # The last report waits for the model: no trial is stopped when it is through.
        if used < 1.0:
            found = validation_scores(run)
            report(len(found), max(found))

    _start(plan, run, config, after_validation)
    found = validation_scores(run)
    report(len(found), max(found))


def _start(plan: Search, run: Path, config: Config, report: Trained) -> None:
    sessions = None if plan.sessions is None else list(plan.sessions)
    if plan.pretrained is None:
        train(config, plan.data, run, sessions, resume=True, report=report)
    else:
        settings = as_settings(config.model_dump(mode="json"))
        finetune(plan.pretrained, plan.data, run, sessions, settings, resume=True, report=report)


def check_plan(plan: Search) -> None:
    """Check that every trial has a configuration, and that their scores can be compared.

    Raises:
        UserError: A setting is unknown, has a value that is not allowed, or changes the exam.
    """
    for key in plan.space:
        section = key.split(".")[0]
        if section in ("data", "preset") or key in CHANGES_SCORES:
            raise UserError(
                f"{key} changes what validation asks, so that scores of trials could not be "
                "compared; take it out of the space, and set it for all trials instead"
            )
        if plan.pretrained is not None and section == "model":
            raise UserError(
                f"finetuning keeps the architecture; take {key} out of the space, or search "
                "from scratch"
            )
    for number in range(1, plan.trials + 1):
        config = trial_config(plan, number)
        if config.training.members > 1:
            raise UserError("a search trains single models; leave training.members at 1")
        for name in only_here(config):
            raise UserError(
                f"{name} is known to this process alone, but trials run in others; add an entry "
                "point of a package"
            )


def _check_data(plan: Search) -> None:
    """Open the recordings once, so that one mistake is told once and not by every trial."""
    sessions = None if plan.sessions is None else list(plan.sessions)
    known = None if plan.pretrained is None else load_run(plan.pretrained).behaviours
    opened = open_sessions(plan.data, plan.config.data, sessions, known)
    if not any(len(session.indices("valid")) for session in opened):
        raise UserError(
            f"{plan.data} has no validation windows to choose settings by; raise data.split.valid"
        )


def _require_ray() -> None:
    try:
        import ray.tune  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"a search needs Ray Tune, which cannot be imported ({error}); "
            "pip install 'neuroduet[search]'"
        ) from None


def _check_folder(plan: Search, resume: bool) -> None:
    """Check that the folder is free, or holds the search to go on with.

    Raises:
        UserError: The folder is in use, or holds another search than the one to resume.
    """
    path = plan.out / "search.yaml"
    if not resume and plan.out.exists() and (not plan.out.is_dir() or any(plan.out.iterdir())):
        raise UserError(
            f"{plan.out} already holds files; choose another folder (--out), or resume=True "
            "(--resume)"
        )
    if resume and path.is_file():
        before, now = _read_description(path), _description(plan)
        differing = [key for key in now if key != "trials" and before.get(key) != now[key]]
        if int(before.get("trials", 0)) > plan.trials:
            differing.append("trials")
        if differing:
            raise UserError(
                f"{path} differs from the given search in {', '.join(differing)}; resume with "
                "what it was started with (and at least as many trials), or choose another "
                "folder (--out)"
            )


def _description(plan: Search) -> dict[str, Any]:
    found = {
        "preset": plan.config.preset,
        "from": None if plan.pretrained is None else str(plan.pretrained),
        "trials": plan.trials,
        "seed": plan.seed,
        "sessions": None if plan.sessions is None else list(plan.sessions),
        "space": describe_space(plan.space),
        "config": plan.config.model_dump(mode="json"),
    }
    # As it will be read back, to be compared with what was written earlier.
    return dict(yaml.safe_load(yaml.safe_dump(found, sort_keys=False)))


def _read_description(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("trials"), int):
        raise UserError(f"{path} does not describe a search; restore it or choose another folder")
    return found
