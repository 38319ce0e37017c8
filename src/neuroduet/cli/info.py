"""The command that describes one thing: ``neuroduet info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuroduet.console import print_recordings, print_run, print_table, write_json
from neuroduet.errors import UserError
from neuroduet.options import AsJson


def info(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Run, shared model, segmenter or recording.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say what a model or recording is made of, and what a training cost."""
    from neuroduet.catalogue import kind_of

    kind = kind_of(path)
    if kind == "recording":
        from neuroduet.data.recording import describe

        found = describe(path)
    elif kind == "segmenter":
        from neuroduet.actions.segmenter import Segmenter

        found = Segmenter.from_pretrained(path).describe()
    elif kind in ("run", "shared") or (path / "config.yaml").is_file():
        from neuroduet.training.info import describe_run

        found = describe_run(run=path)
    else:
        raise UserError(
            f"{path} is no run folder, shared model, segmenter or recording; `neuroduet list` "
            "finds those below a folder"
        )
    if as_json:
        write_json(found)
    elif kind == "recording":
        print_recordings([found], {}, {})
    elif kind == "segmenter":
        print_table(("segmenter", str(path)), _segmenter_rows(found))
    else:
        print_run(found)
    if kind == "recording" and found["problems"]:
        raise typer.Exit(2)


def _segmenter_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    chosen = {"features": found["features"], "options": found["options"]}
    settings = [
        (f"{section}.{name}", str(value))
        for section, values in chosen.items()
        for name, value in values.items()
    ]
    return [
        ("model", found["model"]),
        ("classes", ", ".join(found["classes"])),
        ("frame", " x ".join(map(str, found["shape"]))),
        *((name, str(found[name])) for name in ("pool", "smooth", "seed", "version")),
        *settings,
    ]
