"""Share trained models: a folder of weights, settings and a card, here or on the Hub.

The folder is a run folder with nothing in it that is not needed: every command that takes a run
takes it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuroduet.catalogue import kind_of
from neuroduet.config import Config
from neuroduet.errors import UserError
from neuroduet.remote import local_or_fetched
from neuroduet.sharing import Rights, Shareable, upload, write_folder
from neuroduet.training.card import write_card
from neuroduet.training.description import ESTIMATOR_FILES, read_estimator
from neuroduet.training.files import read_environment, write_bytes, write_text
from neuroduet.training.runs import load_run, save_model
from neuroduet.training.trained import Ensemble, TrainedModel

TABLES = ("metrics.csv", "scores.csv", "baselines.csv")
"""Tables of a run that go with it: learning curves and scores."""

ENVIRONMENT = ("python", "packages", "threads", "cuda", "seed", "training_windows", "pretrained")
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
    "segmenter.json",
    *ESTIMATOR_FILES,
    *_MODEL,
    *(f"members/*/{name}" for name in _MODEL),
)
"""What is downloaded from a repository; anything else in it is left there."""

Run = Path | str | Shareable
"""Folder of a run or a segmenter, or a model: trained, of an estimator, or a segmenter."""


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
        run: Folder of a run or a segmenter, or a model that was opened or made: also a
            :class:`~neuroduet.Decoder`, :class:`~neuroduet.Encoder` or
            :class:`~neuroduet.Segmenter`.
        folder: Where to; made if needed, and else empty.
        licence: Licence of the weights, as the Hub abbreviates it, e.g. ``cc-by-4.0``.
        data_licence: Licence of the recordings, in words.
        datasets: Names of the data on the Hub, e.g. ``owner/recordings``.

    Returns:
        The folder.

    Raises:
        UserError: The run is not finished, the estimator not fitted, or the folder holds files
            already.
    """
    rights = Rights(licence=licence, data_licence=data_licence, datasets=datasets)
    write_folder(opened(run), Path(folder), rights)
    return Path(folder)


def write_run(
    model: TrainedModel | Ensemble,
    folder: Path,
    rights: Rights,
    source: str,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Write what others need of a run, and its card.

    Args:
        model: The model.
        folder: An empty folder.
        rights: Licences and data sets.
        source: What to open it by.
        files: More files that belong to it, by their place in the folder.

    Raises:
        UserError: A table or the environment of the run is damaged.
    """
    if isinstance(model, Ensemble):
        _write_members(model, folder)
    else:
        _write_model(model, folder)
    _copy_tables(model.origin, folder, (*TABLES, *ESTIMATOR_FILES))
    for name, content in (files or {}).items():
        write_bytes(folder / name, content)
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
        UserError: There is no such folder or repository, or it holds no whole model, or one that
            another class opens.
    """
    folder = local_or_fetched(source, FILES, revision, token)
    opener = opener_of(folder)
    if opener is not None:
        raise UserError(
            f"{source} holds what {opener} saved, expected a run; open it with "
            f"neuroduet.{opener}.from_pretrained"
        )
    return load_run(folder)


def opener_of(folder: Path) -> str | None:
    """The class that opens a folder, if it holds no mere run: a segmenter's or an estimator's.

    Args:
        folder: Folder that ``save_pretrained`` wrote, or any other.

    Raises:
        UserError: What it says of its estimator is damaged.
    """
    if kind_of(folder) == "segmenter":
        return "Segmenter"
    said = read_estimator(folder)
    return None if said is None else str(said["estimator"])


def training_tables(run: Path) -> dict[str, bytes]:
    """Learning curves and environment of a run and its members, as they are shared.

    Args:
        run: Run folder.

    Returns:
        Content of the files by their place in the folder.

    Raises:
        UserError: The environment is damaged.
    """
    found = {}
    for folder in (run, *sorted((run / "members").glob("*"))):
        place = folder.relative_to(run)
        if (folder / "metrics.csv").is_file():
            found[(place / "metrics.csv").as_posix()] = (folder / "metrics.csv").read_bytes()
        shared = _shared_environment(folder)
        if shared:
            found[(place / "env.json").as_posix()] = json.dumps(shared, indent=1).encode()
    return found


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
        run: See :func:`save_pretrained`.
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
    rights = Rights(licence=licence, data_licence=data_licence, datasets=datasets)
    return upload(opened(run), repo_id, rights, private=private, token=token)


def opened(run: object) -> Shareable:
    """What is to be shared.

    Args:
        run: Folder of a run or a segmenter, or a model that was opened or made.

    Raises:
        UserError: It is neither, or the folder is damaged.
    """
    if isinstance(run, Shareable):
        return run
    if not isinstance(run, str | Path):
        raise UserError(
            f"found a {type(run).__name__} to share, expected a run folder, a trained model, an "
            "estimator or a segmenter; give one of these"
        )
    if kind_of(Path(run)) != "segmenter":
        return load_run(run)
    from neuroduet.actions.segmenter import Segmenter

    return Segmenter.from_pretrained(run)


def _write_members(ensemble: Ensemble, folder: Path) -> None:
    for index, member in enumerate(ensemble.members):
        out = folder / "members" / f"{index:02d}"
        _write_model(member, out)
        _copy_tables(member.origin, out, ("metrics.csv",))
    _write_settings(ensemble.config, ensemble.origin, folder)


def _write_model(model: TrainedModel, folder: Path) -> None:
    save_model(folder, model.config, model.model, model.best.items())
    _write_settings(model.config, model.origin, folder)


def _write_settings(config: Config, origin: Path | None, folder: Path) -> None:
    write_text(folder / "config.yaml", config.to_yaml())
    shared = {} if origin is None else _shared_environment(origin)
    if shared:
        write_text(folder / "env.json", json.dumps(shared, indent=1))


def _shared_environment(run: Path) -> dict[str, Any]:
    found = read_environment(run)
    return {key: found[key] for key in ENVIRONMENT if key in found}


def _copy_tables(origin: Path | None, folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if origin is not None and (origin / name).is_file():
            write_bytes(folder / name, (origin / name).read_bytes())
