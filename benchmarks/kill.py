"""What a training loses when its process is killed, and whether it ever leaves a damaged file.

Run ``python benchmarks/kill.py --kills 30``. A small run is trained once without interruption.
Then the same run is started as a process of its own and killed (``SIGKILL``) again and again:
after a random time, or in the middle of writing a file (as soon as the temporary file of a
checkpoint or of the final model is seen). After every kill each file of the run folder must be
readable; the run then goes on with ``--resume``. When it ends, its weights must be those of the
unbroken run bit for bit, its table of scores the same but for the times, and no temporary file may
be left. A run that ends before all kills are spent is followed by another one.

Printed is the time between the last checkpoint and the kill: the work that the next process has to
do again. It holds at most the steps between two checkpoints, a validation and the write of a
checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import neuroduet
from neuroduet.config import load_config
from neuroduet.training.files import read_tensors

SETTINGS = [
    "model.width=32",
    "model.layers=2",
    "model.feed_forward=64",
    "training.device=cpu",
    "training.threads=1",
    "training.max_epochs=100000",
]


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One kill.

    Attributes:
        within_write: Whether it left a temporary file behind.
        lost_s: Time between the last checkpoint and the kill; ``nan`` in a process that had not
            written one yet.
    """

    within_write: bool
    lost_s: float


def main() -> None:
    """Train unbroken, kill and resume, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, default=1500, help="optimiser steps of the run")
    parser.add_argument("--every", type=int, default=25, help="steps between validations")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        neuroduet.simulate(folder / "data", 2, 0, "tiny")
        settings = [
            *SETTINGS,
            f"training.max_steps={given.steps}",
            f"training.validate_every={given.every}",
        ]
        kills = break_and_compare(folder, settings, given.kills, given.seed)
    report(kills)


def break_and_compare(folder: Path, settings: list[str], count: int, seed: int) -> list[Kill]:
    """Kill as often as asked for, and compare what comes out with the unbroken run."""
    whole, broken = folder / "whole", folder / "broken"
    start(folder / "data", whole, settings).wait()
    chance = random.Random(seed)
    kills: list[Kill] = []
    while len(kills) < count:
        process = start(folder / "data", broken, settings)
        kill = kill_once(process, broken, chance)
        if kill is not None:
            kills.append(kill)
            require_readable(broken)
            continue
        compare(whole, broken)
        shutil.rmtree(broken)
    start(folder / "data", broken, settings).wait()
    compare(whole, broken)
    return kills


def start(data: Path, run: Path, settings: Sequence[str]) -> subprocess.Popen[bytes]:
    """Begin or go on training in a process of its own."""
    words = ["train", "--data", str(data), "--out", str(run), "--resume", "--set", *settings]
    return subprocess.Popen(
        [sys.executable, "-m", "neuroduet", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_once(process: subprocess.Popen[bytes], run: Path, chance: random.Random) -> Kill | None:
    """Kill at a random moment; ``None`` if the process ends by itself before.

    Half of the processes are killed some time after they began, half of them when they write a
    file: the first, or one of the next ones.
    """
    began, left = time.time(), set(run.rglob(".*.part"))
    if chance.random() < 0.5:
        ended = _wait(process, chance.uniform(1.0, 15.0))
    else:
        ended = _wait_for_write(process, run, chance.randint(1, 20))
    process.kill()
    killed = time.time()
    code = process.wait()
    if ended:
        if code != 0:
            raise SystemExit(f"the training ended with code {code}")
        return None
    last = run / "checkpoints" / "last.safetensors"
    written = last.stat().st_mtime if last.exists() else 0.0
    return Kill(
        within_write=bool(set(run.rglob(".*.part")) - left),
        lost_s=killed - written if written > began else float("nan"),
    )


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process ended within a time."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _wait_for_write(process: subprocess.Popen[bytes], run: Path, count: int) -> bool:
    """Return as soon as the n-th temporary file of weights is there, or the process has ended."""
    seen = {part.name for part in run.rglob(".*.part")}
    left = count
    while process.poll() is None:
        for name in ("checkpoints", "model"):
            found = {part for part in _names(run / name) if part.endswith(".part")} - seen
            left -= len(found)
            seen |= found
            if found and left <= 0:
                return False
    return True


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def require_readable(run: Path) -> None:
    """Every file of a run folder must be whole, whatever happened to the process."""
    if (run / "config.yaml").exists():
        load_config(run / "config.yaml")
    for path in run.rglob("*.json"):
        json.loads(path.read_text())
    for path in run.rglob("*.safetensors"):
        read_tensors(path)
    table = rows(run)
    assert all(None not in row and None not in row.values() for row in table), "a row is cut off"


def rows(run: Path) -> list[dict[str, str]]:
    """The table of scores."""
    path = run / "metrics.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def compare(whole: Path, broken: Path) -> None:
    """The resumed run must be the unbroken one."""
    require_readable(broken)
    for folder in ("checkpoints", "model"):
        names = sorted(path.name for path in (whole / folder).iterdir())
        assert names == sorted(path.name for path in (broken / folder).iterdir()), names
        for name in names:
            one, other = (run / folder / name for run in (whole, broken))
            if name == "last.safetensors":  # its notes hold the time used
                first, second = (read_tensors(path)[0] for path in (one, other))
                assert first.keys() == second.keys(), name
                assert all(bool((first[key] == second[key]).all()) for key in first), name
            else:
                assert one.read_bytes() == other.read_bytes(), f"{name} differs"
    tables = [
        [{k: v for k, v in row.items() if k != "minutes"} for row in rows(run)]
        for run in (whole, broken)
    ]
    assert tables[0] == tables[1], "metrics.csv differs"
    assert not list(broken.rglob("*.part")), "a temporary file is left"


def report(kills: list[Kill]) -> None:
    """Print what was lost."""
    lost = sorted(kill.lost_s for kill in kills if kill.lost_s == kill.lost_s)
    console = Console(width=100)
    console.print(
        f"{len(kills)} kills, {sum(kill.within_write for kill in kills)} of them within a write, "
        f"{len(kills) - len(lost)} before the first checkpoint of their process: no damaged file, "
        "weights and scores equal to the unbroken run's"
    )
    if lost:
        console.print(
            f"lost per kill: median {lost[len(lost) // 2]:.1f} s, at most {lost[-1]:.1f} s"
        )


if __name__ == "__main__":
    main()
