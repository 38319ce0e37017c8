"""What can be given to others: written into a folder with a card, or uploaded."""

from __future__ import annotations

import html
import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from sklearn.exceptions import NotFittedError

from neuroduet.atomic import require_empty
from neuroduet.errors import UserError
from neuroduet.plain import printable
from neuroduet.remote import push_folder, require_repository_name


class NotFitted(UserError, NotFittedError):
    """Asked for an answer before it was fitted; scikit-learn knows the error too."""


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What a model does not know of itself.

    Attributes:
        licence: Licence of the model, as the Hub abbreviates it, e.g. ``cc-by-4.0``.
        data_licence: Licence of the recordings, in words.
        datasets: Names of the data on the Hub, e.g. ``owner/recordings``.
    """

    licence: str | None = None
    data_licence: str | None = None
    datasets: Sequence[str] = ()


class Shareable(ABC):
    """A trained model that can be given to others."""

    @abstractmethod
    def write_shared(self, folder: Path, rights: Rights, source: str) -> None:
        """Write what others need into an empty folder, and a card that says what it is.

        Args:
            folder: Where to.
            rights: Licences and data sets.
            source: What to open it by.
        """

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        token: str | None = None,
        licence: str | None = None,
        data_licence: str | None = None,
        datasets: Sequence[str] = (),
    ) -> str:
        """Upload the model with a card to the Hugging Face Hub.

        Args:
            repo_id: ``owner/name``; the repository is made if needed.
            private: Make a new repository private.
            token: Access token; the one stored by ``hf auth login`` if not given.
            licence: Licence of the model, as the Hub abbreviates it, e.g. ``cc-by-4.0``.
            data_licence: Licence of the recordings, in words.
            datasets: Names of the data on the Hub, e.g. ``owner/recordings``.

        Returns:
            Address of the repository.

        Raises:
            UserError: Not fitted, the name is no repository's, or the Hub refuses.
        """
        rights = Rights(licence=licence, data_licence=data_licence, datasets=datasets)
        return upload(self, repo_id, rights, private=private, token=token)


def write_folder(model: Shareable, folder: Path, rights: Rights) -> None:
    """Write what others need, all of it or nothing.

    Args:
        model: The model.
        folder: Where to; made if needed, and else empty.
        rights: Licences and data sets.

    Raises:
        UserError: The folder holds files already, or the model cannot be written.
    """
    with _filling(folder):
        model.write_shared(folder, rights, folder.resolve().name)


def upload(
    model: Shareable, repo_id: str, rights: Rights, *, private: bool, token: str | None = None
) -> str:
    """Upload what others need; see :meth:`Shareable.push_to_hub`."""
    require_repository_name(repo_id)
    with tempfile.TemporaryDirectory() as folder:
        model.write_shared(Path(folder), rights, repo_id)
        return push_folder(Path(folder), repo_id, private=private, token=token)


@contextmanager
def _filling(folder: Path) -> Iterator[None]:
    """A new or empty folder to fill, which is new or empty again if that fails."""
    require_empty(folder)
    was_there = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in folder.iterdir() if was_there else [folder]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def front_matter(rights: Rights, tags: Sequence[str]) -> str:
    """What the Hub reads of a card, as YAML."""
    values: dict[str, Any] = {
        "library_name": "neuroduet",
        "tags": list(dict.fromkeys(["neuroscience", *tags])),
    }
    if rights.licence:
        values["license"] = rights.licence
    if rights.datasets:
        values["datasets"] = list(rights.datasets)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def cell(text: object) -> str:
    """Text from files as it may stand in a cell of a Markdown table."""
    return html.escape(printable(str(text)), quote=False).replace("|", "\\|")


def quoted(text: str) -> str:
    """Text as it stands in a program."""
    return json.dumps(printable(text), ensure_ascii=False)
