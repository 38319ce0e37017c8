"""The command that finds what is there: ``neuroduet list``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroduet.console import counted, print_table, write, write_json
from neuroduet.options import AsJson

if TYPE_CHECKING:
    from neuroduet.catalogue import Entry

LISTED = 3
"""Sessions whose names are shown; of more there is a number."""


def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to look.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """List runs, shared models, segmenters and recordings below a folder."""
    from neuroduet.catalogue import find_entries

    with counted("runs and recordings") as report:
        found = find_entries(folder, report)
    if as_json:
        write_json([one.as_dict() for one in found])
        return
    if not found:
        write(f"there are no runs, models, segmenters or recordings in {folder}")
        return
    header = ("kind", "path", "model", "sessions", "finished", "validation", "size", "written")
    print_table(header, [_row(one) for one in found])
    for one in found:
        if one.problem:
            write(f"{one.path} cannot be read: {one.problem}", stderr=True)


def _row(one: Entry) -> tuple[str, ...]:
    count = len(one.sessions)
    finished = {None: "-", True: "yes", False: "no"}[one.finished]
    return (
        one.kind,
        one.path,
        one.model or "-",
        (", ".join(one.sessions) if count <= LISTED else str(count)) or "-",
        "damaged" if one.problem else finished,
        "-" if one.score is None else f"{one.score:.3f}",
        f"{one.bytes / 1e6:.1f} MB",
        one.modified.replace("T", " "),
    )
