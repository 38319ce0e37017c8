"""How long the viewer lets one wait, against counting all spikes anew for every picture.

Run ``python benchmarks/view.py``. A recording of an hour, 500 units at 5 Hz (9 million spikes),
with a wheel at 1 kHz, pose and actions at 60 Hz, and rates that a run predicted of all of it, in
bins of 20 ms, are written to a temporary folder. Measured are the first answers of a viewer that
has just started, the median of warm answers for windows of many lengths, over the loopback, and
the memory that all this takes beyond pages of files, which the system can take back. The plain
reference is ``np.histogram2d`` over all spikes, once per picture; a warm picture of the whole hour
must be at least 10 times faster, every warm answer take less than 50 ms, and the first picture
come within 1 s. Other sizes: ``--minutes``, ``--units``; ``--bare`` leaves out what was predicted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
)

from neuroduet.data.recording import load, save
from neuroduet.view import View, serve

COLUMNS = 1500
MOST_COLUMNS = 4000
WINDOWS_S = (2.0, 20.0, 60.0, 600.0, 3600.0)


BIN_S = 0.02


def main() -> None:
    """Write, serve, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--bare", action="store_true")
    given = parser.parse_args()
    length_s, console = 60 * given.minutes, Console()
    with tempfile.TemporaryDirectory() as folder:
        path, run = Path(folder) / "long.h5", Path(folder) / "run"
        # In a process of its own: what writing takes is not the viewer's.
        apart(write_recording, path, length_s, given.units)
        if not given.bare:
            apart(write_predictions, run, length_s, given.units)
        with watched_memory() as peak:
            measure(path if given.bare else run, path, given, console)
        console.print(f"memory beyond pages of files: {peak[0]:.0f} MB more at most")
        plain = reference(path, length_s, given.units)
    console.print(f"np.histogram2d: {plain:.2f} s (wanted: 10 x its picture)")


def measure(shown: Path, data: Path, given: argparse.Namespace, console: Console) -> None:
    """Serve and ask."""
    length_s = 60 * given.minutes
    start = time.perf_counter()
    with serve(shown, data=data) as viewer:
        names = ["raster?", "trace?name=wheel&", "actions?", "trials?", "pose?"]
        names += [] if given.bare else ["rates?"]
        ask(viewer, "session?id=long")
        console.print(f"cold: session {time.perf_counter() - start:.2f} s")
        for name, window_s in [(one, w) for one in (names[0], names[-1]) for w in (20, length_s)]:
            ask(viewer, f"{name}id=long&start=0&end={window_s}&columns={COLUMNS}")
            console.print(f"  then {name} {window_s:.0f} s: {time.perf_counter() - start:.2f} s")
        while json.loads(ask(viewer, "unit?id=long&index=0"))["psth"]["waiting"]:
            pass
        console.print(f"  then a unit, averaged: {time.perf_counter() - start:.2f} s")
        slowest = 0.0
        for name in names:
            times = [warm(viewer, name, w, given.repeats) for w in WINDOWS_S if w <= length_s]
            slowest = max(slowest, *times)
            shown_ms = (f"{1e3 * t:.1f}" for t in times)
            console.print(f"{name.partition('?')[0]}: {', '.join(shown_ms)} ms")
        widest = warm(viewer, "raster?", length_s, given.repeats, MOST_COLUMNS)
        console.print(f"whole recording in {MOST_COLUMNS} columns: {1e3 * widest:.1f} ms")
        console.print(f"slowest warm answer: {1e3 * max(slowest, widest):.0f} ms (wanted: 50)")


