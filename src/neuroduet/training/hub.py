"""Share trained models: a folder of weights, settings and a card, here or on the Hub.

The folder is a run folder with nothing in it that is not needed: every command that takes a run
takes it too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroduet.config import Config
from neuroduet.errors import UserError
from neuroduet.remote import local_or_fetched
from neuroduet.sharing import Rights
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
    return _opened(run).save_pretrained(
        folder, licence=licence, data_licence=data_licence, datasets=datasets
    )


def write_run(model: TrainedModel | Ensemble, folder: Path, rights: Rights, source: str) -> None:
    """Write what others need of a run, and its card.

    Args:
        model: The model.
        folder: An empty folder.
        rights: Licences and data sets.
        source: What to open it by.

    Raises:
        UserError: A table or the environment of the run is damaged.
    """
    if isinstance(model, Ensemble):
        _write_members(model, folder)
    else:
        _write_model(model, folder)
    _copy_tables(model.origin, folder, TABLES)
    write_card(folder, model.config, rights, source)


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
    return _opened(run).push_to_hub(
        repo_id,
        private=private,
        token=token,
        licence=licence,
        data_licence=data_licence,
        datasets=datasets,
    )


def _opened(run: Run) -> TrainedModel | Ensemble:
    return load_run(run) if isinstance(run, str | Path) else run


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
