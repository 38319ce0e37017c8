"""The command that gives a trained model to others: ``neuroduet share``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroduet.console import write, write_json
from neuroduet.errors import UserError
from neuroduet.options import AsJson, names

if TYPE_CHECKING:
    from neuroduet.sharing import Shareable


def share(
    model: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, or folder of `actions train`.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder to write.")
    ] = None,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="OWNER/NAME", help="Upload to the Hugging Face Hub."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    licence: Annotated[
        str | None, typer.Option("--licence", metavar="ID", help="Of the model, e.g. cc-by-4.0.")
    ] = None,
    data_licence: Annotated[
        str | None, typer.Option("--data-licence", metavar="TEXT", help="Of the recordings.")
    ] = None,
    datasets: Annotated[
        str | None,
        typer.Option("--datasets", metavar="A,B", help="Names of the recordings on the Hub."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write or upload a trained model, with a card that says what it is."""
    if out is None and push is None:
        raise UserError("nothing to do: give --out DIR to write, or --push OWNER/NAME to upload")
    if private and push is None:
        raise UserError("--private is of a repository on the Hub; add --push OWNER/NAME")
    from neuroduet.remote import require_repository_name
    from neuroduet.sharing import Rights, upload, write_folder

    if push is not None:
        require_repository_name(push)
    opened = _opened(model)
    rights = Rights(licence=licence, data_licence=data_licence, datasets=names(datasets) or ())
    if out is not None:
        write_folder(opened, out, rights)
    address = None if push is None else upload(opened, push, rights, private=private)
    if as_json:
        write_json({"folder": out, "address": address})
        return
    if out is not None:
        write(f"the model and its card are in {out}")
    if address is not None:
        write(f"the model is at {address}")


def _opened(model: Path) -> Shareable:
    from neuroduet.catalogue import kind_of

    kind = kind_of(model)
    if kind == "segmenter":
        from neuroduet.actions.segmenter import Segmenter

        return Segmenter.from_pretrained(model)
    if kind in ("run", "shared"):
        from neuroduet.training.runs import load_run

        return load_run(model)
    raise UserError(
        f"{model} is neither a run folder nor a segmenter; give the --out of train, finetune "
        "or actions train"
    )
