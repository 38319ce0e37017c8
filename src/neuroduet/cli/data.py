"""The commands ``neuroduet simulate`` and ``neuroduet inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuroduet.atomic import require_empty
from neuroduet.cli.paths import require_data
from neuroduet.console import (
    counted,
    print_recordings,
    print_table,
    unused,
    write,
    write_json,
    write_next,
)
from neuroduet.errors import UserError
from neuroduet.options import AsJson
from neuroduet.simulate import Size

SPLITS = ("train", "valid", "test")


def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to create.")],
    sessions: Annotated[int, typer.Option("--sessions", min=1, help="Number of animals.")] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the world.")] = 0,
    size: Annotated[Size, typer.Option("--size", help="Trials and units of a session.")] = "small",
    as_json: AsJson = False,
) -> None:
    """Write recordings of simulated animals with known rates."""
    require_empty(out)
    from neuroduet.simulate import simulate as write_sessions

    with counted("recordings") as report:
        files = write_sessions(out=out, sessions=sessions, seed=seed, size=size, report=report)
    if as_json:
        write_json({"files": files, "seed": seed, "size": size})
        return
    many = "1 simulated recording is" if sessions == 1 else f"{sessions} simulated recordings are"
    write(f"{many} in {out}")
    write_next("train", "--data", out, "--out", unused(Path("runs/first")))


def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Recording, or folder of them.")],
    as_json: AsJson = False,
) -> None:
    """Check recordings and list what they hold."""
    require_data(path)
    summaries, damaged = _described(path)
    broken = bool(damaged) or any(summary["problems"] for summary in summaries)
    windows = {} if broken else _windows(path, summaries)
    if as_json:
        unread = [{"session": file.stem, "subject": None, "problems": [why]}
                  for file, why in damaged.items()]  # fmt: skip
        said = [one | {"windows": windows.get(one["session"])} for one in (*summaries, *unread)]
        write_json(said)
    else:
        cut = {name: "/".join(map(str, counts.values())) for name, counts in windows.items()}
        print_recordings(summaries, cut)
        if damaged:
            print_table(("damaged", "why"), [(file.name, why) for file, why in damaged.items()])
        for sentence in _drifts(summaries):
            write(sentence, stderr=True)
    if broken:
        raise typer.Exit(2)


def _described(path: Path) -> tuple[list[dict[str, Any]], dict[Path, str]]:
    """What each recording holds; of a folder also which cannot be read, and why."""
    from neuroduet.data.recording import describe, find_recordings

    files = find_recordings(path)
    summaries: list[dict[str, Any]] = []
    damaged: dict[Path, str] = {}
    with counted("recordings") as report:
        for done, file in enumerate(files, start=1):
            try:
                summaries.append(describe(file))
            except UserError as error:
                if path.is_file():
                    raise
                damaged[file] = str(error)
            report(done, len(files), float("nan"))
    return summaries, damaged


def _drifts(summaries: list[dict[str, Any]]) -> list[str]:
    from neuroduet.data.drift import drift_said

    return [
        f"session {one['session']}: {drift_said(behaviour['name'], behaviour['drift'])}"
        for one in summaries
        for behaviour in one.get("behaviours", [])
        if behaviour["drift"] is not None
    ]


def _windows(path: Path, summaries: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """By session, how many windows training will find in each split."""
    from neuroduet.config import DataConfig
    from neuroduet.data.session import open_sessions

    modelled = [summary["session"] for summary in summaries if summary["neural"]]
    with counted("cutting windows"):
        opened = open_sessions(path, DataConfig(), modelled) if modelled else []
        return {
            one.info.id: {split: len(one.indices(split)) for split in SPLITS} for one in opened
        }
