"""How long an hour of 500 units takes to become a recording, and how much memory.

Run ``python benchmarks/ingest.py``. A session of ten million spikes, 600 trials and a wheel is
written as NWB and as ALF to a temporary folder; each is ingested in a process of its own, which
tells its peak memory. Wanted: under 60 s and under 2 GB. The spikes of the NWB file are then read
in bulk and unit by unit through pynwb's table, in turns; wanted: 20 times faster. A row of the
table resolves all of its columns, so the ratio grows with their number; asking pynwb for the one
column is not nearly as slow where the file lies uncompressed on a local disk.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from rich.console import Console
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
    SubjectDescription,
)

from neuroduet.data.readers import READERS
from neuroduet.data.readers.nwb_units import read_ragged_spikes
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.data.recording import save
from neuroduet.data.writers.alf import write_alf
from neuroduet.data.writers.nwb import write_nwb

SECONDS, TRIALS = 3600.0, 600
METRICS = 20
"""Columns of quality metrics in the unit table, as sorters write them."""

PYNWB: dict[str, Callable[[Any, int], Any]] = {
    "a row of the table, units[i]": lambda units, i: units[i]["spike_times"].iloc[0],
    "a cell of the table, units['spike_times'][i]": lambda units, i: units["spike_times"][i],
    "units.get_unit_spike_times(i)": lambda units, i: units.get_unit_spike_times(i),
}
"""How people read one unit."""


def main() -> None:
    """Write the session, ingest it, read its spikes in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spikes", type=int, default=10_000_000)
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("FORMAT", "SOURCE", "OUT"))
    given = parser.parse_args()
    if given.one:
        ingest_one(*given.one)
        return
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        whole = session(given.spikes, given.units)
        sources = {
            "nwb": write_nwb(whole, Path(folder) / "hour.nwb"),
            "alf": write_alf(whole, Path(folder) / "alf"),
        }
        del whole
        for name, source in sources.items():
            words = [sys.executable, __file__, "--one", name, str(source), f"{folder}/{name}.h5"]
            said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            console.print(f"{name}: {said.strip()} (wanted: 60 s, 2 GB)")
        compare(sources["nwb"], given.repeats, console)


def session(n_spikes: int, n_units: int) -> Data:
    """An hour of spikes that come at random, with trials and a wheel at 100 Hz."""
    draw = np.random.default_rng(0)
    start = np.arange(TRIALS) * (SECONDS / TRIALS) + 1.0
    moments = np.arange(0, SECONDS, 0.01)
    domain = Interval(0.0, SECONDS)
    return Data(
        session=SessionDescription(id="hour"),
        subject=SubjectDescription(id="mouse"),
        spikes=IrregularTimeSeries(
            timestamps=np.sort(draw.uniform(0, SECONDS, n_spikes)),
            unit_index=draw.integers(n_units, size=n_spikes),
            domain=domain,
        ),
        units=ArrayDict(
            id=np.array([f"unit{n:04d}" for n in range(n_units)]),
            region=np.array(["CA1", "VISp5"])[draw.integers(2, size=n_units)],
            **{f"metric_{n}": draw.random(n_units) for n in range(METRICS)},
        ),
        trials=Interval(start=start, end=start + 2.0, choice=draw.choice([-1, 1], TRIALS)),
        wheel=IrregularTimeSeries(
            timestamps=moments, wheel_speed=draw.random(len(moments)), domain=domain
        ),
        domain=domain,
    )


def ingest_one(name: str, source: str, out: str) -> None:
    """Read and save one session, and print how long it took and what it needed."""
    begin = time.perf_counter()
    save(READERS[name].read(Path(source), ReadOptions()), out)
    seconds = time.perf_counter() - begin
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_gb = peak / (1e9 if sys.platform == "darwin" else 1e9 / 1024)
    Console().print(f"ingested in {seconds:.1f} s, peak memory {peak_gb:.2f} GB")


def compare(path: Path, repeats: int, console: Console) -> None:
    """Read all spikes in bulk, and unit by unit, in turns."""
    import pynwb

    def bulk() -> None:
        with h5py.File(path, "r") as file:
            read_ragged_spikes(file, str(path))

    ways = {"bulk": bulk}
    for name, read in PYNWB.items():

        def one_by_one(read: Callable[[Any, int], Any] = read) -> None:
            with pynwb.NWBHDF5IO(str(path), "r") as io:
                units = io.read().units
                for unit in range(len(units)):
                    np.asarray(read(units, unit))

        ways[name] = one_by_one
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - begin)
    base = statistics.median(times["bulk"])
    console.print(f"bulk read {base:.3f} s")
    for name in PYNWB:
        taken = statistics.median(times[name])
        console.print(f"{name}: {taken:.2f} s, {taken / base:.1f} times as long", markup=False)


if __name__ == "__main__":
    main()
