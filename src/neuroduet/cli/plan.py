"""The command that calculates what a training will need: ``neuroduet plan``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from neuroduet.cli.paths import require_data
from neuroduet.console import print_table, working, write_json
from neuroduet.options import AsJson, ConfigFile, Preset, Settings, configured

SIZES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def plan(
    preset: Preset = "duet",
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Recordings to take the numbers from."),
    ] = None,
    sessions: Annotated[
        int | None, typer.Option("--sessions", min=1, help="Number of recordings; 80.")
    ] = None,
    units: Annotated[
        int | None, typer.Option("--units", min=1, help="Units of a recording; 450.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Trials of a recording; 400.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="S", min=1e-6, help="Length of a window; 2."),
    ] = None,
    rate_hz: Annotated[
        float | None,
        typer.Option("--rate-hz", metavar="HZ", min=1e-6, help="Mean rate of a unit; 5."),
    ] = None,
    recorded_s: Annotated[
        float | None,
        typer.Option(
            "--recorded-s", metavar="S", min=1e-6, help="Length of a recording; its windows."
        ),
    ] = None,
    tflops: Annotated[
        float | None,
        typer.Option("--tflops", metavar="T", min=1e-6, help="Sustained 1e12 operations/s; 31.2."),
    ] = None,
    step_ms: Annotated[
        float | None,
        typer.Option(
            "--step-ms", metavar="MS", min=0, help="Least time of a step; 20 (a CPU: 0)."
        ),
    ] = None,
    config: ConfigFile = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Calculate disk, memory, parameters and hours of a training."""
    resolved = configured(preset, config, settings or [])
    if data is not None:
        require_data(data)
    from neuroduet.training.plan import STEP_MS, TFLOPS, Extent, measure_extent, plan_training

    given: dict[str, Any] = {
        "sessions": sessions,
        "units": units,
        "trials": trials,
        "window_s": seconds,
        "rate_hz": rate_hz,
        "recorded_s": recorded_s,
    }
    with working("measuring the recordings"):
        known = Extent() if data is None else measure_extent(data, resolved)
    found = plan_training(
        resolved,
        replace(known, **{name: value for name, value in given.items() if value is not None}),
        tflops=TFLOPS if tflops is None else tflops,
        step_ms=STEP_MS if step_ms is None else step_ms,
    )
    if as_json:
        write_json(found)
    else:
        print_table(("", f"{preset}, by calculation"), rows(found))


def rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """A plan as lines of a table.

    Args:
        found: See :func:`neuroduet.training.plan.plan_training`.
    """
    extent, parameters, disk = found["extent"], found["parameters"], found["disk_bytes"]
    memory, hours, operations = found["memory_bytes"], found["hours"], found["operations"]
    assumed = found["assumed"]
    return [
        (
            "extent",
            f"{extent['sessions']:,} sessions x {extent['units']:,} units x "
            f"{extent['trials']:,} trials of {extent['window_s']:g} s, {extent['rate_hz']:.2g} Hz",
        ),
        ("parameters", f"{parameters['total']:,}"),
        ("  shared core", f"{parameters['core']:,}"),
        (
            "  stitchers",
            f"{parameters['stitchers']:,} ({parameters['per_session']:,} a session)",
        ),
        ("disk: recordings", size(disk["recordings"])),
        ("disk: run folder", size(sum(disk.values()) - disk["recordings"])),
        ("  last checkpoint", size(disk["checkpoint"])),
        ("  best weights in training", size(disk["best_weights"])),
        ("  model", size(disk["model"])),
        ("memory: weights, gradients, momenta, average", size(memory["training"])),
        ("memory: activations of a step", size(memory["activations"])),
        ("memory: open recordings", size(memory["recordings"])),
        ("memory: while a checkpoint is written", size(memory["saving"])),
        ("optimiser steps", f"{found['steps']:,}"),
        ("operations: training", f"{operations['training']:.2e}"),
        ("operations: validation", f"{operations['validation']:.2e}"),
        (
            "hours: training",
            f"{hours['training']:,.1f} (bound by {hours['bound_by']}: {assumed['tflops']:g} "
            f"TFLOP/s, at least {assumed['step_ms']:g} ms a step)",
        ),
        ("hours: validation", f"{hours['validation']:,.1f}"),
    ]


def size(count: int) -> str:
    """Bytes as people read them.

    >>> size(2_465_232_000)
    '2.5 GB'
    """
    for name, unit in SIZES:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"
