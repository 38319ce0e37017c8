"""How long the viewer lets one wait, against counting all spikes anew for every picture.

Run ``python benchmarks/view.py``. A recording of an hour, 500 units at 5 Hz (9 million spikes),
with a wheel at 1 kHz, pose and actions at 60 Hz, is written to a temporary folder. Measured are
the first answers of a viewer that has just started, and the median of warm answers for windows of
many lengths, over the loopback. The plain reference is ``np.histogram2d`` over all spikes, once
per picture; a warm picture of the whole hour must be at least 10 times faster, every warm answer
take less than 50 ms, and the first picture come within 1 s.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import urllib.request
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

from neuroduet.data.recording import save
from neuroduet.view import View, serve

COLUMNS = 1500
MOST_COLUMNS = 4000
WINDOWS_S = (2.0, 20.0, 60.0, 600.0, 3600.0)


def main() -> None:
    """Write, serve, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.h5"
        spikes = write_recording(path, 60 * given.minutes, given.units)
        start = time.perf_counter()
        with serve(path) as viewer:
            whole = f"id=long&start=0&end={60 * given.minutes}&columns={COLUMNS}"
            ask(viewer, "session?id=long")
            described = time.perf_counter() - start
            ask(viewer, f"raster?{whole}")
            pictured = time.perf_counter() - start
            console.print(f"cold: session {described:.2f} s, first picture {pictured:.2f} s")
            slowest = 0.0
            for name in ("raster?", "trace?name=wheel&", "actions?", "trials?", "pose?"):
                times = [warm(viewer, name, w, given.repeats) for w in WINDOWS_S]
                slowest = max(slowest, *times)
                shown = ", ".join(
                    f"{1e3 * t:.1f} ms ({w:.0f} s)" for t, w in zip(times, WINDOWS_S, strict=True)
                )
                console.print(f"{name.partition('?')[0]}: {shown}")
            picture = warm(viewer, "raster?", WINDOWS_S[-1], given.repeats)
            widest = warm(viewer, "raster?", WINDOWS_S[-1], given.repeats, MOST_COLUMNS)
            slowest = max(slowest, widest)
        plain = reference(*spikes, 60 * given.minutes, given.units)
    console.print(
        f"the whole hour: {1e3 * picture:.1f} ms, np.histogram2d {plain:.2f} s: "
        f"{plain / picture:.0f} times faster (wanted: 10); in {MOST_COLUMNS} columns "
        f"{1e3 * widest:.1f} ms; slowest warm answer {1e3 * slowest:.0f} ms (wanted: 50)"
    )


def write_recording(path: Path, length_s: float, n_units: int) -> tuple[np.ndarray, np.ndarray]:
    """An hour of everything; returns times and units of the spikes."""
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
    return times, units


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


def reference(times: np.ndarray, units: np.ndarray, length_s: float, n_units: int) -> float:
    """Seconds that the plain way takes for one picture of everything."""
    start = time.perf_counter()
    np.histogram2d(units, times, bins=(n_units, COLUMNS), range=((0, n_units), (0, length_s)))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
