"""What a step, a start and memory cost as sessions are added: 1, 10, 40 and 80 of them.

Run ``python benchmarks/world80.py --data FOLDER``. The sessions (400 trials, about 450 units each)
are simulated where the folder does not hold them yet: 20 MB and two seconds each. Every number of
sessions is measured in a fresh process with one thread, which trains ``duet`` with ``fit`` on all
of them and on the first alone in turns. A step takes what a long training takes more than a short
one, so that neither the start nor the checkpoint at the end enters; its time is that of the
processor, so that other programs on the machine do not. Wanted: a rate within 15 % of that of one
session, and less than 20 MB more for every session added.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from neuroduet.config import Config, override
from neuroduet.data.recording import save
from neuroduet.data.session import Session, open_sessions
from neuroduet.models import Model, build, set_up_session
from neuroduet.presets import duet
from neuroduet.simulate.session import SIZES, Extent, draw_session, to_recording
from neuroduet.training.fit import fit
from neuroduet.training.module import Steps

SEED = 80
UNITS = (440, 460)
"""Nearly equal numbers: the time of a step depends on them."""

SHORT = 5
"""Steps of the training that is subtracted."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def simulate_missing(folder: Path, sessions: int, trials: int) -> list[Path]:
    """The recordings of the world; those that are not there yet are written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:03d}.h5" for index in range(sessions)]
    SIZES["world80"] = Extent(trials=trials, bins=100, units=UNITS, regions=(5, 10))
    for index, path in enumerate(paths):
        if not path.exists():
            drawn = draw_session(seed=SEED, index=index, size="world80", nonlinear=1.0)
            recording = to_recording(drawn)
            # Recorded data have no true rates either, and they are four fifths of the file.
            del recording.truth
            save(recording, path)
    return paths


def memory_mb() -> dict[str, float]:
    """Resident memory of this process: its own, and pages of files, which can be taken back."""
    status = Path("/proc/self/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in status)
    return {
        name: int(found[key].split()[0]) / 1e3
        for name, key in (("own", "RssAnon"), ("file", "RssFile"))
    }


def configured(steps: int, open_recordings: int | None) -> Config:
    """``duet`` without validation, which would be a part of every training alike."""
    settings = ["data.split.valid=0", "training.threads=1", "training.device=cpu"]
    settings += [f"training.max_steps={steps}", f"training.validate_every={steps}"]
    if open_recordings is not None:
        settings.append(f"data.open_recordings={open_recordings}")
    return override(duet(), settings)


def seconds_of_fit(model: Model, sessions: Sequence[Session], config: Config) -> float:
    """Processor time of a whole training whose recordings are open, as after its first round."""
    with tempfile.TemporaryDirectory() as out:
        for session in sessions:
            session.batch(np.array([0]))
        start = time.process_time()
        fit(model, sessions, config, Path(out) / "run")
        return time.process_time() - start


def step_seconds(
    model: Model, sessions: Sequence[Session], steps: int, open_recordings: int | None
) -> float:
    """Time of one step: a long training less a short one."""
    short, long = (
        seconds_of_fit(model, sessions, configured(SHORT + more, open_recordings))
        for more in (0, steps)
    )
    return (long - short) / steps


def load_seconds(sessions: Sequence[Session], config: Config, steps: int) -> float:
    """Time of loading what one step needs."""
    for session in sessions:
        session.batch(np.array([0]))
    start = time.process_time()
    for _ in Steps(sessions, config, 0, steps):
        pass
    return (time.process_time() - start) / steps


def measure(given: argparse.Namespace) -> dict[str, float]:
    """All figures of one number of sessions, in this process."""
    torch.set_num_threads(1)
    # Every training would tell that it was not validated.
    logging.getLogger("neuroduet").setLevel(logging.ERROR)
    config = configured(SHORT, given.open_recordings)
    gc.collect()
    empty = memory_mb()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for path in simulate_missing(given.data, given.child, given.trials):
            (Path(folder) / path.name).symlink_to(path.resolve())
        sessions = open_sessions(folder, config.data)
    opened = time.process_time()
    model = build(config.model, [session.info for session in sessions])
    for session in sessions:
        set_up_session(model, session)
    ready = time.process_time()
    # About one round, so that every session is open and has its gradients and momenta.
    seconds_of_fit(model, sessions, configured(given.child + SHORT, given.open_recordings))
    gc.collect()
    full = memory_mb()
    first = build(config.model, [sessions[0].info])
    set_up_session(first, sessions[0])
    turns = []
    for _ in range(given.turns):
        alone = step_seconds(first, sessions[:1], given.steps, given.open_recordings)
        together = step_seconds(model, sessions, given.steps, given.open_recordings)
        loading = load_seconds(sessions, config, given.steps)
        turns.append((alone, together, loading))
    alone, together, loading = (statistics.median(column) for column in zip(*turns, strict=True))
    windows = sum(len(session.indices("train")) for session in sessions)
    return {
        "sessions": given.child,
        "windows_per_step": windows / Steps(sessions, config, 0, 0).per_epoch,
        "open_s": opened - start,
        "set_up_s": ready - opened,
        "alone_s": alone,
        "together_s": together,
        "ratio": statistics.median(one / all_of_them for one, all_of_them, _ in turns),
        "loading_s": loading,
        **{f"{name}_mb": full[name] - empty[name] for name in full},
    }


def measure_apart(given: argparse.Namespace, sessions: int) -> dict[str, float]:
    """The same in a fresh process."""
    options = [f"--{name}={getattr(given, name)}" for name in ("data", "trials", "steps", "turns")]
    if given.open_recordings is not None:
        options.append(f"--open-recordings={given.open_recordings}")
    command = [sys.executable, __file__, f"--child={sessions}", *options]
    env = os.environ | dict.fromkeys(THREADS, "1")
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(rows: Sequence[dict[str, float]]) -> Table:
    """One line per number of sessions."""
    table = Table(title="duet, one thread, processor time")
    for name in (
        *("sessions", "samples/s", "of one session", "step (ms)", "loading (ms)", "share (%)"),
        *("open (s)", "set up (s)", "own memory (MB)", "mapped (MB)", "MB per added session"),
    ):
        table.add_column(name, justify="right")
    for row in rows:
        added = row["sessions"] - rows[0]["sessions"]
        more = row["own_mb"] + row["file_mb"] - rows[0]["own_mb"] - rows[0]["file_mb"]
        table.add_row(
            f"{row['sessions']:.0f}",
            f"{row['windows_per_step'] / row['together_s']:.1f}",
            f"{row['ratio']:.2f}",
            f"{1e3 * row['together_s']:.0f}",
            f"{1e3 * row['loading_s']:.1f}",
            f"{100 * row['loading_s'] / row['together_s']:.0f}",
            f"{row['open_s']:.1f}",
            f"{row['set_up_s']:.1f}",
            f"{row['own_mb']:.0f}",
            f"{row['file_mb']:.0f}",
            f"{more / added:.1f}" if added else "",
        )
    return table


def main() -> None:
    """Simulate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the simulated world")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 10, 40, 80])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--steps", type=int, default=60, help="steps that are timed, per turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--open-recordings", type=int, help="data.open_recordings")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        sys.stdout.write("\n" + json.dumps(measure(given)))
        return
    simulate_missing(given.data, max(given.sessions), given.trials)
    console, rows = Console(width=140), []
    for sessions in given.sessions:
        rows.append(measure_apart(given, sessions))
        console.print(show(rows))


if __name__ == "__main__":
    main()
