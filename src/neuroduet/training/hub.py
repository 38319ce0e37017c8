"""Share trained models: a folder of weights, settings and a card, here or on the Hub.

The folder is a run folder with nothing in it that is not needed: every command that takes a run
takes it too.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroduet.config import Config
from neuroduet.errors import UserError
from neuroduet.remote import Rights, local_or_fetched, push_folder, require_repository_name
from neuroduet.training.card import write_card
from neuroduet.training.files import write_bytes, write_text
from neuroduet.training.runs import Ensemble, TrainedModel, load_run, save_model

TABLES = ("metrics.csv", "scores.csv", "baselines.csv")
"""Tables of a run that go with it: learning curves and scores."""

ENVIRONMENT = ("python", "packages", "threads", "cuda", "seed", "training_windows")
"""What ``env.json`` says that a result depends on; the machine's own name is not shared."""

_MODEL = (
    "config.yaml",
    "env.json",
    "metrics.csv",
    "model/config.json",
    "model/*.safetensors",
)
FILES = (
    "README.md",
    "scores.csv",
    "baselines.csv",
    *_MODEL,
    *(f"members/*/{name}" for name in _MODEL),
)
"""What is downloaded from a repository; anything else in it is left there."""

Run = Path | str | TrainedModel | Ensemble


def save_pretrained(
    run: Run,
    folder: Path | str,
    *,
    licence: str | None = None,
    data_licence: str | None = None,
    datasets: Sequence[str] = (),
) -> Path:
    """Write what others need to use a trained model: weights, settings and a model card.

    Args:
        run: Run folder, or a model that was opened or made.
        folder: Where to; made if needed, and else empty.
        licence: Licence of the weights, as the Hub abbreviates it, e.g. ``cc-by-4.0``.
        data_licence: Licence of the recordings, in words.
        datasets: Names of the data on the Hub, e.g. ``owner/recordings``.

    Returns:
        The folder.

    Raises:
        UserError: The run is not finished, or the folder holds files already.
    """
    rights = Rights(licence=licence, data_licence=data_licence, datasets=tuple(datasets))
    return _save(run, Path(folder), rights)


def _save(run: Run, folder: Path, rights: Rights, source: str | None = None) -> Path:
    model = load_run(run) if isinstance(run, str | Path) else run
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} already holds files; choose a new or empty folder")
    if isinstance(model, Ensemble):
        _write_members(model, folder)
    else:
        _write_model(model, folder)
    _copy_tables(model.origin, folder, TABLES)
    write_card(folder, model.config, rights, source)
    return folder


def share_run(
    run: Path, out: Path | None, repo_id: str | None, *, private: bool, rights: Rights
) -> tuple[Path | None, str | None]:
    """Write a run's model and card into a folder, upload them, or both.

    Args:
        run: Run folder.
        out: Folder to write; ``None`` writes none.
        repo_id: ``owner/name`` of a repository; ``None`` uploads nothing.
        private: Make a new repository private.
        rights: Licences and data sets.

    Returns:
        The folder, and the address of the repository.

    Raises:
        UserError: See :func:`save_pretrained` and :func:`push_to_hub`.
    """
    if repo_id is not None:
        require_repository_name(repo_id)
    folder = None if out is None else _save(run, out, rights)
    return folder, None if repo_id is None else _push(run, repo_id, private, None, rights)


def from_pretrained(
    source: Path | str, *, revision: str | None = None, token: str | None = None
) -> TrainedModel | Ensemble:
    """Open a trained model of this machine, or of the Hugging Face Hub.

    Only weights, settings and tables are downloaded, and nothing in them is executed.

    Args:
        source: Folder of :func:`save_pretrained` or run folder, else ``owner/name`` of a
            repository. A folder of that name always wins.
        revision: Branch, tag or commit of the repository.
        token: Access token for a private repository; the stored one if not given.

    Returns:
        What :func:`neuroduet.training.runs.load_run` returns.

    Raises:
        UserError: There is no such folder or repository, or it holds no whole model.
    """
    return load_run(local_or_fetched(source, FILES, revision, token))


def push_to_hub(
    run: Run,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    licence: str | None = None,
    data_licence: str | None = None,
    datasets: Sequence[str] = (),
) -> str:
    """Upload to the Hugging Face Hub what :func:`save_pretrained` writes.

    Args:
        run: Run folder, or a model that was opened or made.
        repo_id: ``owner/name``; the repository is made if needed.
        private: Make a new repository private.
        token: Access token; the one stored by ``hf auth login`` if not given.
        licence: See :func:`save_pretrained`.
        data_licence: The same.
        datasets: The same.

    Returns:
        Address of the repository.

    Raises:
        UserError: The run is not finished, the name is no repository's, or the Hub refuses.
    """
    rights = Rights(licence=licence, data_licence=data_licence, datasets=tuple(datasets))
    return _push(run, repo_id, private, token, rights)


def _push(run: Run, repo_id: str, private: bool, token: str | None, rights: Rights) -> str:
    require_repository_name(repo_id)
    with tempfile.TemporaryDirectory() as temporary:
        folder = _save(run, Path(temporary) / "model", rights, source=repo_id)
        return push_folder(folder, repo_id, private=private, token=token)


def _write_members(ensemble: Ensemble, folder: Path) -> None:
    for index, member in enumerate(ensemble.members):
        out = folder / "members" / f"{index:02d}"
        _write_model(member, out)
        _copy_tables(member.origin, out, ("metrics.csv",))
    count = len(ensemble.members)
    training = ensemble.config.training.model_copy(update={"members": count})
    config = ensemble.config.model_copy(update={"training": training})
    _write_settings(config, ensemble.origin, folder)


def _write_model(model: TrainedModel, folder: Path) -> None:
    save_model(folder, model.config, model.model, model.best.items())
    _write_settings(model.config, model.origin, folder)


def _write_settings(config: Config, origin: Path | None, folder: Path) -> None:
    write_text(folder / "config.yaml", config.to_yaml())
    found = _environment(origin)
    if found:
        write_text(folder / "env.json", json.dumps(found, indent=1))


def _environment(origin: Path | None) -> dict[str, Any]:
    path = None if origin is None else origin / "env.json"
    if path is None or not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore or remove it") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no names and values; restore or remove it")
    return {key: found[key] for key in ENVIRONMENT if key in found}


def _copy_tables(origin: Path | None, folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if origin is not None and (origin / name).is_file():
            write_bytes(folder / name, (origin / name).read_bytes())
