"""The Hugging Face Hub: fetch and push folders of models. Nothing else touches the network."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from neuroduet.errors import UserError, as_path

log = logging.getLogger(__name__)

MOST_BYTES = 20 * 10**9
"""No model of ours is larger; a repository that says so holds something else."""

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def local_or_fetched(
    source: Path | str, allowed: Sequence[str], revision: str | None, token: str | None
) -> Path:
    """A folder on this machine: the source itself, or what a repository of that name holds.

    A folder always wins over a repository. What looks like a path is never looked up.

    Args:
        source: Folder, or ``owner/name`` of a repository.
        allowed: Patterns of the files to download.
        revision: Branch, tag or commit of the repository.
        token: Access token; the one that was stored by ``hf auth login`` if not given.

    Raises:
        UserError: It is no path, there is neither, or the repository cannot be read.
    """
    folder = as_path(source, "source", "give a folder, or owner/name of a repository")
    if folder.is_dir():
        if revision is not None:
            raise UserError(
                f"{source} is a folder, and revision '{revision}' is of a repository; leave the "
                "revision out"
            )
        return folder
    if isinstance(source, Path) or folder.exists() or not _names_repository(source):
        raise UserError(
            f"there is no folder {source}; give a folder that save_pretrained wrote, or the "
            "owner/name of a repository on the Hugging Face Hub"
        )
    return _fetch(source, allowed, revision, token)


def push_folder(folder: Path, repo_id: str, *, private: bool, token: str | None) -> str:
    """Upload a folder to a repository of models, which is made if needed.

    Args:
        folder: What to upload, all of it.
        repo_id: ``owner/name``.
        private: Make a new repository private.
        token: Access token; the stored one if not given.

    Returns:
        Address of the repository.

    Raises:
        UserError: The name is no repository's, or the Hub refuses.
    """
    require_repository_name(repo_id)
    with _hub(repo_id, token) as api:
        address = api.create_repo(repo_id, private=private, repo_type="model", exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=repo_id,
            repo_type="model",
            commit_message="Share a neuroduet model",
        )
        return str(address)


def require_repository_name(repo_id: str) -> None:
    """Refuse what cannot be the name of a repository.

    Raises:
        UserError: It is not ``owner/name``.
    """
    if not REPOSITORY.fullmatch(repo_id):
        raise UserError(f"'{repo_id}' is no repository of the Hugging Face Hub; write owner/name")


def _names_repository(source: str) -> bool:
    """Whether text can only mean a repository: ``runs/first`` beside a folder ``runs`` is not."""
    return REPOSITORY.fullmatch(source) is not None and not Path(source).parent.is_dir()


def _fetch(repo_id: str, allowed: Sequence[str], revision: str | None, token: str | None) -> Path:
    wanted = list(allowed)
    with _hub(repo_id, token) as api:
        try:
            found = api.model_info(repo_id, revision=revision, files_metadata=True)
        except Exception:
            copy = _downloaded_before(api, repo_id, wanted, revision)
            if copy is None:
                raise
            log.warning(
                "the Hub did not serve %s; the copy of an earlier download is used", repo_id
            )
            return copy
        _require_model(repo_id, found.siblings or (), wanted)
        return Path(api.snapshot_download(repo_id, revision=revision, allow_patterns=wanted))


def _downloaded_before(
    api: Any, repo_id: str, wanted: list[str], revision: str | None
) -> Path | None:
    """What an earlier download left on this machine, e.g. for a computer without a network."""
    try:
        return Path(
            api.snapshot_download(
                repo_id, revision=revision, allow_patterns=wanted, local_files_only=True
            )
        )
    except Exception:  # noqa: BLE001
        return None


def _require_model(repo_id: str, files: Sequence[Any], wanted: Sequence[str]) -> None:
    """Refuse a repository without a model, or of a size that no model has."""
    sizes = [
        file.size or 0
        for file in files
        if any(fnmatchcase(file.rfilename, pattern) for pattern in wanted)
    ]
    if not sizes:
        raise UserError(
            f"the repository {repo_id} holds no model of neuroduet; give one that "
            "push_to_hub wrote"
        )
    if sum(sizes) > MOST_BYTES:
        raise UserError(
            f"the repository {repo_id} holds {sum(sizes) / 1e9:.0f} GB, expected at most "
            f"{MOST_BYTES / 1e9:.0f}; download it yourself and give the folder"
        )


@contextmanager
def _hub(repo_id: str, token: str | None) -> Iterator[Any]:
    """A client of the Hub; whatever it and the network raise becomes one sentence."""
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise UserError(
            f"{repo_id} is on the Hugging Face Hub, and huggingface_hub is not installed; "
            "pip install 'neuroduet[hub]'"
        ) from None
    try:
        yield HfApi(token=token, library_name="neuroduet")
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the Hugging Face Hub did not serve {repo_id} ({type(error).__name__}: {reason}); "
            "check the name, the connection, and your token (`hf auth login`)"
        ) from error
