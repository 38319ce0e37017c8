"""Says whether this installation works, and if not, what to do about it."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from neuroduet.config import Config, override

log = logging.getLogger(__name__)

PACKAGES = ("torch", "lightning", "torch_brain", "numpy")
"""Packages whose version decides most reports of trouble."""

SUPPORTED_PYTHON = ((3, 10), (3, 13))
LEAST_MEMORY_GB = 4.0
LEAST_DISK_GB = 2.0
CHECK_SETTINGS = (
    "data.split.train=0.6",
    "data.split.valid=0.2",  # as many validation and test windows as nobody need be warned of
    "model.width=32",
    "model.layers=1",
    "model.heads=2",
    "model.feed_forward=32",
    "training.max_epochs=1000",
    "training.max_minutes=0.05",
    "training.threads=1",
)
"""A model small enough to train for three seconds anywhere."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing the doctor looked at.

    Attributes:
        check: What was looked at.
        found: What is there.
        remedy: What to do; empty if all is well.
    """

    check: str
    found: str
    remedy: str = ""


def examine(training: bool = True) -> list[Finding]:
    """Look at versions, device, threads, memory and disk, and train a small model.

    Args:
        training: Whether to train as well (about three seconds, plus imports).

    Returns:
        What was found, in the order it was looked at.
    """
    findings = [check_python(sys.version_info[:2]), *(check_package(name) for name in PACKAGES)]
    if any(one.remedy for one in findings):
        return findings  # the rest needs these packages
    findings += [check_device(), check_threads(), check_bf16(), check_memory(), check_disk()]
    return [*findings, check_training()] if training else findings


def check_python(found: tuple[int, ...]) -> Finding:
    """Whether this Python is supported.

    Args:
        found: Major and minor version.
    """
    first, last = (".".join(map(str, one)) for one in SUPPORTED_PYTHON)
    good = SUPPORTED_PYTHON[0] <= tuple(found) <= SUPPORTED_PYTHON[1]
    remedy = "" if good else f"use Python {first} to {last}: make test PYTHON=python{last}"
    return Finding(check="python", found=platform.python_version(), remedy=remedy)


def check_package(name: str) -> Finding:
    """Whether a package is installed.

    Args:
        name: Name of the distribution.
    """
    try:
        return Finding(check=name, found=version(name))
    except PackageNotFoundError:
        remedy = "install it with: pip install -c constraints.txt -e ."
        return Finding(check=name, found="missing", remedy=remedy)


def check_device() -> Finding:
    """Which device training takes when ``training.device`` is ``auto``."""
    import torch

    if torch.cuda.is_available():
        return Finding(check="device", found=f"cuda, {torch.cuda.get_device_name(0)}")
    return Finding(check="device", found=f"cpu, {platform.machine()}, {os.cpu_count()} cores")


def check_threads() -> Finding:
    """How many threads torch uses; more than there are cores makes it slower."""
    import torch

    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    remedy = f"set OMP_NUM_THREADS to at most {cores}" if threads > cores else ""
    return Finding(check="threads", found=f"{threads} of {cores}", remedy=remedy)


def check_bf16() -> Finding:
    """Whether ``training.precision=bf16`` would be faster here, by timing a product."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"

    def seconds(dtype: torch.dtype) -> float:
        factor = torch.ones(512, 512, dtype=dtype, device=device)

        def multiply() -> None:
            for _ in range(4):
                factor @ factor
            if device == "cuda":
                torch.cuda.synchronize()

        return best_seconds(multiply)

    gain = seconds(torch.float32) / seconds(torch.bfloat16)
    advice = "worth using" if gain > 1.2 else "keep training.precision=32"
    return Finding(check="bf16", found=f"{gain:.1f} x the speed of float32, {advice}")


def best_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Shortest duration (s) of a few calls; the first, which warms up, is not counted.

    Args:
        work: What to time.
        repeats: How many calls are counted.
    """
    work()
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return max(min(durations), 1e-9)


def check_memory() -> Finding:
    """Whether there is memory for a model of the default size."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return Finding(check="memory", found="this system does not say")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    remedy = "lower training.batch_size" if total < LEAST_MEMORY_GB else ""
    return Finding(check="memory", found=f"{total:.1f} GiB", remedy=remedy)


def check_disk(folder: Path | None = None) -> Finding:
    """Whether there is room for runs.

    Args:
        folder: Where runs would be written; the current folder if not given.
    """
    free = shutil.disk_usage(folder or Path.cwd()).free / 2**30
    remedy = "free some space or write runs to another disk" if free < LEAST_DISK_GB else ""
    return Finding(check="disk", found=f"{free:.1f} GiB free", remedy=remedy)


def check_training() -> Finding:
    """Whether a small model trains on a simulated session and predicts afterwards."""
    start = time.perf_counter()
    try:
        from neuroduet.simulate import simulate
        from neuroduet.training.fit import train
        from neuroduet.training.runs import load_run

        with tempfile.TemporaryDirectory(prefix="neuroduet-") as folder:
            data, run = Path(folder) / "data", Path(folder) / "run"
            simulate(out=data, sessions=1, seed=0, size="tiny")
            config = override(Config(), list(CHECK_SETTINGS))
            train(config=config, data=data, out=run, sessions=None, resume=False)
            load_run(run)
    except Exception as error:  # whatever it is, the doctor's work is to report it
        log.debug("the training check failed", exc_info=True)
        found = f"failed: {type(error).__name__}: {error}"
        remedy = "run 'neuroduet --debug doctor' and report what it prints"
        return Finding(check="training", found=found, remedy=remedy)
    seconds = time.perf_counter() - start
    return Finding(check="training", found=f"a small model trained in {seconds:.1f} s")
