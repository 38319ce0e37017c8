"""Finetune a trained run on new sessions: the shared core goes along, stitchers start fresh."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from neuroduet.config import Config, override
from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError, unknown
from neuroduet.models import Model, build, set_up_session
from neuroduet.models.mtm_published import MtmPublished
from neuroduet.models.ndt2 import Ndt2, transferred_tables
from neuroduet.models.neds_published import NedsPublished
from neuroduet.models.transfer import adapt_stitchers
from neuroduet.models.translator import Translator
from neuroduet.nn.published import Tables
from neuroduet.training.fit import (
    Report,
    check_folder,
    finish_ensemble,
    fit,
    prepare_folder,
    run_jobs,
)
from neuroduet.training.runs import Ensemble, TrainedModel, load_run


def finetune(
    run: Path | str,
    data: Path | str,
    sessions: list[str] | None,
    out: Path | str,
    settings: list[str] | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Path:
    """Finetune a run on sessions it has not seen.

    Args:
        run: Run folder of the pretrained model (an ensemble is finetuned member by member).
        data: A recording, or a folder of recordings.
        sessions: Ids of the new sessions; ``None`` takes all of ``data``. Behaviours that the
            pretrained run does not know are left out.
        out: Run folder to write.
        settings: ``section.key=value`` changes to the pretrained run's configuration, e.g.
            ``training.finetune=probe``.
        resume: Continue from the last checkpoint in ``out``.
        report: See :func:`neuroduet.training.fit.train`.

    Returns:
        The new run folder.

    Raises:
        UserError: The run, data and settings do not fit each other.
    """
    out = Path(out)
    pretrained = load_run(run)
    config = override(pretrained.config, settings or [])
    if config.model != pretrained.config.model:
        raise UserError("finetuning keeps the architecture; leave model.* settings as they are")
    if config.training.members != pretrained.config.training.members:
        raise UserError(
            "a finetuned run has the members of the run it starts from; leave training.members "
            "as it is"
        )
    known = [behaviour.name for behaviour in pretrained.behaviours]
    for wanted in config.data.behaviours or ():
        if wanted.name not in known:
            raise unknown("behaviour of the pretrained run", wanted.name, known)
    check_folder(out, config, resume)
    if isinstance(pretrained, Ensemble):
        return _finetune_members(Path(run), pretrained, data, sessions, out, settings, resume)
    opened = open_sessions(Path(data), config.data, sessions, pretrained.behaviours)
    torch.manual_seed(config.training.seed)
    return fit(_transfer(pretrained, opened, config), opened, config, out, resume, report)


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


def _finetune_members(
    run: Path,
    pretrained: Ensemble,
    data: Path | str,
    sessions: list[str] | None,
    out: Path,
    settings: list[str] | None,
    resume: bool,
) -> Path:
    prepare_folder(out, override(pretrained.config, settings or []), resume)
    jobs = []
    for folder in sorted((run / "members").iterdir()):
        member_out = out / "members" / folder.name
        jobs.append((finetune, (folder, data, sessions, member_out, settings, resume)))
    run_jobs(jobs)
    return finish_ensemble(out)