def apart(work: Callable[..., None], *given: object) -> None:
    """Do something in another process."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=given)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


@contextmanager
def watched_memory() -> Iterator[list[float]]:
    """Most memory beyond pages of files that is held at a time, in MB more than before."""
    status, done, peak = Path("/proc/self/status"), threading.Event(), [0.0]

    def anonymous_mb() -> float:
        found = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(found["RssAnon"].split()[0]) / 1024

    def watch(before_mb: float) -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], anonymous_mb() - before_mb)

    if not status.exists():
        peak[0] = float("nan")
        yield peak
        return
    thread = threading.Thread(target=watch, args=(anonymous_mb(),))
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def write_predictions(run: Path, length_s: float, n_units: int) -> None:
    """A run folder whose predictions cover the whole of :func:`write_recording`."""
    from neuroduet.tasks.export import npz_bytes

    n_bins = round(length_s / BIN_S)
    rng = np.random.default_rng(1)
    log_rates = np.cumsum(rng.normal(size=(n_bins, n_units), scale=0.002).astype(np.float32), 0)
    (run / "predictions").mkdir(parents=True)
    (run / "config.yaml").write_text("preset: duet\n")
    arrays = {
        "time_s": (np.arange(n_bins) + 0.5) * BIN_S,
        "interval": np.zeros(n_bins, dtype=np.int64),
        "split": np.full(n_bins, "test"),
        "valid": np.ones(n_bins, dtype=bool),
        "units": np.array([f"u{n}" for n in range(n_units)]),
        "bin_size_s": np.asarray(BIN_S),
        "encoding/log_rates": log_rates - 2.3,
    }
    (run / "predictions" / "long.npz").write_bytes(npz_bytes(arrays))


def write_recording(path: Path, length_s: float, n_units: int) -> None:
    """An hour of everything."""
    rng = np.random.default_rng(0)
    n_spikes = int(5 * length_s * n_units)
    times = np.sort(rng.uniform(0, length_s, n_spikes))
    units = rng.integers(0, n_units, n_spikes)
    wheel_s = np.arange(0, length_s, 1e-3)
    frames_s = np.arange(0, length_s, 1 / 60)
    actions = np.repeat(rng.integers(0, 5, len(frames_s) // 60 + 1), 60)[: len(frames_s)]
    trials_s = np.arange(0, length_s - 4, 5.0)
    recording = Data(
        domain=Interval(0.0, length_s),
        session=SessionDescription(id="long"),
        spikes=IrregularTimeSeries(
            timestamps=times, unit_index=units, domain=Interval(0.0, length_s)
        ),
        units=ArrayDict(
            id=np.array([f"u{n}" for n in range(n_units)]),
            region=np.array([f"r{n % 9}" for n in range(n_units)]),
        ),
        wheel=IrregularTimeSeries(
            timestamps=wheel_s,
            wheel_speed=rng.normal(size=len(wheel_s)).astype(np.float32),
            domain=Interval(0.0, length_s),
        ),
        pose=IrregularTimeSeries(
            timestamps=frames_s,
            xy=rng.normal(size=(len(frames_s), 8, 2)),
            domain=Interval(0.0, length_s),
        ),
        labels=IrregularTimeSeries(
            timestamps=frames_s, classes=actions, domain=Interval(0.0, length_s)
        ),
        trials=Interval(trials_s, trials_s + 4),
    )
    save(recording, path)


def ask(viewer: View, what: str) -> bytes:
    """One answer, over the loopback."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{viewer.port}/api/{what}", headers={"X-Token": viewer.token}
    )
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def warm(viewer: View, name: str, length_s: float, repeats: int, columns: int = COLUMNS) -> float:
    """Median time of an answer for windows of one length, each somewhere else (s)."""
    found = []
    for turn in range(repeats + 1):
        first = 0.137 * turn
        what = f"{name}id=long&start={first}&end={first + length_s}&columns={columns}"
        start = time.perf_counter()
        ask(viewer, what)
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


def reference(path: Path, length_s: float, n_units: int) -> float:
    """Seconds that the plain way takes for one picture of everything."""
    with load(path) as recording:
        times = np.asarray(recording.spikes.timestamps)
        units = np.asarray(recording.spikes.unit_index)
    start = time.perf_counter()
    np.histogram2d(units, times, bins=(n_units, COLUMNS), range=((0, n_units), (0, length_s)))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
