"""Functions of a benchmark, each in a process of its own that knows the benchmark's file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def run_all(jobs: Sequence[tuple[Callable[..., object], tuple]]) -> None:
    """Call functions with their arguments, as many at a time as there are cores."""
    count = min(len(jobs), os.cpu_count() or 1)
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(function, *given) for function, given in jobs]:
            future.result()
