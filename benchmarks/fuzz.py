"""Spoil files of every format for a while, and count what becomes of them.

    python benchmarks/fuzz.py --minutes 10 [--seed 0] [--only nwb mat]

The files, the ways to spoil them and the process that reads them are those of ``tests/safety``.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "safety"))

from cage import Cage
from specimens import SPECIMENS

UNSAFE = ("unsafe-pickle", "unsafe-eval")


def main() -> None:
    """Fuzz, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=None)
    given = parser.parse_args()
    names = given.only or [name for name in SPECIMENS if name not in UNSAFE]
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    cage = Cage()
    try:
        fuzz(cage, names, counts, given.seed, time.monotonic() + 60 * given.minutes)
    finally:
        cage.close()
    report(counts)


def fuzz(
    cage: Cage, names: list[str], counts: dict[str, Counter[str]], seed: int, end: float
) -> None:
    """Spoil one file of each format in turn until the time is up; print what escapes."""
    for turn in itertools.count():
        for name in names:
            if time.monotonic() > end:
                return
            outcome, how = cage.spoilt(name, Random(f"{seed} {name} {turn}"))
            counts[name][outcome.kind] += 1
            counts[name]["by fallback"] += "does not hold what it should" in outcome.said
            if not outcome.fine:
                print(f"{name}, turn {turn}, {how}: {outcome}", flush=True)
                counts[name]["events"] += len(outcome.events)


def report(counts: dict[str, Counter[str]]) -> None:
    """Print a row per format."""
    kinds = ("read", "refused", "by fallback", "escaped", "hung", "crashed", "events")
    print("| files | tried | " + " | ".join(kinds) + " |")
    print("| --- " + "| ---: " * (len(kinds) + 1) + "|")
    for name, found in {**counts, "all": sum(counts.values(), Counter())}.items():
        tried = sum(found[kind] for kind in ("read", "refused", "escaped", "hung", "crashed"))
        print(f"| {name} | {tried:,} | " + " | ".join(f"{found[k]:,}" for k in kinds) + " |")


if __name__ == "__main__":
    main()
