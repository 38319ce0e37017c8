"""Submissions to the brain-wide benchmark: a zip of safetensors, one file per prediction."""

from __future__ import annotations

import json
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from neuroduet.atomic import replacing
from neuroduet.benchmark.suites import (
    BEHAVIOUR_TASKS,
    FORECAST_BINS,
    FORMAT_VERSION,
    SUITES,
    TARGET_BINS,
    task_id,
)
from neuroduet.data.boundary import reading, require_small
from neuroduet.data.brainwide import REGIONS
from neuroduet.errors import UserError

TASK_IDS = tuple(task_id(suite, task) for suite, tasks in SUITES.items() for task in tasks)

_DATE = (2000, 1, 1, 0, 0, 0)
"""Date of every file in a submission: equal predictions make equal submissions."""

_NOTES = ("label", "task", "seed")


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """The predictions of one run for one task and recording.

    Attributes:
        task: Task with its suite, ``ts1-choice``.
        recording: Recording; empty for a task about all of them together.
        seed: Seed of the run.
        tensors: ``predictions`` and what they are matched by; see the benchmark's reference.
        notes: Further text for the head of the file.
    """

    task: str
    recording: str
    seed: int
    tensors: dict[str, Tensor]
    notes: dict[str, str]

    @property
    def place(self) -> tuple[str, str, int]:
        """Task, recording and seed."""
        return self.task, self.recording, self.seed


def write_submission(path: Path, label: str, entries: Iterable[Entry]) -> list[Entry]:
    """Write a submission; whole, or not at all.

    Args:
        path: Zip file to write; its folder must exist.
        label: Name of the submission on the leaderboard: letters, digits, ``-``, ``_`` and ``.``.
        entries: What to submit; they are drawn one by one.

    Returns:
        The entries, without their tensors.

    Raises:
        UserError: The label or the name of the file is not allowed, an entry is not valid or
            occurs twice, or there is none.
    """
    _check_names(path, label)
    written: dict[tuple[str, str, int], Entry] = {}
    with replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for entry in entries:
                if entry.place in written:
                    raise UserError(
                        f"two runs of seed {entry.seed} predict {entry.task} of recording "
                        f"'{entry.recording}'; give runs of different seeds or sessions"
                    )
                check_entry(entry, f"{entry.task} of '{entry.recording}'")
                info = zipfile.ZipInfo(_name(entry, label), date_time=_DATE)
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, _pack(entry, label))
                written[entry.place] = Entry(
                    task=entry.task,
                    recording=entry.recording,
                    seed=entry.seed,
                    tensors={},
                    notes=entry.notes,
                )
        if not written:
            raise UserError(
                f"there is nothing to submit to {path.name}; give recordings with test windows"
            )
    return list(written.values())


