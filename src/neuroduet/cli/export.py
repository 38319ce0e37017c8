"""The command that writes predictions for other programs: ``neuroduet export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroduet.console import counted, write, write_json
from neuroduet.options import FORMAT_NAMES, AsJson, OutDir, among


def export(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="Run folder, or what `actions predict` wrote."),
    ],
    out: OutDir,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="nwb, alf or pynapple.",
            autocompletion=among(FORMAT_NAMES),
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Recordings that the run predicts."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write predictions as NWB, as ALF tables, or for pynapple."""
    from neuroduet.export import export as write_predictions

    with counted("recordings") as report:
        files = write_predictions(source, data, to, out, report=report)
    if as_json:
        write_json({"files": files})
        return
    write(f"{'1 file is' if len(files) == 1 else f'{len(files)} files are'} in {out}")
