"""The command that serves a page to look at recordings: ``neuroduet view``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroduet.console import write
from neuroduet.options import AsJson

if TYPE_CHECKING:
    from neuroduet.view import View


def view(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="Run folder, recording (.h5) or folder of them."),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Recordings of what a run predicted."),
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="ID", help="Session to begin with.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="A free one if 0.")
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address; open no browser.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Corrected labels (.csv) to write."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at recordings, predictions and actions; correct labels by hand."""
    import webbrowser

    from neuroduet.view import serve

    with serve(path, data=data, session=session, port=port, labels=labels) as viewer:
        try:
            _announce(viewer, as_json)
            if not no_browser:
                webbrowser.open(viewer.url_for_browser())
            viewer.wait()
        except KeyboardInterrupt:
            raise typer.Exit from None


def _announce(viewer: View, as_json: bool) -> None:
    """Print the address, and nothing else on standard output."""
    if as_json:
        found = {"url": viewer.url, "token": viewer.token, "port": viewer.port}
        write(json.dumps(found))
        return
    write(viewer.url)
    if viewer.hint:
        write(f"to see predictions: {viewer.hint}", stderr=True)
    write("serving until Ctrl-C", stderr=True)