def read_submission(path: Path) -> Iterator[tuple[str, Entry]]:
    """Read a submission, file by file.

    Args:
        path: Zip file.

    Yields:
        The label of each file, and what it holds.

    Raises:
        UserError: It is no zip file, or a file in it is not a valid prediction.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            require_small(path, archive)
            files = [entry for entry in archive.infolist() if not entry.is_dir()]
            if not files:
                raise UserError(f"{path} holds no files; write it again with neuroduet submit")
            for entry in files:
                with reading(f"{path.name}: {entry.filename}"):
                    _require_inside(path, entry)
                    found = _unpack(path, entry.filename, archive.read(entry))
                yield found
    except FileNotFoundError:
        raise UserError(f"no submission at {path}; write one with neuroduet submit") from None
    except UserError:
        raise
    except Exception as error:  # zipfile trusts the sizes that an archive names
        raise UserError(
            f"{path} is not a whole zip file ({error}); write it again with neuroduet submit"
        ) from None


def _require_inside(path: Path, entry: zipfile.ZipInfo) -> None:
    """Nothing here unpacks an archive to disk, but others who get it may."""
    parts = entry.filename.replace("\\", "/").split("/")
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if is_link or {"", ".", ".."} & set(parts) or ":" in parts[0]:
        raise UserError(
            f"{path.name} holds {entry.filename[:80]!r}, which would be unpacked "
            f"{'as a link' if is_link else 'outside its folder'}, expected files below the name "
            "of the submission; write it again with neuroduet submit"
        )


def check_entry(entry: Entry, where: str) -> None:
    """Make sure that the scorer can read a prediction.

    Args:
        entry: A prediction.
        where: Where it stands, for the message.

    Raises:
        UserError: A tensor is missing, has another shape or type than the scorer expects, or
            holds a number that is not finite.
    """
    if entry.task not in TASK_IDS:
        raise UserError(f"{where}: '{entry.task}' is no task; known: {', '.join(TASK_IDS)}")
    suite, _, task = entry.task.partition("-")
    main = "pred_proba" if suite == "ts3" else "predictions"
    key = {"ts1": "trial_id", "ts2": "window_timestamps", "ts3": "entity_ids"}[suite]
    for name in (main, key):
        if name not in entry.tensors:
            found = ", ".join(sorted(entry.tensors)) or "nothing"
            raise UserError(f"{where}: found no tensor {name}, only {found}; predict it again")
    values, keys = entry.tensors[main], entry.tensors[key]
    _check_shape(where, main, values, _shape(suite, task))
    if len(keys) != len(values) or len(values) == 0:
        raise UserError(
            f"{where}: {main} has {len(values)} rows and {key} {len(keys)}, expected as many, "
            "and at least one; predict it again"
        )
    wanted = {"ts1": torch.int64, "ts2": torch.float64, "ts3": torch.uint8}[suite]
    if keys.dtype != wanted:
        raise UserError(f"{where}: {key} is of type {keys.dtype}, expected {wanted}")
    if not values.is_floating_point() or not bool(torch.isfinite(values.float()).all()):
        raise UserError(
            f"{where}: {main} holds values that are not finite numbers; the run has diverged, so "
            "train it again with a lower training.learning_rate"
        )
    if len(torch.unique(keys, dim=0)) < len(keys):
        raise UserError(f"{where}: {key} holds duplicates, expected every row once")
    if suite == "ts3" and entry.notes.get("label_names") != ",".join(REGIONS):
        raise UserError(
            f"{where}: label_names is {entry.notes.get('label_names')!r}, expected "
            f"{','.join(REGIONS)!r}"
        )


def _shape(suite: str, task: str) -> tuple[int | None, ...]:
    if suite == "ts3":
        return None, len(REGIONS)
    if suite == "ts2":
        return None, TARGET_BINS if task == "co_smoothing" else FORECAST_BINS, None
    classes = BEHAVIOUR_TASKS[task].classes
    return (None, 1, classes) if classes else (None, TARGET_BINS, 1)


def _check_shape(where: str, name: str, values: Tensor, wanted: tuple[int | None, ...]) -> None:
    fits = values.ndim == len(wanted) and all(
        size is None or found == size for found, size in zip(values.shape, wanted, strict=True)
    )
    if not fits:
        expected = ", ".join("any" if size is None else str(size) for size in wanted)
        raise UserError(
            f"{where}: {name} has shape {tuple(values.shape)}, expected ({expected}); predict it "
            "again"
        )


def _check_names(path: Path, label: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", label):
        raise UserError(
            f"label '{label}' cannot name a submission; use letters, digits, '-', '_' and '.'"
        )
    if path.suffix != ".zip":
        raise UserError(f"a submission is a zip file, found '{path.name}'; name it *.zip")
    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent} to write {path.name} into; create it first")


def _name(entry: Entry, label: str) -> str:
    middle = f"{entry.recording}/" if entry.recording else ""
    return f"{label}/{entry.task}/{middle}seed_{entry.seed}.safetensors"


def _pack(entry: Entry, label: str) -> bytes:
    notes = entry.notes | {
        "label": label,
        "task": entry.task,
        "seed": str(entry.seed),
        "ibl_bwb_eval_version": FORMAT_VERSION,
    }
    if entry.recording:
        notes["recording_id"] = entry.recording
    whole = {name: tensor.contiguous() for name, tensor in entry.tensors.items()}
    return _in_order(safetensors.torch.save(whole, metadata=notes))


def _unpack(path: Path, name: str, content: bytes) -> tuple[str, Entry]:
    where = f"{path.name}: {name}"
    try:
        tensors = safetensors.torch.load(content)
        notes = _head(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(
            f"{where} is not a readable safetensors file ({error}); write the submission again"
        ) from None
    missing = [key for key in _NOTES if key not in notes]
    if missing:
        raise UserError(f"{where} does not say its {', '.join(missing)}; write it again")
    if not notes["seed"].isdecimal():
        raise UserError(f"{where}: seed is '{notes['seed']}', expected a whole number")
    if "recording_id" not in notes and not notes["task"].startswith("ts3-"):
        raise UserError(f"{where} does not say its recording_id; write it again")
    entry = Entry(
        task=notes["task"],
        recording=notes.get("recording_id", ""),
        seed=int(notes["seed"]),
        tensors=tensors,
        notes=notes,
    )
    check_entry(entry, where)
    return notes["label"], entry


def _in_order(content: bytes) -> bytes:
    """A safetensors file with a sorted head: the library writes its text in any order."""
    size = int.from_bytes(content[:8], "little")
    head = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":"))
    padded = head.encode() + b" " * (-len(head) % 8)
    return len(padded).to_bytes(8, "little") + padded + content[8 + size :]


def _head(content: bytes) -> dict[str, str]:
    """The text in the head of a safetensors file, which the library reads from paths only."""
    size = int.from_bytes(content[:8], "little")
    found = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    return {str(key): str(value) for key, value in found.items()}
