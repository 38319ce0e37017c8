"""The commands ``neuroduet simulate`` and ``neuroduet inspect``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How training will cut a recording.

    Attributes:
        windows: How many windows each split has; ``None`` if it cannot be cut.
        window: Bins of the shortest and of the longest window, and width of a bin (s).
    """

    windows: dict[str, int] | None
    window: dict[str, int | float] | None


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
    cut, refused = ({}, []) if broken else _cut(path, summaries)
    windows = {name: one.windows or {} for name, one in cut.items()}
    if as_json:
        unread = [{"session": file.stem, "subject": None, "problems": [why]}
                  for file, why in damaged.items()]  # fmt: skip
        nothing = Cut(windows=None, window=None)
        said = [one | asdict(cut.get(one["session"], nothing)) for one in (*summaries, *unread)]
        write_json(said)
    else:
        splits = {name: "/".join(map(str, counts.values())) for name, counts in windows.items()}
        lengths = {name: one.window for name, one in cut.items() if one.window}
        print_recordings(summaries, splits, lengths)
        if damaged:
            print_table(("damaged", "why"), [(file.name, why) for file, why in damaged.items()])
        for one in summaries:
            if one["left_out"]:
                write(f"session {one['session']}: left out by ingest: {one['left_out']}")
        for sentence in (*_drifts(summaries), *_few(windows)):
            write(sentence, stderr=True)
    for why in refused:
        write(f"train will refuse this: {why}", stderr=True)
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
                summaries.append(describe(file) | {"left_out": _left_out(file)})
            except UserError as error:
                if path.is_file():
                    raise
                damaged[file] = str(error)
            report(done, len(files), float("nan"))
    return summaries, damaged


def _left_out(file: Path) -> str:
    """How many trials of its source a recording lacks, and why."""
    from neuroduet.data.readers.leave_out import left_out_of
    from neuroduet.data.recording import load

    with load(file) as recording:
        return left_out_of(recording)


def _drifts(summaries: list[dict[str, Any]]) -> list[str]:
    from neuroduet.data.drift import drift_said

    return [
        f"session {one['session']}: {drift_said(behaviour['name'], behaviour['drift'])}"
        for one in summaries
        for behaviour in one.get("behaviours", [])
        if behaviour["drift"] is not None
    ]


def _few(windows: dict[str, dict[str, int]]) -> list[str]:
    from neuroduet.data.few import few_said

    said = few_said(windows)
    return [said] if said else []


def _cut(path: Path, summaries: list[dict[str, Any]]) -> tuple[dict[str, Cut], list[str]]:
    """By session, the windows that training will find; and why it will refuse some as they are.

    Raises:
        UserError: Each is well on its own, but they cannot be used together.
    """
    from neuroduet.data.recording import find_recordings

    modelled = [summary["session"] for summary in summaries if summary["neural"]]
    if not modelled:
        return {}, []
    with counted("cutting windows"):
        try:
            return _windows(path, modelled), []
        except UserError as error:
            together = error
        found: dict[str, Cut] = {}
        refused = []
        for file, summary in zip(find_recordings(path), summaries, strict=True):
            try:
                found |= _windows(file, [summary["session"]]) if summary["neural"] else {}
            except UserError as error:
                refused.append(str(error))
        if str(together) not in refused:
            raise together
        return found, refused


def _windows(path: Path, modelled: list[str]) -> dict[str, Cut]:
    from neuroduet.config import DataConfig
    from neuroduet.data.session import open_sessions

    return {
        one.info.id: Cut(
            windows={split: len(one.indices(split)) for split in SPLITS},
            window={
                "shortest_bins": int(one.windows.bins.min()),
                "longest_bins": int(one.windows.bins.max()),
                "bin_size_s": one.info.bin_size_s,
            },
        )
        for one in open_sessions(path, DataConfig(), modelled)
    }
