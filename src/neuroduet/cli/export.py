"""The command that writes predictions for other programs: ``neuroduet export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroduet.console import write
from neuroduet.options import OutDir


def export(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="Run folder, or what `actions predict` wrote."),
    ],
    out: OutDir,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="nwb, alf or pynapple.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Recordings that the run predicts."),
    ] = None,
) -> None:
    """Write predictions as NWB, as ALF tables, or for pynapple."""
    from neuroduet.export import export as write_predictions

    files = write_predictions(source, data, to, out)
    write(f"{'1 file is' if len(files) == 1 else f'{len(files)} files are'} in {out}")
