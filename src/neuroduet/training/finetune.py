"""Finetune a trained run on new sessions: the shared core goes along, stitchers start fresh."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from neuroduet.config import Config, allowed_values, override
from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError, unknown
from neuroduet.masking import SCHEMES
from neuroduet.models import Model, build, set_up_session
from neuroduet.models.mtm_published import MtmPublished
from neuroduet.models.ndt2 import Ndt2, transferred_tables
from neuroduet.models.neds_published import NedsPublished
from neuroduet.models.transfer import adapt_stitchers
from neuroduet.models.translator import Translator
from neuroduet.nn.published import Tables
from neuroduet.plugins import all_names
from neuroduet.settings import Settings
from neuroduet.terminal import Trained, counted, training_progress
from neuroduet.training.files import read_environment, write_text
from neuroduet.training.fit import check_ranks, fit, say_outcome
from neuroduet.training.folder import check_folder, ensemble_folder
from neuroduet.training.given import as_names, path_of
from neuroduet.training.jobs import Job, finish_ensemble, member_config, only_here, run_jobs
from neuroduet.training.ranks import ranks_of
from neuroduet.training.runs import IMPORT_FIRST, load_run
from neuroduet.training.trained import Ensemble, TrainedModel


def finetune(
    run: Path | str,
    data: Path | str,
    out: Path | str,
    sessions: Sequence[str] | str | None = None,
    settings: Settings | None = None,
    strategy: str | None = None,
    resume: bool = False,
    report: Trained | None = None,
    verbose: bool = False,
) -> Path:
    """Finetune a run on sessions it has not seen.

    Args:
        run: Run folder of the pretrained model (an ensemble is finetuned member by member).
        data: A recording, or a folder of recordings.
        out: Run folder to write.
        sessions: Ids of the new sessions, or one id; ``None`` takes all of ``data``. Behaviours
            that the pretrained run does not know are left out.
        settings: Changes to the pretrained run's configuration, as
            :func:`~neuroduet.config.override` takes them.
        strategy: ``full`` trains everything from the start, ``probe`` only what belongs to single
            sessions, ``gradual`` the rest later; short for the setting ``training.finetune``.
        resume: Continue from the last checkpoint in ``out``.
        report: See :func:`neuroduet.training.fit.train`.
        verbose: The same.

    Returns:
        The new run folder.

    Raises:
        UserError: The run, data and settings do not fit each other.
    """
    run, data, out = path_of(run, "run"), path_of(data, "data"), path_of(out, "out")
    names = as_names(sessions)
    pretrained = load_run(run)
    _require_schemes(pretrained.config)
    config = override(pretrained.config, settings or [])
    if strategy is not None:
        known = allowed_values()["training.finetune"]
        if strategy not in known:
            raise unknown("strategy", strategy, known)
        config = override(config, {"training.finetune": strategy})
    if config.model != pretrained.config.model:
        raise UserError("finetuning keeps the architecture; leave model.* settings as they are")
    if config.training.members != pretrained.config.training.members:
        raise UserError(
            "a finetuned run has the members of the run it starts from; leave training.members "
            "as it is"
        )
    decoded = [behaviour.name for behaviour in pretrained.behaviours]
    for wanted in config.data.behaviours or ():
        if wanted.name not in decoded:
            raise unknown("behaviour of the pretrained run", wanted.name, decoded)
    check_folder(out, config, resume)
    check_ranks(config)
    verbose = verbose and ranks_of().writes
    if isinstance(pretrained, Ensemble):
        jobs: list[Job] = []
        for index, one in enumerate(pretrained.members):
            member = member_config(config, index), data, out / "members" / f"{index:02d}"
            jobs.append((finetune_member, (one.origin, *member, names, resume)))
        with counted("members", verbose=verbose) as counting, ensemble_folder(out, config, resume):
            run_jobs(jobs, report=counting, known_here=only_here(config))
        finish_ensemble(out)
        _note_origin(out, pretrained)
    else:
        with training_progress(report, verbose) as told:
            _finetune(pretrained, config, data, out, names, resume, told)
    if verbose:
        say_outcome(out)
    return out


def finetune_member(
    run: Path | str,
    config: Config,
    data: Path | str,
    out: Path | str,
    sessions: list[str] | None,
    resume: bool,
) -> Path:
    """Finetune one member of an ensemble, whose configuration has been worked out.

    Args:
        run: Run folder of the pretrained member.
        config: Everything about the new run.
        data: See :func:`finetune`.
        out: Run folder to write.
        sessions: Ids of the new sessions.
        resume: Continue from the last checkpoint in ``out``.

    Returns:
        The new run folder.

    Raises:
        UserError: The run, data and configuration do not fit each other.
    """
    pretrained = load_run(run)
    assert isinstance(pretrained, TrainedModel)
    return _finetune(pretrained, config, Path(data), Path(out), sessions, resume)


def _finetune(
    pretrained: TrainedModel,
    config: Config,
    data: Path,
    out: Path,
    sessions: list[str] | None,
    resume: bool,
    report: Trained | None = None,
) -> Path:
    opened = open_sessions(data, config.data, sessions, pretrained.behaviours)
    torch.manual_seed(config.training.seed)
    fit(_transfer(pretrained, opened, config), opened, config, out, resume, report)
    if ranks_of().writes:
        _note_origin(out, pretrained)
    return out


def _note_origin(out: Path, pretrained: TrainedModel | Ensemble) -> None:
    """Write into ``env.json`` what the run was finetuned from."""
    assert pretrained.origin is not None
    origin = {
        "run": pretrained.origin.resolve().name,
        "sessions": len(pretrained.sessions),
        "subjects": len({info.subject for info in pretrained.sessions} - {""}),
    }
    found = read_environment(out) | {"pretrained": origin}
    write_text(out / "env.json", json.dumps(found, indent=1))


def _require_schemes(config: Config) -> None:
    """Refuse a run that was trained with a scheme of a package that is not here."""
    known = all_names("neuroduet.schemes", SCHEMES)
    for name, weight in config.masking.schemes.items():
        if weight > 0 and name not in known:
            raise UserError(f"{unknown('masking scheme', name, known)}; {IMPORT_FIRST}")


def _transfer(pretrained: TrainedModel, sessions: list[Session], config: Config) -> Model:
    """A model for new sessions with the pretrained core, its stitchers read off that core."""
    infos = [session.info for session in sessions]
    model = build(config.model, infos, pretrained.behaviours)
    source = pretrained.model
    copy_core(source, model)
    for session in sessions:
        set_up_session(model, session)
    if isinstance(source, Translator) and isinstance(model, Translator):
        adapt_stitchers(source, model, sessions)
    return model


def copy_core(source: Model, target: Model) -> None:
    """Copy every parameter that does not belong to a single session.

    Raises:
        UserError: The target's windows are longer than a model of fixed length allows.
    """
    own = {id(p) for p in target.stitchers()}
    given: dict[str, Tensor] = dict(source.named_parameters())
    if isinstance(source, NedsPublished) and isinstance(target, NedsPublished):
        given |= _tables(source, target)
    elif isinstance(source, Ndt2) and isinstance(target, Ndt2):
        given |= transferred_tables(source, target)
    elif isinstance(source, MtmPublished) and isinstance(target, MtmPublished):
        _check_length(source.bins, target.bins)
        given["position"] = source.position[: target.bins]
    with torch.no_grad():
        for name, parameter in target.named_parameters():
            if id(parameter) not in own:
                parameter.copy_(given[name])


def _tables(source: NedsPublished, target: NedsPublished) -> dict[str, Tensor]:
    """The published tables: positions cut to the target's windows, rows of sessions fresh."""
    _check_length(source.bins, target.bins)
    found: dict[str, Tensor] = {}
    for place, (old, new) in enumerate(zip(source.tables, target.tables, strict=True)):
        assert isinstance(old, Tables)
        assert isinstance(new, Tables)
        found[f"tables.{place}.position"] = old.position[: target.bins]
        found[f"tables.{place}.session"] = new.session
    return found


def _check_length(known: int, wanted: int) -> None:
    if wanted > known:
        raise UserError(
            f"the sessions have windows of {wanted} bins, but the pretrained model was built for "
            f"{known}; shorten data.windows"
        )
