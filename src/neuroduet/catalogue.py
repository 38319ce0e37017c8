"""What lies below a folder: runs, shared models, segmenters and recordings, found in a moment.

Only names and small text files are read, and no weights: torch is not imported.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from neuroduet.errors import UserError
from neuroduet.plain import printable, read_yaml

Kind = Literal["run", "shared", "segmenter", "recording"]

PASSED_BY = {"node_modules", "site-packages", "__pycache__"}
"""Folders that hold the files of programs, beside those whose name starts with a dot."""

RECORDING_ENDINGS = (".h5", ".hdf5")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something that was found.

    Attributes:
        kind: ``run`` (a training), ``shared`` (what ``save_pretrained`` wrote), ``segmenter`` or
            ``recording``.
        path: Folder or file.
        model: Preset of a run, model of a segmenter; empty for a recording.
        sessions: Sessions that a run knows, or the one of a recording.
        finished: Whether a training has ended; ``None`` where the question makes no sense.
        score: Best mean validation score of a run.
        bytes: Size of the folder or file.
        modified: When it was written, in local time (ISO 8601).
        problem: Why it cannot be read; empty if it can.
    """

    kind: Kind
    path: str
    model: str = ""
    sessions: tuple[str, ...] = ()
    finished: bool | None = None
    score: float | None = None
    bytes: int = 0
    modified: str = ""
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The entry in plain types, for JSON."""
        return asdict(self) | {"sessions": list(self.sessions)}


def find_entries(
    folder: Path, report: Callable[[int, int, float], None] = lambda done, total, value: None
) -> list[Entry]:
    """Everything of ours at or below a folder, in the order of the paths.

    Args:
        folder: Where to look; hidden folders and links to folders are passed by.
        report: Told how many runs and files are read, of how many, and NaN.

    Raises:
        UserError: There is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give one that holds runs or recordings")
    places = list(_places(folder))
    found = []
    for done, (kind, path) in enumerate(places, start=1):
        entry = _guarded(kind, path)
        if kind != "recording" or entry.sessions or entry.problem:
            found.append(entry)
        report(done, len(places), math.nan)
    return found


def kind_of(path: Path) -> Kind | None:
    """What a folder or file is, as far as its name and the names in it tell."""
    if path.is_file():
        return "recording" if path.suffix in RECORDING_ENDINGS else None
    if (path / "segmenter.json").is_file():
        return "segmenter"
    marks = ("model/config.json", "env.json", "members")
    if (path / "config.yaml").is_file() and any((path / mark).exists() for mark in marks):
        return "shared" if _has_card(path) else "run"
    return None


def _places(top: Path) -> Iterator[tuple[Kind, Path]]:
    """What may be ours by its name."""
    for place, folders, names in os.walk(top):
        folder = Path(place)
        kind = kind_of(folder)
        if kind is not None:
            folders.clear()  # members, checkpoints and predictions are parts of it
            yield kind, folder
            continue
        folders[:] = sorted(n for n in folders if n[0] != "." and n not in PASSED_BY)
        for name in sorted(names):
            path = folder / name
            if name[0] != "." and kind_of(path) == "recording":
                yield "recording", path


def _guarded(kind: Kind, path: Path) -> Entry:
    """The entry of a path; what is damaged is listed too, and says so."""
    try:
        found = _READ[kind](path)
    except Exception as error:  # noqa: BLE001
        reason = printable(" ".join(str(error).split()))[:200]
        found = {"problem": f"{type(error).__name__}: {reason}"}
    return Entry(kind=kind, path=str(path), **_size_and_time(path), **found)


def _size_and_time(path: Path) -> dict[str, Any]:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    states = [one.stat() for one in files]
    newest = max((state.st_mtime for state in states), default=0.0)
    when = datetime.fromtimestamp(newest).isoformat(timespec="seconds")
    return {"bytes": sum(state.st_size for state in states), "modified": when}


def _run(path: Path) -> dict[str, Any]:
    config = read_yaml((path / "config.yaml").read_bytes())
    members = sorted((path / "members").glob("*/model/config.json"))
    wanted = config.get("training", {}).get("members", 1)
    models = members if wanted > 1 else [path / "model" / "config.json"]
    finished = len(models) >= wanted and all(model.is_file() for model in models)
    return {
        "model": str(config.get("preset", "")),
        "sessions": _sessions_of(path, models[0] if finished else None),
        "finished": finished,
        "score": _best_score(path / "metrics.csv"),
    }


def _sessions_of(run: Path, model: Path | None) -> tuple[str, ...]:
    """Sessions of a finished model, or those that are being trained."""
    if model is not None:
        return tuple(str(one["id"]) for one in json.loads(model.read_text())["sessions"])
    path = run / "env.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    return tuple(known.get("training_windows", {}))


def _best_score(path: Path) -> float | None:
    """Highest mean over targets of the validation scores, of the first member."""
    if not path.is_file():
        return None
    means = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            values = [float(x) for k, x in row.items() if k.startswith("valid/") and x]
            scores = [value for value in values if math.isfinite(value)]
            if scores:
                means.append(sum(scores) / len(scores))
    return max(means, default=None)


def _segmenter(path: Path) -> dict[str, Any]:
    said = json.loads((path / "segmenter.json").read_text())
    whole = (path / "segmenter.safetensors").is_file()
    problem = "" if whole else "it has no segmenter.safetensors"
    return {"model": str(said["model"]), "finished": whole, "problem": problem}


def _recording(path: Path) -> dict[str, Any]:
    import h5py

    with h5py.File(path, "r") as file:
        ours = file.attrs.get("object") == "Data"
        # Of a link to another file only the name would be here.
        if not ours or not isinstance(file.get("session", getlink=True), h5py.HardLink):
            return {}
        return {"sessions": (str(file["session"].attrs.get("id", "")),)}


_READ = {"run": _run, "shared": _run, "segmenter": _segmenter, "recording": _recording}


def _has_card(folder: Path) -> bool:
    """Whether a model card of ours stands in a folder."""
    try:
        with (folder / "README.md").open(encoding="utf-8") as file:
            return "library_name: neuroduet" in file.read(2000)
    except (OSError, ValueError):
        return False
