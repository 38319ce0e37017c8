"""How long importing and asking for help take, against a bare interpreter.

Run ``python benchmarks/startup.py``. Every command is a fresh process; all take turns, so that a
busy machine slows all of them, and the ratio is the median over turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import neuroduet": ["-c", "import neuroduet"],
    "import typer": ["-c", "import typer"],
    "neuroduet --help": ["-m", "neuroduet", "--help"],
    "neuroduet train --help": ["-m", "neuroduet", "train", "--help"],
    "import torch": ["-c", "import torch"],
    "import lightning.pytorch": ["-c", "import lightning.pytorch"],
}
"""What is timed; the first is the yardstick, three others say what the packages cost alone."""


def main() -> None:
    """Take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    for words in COMMANDS.values():
        seconds(words)  # byte code is compiled once
    turns = [[seconds(words) for words in COMMANDS.values()] for _ in range(repeats)]
    table = Table("command", "ms", "times a bare interpreter")
    for place, name in enumerate(COMMANDS):
        own = statistics.median(turn[place] for turn in turns)
        ratio = statistics.median(turn[place] / turn[0] for turn in turns)
        table.add_row(name, f"{1e3 * own:.0f}", f"{ratio:.1f}")
    Console().print(table)


def seconds(words: list[str]) -> float:
    """Wall-clock time of a fresh interpreter."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
