"""How well duet and NEDS do after minutes on a CPU, beside every linear baseline and the bound.

Run ``python benchmarks/accuracy.py --out FOLDER``. It simulates IBL-like sessions (350 trials of
100 bins, 350-490 units, median 2 Hz) whose neurons follow behaviour non-linearly, fits the
baselines, trains `duet` on one thread per run (as many runs at once as there are cores) and `neds`
on all cores, and scores the test trials once; the seeds of a session together are its ensemble. A
stopped benchmark goes on where it was. The share is (score - null) / (bound - null) of the bits
per spike that behaviour can explain at all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from side_by_side import run_all

from neuroduet.config import Config, DataConfig, override
from neuroduet.data.session import open_sessions
from neuroduet.presets import duet, neds
from neuroduet.simulate import simulate
from neuroduet.tasks.evaluate import score_predictors
from neuroduet.tasks.run import evaluate, score_baselines, score_table
from neuroduet.training.files import write_text
from neuroduet.training.fit import train
from neuroduet.training.runs import Ensemble, load_run

TASKS = ["encoding", "decoding"]
SHOWN = [
    ("encoding", "spikes", "bits_per_spike"),
    ("decoding", "wheel", "r2"),
    ("decoding", "whisker", "r2"),
    ("decoding", "choice", "accuracy"),
    ("decoding", "choice", "balanced_accuracy"),
    ("decoding", "block", "accuracy"),
    ("decoding", "block", "balanced_accuracy"),
]
LINEAR = ["psth", "reduced_rank", "poisson_glm", "ridge", "logistic"]


def main() -> None:
    """Parse the arguments, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=3.0, help="per duet run, one thread")
    parser.add_argument("--neds-minutes", type=float, default=15.0, help="0 leaves NEDS out")
    parser.add_argument("--neds-sessions", type=int, default=1)
    parser.add_argument("--world", type=int, default=2025, help="seed of the simulated world")
    given = parser.parse_args()
    data = given.out / "data"
    if not data.exists():
        simulate(data, given.sessions, given.world, "medium")
    names = sorted(path.stem for path in data.glob("*.h5"))[: given.sessions]
    run_all([(_baselines, (data, given.out, name)) for name in names])
    run_all(_single_runs(given, data, names))
    run_all([(_ensemble, (data, given.out, name)) for name in names])
    for name in names[: given.neds_sessions] if given.neds_minutes else []:
        config = _budget(neds(), given.neds_minutes, ["training.threads=null"])
        _fit(config, data, given.out / "neds" / name, name)
    scores = _collect(given.out)
    scores.to_csv(given.out / "scores.csv", index=False)
    Console().print(_table(scores))


def _single_runs(
    given: argparse.Namespace, data: Path, names: list[str]
) -> list[tuple[Callable[..., Path], tuple]]:
    jobs: list[tuple[Callable[..., Path], tuple]] = []
    for seed in range(given.seeds):
        config = _budget(duet(), given.minutes, [f"training.seed={seed}", "training.threads=1"])
        jobs += [(_fit, (config, data, given.out / "duet" / f"{n}-{seed}", n)) for n in names]
    return jobs


def _budget(config: Config, minutes: float, settings: list[str]) -> Config:
    limits = ["training.max_epochs=100000", f"training.max_minutes={minutes}"]
    return override(config, [*limits, *settings])


def _fit(config: Config, data: Path, out: Path, name: str) -> Path:
    """Train and score one run, unless that is done already."""
    if not (out / "scores.csv").exists():
        if not (out / "config.yaml").exists():
            train(config, data, out, [name])
        evaluate(out, data, [name], TASKS)
    return out


def _ensemble(data: Path, out: Path, name: str) -> Path:
    """Score the seeds of a session together."""
    members = [load_run(path) for path in sorted(out.glob(f"duet/{name}-*"))]
    found = score_predictors(
        [Ensemble("ensemble", members)], open_sessions(data, DataConfig(), [name]), TASKS
    )
    path = out / "ensemble" / name / "scores.csv"
    write_text(path, score_table(found).to_csv(index=False))
    return path


def _baselines(data: Path, out: Path, name: str) -> Path:
    path = out / "baselines" / f"{name}.csv"
    if not path.exists():
        score_baselines(data, path, [name])
    return path


def _collect(out: Path) -> pd.DataFrame:
    parts = [pd.read_csv(path) for path in sorted(out.glob("baselines/animal*.csv"))]
    for model in ("duet", "ensemble", "neds"):
        paths = sorted(out.glob(f"{model}/*/scores.csv"))
        parts += [pd.read_csv(path).assign(model=model) for path in paths]
    table = pd.concat(parts, ignore_index=True)
    return table[~table.target.str.contains("[", regex=False)]


def _table(scores: pd.DataFrame) -> Table:
    """Means over sessions (over seeds first), the best linear baseline, shares of the bound."""
    table = Table(title="Test trials; mean over sessions")
    columns = ["duet", "seed s.d.", "ensemble", "neds", "best linear", "null", "bound", "share"]
    for column in ("target", "metric", *columns):
        table.add_column(column)
    for task, target, metric in SHOWN:
        wanted = (scores.task == task) & (scores.target == target) & (scores.metric == metric)
        rows = scores[wanted]
        by_session = rows.groupby(["model", "session"]).value.mean()
        means = by_session.groupby("model").mean()
        linear = means[means.index.intersection(LINEAR)]
        spread = rows.query("model == 'duet'").groupby("session").value.std().mean()
        bound, null = rows.oracle.mean(), rows.null.mean()
        best = f"{linear.max():.4f} ({linear.idxmax()})"
        shown = [means.get(m, float("nan")) for m in ("duet", "ensemble", "neds")]
        share = " / ".join(f"{(v - null) / (bound - null):.2f}" for v in [*shown, linear.max()])
        cells = [f"{shown[0]:.4f}", f"{spread:.4f}", f"{shown[1]:.4f}", f"{shown[2]:.4f}", best]
        known = bound == bound
        cells += [f"{null:.3f}", f"{bound:.4f}" if known else "-", share if known else "-"]
        table.add_row(target, metric, *cells)
    return table


if __name__ == "__main__":
    main()
