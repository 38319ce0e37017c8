"""Give a saved segmenter to others."""

from __future__ import annotations

from pathlib import Path

from neuroduet.actions.card import write_card
from neuroduet.actions.segmenter import Segmenter
from neuroduet.errors import UserError
from neuroduet.remote import Rights


def share_segmenter(
    source: Path, out: Path | None, repo_id: str | None, *, private: bool, rights: Rights
) -> tuple[Path | None, str | None]:
    """Write a segmenter and its card into a folder, upload them, or both.

    Args:
        source: Folder of the segmenter.
        out: Folder to write; ``None`` writes none.
        repo_id: ``owner/name`` of a repository; ``None`` uploads nothing.
        private: Make a new repository private.
        rights: Licences and data sets.

    Returns:
        The folder, and the address of the repository.

    Raises:
        UserError: There is no segmenter, the folder holds files already, or the Hub refuses.
    """
    segmenter = Segmenter.from_pretrained(source)
    if out is not None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"{out} already holds files; choose a new or empty folder")
        segmenter.save_pretrained(out)
        write_card(out, segmenter.describe(), rights, source=out.resolve().name)
    if repo_id is None:
        return out, None
    address = segmenter.push_to_hub(
        repo_id,
        private=private,
        licence=rights.licence,
        data_licence=rights.data_licence,
        datasets=rights.datasets,
    )
    return out, address
