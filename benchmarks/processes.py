"""How much faster several processes train one model, and how far their weights are from one's.

Run ``python benchmarks/processes.py``. The same run (four small simulated sessions, 32 windows per
step, no dropout) is started by ``torchrun`` with 1, 2 and 4 processes of one thread each. Time is
that between the first and the last validation, as the run's own table tells it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from neuroduet.simulate import simulate
from neuroduet.training.files import read_tensors

SETTINGS = [
    "model.dropout=0",
    "model.unit_dropout=0",
    "model.readout_dropout=0",
    "training.batch_size=32",
    "training.device=cpu",
]


def main() -> None:
    """Train with each number of processes, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    table = Table("processes", "seconds per step", "times as fast", "weights differ by at most")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder / "data", 4, 0, "small")
        runs = {n: run(n, folder, given.steps) for n in given.processes}
        first = given.processes[0]
        for n, out in runs.items():
            own, reference = seconds_per_step(out), seconds_per_step(runs[first])
            far = difference(out, runs[first])
            table.add_row(str(n), f"{own:.3f}", f"{reference / own:.2f}", f"{far:.1e}")
    Console().print(table)


def run(processes: int, folder: Path, steps: int) -> Path:
    """Train with so many processes."""
    out = folder / f"run{processes}"
    budget = [f"training.max_steps={steps}", f"training.validate_every={steps // 2}"]
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += [f"--nproc-per-node={processes}", "-m", "neuroduet", "train"]
    words += ["--data", str(folder / "data"), "--out", str(out), "--set", *SETTINGS, *budget]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    return out


def seconds_per_step(out: Path) -> float:
    """Between the first and the last row of the learning curves."""
    rows = pd.read_csv(out / "metrics.csv")
    spent = rows[["step", "minutes"]].iloc[-1] - rows[["step", "minutes"]].iloc[0]
    return float(60 * spent["minutes"] / spent["step"])


def difference(out: Path, other: Path) -> float:
    """Largest difference between the weights of two runs."""
    one, two = (read_tensors(run / "checkpoints" / "last.safetensors")[0] for run in (out, other))
    return max(float((one[k] - two[k]).abs().max()) for k in one if k.startswith("model/"))


if __name__ == "__main__":
    main()
