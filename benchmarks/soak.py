"""Whether memory stays flat when one process trains, evaluates and predicts for an hour.

Run ``python benchmarks/soak.py --minutes 60 --out soak.csv``. Every lap simulates sessions with a
seed of its own, trains on them (validating and writing checkpoints), stops and resumes, scores all
tasks, writes predictions and embeddings, and removes its files again; then comes the next lap.
Meanwhile the process looks at itself: resident memory (``VmRSS``) and the part of it that no file
stands behind (``RssAnon``), open files, threads, and disk under its folder. Printed are the slopes
per hour after the warm-up (Theil and Sen) with their 95 % interval. Linux only.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from scipy.stats import theilslopes

import neuroduet
from neuroduet.config import Config, override

SLOPES = {"rss_mb": "MB", "anon_mb": "MB", "files": "files", "threads": "threads"}
"""Columns whose growth is reported, and what they count."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The process at one moment."""

    seconds: float
    lap: int
    phase: str
    rss_mb: float
    anon_mb: float
    files: int
    threads: int
    disk_mb: float


class Watch:
    """Samples this process in a thread of its own."""

    def __init__(self, folder: Path, table: Path, every_s: float) -> None:
        self.folder, self.table, self.every_s = folder, table, every_s
        self.lap, self.phase = 0, "start"
        self.samples: list[Sample] = []
        self.start = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples."""
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        with self.table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(Sample.__annotations__))
            writer.writeheader()
            while not self._done.wait(self.every_s):
                self.samples.append(self._sample())
                writer.writerow(asdict(self.samples[-1]))
                file.flush()

    def _sample(self) -> Sample:
        words = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines()
        )
        return Sample(
            seconds=round(time.monotonic() - self.start, 1),
            lap=self.lap,
            phase=self.phase,
            rss_mb=int(words["VmRSS"].split()[0]) / 1024,
            anon_mb=int(words["RssAnon"].split()[0]) / 1024,
            files=len(os.listdir("/proc/self/fd")),
            threads=int(words["Threads"]),
            disk_mb=round(disk_use(self.folder) / 2**20, 2),
        )


def main() -> None:
    """Go round until the time is over, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=10.0, help="minutes left out")
    parser.add_argument("--lap", type=float, default=1.0, help="minutes of training per lap")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between samples")
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--out", type=Path, default=Path("soak.csv"))
    given = parser.parse_args()
    logging.getLogger("neuroduet").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        watch = Watch(folder, given.out, given.every)
        while time.monotonic() - watch.start < 60.0 * given.minutes:
            watch.lap += 1
            go_round(folder, watch, given.sessions, given.size, given.lap)
        watch.stop()
    report(watch.samples, 60.0 * given.warm_up)


def go_round(folder: Path, watch: Watch, sessions: int, size: str, minutes: float) -> None:
    """One lap: everything that a run's life holds, in files that are gone afterwards."""
    data, run = folder / "data", folder / "run"
    watch.phase = "simulate"
    neuroduet.simulate(data, sessions, watch.lap, size)
    for share in (0.5, 1.0):
        watch.phase = "train" if share < 1.0 else "resume"
        train_until(lap_config(watch.lap, minutes), data, run, share)
    watch.phase = "evaluate"
    neuroduet.evaluate(run, data)
    watch.phase = "predict"
    neuroduet.predict(run, data, run / "predictions")
    neuroduet.embed(run, run / "embeddings.csv")
    watch.phase = "remove"
    shutil.rmtree(data)
    shutil.rmtree(run)


def lap_config(seed: int, minutes: float) -> Config:
    """The usual model, for as long as a lap lasts."""
    settings = {
        "seed": seed,
        "max_minutes": minutes,
        "max_epochs": 100_000,
        "validate_every": 20,
        "threads": 1,
        "device": "cpu",
    }
    return override(Config(), [f"training.{name}={value}" for name, value in settings.items()])


class Enough(Exception):
    """Ends a training early, as an interruption would."""


def train_until(config: Config, data: Path, run: Path, share: float) -> None:
    """Train until a share of the time is used; goes on with what the folder holds."""

    def report(progress: object, used: float, scores: dict[str, float]) -> None:
        if share <= used < 1.0:
            raise Enough

    with suppress(Enough):
        neuroduet.train(config, data, run, resume=run.exists(), report=report)


def disk_use(folder: Path) -> int:
    """Bytes of all files below a folder, some of which vanish while it is read."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def report(samples: list[Sample], warm_up_s: float) -> None:
    """Print slopes after the warm-up, and the range of everything."""
    console = Console(width=100)
    kept = [sample for sample in samples if sample.seconds >= warm_up_s]
    hours = [sample.seconds / 3600.0 for sample in kept]
    console.print(f"{samples[-1].lap} laps, {len(kept)} samples after the warm-up")
    for column, unit in SLOPES.items():
        values = [getattr(sample, column) for sample in kept]
        slope, _, low, high = theilslopes(values, hours, 0.95)
        console.print(
            f"{column}: {slope:+.2f} {unit}/hour, 95 % interval {low:+.2f} to {high:+.2f}; "
            f"smallest {min(values):.0f}, largest {max(values):.0f}"
        )
    left = max(s.disk_mb for s in kept)
    console.print(f"disk: at most {left:.1f} MB at any moment")


if __name__ == "__main__":
    main()
